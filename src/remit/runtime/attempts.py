"""Attempts: executing what was cleared, repeating it only where that is safe, and finding out what became of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from remit.domain import canonical
from remit.domain.actions import ActionType, Effect
from remit.domain.agents import ModelSpec
from remit.domain.budgets import Usage, micros
from remit.domain.builtins import is_builtin
from remit.domain.decisions import ActionStatus, Call, Clearance, NeedsApproval, Outcome, Permit
from remit.domain.intents import LedgerRow
from remit.domain.templates import at, filled
from remit.errors import IntegrityError
from remit.governance.gate import Gate
from remit.governance.judgement import Request
from remit.governance.state import GovernanceSource
from remit.runtime.boundaries import passing
from remit.runtime.connections import Connections, ToolAnswer, with_key
from remit.runtime.model_agents.pricing import reserve
from remit.runtime.road import Execute, Performed, TurnSuspendedError

log = logging.getLogger(__name__)

_BACKOFF = (0.2, 1.0)  # seconds before the second and the third try
_SHORT = 2.0  # seconds for which a look-up waits in place
_NEVER_RETRIED = {"tool_changed", "tool_missing", "tool_unpinned", "person_needed", "unknown_connection", "local"}


class LookupRoad(Protocol):
    """What a look-up needs of the road."""

    async def tool(self, key: str, action: str, args: dict[str, Any], *, implied_by: str) -> Performed:
        """Make a call that an action type declares as its own."""
        ...

    def unused(self, place: str) -> str:
        """A place at which nothing was done yet: this one, or one numbered behind it."""
        ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call with everything that executing it needs."""

    call: Call
    usage: Usage
    execute: Execute | None
    """None: the connection's tool."""


@dataclass(frozen=True, slots=True)
class _Tried:
    outcome: Outcome
    again: bool
    """True if trying again cannot do it twice."""


class Attempts:
    """Executes cleared calls for one worker process."""

    def __init__(
        self,
        gate: Gate,
        source: GovernanceSource,
        connections: Callable[[], Connections],
        show: Callable[[str, dict[str, Any]], None],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._gate = gate
        self._source = source
        self._connections = connections
        self._show = show
        self._now = now

    def model_usage(self, model: str, input_bytes: int, output_limit: int) -> Usage:
        """The upper bound that a model request reserves."""
        spec = self._source.current().project.settings.models.get(model, ModelSpec())
        return reserve(spec, input_bytes, output_limit)

    async def get_ready(self, prepared: Prepared) -> None:
        """Wait until the server that the call goes to stands, if it is being started for the first time."""
        call = prepared.call
        if call.mode == "tool" and prepared.execute is None and self._source.current().action_type(call.action):
            await self._connections().get_ready(call.action.partition(".")[0])

    async def execute(self, prepared: Prepared, request: Request, permit: Permit) -> tuple[Outcome, int]:
        """Execute a cleared call and say what came of it, and of which attempt.

        Where it was certainly not sent, or where sending it again cannot do it twice, it is tried up to three times,
        each time under a new clearance of the same action.
        """
        for pause in (*_BACKOFF, None):
            passing("call:before")
            tried = await self._try(prepared, permit.clearance, request.run.actor.on_behalf_of)
            passing("call:after")
            if not tried.again or pause is None:
                return tried.outcome, permit.clearance.attempt
            await asyncio.sleep(pause)
            decision = await self._gate.admit(replace(request, repeat=True, nonce=permit.nonce))
            if not isinstance(decision, Permit):
                return tried.outcome, permit.clearance.attempt
            permit = decision
        raise AssertionError("the last try returns")

    async def _try(self, prepared: Prepared, clearance: Clearance, person: str | None) -> _Tried:
        if not self._gate.is_genuine(clearance):
            raise IntegrityError(f"{clearance.action} was to be executed on a clearance that the gate did not mint")
        if prepared.execute is not None:
            return _Tried(await prepared.execute(clearance), again=False)
        action_type = self._source.current().action_type(clearance.action)
        assert action_type is not None, "the gate clears only what is classified"
        answer = await self._call(clearance, action_type, person)
        return _Tried(_outcome(answer, action_type), again=_safe_again(answer, action_type))

    async def _call(self, clearance: Clearance, action_type: ActionType, person: str | None) -> ToolAnswer:
        connection, _, tool = clearance.action.partition(".")
        arguments, meta = with_key(clearance.args, action_type, clearance.idempotency_key)
        return await self._connections().call(
            connection,
            tool,
            arguments,
            meta=meta,
            timeout=clearance.timeout,
            deadline=clearance.deadline,
            person=person,
        )

    # -- after a crash -------------------------------------------------------------------------------------------

    def may_repeat(self, call: Call, row: LedgerRow) -> bool:
        """True if making the call again cannot do it twice: a read, or an idempotency key that is still honoured."""
        if call.mode == "model":
            return True
        action_type = self._source.current().action_type(call.action)
        if action_type is None:
            return False
        return (
            action_type.effect is Effect.READ
            or is_builtin(call.action)
            or _in_window(action_type, row.first_cleared_at, self._now())
        )

    async def look_up(self, road: LookupRoad, call: Call, row: LedgerRow) -> Outcome | None:
        """Find out what became of an action. None: it certainly did not happen, so it may be made again."""
        action_type = self._source.current().action_type(call.action)
        lookup = action_type.lookup if action_type is not None else None
        if lookup is None:
            return Outcome("unknown", error="the worker died while this was under way, and it cannot be looked up")
        wait = row.expires_in + lookup.settle_delay.total_seconds()
        if wait > _SHORT:
            raise TurnSuspendedError("limit", self._now() + timedelta(seconds=wait))
        await asyncio.sleep(max(0.0, wait))
        args = filled(lookup.arguments, {"action": {"id": row.id}, "args": row.edited_args or call.args})
        answer = await road.tool(f"{call.key}.l{row.attempt}", lookup.tool, args, implied_by=call.action)
        if answer.status is not ActionStatus.SUCCEEDED:
            return Outcome("unknown", error="the look-up did not succeed")
        found = at(answer.result, lookup.found)
        if found is not None:
            return Outcome("succeeded", result=found if isinstance(found, dict | list) else answer.result)
        if lookup.authoritative:
            return None
        return Outcome("unknown", error="the look-up found nothing, which proves nothing")

    async def show_current_state(self, road: LookupRoad, request: Request, decision: NeedsApproval) -> None:
        """Read what is there now, where the action type says how, and show it beside the approval.

        Whoever is asked again is shown what is there then: each reading is an action of its own.
        """
        action_type = self._source.current().action_type(request.call.action)
        current = action_type.current if action_type is not None else None
        if current is None or not decision.item_id:
            return
        args = filled(current.arguments, {"args": request.args})
        try:
            place = road.unused(f"{request.call.key}.c")
            answer = await road.tool(place, current.tool, args, implied_by=request.call.action)
        except TurnSuspendedError:
            return
        changes = {
            name: {
                "now": canonical.plain(at(answer.result, path)),
                "then": canonical.plain(request.args.get(name)),
                **({} if path.rpartition(".")[2] == name else {"beside": path}),
            }
            for name, path in current.compare.items()
        }
        state = canonical.plain(answer.result) if answer.status is ActionStatus.SUCCEEDED else answer.error
        await asyncio.to_thread(self._show, decision.item_id, {"current": state, "changes": changes})


def _outcome(answer: ToolAnswer, action_type: ActionType) -> Outcome:
    """What came of a call. A read that got no answer has failed: nobody need be asked whether it happened."""
    cost = micros(action_type.cost_usd) if answer.sent else 0
    lost = answer.status == "unknown" and action_type.effect is Effect.READ
    return Outcome("failed" if lost else answer.status, answer.result, answer.error, usd_micros=cost)


def _safe_again(answer: ToolAnswer, action_type: ActionType) -> bool:
    if answer.status == "succeeded" or answer.reason in _NEVER_RETRIED:
        return False
    if not answer.sent:
        return True
    return answer.status == "unknown" and (action_type.effect is Effect.READ or action_type.idempotency is not None)


def _in_window(action_type: ActionType, first: datetime | None, now: datetime) -> bool:
    if action_type.idempotency is None or first is None:
        return False
    return now - first < action_type.idempotency.window
