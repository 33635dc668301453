"""The record is counted off the hot path: each leaf exactly once, whatever crashes and however many count."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.conftest import FreshDatabase

from remit.domain.checkpoints import SigningKey
from remit.governance.sealer import Sealer
from remit.runtime.counting import Counting
from remit.storage import audit_log, rollups
from remit.storage.migrate import migrate

HALF_WAY = """
import sys, psycopg
from psycopg.rows import dict_row
from remit.storage import rollups
with psycopg.connect(sys.argv[1], row_factory=dict_row) as db:
    print(rollups.count(db, 100), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def database(make_database: Callable[..., FreshDatabase]) -> FreshDatabase:
    database = make_database()
    migrate(database.url())
    with psycopg.connect(database.url()) as db:
        db.execute("insert into remit.bundles values ('b', '', 'k', '', 'person:a')")
        db.execute("insert into remit.agent_versions values ('clerk', 'v1', 'b')")
        db.execute(
            """insert into remit.sessions (id, status, agent, agent_version, workspace, principal, trigger, request_id)
               values ('ses_1', 'running', 'clerk', 'v1', 'shop', 'person:dov', 'person', 'r')"""
        )
        db.execute(
            """insert into remit.actions (id, turn_id, session_id, key, mode, action, agent, agent_version,
                                          asked_digest, args_digest, status, usd_micros, input_tokens, output_tokens)
               values ('act_1', 'trn_1', 'ses_1', '1', 'tool', 'till.pay', 'clerk', 'v1', 'd', 'd', 'succeeded',
                       2000000, 30, 12)"""
        )
    return database


@pytest.fixture
def db(database: FreshDatabase) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with psycopg.connect(database.url("app"), row_factory=dict_row, autocommit=True) as db:
        yield db


def write(
    db: psycopg.Connection[dict[str, Any]], tag: str, times: int = 1, action: str | None = "act_1", **body: Any
) -> None:
    db.execute(
        "select remit.append_record(%s, 'ses_1', 'trn_1', %s, %s) from generate_series(1, %s)",
        (tag, action, psycopg.types.json.Jsonb(body), times),
    )


def seal(database: FreshDatabase) -> None:
    """Seal everything: as long as any transaction of the server runs, what came after it is not sealed."""
    sealer = Sealer(database.url("sealer"), SigningKey.generate())
    until = time.monotonic() + 60
    with psycopg.connect(database.url("app"), row_factory=dict_row) as db:
        while audit_log.lag(db).records:
            sealer.seal_once()
            assert time.monotonic() < until, "something else on the server takes too long"
            db.rollback()
            time.sleep(0.02)
    sealer.close()


def totals(db: psycopg.Connection[dict[str, Any]], grain: str = "ever") -> dict[tuple[str, str, str], int]:
    rows = db.execute(
        "select tag, outcome, road, sum(n)::bigint as n from remit.rollups where grain = %s group by 1, 2, 3", (grain,)
    )
    return {(row["tag"], row["outcome"], row["road"]): row["n"] for row in rows}


def test_what_is_counted(database: FreshDatabase, db: psycopg.Connection[dict[str, Any]]) -> None:
    write(db, "gate:action:cleared", approved_roles=[])
    write(db, "gate:action:cleared", approved_roles=["accountable"])
    write(db, "gate:action:refused", code="approval_denied", by="bo")
    write(db, "gate:action:refused")
    write(db, "runtime:action:settled", status="succeeded")
    write(db, "runtime:turn:finished", 2, action=None)
    write(db, "person:login:begun", action=None, by="person:ada")
    seal(database)
    with db.transaction():
        assert rollups.count(db) == 8
    assert (
        totals(db)
        == totals(db, "hour")
        == totals(db, "day")
        == {
            ("gate:action:cleared", "cleared", "auto"): 1,
            ("gate:action:cleared", "cleared", "asked"): 1,
            ("gate:action:refused", "denied", "auto"): 1,
            ("gate:action:refused", "refused", "auto"): 1,
            ("runtime:action:settled", "succeeded", "auto"): 1,
            ("runtime:turn:finished", "", "first"): 1,
            ("runtime:turn:finished", "", ""): 1,
            ("person:login:begun", "", ""): 1,
        }
    )
    row = db.execute("select * from remit.rollups where grain = 'hour' and outcome = 'succeeded'").fetchone()
    assert row is not None
    assert (row["workspace"], row["agent"], row["action"]) == ("shop", "clerk", "till.pay")
    assert (row["usd_micros"], row["input_tokens"], row["output_tokens"]) == (2_000_000, 30, 12)
    who = db.execute("select who from remit.record_facets order by leaf_index desc limit 1").fetchone()
    assert who == {"who": "ada"}


def test_a_decision_is_judged_by_what_its_person_had_seen(
    database: FreshDatabase, db: psycopg.Connection[dict[str, Any]]
) -> None:
    for item, opened, details in (
        ("itm_1", "1 second", None),
        ("itm_2", "2 hours", None),
        ("itm_3", "2 hours", "1 hour"),
    ):
        db.execute(
            """insert into remit.inbox_items (id, kind, session_id, action_id, workspace, summary, created_at)
               values (%s, 'approval', 'ses_1', 'act_1', 'shop', repeat('word ', 60), now() - interval '3 hours')""",
            (item,),
        )
        db.execute(
            """insert into remit.item_views values (%s, 'bo', now() - %s::interval, now() - %s::interval)""",
            (item, opened, details),
        )
    for item, by in (("itm_1", "bo"), ("itm_2", "bo"), ("itm_3", "bo"), ("itm_3", "cleo")):
        write(db, "person:approval:given", item=item, by=by)
    seal(database)
    with db.transaction():
        rollups.count(db)
    rows = db.execute("select * from remit.rollup_decisions where grain = 'day' order by who, pace").fetchall()
    assert [(r["who"], r["pace"], r["waited"], r["n"]) for r in rows] == [
        ("", "", 4, 4),
        ("bo", "fast", -1, 1),
        ("bo", "read", -1, 1),
        ("bo", "unopened", -1, 1),
        ("cleo", "elsewhere", -1, 1),
    ]
    facets = db.execute("select pace, waited from remit.record_facets order by leaf_index").fetchall()
    assert [tuple(row.values()) for row in facets] == [("fast", 4), ("unopened", 4), ("read", 4), ("elsewhere", 4)]


def test_killed_after_counting_and_before_the_commit_counts_once(
    database: FreshDatabase, db: psycopg.Connection[dict[str, Any]]
) -> None:
    write(db, "runtime:action:settled", 250, status="succeeded")
    seal(database)
    counting = subprocess.Popen(
        [sys.executable, "-c", HALF_WAY, database.url("app")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert counting.stdout is not None
    assert counting.stdout.readline() == b"100\n"
    assert rollups.counted(db) == 0, "nothing is committed yet"
    os.kill(counting.pid, signal.SIGKILL)
    counting.communicate(timeout=30)
    for _ in range(5):
        with db.transaction():
            db.execute("select pg_sleep(0.05)")
            rollups.count(db, 100)
    assert totals(db) == {("runtime:action:settled", "succeeded", "auto"): 250}
    assert rollups.counted(db) == 250


def test_several_workers_count_each_leaf_once(database: FreshDatabase, db: psycopg.Connection[dict[str, Any]]) -> None:
    write(db, "runtime:action:settled", 5_000, status="succeeded")
    seal(database)

    def work(_: int) -> int:
        counting = Counting(database.url("app"))
        return sum(counting.count_once() for _ in range(30))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 5_000
    assert totals(db) == {("runtime:action:settled", "succeeded", "auto"): 5_000}
    facets = db.execute("select count(*) as n, max(leaf_index) as last from remit.record_facets").fetchone()
    assert facets == {"n": 5_000, "last": 4_999}
