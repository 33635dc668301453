"""Triggers, ideas, outputs and people in the shapes of the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remit.evidence.shapes import flow

if TYPE_CHECKING:
    from remit.domain.directory import Directory, Person
    from remit.domain.triggers import Trigger
    from remit.runtime.triggers import Fired, Listed
    from remit.storage.sessions import Db


def trigger(listed: Listed) -> dict[str, Any]:
    """A trigger with what it did last and when it is due next."""
    return {
        "trigger": listed.name,
        "kind": listed.trigger.kind,
        "agent": listed.trigger.agent,
        "when": _when(listed.name, listed.trigger),
        "paused": listed.paused,
        "paused_by": listed.paused_by or None,
        "paused_reason": listed.paused_reason or None,
        "next_at": listed.next_at,
        "last": listed.last,
    }


def fired(found: Fired) -> dict[str, Any]:
    """What firing came to."""
    return {"status": found.status, "session_id": found.session_id, "reason": found.reason}


def idea(row: dict[str, Any]) -> dict[str, Any]:
    """An idea."""
    return {name: row[name] for name in flow.IDEA}


def output(row: dict[str, Any]) -> dict[str, Any]:
    """An output as lists have it."""
    return {name: row[name] for name in flow.OUTPUT}


def output_in_full(db: Db, output_id: str) -> dict[str, Any]:
    """An output with what it says and all its versions. Raises NotFound."""
    from remit.storage import outputs  # noqa: PLC0415 - heavy

    found = outputs.get(db, output_id)
    return {
        **output(found),
        "body": outputs.body(db, output_id),
        "versions": [output(row) for row in outputs.versions(db, found)],
    }


def person(directory: Directory, found: Person) -> dict[str, Any]:
    """A person with the reporting line."""
    return {**found.model_dump(mode="json"), "reports_to": [m.id for m in directory.chain(found.id)]}


def _when(name: str, found: Trigger) -> str:
    match found.kind:
        case "schedule":
            zone = "each one's own zone" if found.time_zone == "person" else found.time_zone
            return f"{found.cron} {zone}"
        case "webhook":
            return f"POST /hooks/{name}"
        case "event":
            return f"{found.on} {found.name}" + (f" of {found.source}" if found.source is not None else "")
