"""`remit.run_code`: Python that a model wrote, in the sandbox, with the agent's own tools as its only way out.

Each call of the code goes to the gate at a place below this action's, is judged as the agent's own, and is recorded.
Where one has to wait, or the worker dies, the code is run again from its top, and what is recorded is not done again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_ai.exceptions import ToolFailed

from remit.domain import canonical, ids
from remit.domain.builtins import DELEGATE, RUN_CODE
from remit.domain.decisions import ActionStatus
from remit.runtime.builtins import sandbox, sandbox_wall
from remit.runtime.model_agents import answers
from remit.runtime.model_agents.tools import offered_names

if TYPE_CHECKING:
    from remit.runtime.builtins.registry import Invocation
    from remit.runtime.road import Performed

_NOT_FROM_CODE = frozenset({DELEGATE, RUN_CODE})
_LONGEST_NAME = 200


async def run_code(invocation: Invocation) -> dict[str, Any]:
    """Run the code. `ok` says whether it came to its end; an `error` says why not, and what was called before stays."""
    calls = _Calls(invocation)
    ran = await sandbox.run(
        invocation.args["code"],
        invocation.args.get("inputs", {}),
        calls.make,
        seed=invocation.action_id,
        now=ids.moment(invocation.run.turn_id),
        program=sandbox_wall.interpreter(invocation.deployments.current().project.settings.programs.isolation),
    )
    found: dict[str, Any] = {"ok": ran.error is None, "calls": ran.calls, "printed": ran.printed}
    return found | ({"result": ran.result} if ran.error is None else {"error": ran.error})


class _Calls:
    """The calls of one run of code, in order."""

    def __init__(self, invocation: Invocation) -> None:
        self._key = invocation.key
        self._road = invocation.road
        # Models know their tools by the names that providers take; the code may use either.
        self._actions = {name: action for action, name in offered_names(invocation.version.spec.tools).items()}
        self._made = 0

    async def make(self, name: str, arguments: dict[str, Any]) -> Any:
        """Make the next call. Raises CallRejected with the words that a model is told."""
        self._made += 1
        key, action = f"{self._key}.{self._made}", self._actions.get(name, name)[:_LONGEST_NAME]
        if action in _NOT_FROM_CODE:
            raw = canonical.dumps(arguments).decode()
            why = f"{action} cannot be called by code in the sandbox"
            await self._road.invalid(key, action, raw, why)
            raise sandbox.CallRejected(f"Refused; nothing was done. {why}.", "PermissionError")
        return _told(await self._road.tool(key, action, arguments, reason="asked for by code in the sandbox"))


def _told(performed: Performed) -> Any:
    if performed.status is ActionStatus.SUCCEEDED and performed.error is None:
        return performed.result
    try:
        return answers.of_tool(performed)
    except ToolFailed as failed:
        refused = performed.status is ActionStatus.REFUSED
        raise sandbox.CallRejected(failed.message, "PermissionError" if refused else "RuntimeError") from None
