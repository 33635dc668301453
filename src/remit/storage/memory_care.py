"""What people and the clock do with what agents remember. Functions take an open transaction and never commit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from remit.domain import ids
from remit.domain.records import Tag
from remit.errors import Conflict, NotFound
from remit.storage.ledger import payload_id
from remit.storage.memories import NewMemory, Place, end, insert, one_at_a_time
from remit.storage.sessions import Db, get_payload, put_payload, record


def get(db: Db, memory_id: str, *, lock: bool = False) -> dict[str, Any]:
    """One memory with its value (None once it was erased). Raises NotFound."""
    row = db.execute(
        f"select * from remit.memories where id = %s {'for update' if lock else ''}",  # noqa: S608 - two constants
        (memory_id,),
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no memory {memory_id}", advice="`remit memory` lists them.")
    return {**row, "value": get_payload(db, row["value"])}


def listing(
    db: Db,
    *,
    agent: str | None = None,
    workspace: str | None = None,
    scope: str | None = None,
    subject: str | None = None,
    key: str | None = None,
    session_id: str | None = None,
    everything: bool = False,
    unreviewed: bool = False,
    before: str | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Memories, newest first, without their values; `everything` includes replaced, erased and expired ones."""
    return db.execute(
        """select m.*, (select count(*) from remit.memory_uses u where u.memory_id = m.id) as uses
           from remit.memories m
           where (%(agent)s::text is null or agent = %(agent)s)
             and (%(workspace)s::text is null or workspace = %(workspace)s)
             and (%(scope)s::text is null or scope = %(scope)s)
             and (%(subject)s::text is null or subject = %(subject)s)
             and (%(key)s::text is null or starts_with(key, %(key)s))
             and (%(session)s::text is null or session_id = %(session)s)
             and (%(before)s::text is null or (created_at, id) < (
                 select created_at, id from remit.memories where id = %(before)s))
             and (%(everything)s or (ended_at is null and expires_at > clock_timestamp()))
             and (not %(unreviewed)s or reviewed_by is null)
           order by created_at desc, id desc limit %(limit)s""",
        {
            "agent": agent,
            "workspace": workspace,
            "scope": scope,
            "subject": subject,
            "key": key,
            "session": session_id,
            "everything": everything,
            "unreviewed": unreviewed,
            "before": before,
            "limit": limit,
        },
    ).fetchall()


def uses(db: Db, memory_id: str) -> list[dict[str, Any]]:
    """Where a memory was used, oldest first."""
    return db.execute(
        """select u.session_id, u.turn_id, u.action_id, u.at, s.agent, a.action
           from remit.memory_uses u join remit.sessions s on s.id = u.session_id
           left join remit.actions a on a.id = u.action_id
           where u.memory_id = %s order by u.at, u.action_id""",
        (memory_id,),
    ).fetchall()


def pages(db: Db, **filters: Any) -> Iterator[dict[str, Any]]:
    """Every memory that fits, as `listing` gives them, however many there are."""
    before: str | None = None
    while rows := listing(db, **filters, before=before, limit=500):
        yield from rows
        before = rows[-1]["id"]


def sessions_of(db: Db, memories: list[str]) -> list[str]:
    """The sessions in which memories were learned or used, and whose own contents still hold what they said."""
    rows = db.execute(
        """select session_id from remit.memories where id = any(%(ids)s) and session_id is not null
           union select session_id from remit.memory_uses where memory_id = any(%(ids)s) order by 1""",
        {"ids": memories},
    ).fetchall()
    return [row["session_id"] for row in rows]


def correct(db: Db, memory_id: str, value: Any, by: str, reason: str) -> str:
    """Replace a memory in force by what a person says. It keeps its time and its labels. Returns the new id.

    Raises Conflict if it is not in force any more.
    """
    old = get(db, memory_id)
    place = Place(old["workspace"], old["scope"], old["subject"])
    one_at_a_time(db, place, old["key"])
    old = get(db, memory_id, lock=True)
    if old["ended_at"] is not None:
        raise Conflict(f"memory {memory_id} was {old['ended_why']} by {old['ended_by']}, and is not in force any more")
    origin = {name: old[name] for name in ("session_id", "turn_id", "action_id", "item_id")}
    new = NewMemory(
        ids.new_id("mem"), old["agent"], place, old["key"], value, reason, f"person:{by}", timedelta(), **origin
    )
    end(db, place, old["key"], by=new.by, why="corrected", replaced_by=new.id)
    digest = insert(db, new, old["labels"], expires_at=old["expires_at"])
    db.execute(
        "update remit.memories set reviewed_by = %s, reviewed_at = clock_timestamp() where id = %s", (by, new.id)
    )
    words = put_payload(db, payload_id(new.id, "w"), None, "reason", reason)
    record(db, Tag.MEMORY_CORRECTED, memory=old["id"], replaced_by=new.id, by=by, contents=digest, reason=words)
    return new.id


def review(db: Db, memory_id: str, by: str, reason: str) -> None:
    """Write down that a person vouches for a memory."""
    db.execute(
        "update remit.memories set reviewed_by = %s, reviewed_at = clock_timestamp() where id = %s", (by, memory_id)
    )
    words = put_payload(db, payload_id(ids.new_id("rev"), "w"), None, "reason", reason)
    record(db, Tag.MEMORY_REVIEWED, memory=memory_id, by=by, reason=words)


def erase(db: Db, memory_id: str, by: str, reason: str) -> list[str]:
    """Erase a memory and everything that it replaced. The proof stays: ids and digests. Returns the ids."""
    chain = db.execute(
        """with recursive older as (
               select id from remit.memories where id = %s
               union select m.id from remit.memories m join older o on m.replaced_by = o.id)
           update remit.memories m set ended_at = coalesce(ended_at, clock_timestamp()),
               ended_by = coalesce(ended_by, %s), ended_why = coalesce(ended_why, 'erased'),
               erased_at = coalesce(erased_at, clock_timestamp()), why = '', key = '#' || m.id
           from older o where m.id = o.id returning m.id""",
        (memory_id, f"person:{by}"),
    ).fetchall()
    found = [row["id"] for row in chain]
    db.execute(  # the answer also stands with the question that it answered
        """update remit.inbox_items set decision = decision - 'value'
           where id in (select item_id from remit.memories where id = any(%s))""",
        (found,),
    )
    words = put_payload(db, payload_id(ids.new_id("era"), "w"), None, "reason", reason)
    record(db, Tag.MEMORY_ERASED, memory=memory_id, memories=found, by=by, reason=words, payloads=_wipe(db, found, by))
    return found


def expire(db: Db, limit: int = 200) -> int:
    """Erase what has expired, also of memories that were replaced before. Returns how many."""
    rows = db.execute(
        """update remit.memories set ended_at = coalesce(ended_at, clock_timestamp()),
               ended_by = coalesce(ended_by, 'clock'), ended_why = coalesce(ended_why, 'expired'),
               erased_at = clock_timestamp(), why = '', key = '#' || id
           where id in (select id from remit.memories where expires_at <= clock_timestamp() and erased_at is null
                        order by expires_at limit %s for update skip locked)
           returning id""",
        (limit,),
    ).fetchall()
    for row in rows:
        record(db, Tag.MEMORY_EXPIRED, memory=row["id"], payloads=_wipe(db, [row["id"]], "clock"))
    return len(rows)


def exported(db: Db, by: str, count: int, filters: dict[str, Any]) -> None:
    """Record that memories left with their contents."""
    record(db, Tag.MEMORY_EXPORTED, by=by, count=count, filters=filters)


def _wipe(db: Db, memories: list[str], by: str) -> list[dict[str, str]]:
    """Remove contents and salt of memories, their keys and reasons; their digests stay."""
    payloads = [payload_id(m, part) for m in memories for part in ("v", "k", "w")]
    rows = db.execute(
        """update remit.payloads set salt = null, body = null, erased_at = clock_timestamp(), erased_by = %s
           where id = any(%s) and erased_at is null returning id, digest""",
        (by, payloads),
    ).fetchall()
    return [{"id": row["id"], "digest": bytes(row["digest"]).hex()} for row in rows]
