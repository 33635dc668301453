"""Leases of workers, and the turns of those that died. All times are the database's."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

from remit.domain.records import Tag
from remit.storage.sessions import Db, record


def register(db: Db, executor: str, lease: timedelta) -> None:
    """Announce a worker with a live lease."""
    db.execute(
        "insert into remit.executors (id, host, pid, expires_at) values (%s, %s, %s, clock_timestamp() + %s)",
        (executor, socket.gethostname(), os.getpid(), lease),
    )


def renew(db: Db, executor: str, lease: timedelta) -> bool:
    """Extend a lease that is still live. False: it ran out, others may have taken over, and the process must exit."""
    row = db.execute(
        """update remit.executors set expires_at = clock_timestamp() + %s
           where id = %s and expires_at > clock_timestamp() returning 1 as ok""",
        (lease, executor),
    ).fetchone()
    return row is not None


def leave(db: Db, executor: str) -> None:
    """End a lease in good order, so that nobody waits for it to run out."""
    db.execute("update remit.executors set expires_at = clock_timestamp() where id = %s", (executor,))


def dead_with_work(db: Db) -> list[str]:
    """Executors without a live lease that the engine still believes to be running something."""
    rows = db.execute(
        """select distinct w.executor_id as id from dbos.workflow_status w
           left join remit.executors e on e.id = w.executor_id
           where w.status = 'PENDING' and coalesce(e.expires_at, '-infinity') <= clock_timestamp()"""
    ).fetchall()
    return [row["id"] for row in rows]


def note_recovery(db: Db, executor: str, by: str, turns: list[str]) -> None:
    """Record that another worker took over."""
    record(db, Tag.TURN_RECOVERED, dead=executor, by=by, turns=turns)


def live(db: Db) -> list[str]:
    """Workers with a live lease."""
    rows = db.execute("select id from remit.executors where expires_at > clock_timestamp() order by started_at")
    return [row["id"] for row in rows.fetchall()]


def lost_turns(db: Db, older_than: timedelta) -> list[str]:
    """Turns that should have a run and have none: queued or running, while the engine knows of no such run.

    A run that left because it could not prove its ownership leaves such a turn behind, and so does the owner of an
    external turn whose process has died.
    """
    rows = db.execute(
        """select t.id from remit.turns t join remit.sessions s on s.id = t.session_id
           where t.status in ('queued', 'running') and s.status = 'running' and s.updated_at < clock_timestamp() - %s
             and not exists (
                 select 1 from dbos.workflow_status w
                 where w.workflow_uuid = t.id || ':' || t.run and w.status in ('PENDING', 'ENQUEUED', 'DELAYED'))
             and not (t.kind = 'external' and exists (
                 select 1 from remit.executors e where e.id = s.executor and e.expires_at > clock_timestamp()))
           order by t.id limit 100""",
        (older_than,),
    ).fetchall()
    return [row["id"] for row in rows]


def due_turns(db: Db) -> list[str]:
    """Turns whose timer has run out."""
    rows = db.execute(
        """select t.id from remit.turns t join remit.sessions s on s.id = t.session_id
           where t.resume_at <= clock_timestamp() and t.status = 'waiting' and s.status in ('running', 'waiting')
           order by t.resume_at limit 100 for update of t skip locked"""
    ).fetchall()
    return [row["id"] for row in rows]


def ensure_partitions(db: Db) -> None:
    """Make the tables' partitions for this month and the next two, if they are not there yet."""
    db.execute("select remit.ensure_partitions()")
