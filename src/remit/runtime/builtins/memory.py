"""`remit.remember` and `remit.recall`: facts that outlast a session, in the scope that they were kept for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remit.errors import InvalidInput
from remit.governance import memory
from remit.storage import memories, memory_care

if TYPE_CHECKING:
    from remit.runtime.builtins.registry import Invocation

_MOST_KEYS = 200


def remember(call: Invocation) -> dict[str, Any]:
    """Keep a fact once for its action; what was remembered under the key before is replaced."""
    args, run = call.args, call.run
    new = memories.NewMemory(
        id=f"mem_{call.action_id.removeprefix('act_')}",
        agent=run.actor.agent,
        place=memory.place_of(run, args.get("scope", "agent"), args.get("subject")),
        key=args["key"],
        value=args["value"],
        why=args["why"],
        by=f"agent:{run.actor.agent}",
        keep=memory.keep_for(call.version.spec, args.get("keep_days")),
        session_id=run.session_id,
        turn_id=run.turn_id,
        action_id=call.action_id,
    )
    with call.sessions.transaction() as db:
        memories.keep(db, new)
        kept = memory_care.get(db, new.id)
    return {"memory": new.id, "expires": kept["expires_at"].isoformat()}


def recall(call: Invocation) -> dict[str, Any]:
    """What is remembered under a key, or the keys that begin with a prefix.

    The session gets the labels of what it is told in the same transaction, so that the gate judges its next action with
    them.
    """
    args, run = call.args, call.run
    place = memory.place_of(run, args.get("scope", "agent"), args.get("subject"))
    if ("key" in args) == ("prefix" in args):
        raise InvalidInput("give either a key, or a prefix to list keys")
    with call.sessions.transaction() as db:
        if "prefix" in args:
            rows = memories.keys(db, place, args["prefix"], _MOST_KEYS)
            labels = frozenset(label for row in rows for label in row["labels"])
            memories.add_labels(db, run.session_id, labels)
            run.labels |= labels
            return {"keys": [{"key": row["key"], "why": row["why"]} for row in rows]}
        found = memories.in_force(db, place, args["key"])
        if found is None:
            return {"found": False}
        memories.use(db, found, call.action_id, run.session_id, run.turn_id)
        run.labels |= found.labels
    return {
        "found": True,
        "value": found.value,
        "why": found.why,
        "by": found.by,
        "since": found.created_at.isoformat(),
        "expires": found.expires_at.isoformat(),
        "memory": found.id,
        "session": found.session_id,
    }
