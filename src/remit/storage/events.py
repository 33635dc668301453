"""Events as rows: what has happened that a trigger may wait for. Functions take an open transaction and never commit.

An event is written in the transaction of what happened, under a key, so that it is told once. Its contents are the
payload of what happened and are not kept a second time; only a message brings contents of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from remit.domain import ids
from remit.domain.records import Tag
from remit.storage.database import safe_text
from remit.storage.ledger import payload_id
from remit.storage.sessions import Db, get_payload, put_payload, record

Kind = Literal["outcome", "emit", "message"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened."""

    id: int
    key: str
    kind: str
    name: str
    agent: str | None
    workspace: str | None
    session_id: str | None
    depth: int
    """How many events and delegations led to the session that it comes from."""
    labels: frozenset[str]
    """What that session had touched."""
    requester: str | None
    """The person who asked for that session in the end, if one did."""
    value: Any
    at: datetime


def add(
    db: Db,
    *,
    key: str,
    kind: Kind,
    name: str,
    value: Any,
    agent: str | None = None,
    workspace: str | None = None,
    session: str | None = None,
    by: str | None = None,
) -> bool:
    """Write an event that brings its own contents, once: `message:SURFACE:ID` is a good key. True if it is new.

    For a message, `name` is the surface, `value` what was written and where (JSON), `by` the principal who wrote it,
    and `session` the session it belongs to, if any. The triggers that wait for it fire within half a second or so.
    """
    payload = payload_id(ids.new_id("evt"), "v")
    row = db.execute(
        """insert into remit.events (key, kind, name, agent, workspace, session_id, payload)
           values (%s, %s, %s, %s, %s, %s, %s) on conflict (key) do nothing returning id""",
        (safe_text(key, 400), kind, safe_text(name, 200), agent, workspace, session, payload),
    ).fetchone()
    if row is None:
        return False
    digest = put_payload(db, payload, session, "event", value)
    record(db, Tag.EVENT_HAPPENED, session=session, event=row["id"], kind=kind, name=name, by=by, contents=digest)
    return True


def ended(db: Db, turn_id: str, name: Literal["finished", "failed"]) -> None:
    """Write that a turn ended. Its contents are the turn's output; of one that failed, there are none."""
    db.execute(
        """insert into remit.events (key, kind, name, agent, workspace, session_id, payload)
           select 'outcome:' || t.id, 'outcome', %s, t.agent, s.workspace, s.id, t.output
           from remit.turns t join remit.sessions s on s.id = t.session_id where t.id = %s
           on conflict (key) do nothing""",
        (name, turn_id),
    )


def emitted(db: Db, turn_id: str, wanted: Callable[[str], bool]) -> int:
    """Write what a turn has emitted since its last run ended, as far as the name is wanted. Returns how many.

    What it emitted before is never told, whoever wants it now: a new trigger begins with what is new.
    """
    rows = db.execute(
        """select a.id, t.session_id, t.agent, s.workspace
           from remit.turns t join remit.sessions s on s.id = t.session_id join remit.actions a on a.turn_id = t.id
           where t.id = %s and a.mode = 'note' and a.created_at > coalesce(t.told_until, '-infinity')
           order by a.created_at, a.id""",
        (turn_id,),
    ).fetchall()
    found = []
    for row in rows:
        payload = payload_id(row["id"], "a")
        note = get_payload(db, payload)
        if not isinstance(note, dict) or note.get("kind") != "emit":
            continue
        name = str(note["value"]["name"])
        if wanted(name):
            where = (row["agent"], row["workspace"], row["session_id"], payload)
            found.append((f"emit:{row['id']}", "emit", safe_text(name, 200), *where))
    if found:
        with db.cursor() as cursor:
            cursor.executemany(
                """insert into remit.events (key, kind, name, agent, workspace, session_id, payload)
                   values (%s, %s, %s, %s, %s, %s, %s) on conflict (key) do nothing""",
                found,
            )
    return len(found)


def take(db: Db, limit: int) -> list[Event]:
    """The oldest events that nobody has looked at, locked until this transaction ends, and marked as looked at."""
    rows = db.execute(
        """with open as (
               select id from remit.events where handled_at is null order by id limit %s for update skip locked)
           update remit.events set handled_at = clock_timestamp() where id in (select id from open) returning *""",
        (limit,),
    ).fetchall()
    return [_event(db, row) for row in sorted(rows, key=lambda row: row["id"])]


def last_turn(db: Db, session_id: str) -> str | None:
    """The newest turn of a session."""
    row = db.execute("select max(id) as id from remit.turns where session_id = %s", (session_id,)).fetchone()
    return row["id"] if row is not None else None


def _event(db: Db, row: dict[str, Any]) -> Event:
    value = get_payload(db, row["payload"]) if row["payload"] is not None else None
    source = db.execute(
        """select s.depth, s.labels, t.error, coalesce(t.requester, s.principal) as requester
           from remit.sessions s left join lateral (
               select error, requester from remit.turns where session_id = s.id order by id desc limit 1) t on true
           where s.id = %s""",
        (row["session_id"],),
    ).fetchone() or {"depth": 0, "labels": (), "error": None, "requester": None}
    match row["kind"], row["name"]:
        case "emit", _:
            value = value["value"]["value"] if value is not None else None
        case "outcome", "failed":
            value = {"error": source["error"]}
    by = source["requester"]
    columns = ("id", "key", "kind", "name", "agent", "workspace", "session_id", "at")
    return Event(
        **{name: row[name] for name in columns},
        depth=source["depth"],
        labels=frozenset(source["labels"]),
        requester=by if by is not None and by.startswith("person:") else None,
        value=value,
    )
