"""Delegations as rows: the sessions that a turn's actions have started, and what became of them. Never commits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from remit.storage.sessions import Db, get_payload


@dataclass(frozen=True, slots=True)
class Child:
    """A delegated session as its parent sees it."""

    session_id: str
    agent: str
    turn: str
    """Its first turn, whose end is the outcome."""
    status: str
    """Of that turn."""
    output: Any
    error: str | None
    at: datetime
    """When the turn ended; until then the time of the look."""
    overdue: bool
    """True if it has not ended and its time is over."""

    @property
    def ended(self) -> bool:
        """True once nothing of the outcome can change."""
        return self.status in {"finished", "failed", "cancelled"}


def started_by(db: Db, action_id: str) -> str | None:
    """The session that an action has started; None if it has not started one."""
    row = db.execute("select id from remit.sessions where origin_action = %s", (action_id,)).fetchone()
    return row["id"] if row is not None else None


def lock_parent(db: Db, session_id: str) -> dict[str, Any]:
    """A session that is about to delegate, held until the transaction ends, so that its cancelling sees the child."""
    row = db.execute(
        "select status, labels, depth, simulated from remit.sessions where id = %s for no key update", (session_id,)
    ).fetchone()
    assert row is not None, "an action belongs to a session"
    return row


def agents_above(db: Db, turn_id: str) -> list[str]:
    """The agents at work above a new delegation of a turn: its own first, then those that led to it."""
    rows = db.execute(
        """with recursive above as (
               select t.agent, t.session_id, 1 as step from remit.turns t where t.id = %s
               union all
               select t.agent, t.session_id, a.step + 1 from above a
               join remit.sessions s on s.id = a.session_id join remit.turns t on t.id = s.origin_turn
               where a.step < 100)
           select agent from above order by step""",
        (turn_id,),
    ).fetchall()
    return [row["agent"] for row in rows]


def look(db: Db, session_id: str) -> Child:
    """How a delegated session stands."""
    row = db.execute(
        """select s.id, s.agent, s.status as session_status, t.id as turn, t.status, t.output, t.error,
                  coalesce(t.finished_at, clock_timestamp()) as at, s.due_at <= clock_timestamp() as overdue
           from remit.sessions s join remit.turns t on t.session_id = s.id
           where s.id = %s order by t.id limit 1""",
        (session_id,),
    ).fetchone()
    assert row is not None, "a session has a first turn"
    child = Child(row["id"], row["agent"], row["turn"], row["status"], None, row["error"], row["at"], False)
    if child.ended:
        output = get_payload(db, row["output"]) if row["output"] else None
        return Child(row["id"], row["agent"], row["turn"], row["status"], output, row["error"], row["at"], False)
    return Child(row["id"], row["agent"], row["turn"], row["status"], None, None, row["at"], bool(row["overdue"]))


def take_labels(db: Db, parent: str, child: str) -> None:
    """What a child has touched, its parent has touched once it reads the outcome."""
    db.execute(
        """update remit.sessions p set labels = (
               select array_agg(distinct x order by x) from unnest(p.labels || c.labels) x)
           from remit.sessions c where p.id = %s and c.id = %s and not (c.labels <@ p.labels)""",
        (parent, child),
    )


def waiting_parent(db: Db, turn_id: str) -> str | None:
    """The turn that waits for the end of this one and stands as rows; None if nobody waits.

    Locks the parent's turn first and looks then, as a turn does that begins to wait.
    """
    row = db.execute(
        """select p.id, p.status, p.waiting_for from remit.turns t join remit.sessions s on s.id = t.session_id
           join remit.turns p on p.id = s.origin_turn
           where t.id = %s and s.origin_waits
             and not exists (select 1 from remit.turns o where o.session_id = t.session_id and o.id < t.id)
           for update of p""",
        (turn_id,),
    ).fetchone()
    if row is None or row["status"] != "waiting" or row["waiting_for"] in {"stop", "pause", "attention"}:
        return None
    return str(row["id"])


def next_look(db: Db, turn_id: str) -> datetime | None:
    """When a turn that begins to wait has to look at its delegations again: at once if one has ended meanwhile.

    Locks the turn, as the end of a delegated turn does, so that neither overlooks the other. None: nothing is due.
    """
    db.execute("select 1 from remit.turns where id = %s for update", (turn_id,))
    row = db.execute(
        """select min(case when c.status in ('finished', 'failed', 'cancelled') then clock_timestamp()
                           else s.due_at end) as at
           from remit.turns t join remit.sessions s on s.parent_id = t.session_id and s.origin_turn = t.id
           join remit.actions a on a.id = s.origin_action
           cross join lateral (select status from remit.turns where session_id = s.id order by id limit 1) c
           where t.id = %s and s.origin_waits
             and not exists (select 1 from remit.actions n where n.turn_id = t.id and n.key = a.key || '.o')""",
        (turn_id,),
    ).fetchone()
    return row["at"] if row is not None else None


def below(db: Db, session_id: str) -> list[str]:
    """All sessions that were delegated from a session and from those below it, deepest first."""
    rows = db.execute(
        """with recursive below as (
               select id, 1 as step from remit.sessions where parent_id = %s and origin_action is not null
               union all
               select s.id, b.step + 1 from below b join remit.sessions s
                 on s.parent_id = b.id and s.origin_action is not null where b.step < 100)
           select id from below order by step desc, id""",
        (session_id,),
    ).fetchall()
    return [row["id"] for row in rows]


def resting(db: Db, session_id: str) -> bool:
    """True if nothing goes on in a session: it has ended, or it waits, and not for delegated work that goes on."""
    row = db.execute("select status, reason from remit.sessions where id = %s", (session_id,)).fetchone()
    if row is None or row["status"] == "running":
        return row is None
    if row["status"] != "waiting" or row["reason"] != "delegation":
        return True
    working = db.execute(
        "select 1 from remit.sessions where id = any(%s) and status = 'running' limit 1", (below(db, session_id),)
    ).fetchone()
    return working is None
