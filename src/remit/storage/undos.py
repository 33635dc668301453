"""What a session did to the world, and what of it was asked to be taken back. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remit.domain import canonical
from remit.storage.sessions import Db

HAPPENED = ("succeeded", "unknown", "cleared")
"""How an action stands that has changed something, or may have."""


@dataclass(frozen=True, slots=True)
class AskedBack:
    """The newest wish to take an action back."""

    turn: str
    status: str
    """Of that turn."""
    error: str | None


def effects(db: Db, session_id: str, harmless: list[str]) -> list[dict[str, Any]]:
    """Calls of a session that have changed something or may have, newest first, without those that took others back.

    `harmless` are the action types that change nothing.
    """
    return db.execute(
        """select a.id, a.session_id, a.turn_id, a.action, a.status, a.undone_by, a.created_at
           from remit.turns t join remit.actions a on a.turn_id = t.id
           where t.session_id = %s and t.kind <> 'undo' and a.mode = 'tool' and a.status = any(%s)
             and a.action <> all(%s)
           order by a.created_at desc, a.id desc""",
        (session_id, list(HAPPENED), harmless),
    ).fetchall()


def asked(db: Db, session_id: str) -> dict[str, AskedBack]:
    """What was asked to be taken back in a session, by action: the newest wish of each."""
    rows = db.execute(
        """select t.id, t.status, t.error, p.body
           from remit.turns t join remit.messages m on m.id = t.message_id join remit.payloads p on p.id = m.payload
           where t.session_id = %s and t.kind = 'undo' and p.body is not null order by t.id""",
        (session_id,),
    )
    found: dict[str, AskedBack] = {}
    for row in rows:
        match canonical.parse(bytes(row["body"]), what="message"):
            case {"undo": str(action_id)}:
                found[action_id] = AskedBack(row["id"], row["status"], row["error"])
    return found
