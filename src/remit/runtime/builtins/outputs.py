"""`remit.publish`: drafts, reports and lists that people accept, edit, reject or dispute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remit.storage import outputs

if TYPE_CHECKING:
    from remit.runtime.builtins.registry import Invocation


def publish(call: Invocation) -> dict[str, Any]:
    """Keep an output; the same name in the same session is its next version."""
    with call.sessions.transaction() as db:
        return outputs.publish(
            db,
            outputs.NewOutput(
                action_id=call.action_id,
                session_id=call.run.session_id,
                turn_id=call.run.turn_id,
                agent=call.run.actor.agent,
                workspace=call.run.workspace,
                name=call.args["name"],
                kind=call.args.get("kind", "other"),
                title=call.args["title"],
                body=call.args["body"],
            ),
        )
