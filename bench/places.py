"""Databases for measurements: one embedded server on this machine's disk, fsync on, a fresh database each time."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from bench import world
from remit.runtime import engine
from remit.storage import migrate
from remit.storage.embedded import EmbeddedServer, start
from remit.storage.embedded.cluster import binaries

BINARIES = binaries()
PYTHON = sys.executable


class Place:
    """A server, and fresh databases on it."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self._count = 0

    def database(self) -> str:
        """The owner's URL of a fresh database with Remit's and the engine's tables."""
        self._count += 1
        name = f"bench_{self._count}"
        with psycopg.connect(self._server.url("owner", "postgres"), autocommit=True) as db:
            assert db.execute("show fsync").fetchone() == ("on",)
            assert db.execute("show synchronous_commit").fetchone() == ("on",)
            db.execute(f"create database {name}")
        url = self._server.url("owner", name)
        migrate.migrate(url)
        engine.migrate(url)
        return url


@contextmanager
def place() -> Iterator[Place]:
    """A server for one run of the measurements."""
    folder = world.folder()
    try:
        with start(folder) as server:
            yield Place(server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
