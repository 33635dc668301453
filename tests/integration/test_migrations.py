"""Databases of earlier revisions are brought to this one with what is in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from remit.errors import DatabaseUnavailable
from remit.storage import stops
from remit.storage.migrate import migrate


@pytest.fixture
def url(make_database: Callable[..., Any]) -> str:
    return make_database().url()


def one(url: str, sql: str) -> Any:
    with psycopg.connect(url) as db:
        row = db.execute(sql).fetchone()
        return None if row is None else row[0]


def test_from_the_first_revision_with_data_in_it(url: str) -> None:
    migrate(url, revision="0001")
    assert one(url, "select to_regclass('remit.cursors')") is None
    with psycopg.connect(url) as db:
        db.execute("select remit.append_record('person:stop:set', null, null, null, '{\"why\": \"test\"}')")
        db.execute("insert into remit.stops (id, scope, reason, by) values ('stop_1', 'all', 'test', 'ada')")
    migrate(url)
    assert one(url, "select version_num from public.schema_version") == "0010"
    assert one(url, "select count(*) from remit.records") == 1
    assert one(url, "select by from remit.stops") == "ada"
    with psycopg.connect(url) as db:
        db.execute("set role remit_app")
        db.execute("insert into remit.cursors values ('traces', 1)")
        db.execute("update remit.cursors set position = 2")
    migrate(url)
    assert one(url, "select position from remit.cursors") == 2, "a second time changes nothing"


def test_a_newer_database_is_left_alone(url: str) -> None:
    migrate(url)
    with psycopg.connect(url) as db:
        db.execute("update public.schema_version set version_num = '9999'")
    with pytest.raises(DatabaseUnavailable, match="revision 9999"):
        migrate(url)


def test_the_applications_role_cannot_change_the_record(make_database: Callable[..., Any]) -> None:
    database = make_database()
    migrate(database.url("owner"))
    with psycopg.connect(database.url("owner"), row_factory=dict_row) as db:
        stops.put(db, "all", "", "recorded", "ada")
    for change in ("update remit.records set tag = 'x'", "delete from remit.records", "truncate remit.records"):
        with (
            psycopg.connect(database.url("app")) as db,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            db.execute(change)
    for change in ("delete from remit.leaves", "insert into remit.checkpoints values (1, '', '')"):
        with (
            psycopg.connect(database.url("app")) as db,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            db.execute(change)


def test_partitions_are_there_for_months_ahead(make_database: Callable[..., Any]) -> None:
    database = make_database()
    migrate(database.url("owner"))
    with psycopg.connect(database.url("app")) as db:
        db.execute("select remit.ensure_partitions()")
        for table in ("actions", "payloads", "records"):
            row = db.execute(
                "select count(*) from pg_inherits where inhparent = %s::regclass", (f"remit.{table}",)
            ).fetchone()
            assert row is not None
            assert row[0] >= 4
