"""The Merkle log in the database: what is still to be sealed, the sealed tree, and contents that can be erased.

Identity values commit out of order, so they are no measure of what has been sealed. Transaction ids are: once every
transaction below some id has ended, nothing with a smaller one can still appear. Records are therefore sealed in the
order (transaction id, id), each time up to the oldest transaction that is still running, and the last leaf says where
to go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from remit.domain.merkle import Frontier, Node, leaf_hash, peaks
from remit.domain.records import Tag
from remit.errors import Conflict, DatabaseUnavailable, IntegrityError, NotFound
from remit.storage import api_answers, forks
from remit.storage.sessions import Db, record
from remit.storage.words import forget_words

_LOCK = 7236349119
"""Advisory lock: one sealing transaction at a time over all processes."""
_OPEN = ("running", "waiting", "paused")

# Below the running transactions, after the last leaf. The look-up in `leaves` finds nothing in ordinary operation; it
# is there for records that were restored from another cluster, whose transaction ids mean nothing here.
_NEXT = """
    select r.id, r.at, r.body from remit.records r
    where (r.xid, r.id) > (%(xid)s::text::xid8, %(id)s)
      and r.xid < pg_snapshot_xmin(pg_current_snapshot())
      and not exists (select 1 from remit.leaves l where l.record_id = r.id)
    order by r.xid, r.id limit %(limit)s
"""
# After a restore into another cluster its counter may be behind the last leaf. What is beyond this cluster's newest
# transaction cannot be running here and comes first.
_NEXT_RESTORED = """
    select r.id, r.at, r.body from remit.records r
    where (r.xid >= pg_snapshot_xmax(pg_current_snapshot()) or r.xid < pg_snapshot_xmin(pg_current_snapshot()))
      and not exists (select 1 from remit.leaves l where l.record_id = r.id)
    order by r.xid < pg_snapshot_xmax(pg_current_snapshot()), r.xid, r.id limit %(limit)s
"""
_CURSOR = """
    select r.xid::text as xid, r.id, r.xid < pg_snapshot_xmax(pg_current_snapshot()) as of_this_cluster
    from remit.leaves l join remit.records r on r.id = l.record_id and r.at = l.record_at
    where l.leaf_index = %s - 1
"""


_IN_ORDER = (
    "select set_config(name, 'off', true) from unnest(array["
    "'enable_hashjoin', 'enable_mergejoin', 'enable_sort', 'enable_seqscan', 'enable_bitmapscan']) as name"
)


@dataclass(frozen=True, slots=True)
class Sealable:
    """A record that is to become a leaf."""

    id: int
    at: datetime
    body: str


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """The newest checkpoint as it stands in the database."""

    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the log is behind the records."""

    records: int
    """Committed records without a leaf, counted to at most 10,000."""
    oldest: datetime | None


def lock_sealing(db: Db, wait: timedelta) -> None:
    """Become the only sealer until the end of this transaction. Raises Conflict after waiting in vain.

    To be called first in the transaction and apart from what follows, so that what follows sees all that the sealer
    before has committed. A sealer that is frozen in its transaction is thrown out by the server after a minute.
    """
    db.execute("set transaction isolation level read committed")
    db.execute(f"set local lock_timeout = {max(1, round(wait.total_seconds() * 1000))}")
    db.execute("set local idle_in_transaction_session_timeout = '60s'")
    try:
        db.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
    except psycopg.errors.LockNotAvailable as error:
        raise Conflict(
            "another sealer has held the log's lock for too long", advice="Look for a stuck sealer or worker process."
        ) from error


def load_frontier(db: Db) -> Frontier:
    """The right edge of the sealed tree. Raises IntegrityError if it is not what the last checkpoint signed."""
    checkpoint = latest_checkpoint(db)
    size = checkpoint.size if checkpoint else 0
    last = db.execute("select max(leaf_index) as last from remit.leaves").fetchone()
    if size != (-1 if last is None or last["last"] is None else last["last"]) + 1:
        raise IntegrityError(f"the log has other leaves than the {size} that its last checkpoint signed")
    wanted = peaks(size)
    have = read_nodes(db, wanted)
    if checkpoint is None:
        return Frontier()
    if any(node not in have for node in wanted):
        raise IntegrityError("the log's tree has lost nodes: it cannot be continued")
    frontier = Frontier(size, [have[node] for node in wanted])
    if frontier.root() != checkpoint.root:
        raise IntegrityError(f"the log's tree is not the one that its checkpoint of {size} leaves signed")
    return frontier


def next_sealable(db: Db, size: int, limit: int) -> list[Sealable]:
    """The next records to seal after the first `size` leaves, at most `limit`, in the order of their leaves."""
    cursor = db.execute(_CURSOR, (size,)).fetchone() if size else None
    params: dict[str, Any] = {"xid": "0", "id": 0, "limit": limit}
    query = _NEXT
    if cursor is not None and cursor["of_this_cluster"]:
        params |= {"xid": cursor["xid"], "id": cursor["id"]}
    elif cursor is not None:
        query = _NEXT_RESTORED
    if query is _NEXT:
        # Along the index, one look-up a row: whatever the planner believes, it must not read or sort the whole log.
        db.execute(_IN_ORDER)
    rows = db.execute(query, params).fetchall()
    return [Sealable(r["id"], r["at"], r["body"]) for r in rows]


def append_leaves(db: Db, frontier: Frontier, records: Sequence[Sealable]) -> None:
    """Write a leaf for each record and every subtree that is now full; `frontier` grows with them."""
    nodes: list[tuple[Node, bytes]] = []
    first = frontier.size
    hashes = [leaf_hash(record.body.encode()) for record in records]
    for leaf in hashes:
        nodes += frontier.append(leaf)
    copy_leaves = "copy remit.leaves (leaf_index, record_id, record_at, leaf_hash) from stdin"
    with db.cursor() as cursor, cursor.copy(copy_leaves) as copy:
        for index, (record, leaf) in enumerate(zip(records, hashes, strict=True), first):
            copy.write_row((index, record.id, record.at, leaf))
    with db.cursor() as cursor, cursor.copy("copy remit.merkle_nodes (level, idx, hash) from stdin") as copy:
        for (level, index), node in nodes:
            copy.write_row((level, index, node))


def put_checkpoint(db: Db, size: int, root: bytes, note: str) -> None:
    """Store a signed checkpoint."""
    db.execute("insert into remit.checkpoints (tree_size, root, note) values (%s, %s, %s)", (size, root, note))


def latest_checkpoint(db: Db, at_least: int = 0) -> StoredCheckpoint | None:
    """The newest checkpoint, or with `at_least` the oldest one that covers so many leaves."""
    where, order = ("where tree_size >= %s", "") if at_least else ("where tree_size > %s", "desc")
    row = db.execute(
        f"select tree_size, root, note from remit.checkpoints {where} order by tree_size {order} limit 1",  # noqa: S608
        (at_least,),
    ).fetchone()
    return None if row is None else StoredCheckpoint(row["tree_size"], bytes(row["root"]), row["note"])


def read_nodes(db: Db, nodes: Sequence[Node]) -> dict[Node, bytes]:
    """The hashes of perfect subtrees, leaves included, in one round trip each."""
    result: dict[Node, bytes] = {}
    if leaves := [index for level, index in nodes if level == 0]:
        for row in db.execute(
            "select leaf_index, leaf_hash from remit.leaves where leaf_index = any(%s)", (leaves,)
        ).fetchall():
            result[0, row["leaf_index"]] = bytes(row["leaf_hash"])
    if inner := [node for node in nodes if node[0]]:
        for row in db.execute(
            "select level, idx, hash from remit.merkle_nodes join unnest(%s::int[], %s::bigint[]) as w(level, idx)"
            " using (level, idx)",
            ([level for level, _ in inner], [index for _, index in inner]),
        ).fetchall():
            result[row["level"], row["idx"]] = bytes(row["hash"])
    return result


def lag(db: Db) -> Lag:
    """How many records have no leaf yet, among those since the last one; for status pages."""
    checkpoint = latest_checkpoint(db)
    cursor = db.execute(_CURSOR, (checkpoint.size,)).fetchone() if checkpoint else None
    after = (cursor["xid"], cursor["id"]) if cursor is not None and cursor["of_this_cluster"] else ("0", 0)
    row = db.execute(
        "select count(*) as records, min(at) as oldest from (select at from remit.records r"
        " where (r.xid, r.id) > (%s::text::xid8, %s)"
        " and not exists (select 1 from remit.leaves l where l.record_id = r.id) limit 10000) as unsealed",
        after,
    ).fetchone()
    return Lag(row["records"], row["oldest"]) if row else Lag(0, None)


# Reading for export --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leaf:
    """A sealed record as an export holds it; `body` is None where the record itself is gone."""

    index: int
    leaf: bytes
    body: str | None


_LEAF = (
    "select l.leaf_index, l.leaf_hash, r.body from remit.leaves l"
    " left join remit.records r on r.id = l.record_id and r.at = l.record_at"
)


def read_leaves(db: Db, size: int, *, batch: int = 2_000) -> Iterator[Leaf]:
    """The first `size` leaves with their records, in order, `batch` at a time."""
    start = 0
    while start < size:
        rows = db.execute(
            f"{_LEAF} where l.leaf_index >= %s and l.leaf_index < %s order by l.leaf_index",
            (start, min(start + batch, size)),
        ).fetchall()
        if not rows:
            return
        yield from map(_leaf, rows)
        start += batch


def read_session_leaves(db: Db, session_id: str, size: int) -> list[Leaf]:
    """The leaves of one session's records among the first `size`, in order."""
    rows = db.execute(
        "select l.leaf_index, l.leaf_hash, r.body from remit.records r join remit.leaves l on l.record_id = r.id"
        " where r.session_id = %s and l.leaf_index < %s order by l.leaf_index",
        (session_id, size),
    ).fetchall()
    return list(map(_leaf, rows))


def unsealed(db: Db, session_id: str) -> list[int]:
    """The ids of one session's records that have no leaf yet."""
    rows = db.execute(
        "select r.id from remit.records r where r.session_id = %s"
        " and not exists (select 1 from remit.leaves l where l.record_id = r.id)",
        (session_id,),
    ).fetchall()
    return [row["id"] for row in rows]


def are_sealed(db: Db, record_ids: Sequence[int]) -> bool:
    """True if all of these records have a leaf."""
    row = db.execute(
        "select count(*) as sealed from remit.leaves where record_id = any(%s)", (list(record_ids),)
    ).fetchone()
    return row is not None and row["sealed"] == len(record_ids)


def read_checkpoints(db: Db, up_to: int) -> Iterator[StoredCheckpoint]:
    """Every checkpoint of at most `up_to` leaves, in order."""
    after = 0
    while True:
        rows = db.execute(
            "select tree_size, root, note from remit.checkpoints where tree_size > %s and tree_size <= %s"
            " order by tree_size limit 1000",
            (after, up_to),
        ).fetchall()
        if not rows:
            return
        yield from (StoredCheckpoint(r["tree_size"], bytes(r["root"]), r["note"]) for r in rows)
        after = rows[-1]["tree_size"]


def leaf_of_transaction(db: Db, xid: str) -> int | None:
    """The leaf of a record that this transaction wrote, or None while it has none."""
    row = db.execute(
        "select l.leaf_index from remit.records r join remit.leaves l on l.record_id = r.id"
        " where r.xid = %s::text::xid8 order by r.id limit 1",
        (xid,),
    ).fetchone()
    return None if row is None else int(row["leaf_index"])


# Records and contents ------------------------------------------------------------------------------------------------


def current_transaction(db: Db) -> str:
    """The id of the caller's transaction, by which `leaf_of_transaction` finds what it recorded."""
    row = db.execute("select pg_current_xact_id()::text as xid").fetchone()
    if row is None:
        raise DatabaseUnavailable("the database gave no transaction id")
    return str(row["xid"])


def erase_payload(db: Db, payload_id: str, by: str, reason: str) -> bool:
    """Erase one payload's contents and salt, and record it. False if that had been done before.

    Its digest stays, so that every record that refers to it stays provable. Raises NotFound, and Conflict while the
    payload's session is open. The caller commits.
    """
    row = db.execute(
        "select p.session_id, p.erased_at, s.status from remit.payloads p"
        " left join remit.sessions s on s.id = p.session_id where p.id = %s for no key update of p",
        (payload_id,),
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no payload {payload_id}")
    if row["erased_at"] is not None:
        return False
    if row["status"] in _OPEN:
        raise Conflict(
            f"payload {payload_id} belongs to session {row['session_id']}, which is {row['status']}",
            advice="Contents of a session can be erased when it is finished, failed or cancelled.",
        )
    _not_needed(db, row["session_id"])
    erased = _erase(db, "id = %s", payload_id, by)
    _record_erasure(db, row["session_id"], erased, by, reason)
    return True


def erase_session(db: Db, session_id: str, by: str, reason: str) -> int:
    """Erase all contents of one session, with one record of it. Returns how many payloads lost their contents now.

    Raises NotFound, and Conflict while the session is open. The caller commits.
    """
    row = db.execute("select status from remit.sessions where id = %s for share", (session_id,)).fetchone()
    if row is None:
        raise NotFound(f"there is no session {session_id}")
    if row["status"] in _OPEN:
        raise Conflict(
            f"session {session_id} is {row['status']}",
            advice="Contents of a session can be erased when it is finished, failed or cancelled.",
        )
    _not_needed(db, session_id)
    erased = _erase(db, "session_id = %s", session_id, by)
    _forget(db, session_id)
    if erased:
        _record_erasure(db, session_id, erased, by, reason)
    return len(erased)


def _erase(db: Db, condition: str, value: str, by: str) -> list[dict[str, Any]]:
    return db.execute(
        "update remit.payloads set salt = null, body = null, erased_at = clock_timestamp(), erased_by = %s"  # noqa: S608
        f" where {condition} and erased_at is null returning id, digest",
        (by, value),
    ).fetchall()


def _not_needed(db: Db, session_id: str | None) -> None:
    """Raise Conflict while a fork that has not ended begins with what a session did."""
    needed = forks.open_below(db, session_id) if session_id is not None else []
    if needed:
        raise Conflict(
            f"session {session_id} was forked, and {', '.join(needed)} has not ended",
            advice="Contents can be erased once every fork is finished, failed or cancelled.",
        )


_CONTENTS = ["question", "context", "schema", "default", "why", "current", "changes", "idea", "remember", "handed"]
"""What an inbox item shows of its session's contents."""


def _forget(db: Db, session_id: str) -> None:
    """Take what a session's contents say out of the rows that show them to people."""
    db.execute(
        """update remit.inbox_items set summary = '(erased)', detail = detail - %s::text[],
               decision = decision - '{value,reason}'::text[] where session_id = %s and status <> 'open'""",
        (_CONTENTS, session_id),
    )
    db.execute("update remit.notices set text = '(erased)' where session_id = %s", (session_id,))
    db.execute(
        """update remit.actions set why = '', error = case when error is not null then '(erased)' end,
               override = override - '{reason}'::text[]
           where turn_id in (select id from remit.turns where session_id = %s)""",
        (session_id,),
    )


def _record_erasure(db: Db, session_id: str | None, erased: list[dict[str, Any]], by: str, reason: str) -> None:
    payloads = [{"id": row["id"], "digest": bytes(row["digest"]).hex()} for row in erased]
    if session_id is not None:
        forget_words(db, session_id)
        api_answers.forget(db, session_id)
    record(db, Tag.PAYLOAD_ERASED, session=session_id, by=by, reason=reason, payloads=payloads)


def _leaf(row: dict[str, Any]) -> Leaf:
    return Leaf(row["leaf_index"], bytes(row["leaf_hash"]), row["body"])
