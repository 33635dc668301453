"""Exports the record: for readers (one line a turn) and for verifiers (the log itself) in one file.

The export is itself recorded: after the run and payload lines are written, their chain is put into a record, that
record is sealed, and it is exported with the others. So the signed root at the end covers every line of the file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, BinaryIO, TypeVar

from remit.domain import canonical, ids
from remit.domain.checkpoints import Checkpoint, VerifierKey, encode_base64
from remit.domain.merkle import Frontier, consistency_ranges, inclusion_ranges, nodes_of, proof_of
from remit.domain.records import Tag
from remit.errors import Conflict, IntegrityError, InvalidInput, NotFound
from remit.evidence.lines import Chain, encode, spans, text_of
from remit.evidence.runs import Redactor, run_line
from remit.storage import audit_log
from remit.storage.audit_log import Leaf, StoredCheckpoint
from remit.storage.run_records import Contents, read_contents, read_runs, see_one_moment, session_exists
from remit.storage.sessions import Db, record

CHECKPOINT_EVERY = 64
"""Records between the checkpoints that stand inside an export; they narrow down where a log was altered."""
_POLL = 0.1
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export, for whom."""

    by: str
    """Who exports: `person:dana.kim`."""
    session_id: str | None = None
    """Only this session, as an excerpt with inclusion proofs; None: everything."""
    contents: bool = True
    """False: inputs, arguments, results, outputs and decisions are withheld."""
    redact: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Action type to the dotted paths that it declares as `redact`."""
    continues: Checkpoint | None = None
    """For an excerpt: a checkpoint from outside, of which the excerpt proves that the log continues it."""
    wait: timedelta = timedelta(seconds=10)
    """How long to wait until the record of this export is sealed."""


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export holds."""

    export_id: str
    runs: int
    payloads: int
    records: int
    tree_size: int


def write_export(
    db: Db, out: BinaryIO, key: VerifierKey, request: ExportRequest, seal: Callable[[], object] | None = None
) -> ExportSummary:
    """Write an export to `out`. `db` must have no transaction open; it commits the record of the export.

    `seal` seals once, usually `Sealer.seal_once`; without it the sealer of another process is waited for. Raises
    NotFound, Conflict if the record of the export is not sealed in time, IntegrityError if the log does not fit `key`
    or `request.continues`.
    """
    export_id = ids.new_id("exp")
    chain, runs, payloads = Chain(), 0, 0
    redactor = Redactor(request.redact)
    with db.transaction():
        see_one_moment(db)
        if request.session_id is not None and not session_exists(db, request.session_id):
            raise NotFound(f"there is no session {request.session_id}")
        _put(out, {"kind": "key", "verifier": str(key), "export": export_id})  # not before: nothing is left behind
        for run in read_runs(db, request.session_id):
            _put(out, _linked(chain, run_line(run, redactor, contents=request.contents)))
            runs += 1
        for contents in read_contents(db, request.session_id):
            _put(out, _linked(chain, _payload_line(contents, redactor, shown=request.contents)))
            payloads += 1
    said = {"export": export_id, "by": request.by, "chain": chain.hex(), "runs": runs, "payloads": payloads}
    leaf, covered = _record_export(db, request, said, seal)
    checkpoint = _checkpoint(db, key, leaf + 1)
    if request.session_id is None:
        for line in log_lines(db, key, checkpoint):
            _put(out, line)
        return ExportSummary(export_id, runs, payloads, checkpoint.size, checkpoint.size)
    _put(out, _excerpt_head(db, checkpoint, request.continues))
    leaves = [
        found
        for found in audit_log.read_session_leaves(db, request.session_id, checkpoint.size)
        if found.index == leaf or found.index in covered
    ]
    for found in leaves:
        _put(out, _excerpt_line(db, found, checkpoint.size))
    return ExportSummary(export_id, runs, payloads, len(leaves), checkpoint.size)


def log_lines(db: Db, key: VerifierKey, checkpoint: StoredCheckpoint) -> Iterator[dict[str, Any]]:
    """Every record up to a checkpoint with the tree as it grew, earlier checkpoints between them, and it at the end."""
    frontier = Frontier()
    earlier = _thinned(audit_log.read_checkpoints(db, checkpoint.size - 1), key)
    following = next(earlier, None)
    for leaf in audit_log.read_leaves(db, checkpoint.size):
        frontier.append(leaf.leaf)
        yield _record_line(leaf) | {"root": encode_base64(frontier.root())}
        while following is not None and following.size <= frontier.size:
            if following.size == frontier.size:
                yield {"kind": "checkpoint", "note": following.note, "final": False}
            following = next(earlier, None)
    yield {"kind": "checkpoint", "note": checkpoint.note, "final": True}


def database_lines(db: Db, key: VerifierKey) -> Iterator[bytes]:
    """The log as it stands in the database, as lines for the verifier; nothing is recorded.

    Raises NotFound while nothing has been sealed.
    """
    checkpoint = audit_log.latest_checkpoint(db)
    if checkpoint is None:
        raise NotFound("nothing has been sealed yet", advice="Start a worker: it seals every second.")
    yield encode({"kind": "key", "verifier": str(key), "export": None}) + b"\n"
    for line in log_lines(db, key, checkpoint):
        yield encode(line) + b"\n"


def _record_export(
    db: Db, request: ExportRequest, said: dict[str, Any], seal: Callable[[], object] | None
) -> tuple[int, frozenset[int]]:
    """Record the export and see it sealed. Returns its leaf, and the session's leaves that the record lists."""
    covered = [] if request.session_id is None else _session_leaves(db, request, request.session_id, seal)
    with db.transaction():
        record(
            db,
            Tag.AUDIT_EXPORTED,
            session=request.session_id,
            scope=f"session:{request.session_id}" if request.session_id else "all",
            contents=request.contents,
            leaves=spans(covered) if request.session_id else None,
            **said,
        )
        transaction = audit_log.current_transaction(db)
    leaf = _sealed(db, request, seal, lambda: audit_log.leaf_of_transaction(db, transaction))
    return leaf, frozenset(covered)


def _session_leaves(db: Db, request: ExportRequest, session_id: str, seal: Callable[[], object] | None) -> list[int]:
    """The leaves of all records that the session has now, once they all have one."""
    with db.transaction():
        awaited = audit_log.unsealed(db, session_id)
    _sealed(db, request, seal, lambda: audit_log.are_sealed(db, awaited) or None)
    with db.transaction():
        newest = audit_log.latest_checkpoint(db)
        return [leaf.index for leaf in audit_log.read_session_leaves(db, session_id, newest.size if newest else 0)]


def _sealed(
    db: Db, request: ExportRequest, seal: Callable[[], object] | None, look: Callable[[], _Found | None]
) -> _Found:
    """Seal, or let another process seal, until `look` finds something. Raises Conflict when it takes too long."""
    deadline = time.monotonic() + request.wait.total_seconds()
    while True:
        if seal is not None:
            seal()
        with db.transaction():
            found = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise Conflict(
                f"the records of this export were not sealed within {request.wait.total_seconds():g} s",
                advice="See that a worker runs, which seals every second, and that no database transaction has been "
                "left open for long; then export again.",
            )
        time.sleep(_POLL)


def _checkpoint(db: Db, key: VerifierKey, at_least: int) -> StoredCheckpoint:
    with db.transaction():
        checkpoint = audit_log.latest_checkpoint(db, at_least)
    if checkpoint is None:
        raise IntegrityError("the log has leaves that no checkpoint covers")
    key.open(checkpoint.note)
    return checkpoint


def _excerpt_head(db: Db, checkpoint: StoredCheckpoint, outside: Checkpoint | None) -> dict[str, Any]:
    line: dict[str, Any] = {"kind": "checkpoint", "note": checkpoint.note, "final": True}
    if outside is None:
        return line
    if outside.size > checkpoint.size:
        raise IntegrityError(
            f"the checkpoint from outside covers {outside.size} records and the log has only {checkpoint.size}",
            advice="Records have been removed from the end of the log: find out by whom before anything else.",
        )
    ranges = consistency_ranges(outside.size, checkpoint.size)
    with db.transaction():
        proof = proof_of(ranges, audit_log.read_nodes(db, nodes_of(ranges)))
    return line | {"continues": {"size": outside.size, "proof": list(map(encode_base64, proof))}}


def _excerpt_line(db: Db, leaf: Leaf, size: int) -> dict[str, Any]:
    ranges = inclusion_ranges(leaf.index, size)
    with db.transaction():
        proof = proof_of(ranges, audit_log.read_nodes(db, nodes_of(ranges)))
    return _record_line(leaf) | {"proof": list(map(encode_base64, proof))}


def _record_line(leaf: Leaf) -> dict[str, Any]:
    return {"kind": "record", "index": leaf.index, "body": leaf.body, "leaf": encode_base64(leaf.leaf)}


def _payload_line(contents: Contents, redactor: Redactor, *, shown: bool) -> dict[str, Any]:
    """Contents with their salt; only the digest where they were erased, are withheld or hold a declared field."""
    line: dict[str, Any] = {"kind": "payload", "digest": contents.digest.hex()}
    if contents.body is None or contents.salt is None:
        return line | {"state": "erased"}
    if not shown or _has_declared(contents.body, redactor):
        return line | {"state": "withheld"}
    encoding, body = text_of(contents.body)
    return line | {"state": "present", "salt": encode_base64(contents.salt), "encoding": encoding, "body": body}


def _has_declared(body: bytes, redactor: Redactor) -> bool:
    try:
        return redactor.touches(canonical.parse(body))
    except InvalidInput:
        return True


def _linked(chain: Chain, line: dict[str, Any]) -> dict[str, Any]:
    return line | {"chain": chain.link(line)}


def _thinned(checkpoints: Iterator[StoredCheckpoint], key: VerifierKey) -> Iterator[StoredCheckpoint]:
    """Some of the checkpoints, of those that this key signed; an earlier key of the log may have signed others."""
    last = 0
    for checkpoint in checkpoints:
        if checkpoint.size - last >= CHECKPOINT_EVERY and key.has_signed(checkpoint.note):
            last = checkpoint.size
            yield checkpoint


def _put(out: BinaryIO, line: dict[str, Any]) -> None:
    out.write(encode(line) + b"\n")
