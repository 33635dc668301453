"""Triggers as rows: whether they are paused, their clocks, and what they did. Never commits.

A trigger is declared in a file; what stands here is what has become of it. All times of clocks are compared with a
`now` that the caller has read from the database, so that two machines never disagree about what is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from remit.domain.records import Tag
from remit.storage.database import safe_json, safe_text
from remit.storage.sessions import Db, record

Status = Literal["started", "skipped", "refused"]
_TAGS = {"started": Tag.TRIGGER_FIRED, "skipped": Tag.TRIGGER_SKIPPED, "refused": Tag.TRIGGER_REFUSED}
_SYNC = 7236349123  # advisory lock: one worker at a time sets clocks


@dataclass(frozen=True, slots=True)
class State:
    """Whether a trigger fires, and since when."""

    trigger: str
    paused: bool
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Clock:
    """A schedule's clock: for everyone, or for one person."""

    trigger: str
    person: str
    spec: str
    """Cron and zone that `next_at` follows from."""
    next_at: datetime
    resumed_at: datetime | None = None
    """When the trigger was last let go on; what was due until then was missed."""


@dataclass(frozen=True, slots=True)
class Firing:
    """One thing that a trigger did or left out. The key makes it happen once."""

    trigger: str
    key: str
    due_at: datetime
    status: Status
    session_id: str | None
    reason: str
    at: datetime


# -- paused or not -------------------------------------------------------------------------------------------------


def states(db: Db) -> dict[str, State]:
    """What people have said about triggers, by name; one that is not in it fires."""
    return {row["trigger"]: State(**row) for row in db.execute("select * from remit.trigger_state")}


def set_paused(db: Db, trigger: str, *, paused: bool, by: str, reason: str) -> bool:
    """Pause a trigger or let it go on. False if it was so already, and nothing was changed."""
    row = db.execute(
        """insert into remit.trigger_state (trigger, paused, by, reason)
           select %(trigger)s, %(paused)s, %(by)s, %(reason)s
           where %(paused)s or exists (select 1 from remit.trigger_state where trigger = %(trigger)s)
           on conflict (trigger) do update set paused = excluded.paused, by = excluded.by, reason = excluded.reason,
               at = clock_timestamp()
           where trigger_state.paused <> excluded.paused returning 1 as changed""",
        {"trigger": trigger, "paused": paused, "by": by, "reason": safe_text(reason, 500)},
    ).fetchone()
    if row is None:
        return False
    tag = Tag.TRIGGER_PAUSED if paused else Tag.TRIGGER_RESUMED
    record(db, tag, trigger=trigger, by=by, reason=reason)
    return True


# -- clocks --------------------------------------------------------------------------------------------------------


def lock_clocks(db: Db) -> None:
    """Let no other worker set clocks, and no deployment come into force, until this transaction ends."""
    db.execute("select pg_advisory_xact_lock(%s)", (_SYNC,))
    db.execute("select pg_advisory_xact_lock_shared(remit.governance_lock())")


def clocks(db: Db) -> list[Clock]:
    """All clocks."""
    return [Clock(**row) for row in db.execute("select * from remit.trigger_clocks order by trigger, person")]


def set_clocks(db: Db, new: Sequence[Clock], gone: Sequence[Clock]) -> None:
    """Write clocks, new or set anew, and take others away."""
    with db.cursor() as cursor:
        cursor.executemany(
            """insert into remit.trigger_clocks (trigger, person, spec, next_at) values (%s, %s, %s, %s)
               on conflict (trigger, person) do update set spec = excluded.spec, next_at = excluded.next_at""",
            [(c.trigger, c.person, c.spec, c.next_at) for c in new],
        )
        cursor.executemany(
            "delete from remit.trigger_clocks where trigger = %s and person = %s", [(c.trigger, c.person) for c in gone]
        )
    record(
        db,
        Tag.CLOCKS_SET,
        set=len(new),
        removed=len(gone),
        triggers=sorted({c.trigger for c in (*new, *gone)}),
    )


def due_clocks(db: Db, now: datetime, limit: int) -> list[Clock]:
    """Clocks whose time has come and whose trigger is not paused, locked until this transaction ends."""
    rows = db.execute(
        """select c.*, s.at as resumed_at from remit.trigger_clocks c left join remit.trigger_state s using (trigger)
           where c.next_at <= %s and not coalesce(s.paused, false)
           order by c.next_at, c.trigger, c.person limit %s for update of c skip locked""",
        (now, limit),
    ).fetchall()
    return [Clock(**row) for row in rows]


def move_clocks(db: Db, moved: Iterable[tuple[Clock, datetime]]) -> None:
    """Set locked clocks on to their next times."""
    with db.cursor() as cursor:
        cursor.executemany(
            "update remit.trigger_clocks set next_at = %s where trigger = %s and person = %s",
            [(at, clock.trigger, clock.person) for clock, at in moved],
        )


def next_times(db: Db) -> dict[str, datetime]:
    """When each schedule is due next, by its name."""
    rows = db.execute("select trigger, min(next_at) as at from remit.trigger_clocks group by trigger")
    return {row["trigger"]: row["at"] for row in rows}


# -- firings -------------------------------------------------------------------------------------------------------


def known(db: Db, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Firing]:
    """The firings under these (trigger, key) pairs, which nobody else can write until this transaction ends.

    The locks are taken in one order, so that two transactions cannot wait for each other.
    """
    triggers, names = [k[0] for k in keys], [k[1] for k in keys]
    db.execute(
        """select pg_advisory_xact_lock(place) from (
               select distinct hashtextextended(t || ' ' || k, 7236349124) as place
               from unnest(%s::text[], %s::text[]) as x(t, k) order by 1) y""",
        (triggers, names),
    )
    rows = db.execute(
        """select f.* from remit.firings f join unnest(%s::text[], %s::text[]) as x(t, k)
           on f.trigger = x.t and f.key = x.k""",
        (triggers, names),
    ).fetchall()
    return {(row["trigger"], row["key"]): Firing(**row) for row in rows}


def write(db: Db, firings: Sequence[tuple[Firing, dict[str, Any]]]) -> None:
    """Write what was done, each with what its record says besides, in a few round trips.

    One that was skipped or refused before is overwritten; one that started a session never is.
    """
    with db.cursor() as cursor:
        cursor.executemany(
            """insert into remit.firings (trigger, key, due_at, status, session_id, reason)
               values (%s, %s, %s, %s, %s, %s)
               on conflict (trigger, key) do update set status = excluded.status, session_id = excluded.session_id,
                   reason = excluded.reason, at = clock_timestamp() where firings.status <> 'started'""",
            [(f.trigger, f.key, f.due_at, f.status, f.session_id, safe_text(f.reason, 500)) for f, _ in firings],
        )
        cursor.executemany(
            "select remit.append_record(%s, %s, null, null, %s)",
            [(_TAGS[f.status].value, f.session_id, Jsonb(safe_json(_body(f, more)))) for f, more in firings],
        )


def _body(firing: Firing, more: dict[str, Any]) -> dict[str, Any]:
    why = {"reason": firing.reason} if firing.reason else {}
    return {"trigger": firing.trigger, "key": firing.key, "due": firing.due_at.isoformat(), **why, **more}


def history(db: Db, trigger: str, *, limit: int = 50, before: datetime | None = None) -> list[Firing]:
    """What a trigger did and left out, newest first."""
    rows = db.execute(
        """select * from remit.firings where trigger = %(trigger)s
             and (%(before)s::timestamptz is null or at < %(before)s)
           order by at desc, due_at desc limit %(limit)s""",
        {"trigger": trigger, "before": before, "limit": limit},
    ).fetchall()
    return [Firing(**row) for row in rows]


def last_firings(db: Db, names: Sequence[str]) -> dict[str, Firing]:
    """The newest firing of each of these triggers, by name."""
    rows = db.execute(
        """select f.* from unnest(%s::text[]) as x(name), lateral (
               select * from remit.firings where trigger = x.name order by at desc, due_at desc limit 1) f""",
        (list(names),),
    ).fetchall()
    return {row["trigger"]: Firing(**row) for row in rows}


def started(db: Db, trigger: str, start: datetime, end: datetime) -> set[str]:
    """Keys under which a trigger started a session for what was due between two times."""
    rows = db.execute(
        "select key from remit.firings where trigger = %s and status = 'started' and due_at between %s and %s",
        (trigger, start, end),
    )
    return {row["key"] for row in rows}
