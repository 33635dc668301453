"""`remit.suggest`: an agent passes on what somebody would like to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remit.governance import ideas, memory

if TYPE_CHECKING:
    from remit.runtime.builtins.registry import Invocation


def suggest(call: Invocation) -> dict[str, Any]:
    """Keep the idea once for its action, or find the same one of the same person that is open already."""
    run = call.run
    person = memory.concerned(run)
    new = ideas.NewIdea(
        agent=run.actor.agent,
        requester=f"person:{person}" if person is not None else f"agent:{run.actor.agent}",
        words=call.args["idea"],
        session_id=run.session_id,
        action_id=call.action_id,
    )
    with call.sessions.transaction() as db:
        found = ideas.submit(db, call.deployments.load(), new)
    return {"idea": found["id"], "status": found["status"]}
