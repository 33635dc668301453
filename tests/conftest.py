"""A PostgreSQL server for the whole run, and fresh databases on it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from remit.storage.embedded import EmbeddedServer, Role, processes, start
from remit.storage.embedded.locks import exclusive

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

COMPANY = "the company at work"
"""Tests of the command line that share one running example company: seven servers, a database, a worker."""


@cache
def kept_together(file: str) -> str | None:
    """Name of the group of tests that one process runs, so that what they share is made once; None: each for itself."""
    text = (Path(__file__).parents[1] / file).read_text("utf-8")
    if "/cli/" in file and re.search(r"\b(acme|acme_folder|handle)\b[,)]", text):
        return COMPANY
    return file if "/cockpit/" in file or 'scope="module"' in text else None


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Tests that share something costly go to one process, the others one by one to whichever is free."""
    from xdist.scheduler import LoadScopeScheduling  # only there is it sure that the plugin is installed

    class KeptTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return kept_together(nodeid.partition("::")[0]) or nodeid

    return KeptTogether(config, log)


@dataclass(frozen=True)
class FreshDatabase:
    """A database of one test."""

    server: EmbeddedServer
    name: str

    def url(self, role: Role = "owner") -> str:
        return self.server.url(role, self.name)


class DatabaseFactory:
    """Creates databases and drops those it created. Names are unique across the run's processes."""

    def __init__(self, server: EmbeddedServer, worker: str) -> None:
        self._server = server
        self._worker = worker
        self._count = 0
        self._db = psycopg.connect(server.url("owner", "postgres"), autocommit=True)

    def create(self, template: str | None = None, *, name: str | None = None) -> FreshDatabase:
        self._count += 1
        name = name or f"t_{self._worker}_{self._count}"
        statement = sql.SQL("create database {} template {} strategy file_copy")
        self._db.execute(statement.format(sql.Identifier(name), sql.Identifier(template or "template0")))
        return FreshDatabase(self._server, name)

    def exists(self, name: str) -> bool:
        return self._db.execute("select 1 from pg_database where datname = %s", (name,)).fetchone() is not None

    def drop(self, database: FreshDatabase) -> None:
        self._db.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database.name)))

    def close(self) -> None:
        self._db.close()


MEMORY = Path("/dev/shm")
TEMPLATE = "migrated_template"


def server_folder(base: Path) -> Path:
    """A folder in memory if there is plenty: creating a database takes 7 ms there, and 60 to 300 ms on a disk."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < 2 << 30:
        return base / "server"
    for left in MEMORY.glob("remit-tests-*"):  # by runs that were killed
        with contextlib.suppress(OSError):
            if left.stat().st_mtime < time.time() - 86_400 and not processes.using(left / "postgres" / "data"):
                shutil.rmtree(left)
    return MEMORY / f"remit-tests-{os.environ.get('PYTEST_XDIST_TESTRUNUID') or os.getpid()}"


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[EmbeddedServer]:
    """One server for the run: processes of pytest-xdist share it as any of Remit's processes would."""
    base = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        base = base.parent
    folder = server_folder(base)
    with exclusive(base / "server.lock"):
        server = start(folder)
    yield server
    with exclusive(base / "server.lock"):
        server.close()
        if not processes.using(folder / "postgres" / "data"):
            shutil.rmtree(folder)


@pytest.fixture(scope="session")
def database_factory(postgres_server: EmbeddedServer, worker_id: str) -> Iterator[DatabaseFactory]:
    """Databases that live as long as whoever asks for them wants, such as a migrated template."""
    factory = DatabaseFactory(postgres_server, worker_id)
    yield factory
    factory.close()


@pytest.fixture(scope="session")
def migrated(database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> str:
    """Name of a database with this release's tables, for `make_database(template)`: made once, copied in 10 ms."""
    from remit.bootstrap import prepare
    from remit.storage.resolve import ExternalDatabase

    base = tmp_path_factory.getbasetemp()
    with exclusive((base if worker_id == "master" else base.parent) / "template.lock"):
        if not database_factory.exists(TEMPLATE):
            template = database_factory.create(name=TEMPLATE)
            prepare(ExternalDatabase(template.url()))
    return TEMPLATE


@pytest.fixture
def make_database(database_factory: DatabaseFactory) -> Iterator[Callable[..., FreshDatabase]]:
    """`make_database(template=None)` creates a database; it is dropped after the test."""
    made: list[FreshDatabase] = []

    def make(template: str | None = None) -> FreshDatabase:
        made.append(database_factory.create(template))
        return made[-1]

    yield make
    for database in made:
        database_factory.drop(database)


@pytest.fixture
def database_url(make_database: Callable[..., FreshDatabase]) -> str:
    """The owner's URL of a fresh, empty database."""
    return make_database().url()
