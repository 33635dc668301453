"""The sealer's own connection: writes one batch of leaves with its checkpoint in one transaction."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import psycopg
from psycopg.rows import dict_row

from remit.domain.merkle import fold, peaks
from remit.errors import DatabaseUnavailable
from remit.storage import audit_log
from remit.storage.audit_log import StoredCheckpoint
from remit.storage.sessions import Db

Sign = Callable[[int, bytes], str]
"""Makes the signed note of a tree from its size and root."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction sealed."""

    records: int
    checkpoint: StoredCheckpoint


class LogWriter:
    """Seals over one connection, which is opened when it is first needed and again after it broke."""

    def __init__(self, url: str, *, wait: timedelta = timedelta(seconds=10)) -> None:
        self._url = url
        self._wait = wait
        self._db: Db | None = None
        self._mutex = threading.Lock()

    def seal_batch(self, sign: Sign, limit: int) -> Batch | None:
        """Seal at most `limit` records, or None if there is nothing to seal.

        Leaves, nodes and checkpoint are committed together or not at all. Raises Conflict if another sealer holds the
        lock, IntegrityError if the stored tree is not what was signed, DatabaseUnavailable.
        """
        with self._connection() as db, db.transaction():
            audit_log.lock_sealing(db, self._wait)
            frontier = audit_log.load_frontier(db)
            records = audit_log.next_sealable(db, frontier.size, limit)
            if not records:
                return None
            audit_log.append_leaves(db, frontier, records)
            root = frontier.root()
            note = sign(frontier.size, root)
            audit_log.put_checkpoint(db, frontier.size, root, note)
        return Batch(len(records), StoredCheckpoint(frontier.size, root, note))

    def latest(self) -> StoredCheckpoint | None:
        """The newest checkpoint. Raises DatabaseUnavailable."""
        with self._connection() as db, db.transaction():
            return audit_log.latest_checkpoint(db)

    def root_at(self, size: int) -> bytes | None:
        """The root of the tree when it had `size` leaves, or None if it never had. Raises DatabaseUnavailable."""
        with self._connection() as db, db.transaction():
            have = audit_log.read_nodes(db, peaks(size))
        return fold([have[node] for node in peaks(size)]) if len(have) == size.bit_count() else None

    def close(self) -> None:
        """Close the connection; the next use opens a new one."""
        with self._mutex:
            self._drop()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Db]:
        with self._mutex:
            try:
                if self._db is None or self._db.closed:
                    self._db = psycopg.connect(self._url, row_factory=dict_row, application_name="remit-sealer")
                yield self._db
            except psycopg.OperationalError as error:
                self._drop()
                raise DatabaseUnavailable(f"the database does not answer: {str(error).strip()}") from error

    def _drop(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(psycopg.Error):
                db.close()
