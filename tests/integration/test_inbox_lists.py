"""The cockpit's inbox gives each viewer what a plain look at all items would, page by page."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.conftest import FreshDatabase

from remit.storage import cockpit
from remit.storage.migrate import migrate


@pytest.fixture
def db(make_database: Callable[..., FreshDatabase]) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    database = make_database()
    migrate(database.url())
    with psycopg.connect(database.url("app"), row_factory=dict_row, autocommit=True) as db:
        db.execute(
            """insert into remit.inbox_items (id, kind, status, workspace, summary, assignees)
               select 'itm_' || lpad(n::text, 4, '0'), (array['approval', 'question'])[n % 5 / 4 + 1],
                      (array['open', 'decided', 'expired'])[n % 7 % 3 + 1], (array['shop', 'vault', 'lab'])[n % 3 + 1],
                      'x', case when n % 4 = 0 then '{}'
                                else array[(array['ada', 'bo', 'otto'])[n % 11 % 3 + 1], 'eve'] end
               from generate_series(1, 300) n"""
        )
        yield db


def plainly(items: list[dict[str, Any]], wanted: cockpit.WantedItems, person: str, sees: list[str] | None) -> list[str]:
    found = [
        item["id"]
        for item in items
        if (sees is None or item["workspace"] in sees or person in item["assignees"])
        and wanted.status in {None, item["status"]}
        and (wanted.assignee is None or wanted.assignee in item["assignees"])
        and wanted.kind in {None, item["kind"]}
        and wanted.workspace in {None, item["workspace"]}
    ]
    return sorted(found, reverse=wanted.status != "open")


def test_pages_are_what_a_plain_look_gives(db: psycopg.Connection[dict[str, Any]]) -> None:
    items = db.execute("select * from remit.inbox_items").fetchall()
    asked = itertools.product(
        (None, "open", "decided"),
        (None, "bo"),
        (None, "question"),
        (None, "vault"),
        (None, [], ["shop"], ["shop", "lab"]),
    )
    for status, assignee, kind, workspace, sees in asked:
        wanted = cockpit.WantedItems(status, assignee, kind, workspace)
        found: list[str] = []
        while page := cockpit.items(db, wanted, "bo", sees, after=found[-1] if found else None, limit=17):
            found += [item.id for item in page]
        assert found == plainly(items, wanted, "bo", sees), (wanted, sees)


def test_what_waits_is_counted_up_to_a_limit(db: psycopg.Connection[dict[str, Any]]) -> None:
    row = db.execute(
        "select count(*) as n from remit.inbox_items where status = 'open' and 'eve' = any(assignees)"
    ).fetchone()
    assert row is not None
    assert cockpit.open_for(db, "eve", 1_000) == row["n"]
    assert cockpit.open_for(db, "eve", 3) == 3
    assert cockpit.open_for(db, "nobody", 1_000) == 0
