"""What agents remember, as rows. Functions take an open transaction and never commit.

A memory is in force until it is replaced, erased or expired. Every use of one is a row and a record, written in the
transaction that reads it, in which the session that uses it also gets the labels of the session that it was learned in:
what was learned from an untrusted source stays so, whoever recalls it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from remit.domain.records import Tag
from remit.storage.database import safe_text
from remit.storage.ledger import payload_id
from remit.storage.sessions import Db, get_payload, put_payload, record


@dataclass(frozen=True, slots=True)
class Place:
    """Where a memory belongs: who may see it. `subject` is an agent, a workspace or a person, by `scope`."""

    workspace: str
    scope: str
    subject: str


@dataclass(frozen=True, slots=True)
class NewMemory:
    """What is to be remembered, where, why and for how long."""

    id: str
    agent: str
    place: Place
    key: str
    value: Any
    why: str
    by: str
    """`person:ID` or `agent:ID`."""
    keep: timedelta
    session_id: str | None = None
    turn_id: str | None = None
    action_id: str | None = None
    item_id: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A memory in force, with its value."""

    id: str
    value: Any
    labels: frozenset[str]
    why: str
    by: str
    session_id: str | None
    item_id: str | None
    created_at: datetime
    expires_at: datetime


def keep(db: Db, new: NewMemory) -> str:
    """Remember once under this id; what was in force under the key is replaced. Returns the id."""
    labels = _labels(db, new.session_id)  # locks the session, as an answer does before it comes here
    one_at_a_time(db, new.place, new.key)
    if db.execute("select 1 from remit.memories where id = %s", (new.id,)).fetchone() is not None:
        return new.id
    end(db, new.place, new.key, by=new.by, why="replaced", replaced_by=new.id)
    digest = insert(db, new, labels)
    record(
        db,
        Tag.MEMORY_KEPT,
        session=new.session_id,
        turn=new.turn_id,
        action=new.action_id,
        memory=new.id,
        agent=new.agent,
        workspace=new.place.workspace,
        scope=new.place.scope,
        subject=new.place.subject,
        by=new.by,
        item=new.item_id,
        labels=labels,
        contents=digest,
        # A key may be a name or an address: it is contents, and the record holds its digest only.
        key=put_payload(db, payload_id(new.id, "k"), None, "memory key", new.key),
    )
    return new.id


def in_force(db: Db, place: Place, key: str) -> Known | None:
    """What is remembered under a key now; what has expired is not, whether or not the clock has come by."""
    row = db.execute(
        """select * from remit.memories where workspace = %s and scope = %s and subject = %s and key = %s
             and ended_at is null and expires_at > clock_timestamp()""",
        (place.workspace, place.scope, place.subject, safe_text(key, 200)),
    ).fetchone()
    return _known(db, row) if row is not None else None


def keys(db: Db, place: Place, prefix: str, limit: int) -> list[dict[str, Any]]:
    """Keys in force that begin with something, with reasons and labels, in order. Gives no values."""
    return db.execute(
        """select key, why, labels from remit.memories
           where workspace = %s and scope = %s and subject = %s and starts_with(key, %s)
             and ended_at is null and expires_at > clock_timestamp() order by key limit %s""",
        (place.workspace, place.scope, place.subject, prefix, limit),
    ).fetchall()


def use(db: Db, found: Known, action_id: str, session_id: str, turn_id: str, **more: Any) -> None:
    """Write down that a session uses a memory, and give the session its labels; once for an action."""
    first = db.execute(
        """insert into remit.memory_uses (memory_id, action_id, session_id, turn_id) values (%s, %s, %s, %s)
           on conflict do nothing returning memory_id""",
        (found.id, action_id, session_id, turn_id),
    ).fetchone()
    add_labels(db, session_id, found.labels)
    if first is not None:
        labels = sorted(found.labels)
        record(
            db,
            Tag.MEMORY_USED,
            session=session_id,
            turn=turn_id,
            action=action_id,
            memory=found.id,
            labels=labels,
            **more,
        )


def use_as_answer(db: Db, found: Known, action_id: str, session_id: str, turn_id: str) -> None:
    """Use a memory as the answer to a question, as the result that its action will have."""
    digest = put_payload(db, payload_id(action_id, "r"), session_id, "result", found.value)
    use(db, found, action_id, session_id, turn_id, result=digest)


def known_answer(db: Db, action_id: str) -> Known | None:
    """The memory that was used as the answer to a question, by an earlier run of its turn."""
    row = db.execute(
        "select m.* from remit.memory_uses u join remit.memories m on m.id = u.memory_id where u.action_id = %s",
        (action_id,),
    ).fetchone()
    if row is None:
        return None
    found = _known(db, row)
    return replace(found, value=get_payload(db, payload_id(action_id, "r")))


def say_whence(db: Db, action_id: str, known: Known) -> datetime:
    """Keep beside an answered question that a memory answered it. Returns when it was settled."""
    by = known.by.removeprefix("person:")
    override = {"verdict": "remembered", "memory": known.id, "by": by, "item": known.item_id}
    row = db.execute(
        "update remit.actions set override = %s where id = %s returning settled_at", (Jsonb(override), action_id)
    ).fetchone()
    assert row is not None, "the gate has written it"
    settled: datetime = row["settled_at"]
    return settled


def add_labels(db: Db, session_id: str, labels: frozenset[str]) -> None:
    """Give a session labels. The gate compares them at its next action, so none can be judged without them."""
    if labels:
        db.execute(
            """update remit.sessions set labels = (
                   select array_agg(distinct x order by x) from unnest(labels || %s::text[]) x)
               where id = %s and not labels @> %s::text[]""",
            (sorted(labels), session_id, sorted(labels)),
        )


# -- helpers -----------------------------------------------------------------------------------------------------


def one_at_a_time(db: Db, place: Place, key: str) -> None:
    """Let nobody else change what is remembered under a key until this transaction ends."""
    db.execute(
        "select pg_advisory_xact_lock(hashtextextended(%s, 1))",
        (f"{place.workspace}\n{place.scope}\n{place.subject}\n{key}",),
    )


def _labels(db: Db, session_id: str | None) -> list[str]:
    """The labels of the session that something is learned in, which cannot get more before this is committed."""
    row = db.execute("select labels from remit.sessions where id = %s for share", (session_id,)).fetchone()
    return list(row["labels"]) if row is not None else []


def end(db: Db, place: Place, key: str, *, by: str, why: str, replaced_by: str) -> None:
    """End what is in force under a key."""
    db.execute(
        """update remit.memories set ended_at = clock_timestamp(), ended_by = %s, ended_why = %s, replaced_by = %s
           where workspace = %s and scope = %s and subject = %s and key = %s and ended_at is null""",
        (by, why, replaced_by, place.workspace, place.scope, place.subject, safe_text(key, 200)),
    )


def insert(db: Db, new: NewMemory, labels: list[str], *, expires_at: datetime | None = None) -> str:
    """Write a memory. Returns the digest of what it says."""
    payload = payload_id(new.id, "v")
    digest = put_payload(db, payload, None, "memory", new.value)
    db.execute(
        """insert into remit.memories (id, agent, workspace, scope, subject, key, value, why, session_id, turn_id,
                                       action_id, item_id, by, labels, expires_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
                   coalesce(%s::timestamptz, clock_timestamp() + %s))""",
        (
            new.id,
            new.agent,
            new.place.workspace,
            new.place.scope,
            new.place.subject,
            safe_text(new.key, 200),
            payload,
            safe_text(new.why, 2_000),
            new.session_id,
            new.turn_id,
            new.action_id,
            new.item_id,
            new.by,
            labels,
            expires_at,
            new.keep,
        ),
    )
    return digest


def _known(db: Db, row: dict[str, Any]) -> Known:
    return Known(
        id=row["id"],
        value=get_payload(db, row["value"]),
        labels=frozenset(row["labels"]),
        why=row["why"],
        by=row["by"],
        session_id=row["session_id"],
        item_id=row["item_id"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )
