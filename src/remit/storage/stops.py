"""Stops as rows. Functions take an open transaction and never commit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from remit.domain import ids
from remit.domain.records import Tag
from remit.domain.stops import Stop, StopScope
from remit.errors import NotFound
from remit.storage.sessions import Db, record


def lock_governance(db: Db) -> None:
    """Keep every admission out until this transaction ends; it first waits for those under way."""
    db.execute("select pg_advisory_xact_lock(remit.governance_lock())")


def raise_version(db: Db) -> int:
    """Make every decision that was made on an older snapshot stale. Call under `lock_governance`."""
    row = db.execute("update remit.governance set version = version + 1 returning version").fetchone()
    assert row is not None, "the migration wrote the row"
    return int(row["version"])


def put(db: Db, scope: StopScope, target: str, reason: str, by: str) -> Stop:
    """Set a stop. Once the transaction commits, nothing that it covers is cleared any more."""
    lock_governance(db)
    row = db.execute(
        "insert into remit.stops (id, scope, target, reason, by) values (%s, %s, %s, %s, %s) returning *",
        (ids.new_id("stop"), scope, target, reason, by),
    ).fetchone()
    assert row is not None, "an insert returns its row"
    record(db, Tag.STOP_SET, stop=row["id"], scope=scope, target=target, by=by)
    return Stop(**row)


def release(db: Db, scope: StopScope, target: str, by: str, reason: str) -> list[Stop]:
    """Release the stops in force with exactly this scope. Raises NotFound if there is none."""
    rows = db.execute(
        """update remit.stops set released_at = clock_timestamp(), released_by = %s
           where scope = %s and target = %s and released_at is null returning *""",
        (by, scope, target),
    ).fetchall()
    if not rows:
        raise NotFound(
            f"no stop of {scope}{f' {target}' if target else ''} is in force",
            advice="`remit stop --list` shows the stops in force.",
        )
    for row in rows:
        record(db, Tag.STOP_RELEASED, stop=row["id"], scope=scope, target=target, by=by, reason=reason)
    return [Stop(**row) for row in rows]


def in_force(db: Db) -> list[Stop]:
    """The stops in force, oldest first."""
    return [Stop(**row) for row in db.execute("select * from remit.stops where released_at is null order by at")]


def covers(db: Db, workspace: str, agent: str) -> bool:
    """True if a stop in force covers everything that this agent does here."""
    row = db.execute(
        """select 1 from remit.stops
           where released_at is null and (scope = 'all' or (scope = 'workspace' and target = %s)
                                          or (scope = 'agent' and target = %s)) limit 1""",
        (workspace, agent),
    ).fetchone()
    return row is not None


def stopped_turns(db: Db, *, by_clock: bool = False) -> list[str]:
    """Turns that a stop has ended between two actions and that no stop in force covers any more.

    A stop of one action type is looked up by the next action itself: its turns are given another run, and halt
    again if they still need it. `by_clock` leaves them alone while any such stop is in force: it is for turns that
    ended only after their stop had been released.
    """
    rows: list[dict[str, Any]] = db.execute(
        """select t.id from remit.turns t join remit.sessions s on s.id = t.session_id
           where t.status = 'waiting' and t.waiting_for = 'stop' and s.status in ('running', 'waiting')
             and not exists (
                 select 1 from remit.stops x where x.released_at is null
                   and (x.scope = 'all' or (x.scope = 'workspace' and x.target = s.workspace)
                        or (x.scope = 'agent' and x.target = t.agent) or (%s and x.scope = 'action')))
           order by t.id""",
        (by_clock,),
    ).fetchall()
    return [row["id"] for row in rows]


def drill_figures(db: Db, stop: Stop, since: datetime) -> tuple[int, int]:
    """(turns that a stop covers and that are still at work, actions that it covers and that were cleared since)."""
    row = db.execute(
        """with covered as (
               select t.id, t.status from remit.turns t join remit.sessions s on s.id = t.session_id
               where t.status in ('queued', 'running', 'waiting')
                 and (%(scope)s in ('all', 'action') or (%(scope)s = 'workspace' and s.workspace = %(target)s)
                      or (%(scope)s = 'agent' and t.agent = %(target)s)))
           select (select count(*) from covered where status = 'running') as running,
                  (select count(*) from remit.actions a join covered c on c.id = a.turn_id
                   where a.cleared_at > %(since)s and (%(scope)s <> 'action' or a.action = %(target)s)) as cleared""",
        {"scope": stop.scope, "target": stop.target, "since": since},
    ).fetchone()
    assert row is not None, "an aggregate gives a row"
    return row["running"], row["cleared"]
