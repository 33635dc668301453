"""`remit.ask`: how a language model's agent, or code that it writes, asks a person.

The call is judged like any other. The question itself stands below its place, as `KEY.q`, exactly as a program's does.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from remit.domain import canonical
from remit.domain.decisions import ActionStatus
from remit.domain.questions import Question, Remember
from remit.errors import InvalidInput, ToolFailed
from remit.runtime.programs.child.asks import schema_of

if TYPE_CHECKING:
    from remit.runtime.builtins.registry import Invocation


async def ask(call: Invocation) -> dict[str, Any]:
    """Ask, and return the answer once there is one. Until then the turn waits as rows."""
    performed = await call.road.ask(f"{call.key}.q", _question(call.args))
    if performed.status is ActionStatus.SUCCEEDED:
        return {"answer": performed.result}
    why = "; ".join(r.text for r in performed.reasons) or performed.error or "there is no answer"
    raise ToolFailed(why)


def _question(args: dict[str, Any]) -> Question:
    kind = args.get("kind", "choice" if "choices" in args else "text")
    limits = {k: canonical.plain(args[k]) for k in ("min", "max") if k in args}
    try:
        schema = schema_of(
            schema=None,
            choices=args.get("choices") if kind == "choice" else None,
            text=kind == "text" and (limits | {"multiline": args.get("multiline", False)}),
            number=kind == "number" and (limits | {"whole": args.get("whole", False)}),
            yes_no=kind == "yes-no",
        )
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"this question cannot be answered: {error}") from None
    key = args.get("remember")
    hours = args.get("timeout_hours")
    return Question(
        args["question"],
        schema,
        args.get("to"),
        args.get("context"),
        float(args["confidence"]) if "confidence" in args else None,
        timeout=timedelta(hours=float(hours)) if hours is not None else None,
        default=args.get("default"),
        has_default="default" in args and hours is not None,
        remember=Remember(key, args.get("scope", "agent"), None, args.get("keep_days")) if key is not None else None,
    )
