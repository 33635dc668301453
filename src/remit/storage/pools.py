"""A few connections that are kept, for what comes often and has to be answered at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from remit.errors import DatabaseUnavailable
from remit.storage.sessions import Db


class Pool:
    """Connections that are opened when first needed, and checked before each is lent for one transaction."""

    def __init__(self, url: str, *, most: int = 8, patience: float = 5.0) -> None:
        """Lend at most `most` connections at once; who finds none free waits up to `patience` seconds."""
        self._pool = ConnectionPool[psycopg.Connection[dict[str, Any]]](
            url,
            min_size=1,
            max_size=most,
            timeout=patience,
            kwargs={"row_factory": dict_row},
            check=ConnectionPool.check_connection,
            num_workers=1,
            open=False,
        )
        self._opening = threading.Lock()
        self._opened = False

    @contextmanager
    def transaction(self) -> Iterator[Db]:
        """A transaction; commits at the end. Raises DatabaseUnavailable if there is no connection to be had."""
        self._open()
        try:
            with self._pool.connection() as db:
                yield db
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable(f"the database does not answer: {str(error).strip()}") from error

    def close(self) -> None:
        """Close them all, for good."""
        with self._opening:
            if self._opened:
                self._pool.close()

    def _open(self) -> None:
        with self._opening:
            if not self._opened:
                self._pool.open()
                self._opened = True
