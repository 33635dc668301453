"""Policies and troubles are counted off the hot path: each once, whatever crashes, and as outcomes are now."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.conftest import FreshDatabase
from tests.integration.test_rollups import seal, write

from remit.runtime.counting import Counting
from remit.storage import rollups, tallies
from remit.storage.migrate import migrate
from remit.storage.rollups import Window

Connection = psycopg.Connection[dict[str, Any]]
HALF_WAY = """
import sys, psycopg
from psycopg.rows import dict_row
from remit.storage import tallies
with psycopg.connect(sys.argv[1], row_factory=dict_row) as db:
    print(tallies.count(db, 100), flush=True)
    sys.stdin.read()
"""
COMPANY = """
    insert into remit.bundles values ('b', '', 'k', '', 'person:a');
    insert into remit.agent_versions values ('clerk', 'v1', 'b');
    insert into remit.sessions (id, status, agent, agent_version, workspace, principal, trigger, request_id)
    values ('ses_1', 'running', 'clerk', 'v1', 'shop', 'person:dov', 'person', 'r'),
           ('ses_2', 'running', 'clerk', 'v1', 'vault', 'person:dov', 'person', 'r2');
    insert into remit.actions (id, turn_id, session_id, key, mode, action, agent, agent_version, asked_digest,
                               args_digest, status)
    select 'act_' || n, 'trn_1', 'ses_1', n::text, 'tool', 'till.pay', 'clerk', 'v1', 'd', 'd', 'succeeded'
    from generate_series(1, 3) n;
"""


@pytest.fixture
def database(make_database: Callable[..., FreshDatabase]) -> FreshDatabase:
    database = make_database()
    migrate(database.url())
    with psycopg.connect(database.url()) as db:
        db.execute(COMPANY)
    return database


@pytest.fixture
def db(database: FreshDatabase) -> Iterator[Connection]:
    with psycopg.connect(database.url("app"), row_factory=dict_row, autocommit=True) as db:
        yield db


def window(
    step: Literal["hour", "day"] = "day", workspaces: list[str] | None = None, ago: timedelta = timedelta()
) -> Window:
    """The day or the hours up to now, or up to some time ago."""
    now = datetime.now(UTC) - ago
    return Window(step, now - timedelta(days=2), now + timedelta(hours=1), workspaces, "clerk")


def count(database: FreshDatabase) -> None:
    """Seal and count everything, as a worker does."""
    seal(database)
    counting = Counting(database.url("app"))
    while counting.count_once() or counting.tally_once():
        pass


def named(db: Connection, **how: Any) -> dict[str, int]:
    return tallies.policies(db, window(**how))


def troubles(db: Connection, **how: Any) -> dict[str, int]:
    return tallies.troubles(db, ["clerk"], window(**how)).get(("clerk", "till.pay"), {})


def behind(db: Connection, outcome: str, **how: Any) -> list[str]:
    return [row["action_id"] for row in tallies.troubled(db, "till.pay", outcome, window(**how))]


def become(db: Connection, action: str, status: str, tag: str = "runtime:action:settled") -> None:
    """An action gets an outcome, with the record of it."""
    with db.transaction():
        db.execute("update remit.actions set status = %s where id = %s", (status, action))
        write(db, tag, action=action, status=status)


def test_every_decision_is_counted_under_each_policy_that_it_names(database: FreshDatabase, db: Connection) -> None:
    write(db, "gate:action:waiting", policy_ids=["over_100", "writes"])
    write(db, "gate:action:cleared", policy_ids=["writes", "writes"])
    write(db, "gate:action:cleared", action="act_2", policy_ids=["writes"])
    write(db, "gate:action:refused", action="act_3", policy_ids=[])
    write(db, "gate:action:refused", action="act_3", policy_ids="not a list")
    write(db, "gate:action:refused", action="act_3")
    write(db, "runtime:action:settled", policy_ids=["writes"], status="succeeded")
    count(database)
    assert named(db) == {"over_100": 1, "writes": 3}
    assert named(db, ago=timedelta(days=-3)) == {}, "another time"
    rows = tallies.decisions(db, "writes", window())
    assert [(row["action_id"], row["outcome"]) for row in rows] == [
        ("act_2", "cleared"),
        ("act_1", "cleared"),
        ("act_1", "waiting"),
    ]
    older = tallies.decisions(db, "writes", window(), before=rows[0]["leaf_index"], limit=1)
    assert older == [rows[1]]
    assert tallies.newest(db) == rollups.newest(db)


def test_other_workspaces_are_neither_counted_nor_listed(database: FreshDatabase, db: Connection) -> None:
    write(db, "gate:action:refused", policy_ids=["writes"])
    db.execute(
        "select remit.append_record('gate:action:refused', 'ses_2', 'trn_1', 'act_2', %s)",
        (psycopg.types.json.Jsonb({"policy_ids": ["writes", "secret"]}),),
    )
    count(database)
    assert named(db) == {"writes": 2, "secret": 1}
    assert named(db, workspaces=["shop"]) == {"writes": 1}
    assert named(db, workspaces=[]) == {}
    assert len(tallies.decisions(db, "writes", window())) == 2
    assert [r["action_id"] for r in tallies.decisions(db, "writes", window(workspaces=["shop"]))] == ["act_1"]
    assert tallies.decisions(db, "secret", window(workspaces=["shop"])) == []
    assert troubles(db) == {"refused": 2}
    assert troubles(db, workspaces=["shop"]) == {"refused": 1}
    assert behind(db, "refused", workspaces=["vault"]) == ["act_2"]


def test_each_trouble_is_counted_by_what_the_action_is_now(database: FreshDatabase, db: Connection) -> None:
    become(db, "act_1", "failed")
    become(db, "act_2", "unknown", "runtime:action:unknown")
    become(db, "act_3", "unknown", "runtime:action:unknown")
    count(database)
    for step in ("hour", "day"):
        assert troubles(db, step=step) == {"failed": 1, "unknown": 2}
    assert sorted(behind(db, "unknown")) == ["act_2", "act_3"]
    become(db, "act_2", "succeeded", "person:action:reconciled")
    become(db, "act_3", "failed", "person:action:reconciled")
    count(database)
    for step in ("hour", "day"):
        assert troubles(db, step=step) == {"failed": 2}
    assert behind(db, "unknown") == []
    assert behind(db, "failed") == ["act_3", "act_1"]


def test_an_outcome_that_becomes_known_is_taken_out_of_the_time_in_which_it_was_not(
    database: FreshDatabase, db: Connection
) -> None:
    become(db, "act_1", "unknown", "runtime:action:unknown")
    with psycopg.connect(database.url()) as owner:
        owner.execute("update remit.records set at = at - interval '10 days'")
    count(database)
    past = timedelta(days=9)
    assert troubles(db) == {}
    assert troubles(db, ago=past) == {"unknown": 1}
    become(db, "act_1", "failed", "person:action:reconciled")
    count(database)
    assert troubles(db) == {"failed": 1}
    assert troubles(db, ago=past) == {}


def test_an_outcome_that_became_known_before_its_record_was_sealed_in_order(
    database: FreshDatabase, db: Connection
) -> None:
    """Who makes it known may have begun to write before the one who did not know: their leaves are the other way."""
    with psycopg.connect(database.url("app"), row_factory=dict_row) as early:
        early.execute("select pg_current_xact_id()")
        become(db, "act_1", "unknown", "runtime:action:unknown")
        become(early, "act_1", "succeeded", "person:action:reconciled")
    count(database)
    order = db.execute("select tag from remit.record_facets order by leaf_index").fetchall()
    assert [row["tag"] for row in order] == ["person:action:reconciled", "runtime:action:unknown"]
    assert troubles(db) == {}
    assert behind(db, "unknown") == []


def test_killed_after_counting_and_before_the_commit_counts_once(database: FreshDatabase, db: Connection) -> None:
    write(db, "gate:action:refused", 250, policy_ids=["writes"])
    seal(database)
    while Counting(database.url("app")).count_once():
        pass
    counting = subprocess.Popen(
        [sys.executable, "-c", HALF_WAY, database.url("app")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert counting.stdout is not None
    assert counting.stdout.readline() == b"100\n"
    assert tallies.counted(db) == 0, "nothing is committed yet"
    os.kill(counting.pid, signal.SIGKILL)
    counting.communicate(timeout=30)
    for _ in range(5):
        with db.transaction():
            db.execute("select pg_sleep(0.05)")
            tallies.count(db, 100)
    assert named(db) == {"writes": 250}
    assert troubles(db) == {"refused": 250}
    assert tallies.counted(db) == 250


def test_several_workers_count_each_leaf_once(database: FreshDatabase, db: Connection) -> None:
    write(db, "gate:action:refused", 5_000, policy_ids=["writes"])
    seal(database)

    def work(_: int) -> int:
        counting = Counting(database.url("app"))
        return sum([counting.count_once(), counting.tally_once()][1] for _ in range(30))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 5_000
    assert named(db) == {"writes": 5_000}
    assert troubles(db) == {"refused": 5_000}
    assert len(tallies.decisions(db, "writes", window(), limit=10_000)) == 5_000


def test_a_record_that_was_counted_before_these_counts_existed_is_counted_from_its_beginning(
    make_database: Callable[..., FreshDatabase],
) -> None:
    database = make_database()
    migrate(database.url(), revision="0008")
    with psycopg.connect(database.url(), row_factory=dict_row, autocommit=True) as db:
        db.execute(COMPANY)
        write(db, "gate:action:refused", 7, policy_ids=["writes"])
        seal(database)
        while Counting(database.url("app")).count_once():
            pass
        assert rollups.counted(db) == 7
        migrate(database.url())
        write(db, "gate:action:refused", 2, policy_ids=["writes"])
        count(database)
        assert named(db) == {"writes": 9}
        assert troubles(db) == {"refused": 9}
