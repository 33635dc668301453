"""The fixtures that other tests build on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from remit.storage.embedded import EmbeddedServer


def names(server: EmbeddedServer) -> set[str]:
    with psycopg.connect(server.url("owner", "postgres")) as db:
        return {row[0] for row in db.execute("select datname from pg_database")}


@pytest.fixture
def dropped(postgres_server: EmbeddedServer) -> Iterator[list[str]]:
    """Names that must be gone when the test's own fixtures have been torn down."""
    made: list[str] = []
    yield made
    assert made
    assert names(postgres_server).isdisjoint(made)


def test_databases_are_apart_may_copy_a_template_and_are_dropped(
    dropped: list[str], make_database: Callable[..., Any], postgres_server: EmbeddedServer
) -> None:
    template = make_database()
    with psycopg.connect(template.url()) as db:
        db.execute("create table kept as select 7 as n")
    copy, empty = make_database(template.name), make_database()
    with psycopg.connect(copy.url()) as db:
        assert db.execute("select n from kept").fetchone() == (7,)
    with psycopg.connect(empty.url("app")) as db:
        assert db.execute("select to_regclass('kept')").fetchone() == (None,)
    dropped.extend([template.name, copy.name, empty.name])
    assert names(postgres_server).issuperset(dropped)
