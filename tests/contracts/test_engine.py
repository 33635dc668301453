"""What we use of DBOS without its promise: private names, and the columns of its tables that our statements name."""

from __future__ import annotations

import asyncio
import base64
import inspect
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dbos import DBOS, DBOSClient
from dbos._serialization import DBOSPortableJSONSerializer, DefaultSerializer, Serializer

from remit.errors import IntegrityError
from remit.runtime import engine
from tests.contracts.source import PACKAGE, modules

USERS = ("storage/runs.py", "storage/executors.py", "runtime/engine.py")


def test_the_engine_is_the_release_that_was_tried():
    assert version("dbos").startswith("3.4."), "read its changes, run these tests, then raise the pin"


def test_runs_of_dead_executors_are_handed_over_by_a_private_call():
    taken = inspect.signature(DBOS._recover_pending_workflows)
    assert list(taken.parameters) == ["executor_ids"]
    assert inspect.ismethod(DBOS._recover_pending_workflows), "called on the class, without an instance"


def test_the_serializers_have_the_methods_that_we_use_and_replace():
    assert issubclass(DefaultSerializer, Serializer)
    assert list(inspect.signature(DefaultSerializer.deserialize).parameters)[1:] == ["serialized_data"]
    assert DefaultSerializer().name() == "py_pickle"
    assert DBOSPortableJSONSerializer().name() == "portable_json"


def test_enqueueing_takes_a_connection():
    taken = list(inspect.signature(DBOSClient.enqueue_in_transaction).parameters)
    assert taken[:3] == ["self", "conn_or_session", "options"]


EVIL = """
import sys
from dbos._serialization import DBOSDefaultSerializer, DefaultSerializer, deserialize_value
from remit.errors import IntegrityError
from remit.runtime import engine
if sys.argv[2] == "refuse":
    engine.refuse_pickle()
for read in (DefaultSerializer().deserialize, DBOSDefaultSerializer.deserialize):
    try:
        read(sys.argv[1])
    except IntegrityError:
        print("refused")
    else:
        print("read")
"""


class Touch:
    """A value whose unpickling makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mknod, (str(self.path),))


@pytest.mark.parametrize(("how", "answer", "ran"), [("refuse", "refused", False), ("trust", "read", True)])
def test_a_pickle_is_read_by_the_engine_and_refused_by_us(tmp_path: Path, how: str, answer: str, ran: bool):
    marks = tmp_path / "ran"
    text = base64.b64encode(pickle.dumps(Touch(marks))).decode()
    script = EVIL if how == "refuse" else EVIL.replace(", DBOSDefaultSerializer.deserialize)", ",)")
    done = subprocess.run([sys.executable, "-c", script, text, how], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {answer}
    assert marks.exists() is ran


def test_refusing_says_what_it_is():
    kept = DefaultSerializer.deserialize
    try:
        engine.refuse_pickle()
        with pytest.raises(IntegrityError):
            DefaultSerializer().deserialize("gASVAAAA")
    finally:
        DefaultSerializer.deserialize = kept


@pytest.fixture
def engine_url(database_url: str) -> str:
    engine.migrate(database_url)
    return database_url


COLUMNS = {"workflow_uuid", "status", "executor_id", "queue_name"}
"""All that our statements read and write of a run."""


def test_the_columns_that_we_read_are_there(engine_url: str):
    with psycopg.connect(engine_url) as db:
        rows = db.execute(
            "select column_name, data_type from information_schema.columns "
            "where table_schema = 'dbos' and table_name = 'workflow_status'"
        ).fetchall()
    types = dict(rows)
    assert {column: types.get(column) for column in sorted(COLUMNS)} == {
        "executor_id": "text",
        "queue_name": "text",
        "status": "text",
        "workflow_uuid": "text",
    }


STATEMENT = re.compile(r"(?:from|join|update|into)\s+dbos\.([a-z]\w*)")


def test_no_other_table_is_touched():
    touched = {
        path.relative_to(PACKAGE).as_posix(): tables
        for path in modules()
        if (tables := set(STATEMENT.findall(path.read_text("utf-8"))))
    }
    copied = {"runtime/engine.py": {"workflow_status", "workflow_input"}}
    assert touched == {user: {"workflow_status"} for user in USERS} | copied


def test_no_other_column_is_touched():
    """Our statements call the table `w`, or name its columns after `update dbos.workflow_status`."""
    for user in USERS:
        for statement in re.findall(r'"""(.*?)"""', (PACKAGE / user).read_text("utf-8"), re.DOTALL):
            if STATEMENT.search(statement):
                assert set(re.findall(r"\bw\.([a-z_]+)", statement)) <= COLUMNS, user


def test_a_run_that_is_asked_for_is_a_row_that_our_statements_find(engine_url: str):
    from psycopg.rows import dict_row

    asking = engine.Enqueuer(engine_url)
    try:
        with psycopg.connect(engine_url, row_factory=dict_row) as db:
            for _ in range(2):
                asking.enqueue(db, [("turn_1", "ses_1", 1)])
            asking.enqueue(db, [("turn_1", "ses_1", 2)])
            db.commit()
            asking.enqueue(db, [("turn_2", "ses_2", 1)])
            db.rollback()
            rows = db.execute(
                "select workflow_uuid, status, name, queue_name, queue_partition_key "
                "from dbos.workflow_status order by workflow_uuid"
            ).fetchall()
    finally:
        asking.close()
    assert [r["workflow_uuid"] for r in rows] == ["turn_1:1", "turn_1:2"], "one row a run, and none for a rollback"
    assert {r["status"] for r in rows} == {"ENQUEUED"}
    assert {(r["name"], r["queue_name"], r["queue_partition_key"]) for r in rows} == {("run_turn", "turns", "ses_1")}


def test_runs_that_are_asked_for_together_are_as_the_engine_writes_each(engine_url: str):
    """Whatever columns a release of the engine has: a copy differs from the engine's own row in what names it only."""
    from psycopg.rows import dict_row

    asking = engine.Enqueuer(engine_url)
    try:
        with psycopg.connect(engine_url, row_factory=dict_row) as db:
            asking.enqueue(db, [("turn_1", "ses_1", 1), ("turn_2", "ses_2", 1), ("turn_3", "ses_3", 4)])
            asking.enqueue(db, [("turn_4", "ses_4", 1)])
            rows = db.execute(
                "select * from dbos.workflow_status s join dbos.workflow_input i using (workflow_uuid) order by 1"
            ).fetchall()
    finally:
        asking.close()
    named = [(r.pop("workflow_uuid"), r.pop("queue_partition_key"), r.pop("inputs")) for r in rows]
    assert [(run, session) for run, session, _ in named] == [
        ("turn_1:1", "ses_1"), ("turn_2:1", "ses_2"), ("turn_3:4", "ses_3"), ("turn_4:1", "ses_4")
    ]  # fmt: skip
    assert {inputs.replace(run, "") for run, _, inputs in named} == {named[0][2].replace("turn_1:1", "")}
    assert all(run in inputs for run, _, inputs in named)
    own = {"created_at", "updated_at", "creator_xid", "retention_timestamp"}
    assert len({str({k: v for k, v in row.items() if k not in own}) for row in rows}) == 1


def test_the_statuses_that_we_name_are_the_engines(engine_url: str):
    from dbos._sys_db import WorkflowStatusString

    known = {status.value for status in WorkflowStatusString}
    assert {"PENDING", "ENQUEUED", "DELAYED"} <= known
    for user in USERS:
        text = (PACKAGE / user).read_text("utf-8")
        named = set(re.findall(r"'([A-Z]{5,})'", text))
        assert named <= known, user


@dataclass
class Looks:
    """What the engine's threads ask for, counted, and the runs that came of it."""

    own: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    taken: threading.Event = field(default_factory=threading.Event)

    async def run(self, turn_id: str, number: int) -> None:
        self.runs.append(f"{turn_id}:{number}")
        self.taken.set()

    def count(self, engine: Any) -> None:
        """Count the engine's own looks for runs that it may take, and its readings of a queue's settings."""
        look, read = engine.start_queued_partitioned_workflows, engine.get_queue

        def looked(queue: Any, *arguments: Any, **named: Any) -> Any:
            self.own.append(queue.name)
            return look(queue, *arguments, **named)

        def was_read(name: str, **named: Any) -> Any:
            self.settings.append(name)
            return read(name, **named)

        engine.start_queued_partitioned_workflows, engine.get_queue = looked, was_read


def test_the_engine_looks_for_runs_only_where_something_waits(engine_url: str, monkeypatch: pytest.MonkeyPatch):
    looks = Looks()
    before = engine._Glance.stand_before

    def counted(glance: engine._Glance, own: Any) -> None:
        looks.count(own)
        before(glance, own)

    monkeypatch.setattr(engine._Glance, "stand_before", counted)
    asking = engine.Enqueuer(engine_url)
    worker = engine.Engine(engine_url, "here", looks.run, concurrency=4, poll=timedelta(milliseconds=20))
    with listening() as loop:
        worker.launch(loop)
        try:
            until(lambda: {"turns", "turns-recovered"} <= set(looks.settings))
            time.sleep(0.5)
            assert looks.own == []
            assert looks.settings.count("turns") < 5, "the settings are read before every look"
            with psycopg.connect(engine_url) as db:
                asking.enqueue(db, [("turn_1", "ses_1", 1)])
            assert looks.taken.wait(10)
            assert looks.runs == ["turn_1:1"]
            assert set(looks.own) == {"turns"}
        finally:
            worker.close()
            asking.close()


def test_a_worker_goes_on_looking_after_its_connection_was_cut(engine_url: str):
    looks = Looks()
    asking = engine.Enqueuer(engine_url)
    worker = engine.Engine(engine_url, "here", looks.run, concurrency=4, poll=timedelta(milliseconds=20))
    with listening() as loop:
        worker.launch(loop)
        try:
            with psycopg.connect(engine_url, autocommit=True) as db:
                find = "select pid from pg_stat_activity where query like '%exists (select from dbos.workflow_status%'"
                find += " and pid <> pg_backend_pid()"
                until(lambda: db.execute(find).fetchall())
                cut = db.execute(f"select pg_terminate_backend(pid) from ({find}) w").fetchall()
                assert cut
                asking.enqueue(db, [("turn_1", "ses_1", 1)])
            assert looks.taken.wait(10)
        finally:
            worker.close()
            asking.close()


@contextmanager
def listening() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs, on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
