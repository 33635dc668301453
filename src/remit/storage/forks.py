"""What a fork is made from: a session's turns and what they did, as rows. Never commits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from remit.domain.builtins import DELEGATE
from remit.storage.sessions import Db, get_payload


@dataclass(frozen=True, slots=True)
class ForkedTurn:
    """A turn of the session that is forked."""

    id: str
    agent: str
    agent_version: str
    kind: str
    status: str
    message: Any
    inherits: tuple[str, ...]
    seed_turn: str
    seed_at: datetime | None

    @property
    def ended(self) -> bool:
        """True if nothing more will happen in it."""
        return self.status in {"finished", "failed", "cancelled"}


def turns(db: Db, session_id: str) -> list[ForkedTurn]:
    """A session's own turns, oldest first. Locks the session, so that none of them moves meanwhile."""
    db.execute("select 1 from remit.sessions where id = %s for update", (session_id,))
    rows = db.execute(
        """select t.id, t.agent, t.agent_version, t.kind, t.status, m.payload, t.inherits,
                  coalesce(t.seed_turn, t.id) as seed_turn, coalesce(t.seed_at, t.started_at) as seed_at
           from remit.turns t join remit.messages m on m.id = t.message_id where t.session_id = %s order by t.id""",
        (session_id,),
    ).fetchall()
    return [
        ForkedTurn(
            id=row["id"],
            agent=row["agent"],
            agent_version=row["agent_version"],
            kind=row["kind"],
            status=row["status"],
            message=get_payload(db, row["payload"]),
            inherits=tuple(row["inherits"]),
            seed_turn=row["seed_turn"],
            seed_at=row["seed_at"],
        )
        for row in rows
    ]


def inherited_turns(db: Db, session_id: str) -> tuple[str, ...]:
    """The turns of other sessions that a session itself has as its history, oldest first."""
    row = db.execute("select inherits from remit.sessions where id = %s", (session_id,)).fetchone()
    return tuple(row["inherits"]) if row is not None else ()


def actions(db: Db, turn: ForkedTurn) -> list[dict[str, Any]]:
    """Everything that a turn has done, inherited rows first, in the order in which it was asked for.

    `open_work` is true for a delegation whose outcome the turn has not been told yet.
    """
    found: list[dict[str, Any]] = []
    for where, value in (("a.id = any(%s)", list(turn.inherits)), ("a.turn_id = %s", turn.id)):
        found += db.execute(
            f"""select a.id, a.key, a.mode, a.action, a.status, a.error,
                       a.action = %s and a.status = 'succeeded'
                         and exists (select 1 from remit.sessions c where c.origin_action = a.id and c.origin_waits)
                         and not exists (select 1 from remit.actions o where o.key = a.key || '.o'
                                         and (o.turn_id = %s or o.id = any(%s))) as open_work
                from remit.actions a where {where} order by a.created_at, a.id""",  # noqa: S608 - two constants
            (DELEGATE, turn.id, list(turn.inherits), value),
        ).fetchall()
    return found


def open_below(db: Db, session_id: str) -> list[str]:
    """Forks of a session, and forks of those, that have not ended and may still need what it did."""
    rows = db.execute(
        """with recursive below as (
               select id, status from remit.sessions where forked_from = %s
               union select s.id, s.status from below b join remit.sessions s on s.forked_from = b.id)
           select id from below where status not in ('finished', 'failed', 'cancelled') order by id""",
        (session_id,),
    ).fetchall()
    return [row["id"] for row in rows]
