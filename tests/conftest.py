"""A PostgreSQL server for the whole run, and fresh databases on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from remit.storage.embedded import EmbeddedServer, Role, start


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

    def create(self, template: str | None = None) -> FreshDatabase:
        self._count += 1
        name = f"t_{self._worker}_{self._count}"
        statement = sql.SQL("create database {} template {}")
        self._db.execute(statement.format(sql.Identifier(name), sql.Identifier(template or "template0")))
        return FreshDatabase(self._server, name)

    def drop(self, database: FreshDatabase) -> None:
        self._db.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database.name)))

    def close(self) -> None:
        self._db.close()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[EmbeddedServer]:
    """One server for the run: processes of pytest-xdist share it as any of Remit's processes would."""
    base = tmp_path_factory.getbasetemp()
    root: Path = base if worker_id == "master" else base.parent
    # What these settings give up is safety against a crash of the machine, which no test can bring about.
    with start(root / "server", settings={"fsync": "off", "full_page_writes": "off"}) as server:
        yield server


@pytest.fixture(scope="session")
def database_factory(postgres_server: EmbeddedServer, worker_id: str) -> Iterator[DatabaseFactory]:
    """Databases that live as long as whoever asks for them wants, such as a migrated template."""
    factory = DatabaseFactory(postgres_server, worker_id)
    yield factory
    factory.close()


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
