"""Connections to PostgreSQL: one-purpose channels for the hot path, a pool for the rest, and safe text."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from remit.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

_MOST_IDLE = 16
_BACKOFF = (0.05, 0.1, 0.2, 0.5, 1.0)


def safe_text(value: str, limit: int = 10_000) -> str:
    r"""Text that PostgreSQL can store: without NUL and lone surrogates, cut off at `limit` characters."""
    clean = value.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def safe_json(value: Any) -> Any:
    """A copy of a JSON value that jsonb can store."""
    match value:
        case str():
            return safe_text(value)
        case dict():
            return {safe_text(str(k)): safe_json(v) for k, v in value.items()}
        case list() | tuple():
            return [safe_json(v) for v in value]
        case _:
            return value


@contextlib.contextmanager
def connect(url: str, *, autocommit: bool = False) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A synchronous connection for control work. Commits at the end; raises DatabaseUnavailable if it is gone."""
    kept = None if autocommit else _kept.get(url)
    try:
        if kept is not None and kept.process == os.getpid():
            with kept.transaction() as db:
                yield db
            return
        with psycopg.connect(url, row_factory=dict_row, autocommit=autocommit) as db:
            yield db
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"the database does not answer: {str(error).strip()}") from error


@contextlib.contextmanager
def keeping_connections(url: str) -> Iterator[None]:
    """For the time of the block `connect` takes up connections that were used before, where it can.

    Opening one costs more than most of what is done with it. Whoever runs hundreds of short transactions a second
    keeps them; nobody ever waits for one.
    """
    if url in _kept:
        yield
        return
    kept = _kept[url] = _Kept(url)
    try:
        yield
    finally:
        _kept.pop(url, None)
        kept.close()


class _Kept:
    """Connections that are idle, the one used last on top. What is broken or in the middle of something is not kept."""

    def __init__(self, url: str) -> None:
        self.process = os.getpid()  # a fork must not touch its parent's connections
        self._url = url
        self._idle: list[psycopg.Connection[dict[str, Any]]] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextlib.contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        db = self._take() or psycopg.connect(self._url, row_factory=dict_row)
        try:
            with db.transaction():
                yield db
        finally:
            self._give_back(db)

    def close(self) -> None:
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for db in idle:
            db.close()

    def _take(self) -> psycopg.Connection[dict[str, Any]] | None:
        while True:
            with self._lock:
                db = self._idle.pop() if self._idle else None
            if db is None or not _hung_up(db):
                return db
            db.close()

    def _give_back(self, db: psycopg.Connection[dict[str, Any]]) -> None:
        idle = not db.closed and db.info.transaction_status is TransactionStatus.IDLE
        with self._lock:
            if idle and not self._closed and len(self._idle) < _MOST_IDLE:
                self._idle.append(db)
                return
        db.close()


_kept: dict[str, _Kept] = {}


def _hung_up(db: psycopg.Connection[Any]) -> bool:
    """True if the server has said something unasked: it has closed the connection, or is about to."""
    try:
        return bool(select.select([db.fileno()], [], [], 0)[0])
    except (OSError, ValueError, psycopg.Error):
        return True


class Channel:
    """One autocommit connection for one kind of statement, which reconnects by itself.

    A statement is sent at most once: when the connection breaks under it, nobody knows whether it was committed, so
    the caller is told (`psycopg.OperationalError`) and decides. Statements are prepared by the server.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._db: AsyncConnection[Any] | None = None

    async def scalar(self, sql: str, params: tuple[Any, ...]) -> Any:
        """Run one statement and return its only value."""
        db = await self._connection()
        try:
            cursor = await db.execute(sql, params, prepare=True)
            row = await cursor.fetchone()
        except (psycopg.OperationalError, asyncio.CancelledError):
            # A broken or interrupted connection is in an unknown state: never use it again.
            await self.close()
            raise
        return None if row is None else row[0]

    async def close(self) -> None:
        """Close the connection; the next statement opens a new one."""
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(psycopg.Error):
                await db.close()

    async def _connection(self) -> AsyncConnection[Any]:
        if self._db is not None and not self._db.closed:
            return self._db
        for pause in (*_BACKOFF, None):
            try:
                self._db = await AsyncConnection.connect(self._url, autocommit=True)
            except psycopg.OperationalError as error:
                if pause is None:
                    raise DatabaseUnavailable(f"the database does not answer: {str(error).strip()}") from error
                await asyncio.sleep(pause)
            else:
                return self._db
        raise AssertionError("unreachable")
