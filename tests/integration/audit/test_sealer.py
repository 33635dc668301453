"""Sealing against a real PostgreSQL: out of order, concurrent, interrupted, restored, and fast enough."""

import asyncio
import itertools
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import timedelta

import psycopg
import pytest
from psycopg.rows import dict_row

from remit.domain.merkle import consistency_ranges, nodes_of, proof_of, root, verify_consistency
from remit.errors import Conflict, IntegrityError, RemitError
from remit.governance.places import FolderPlace
from remit.governance.sealer import Sealed
from remit.storage import audit_log


def test_records_are_sealed_under_a_checkpoint(book, database, db):
    first = book.sealer(database)
    assert first.seal_once() == Sealed(0, None)
    book.put(db, 5)
    book.seal(first, 5)
    book.put(db, 3)
    book.seal(first, 3)
    assert book.check(db) == (8, 0)
    first.close()


def test_a_transaction_that_commits_late_is_sealed_late_and_nothing_after_it_before(book, database, db):
    log = book.sealer(database)
    book.put(db, 3)
    book.seal(log, 3)
    with psycopg.connect(database.url(), row_factory=dict_row) as slow:
        book.put(slow)  # takes its id and its transaction id, and does not commit
        book.put(db, 4)  # later ids, committed
        assert log.seal_once().records == 0
        assert audit_log.lag(db).records == 4
        slow.commit()
    book.seal(log, 5)
    assert audit_log.lag(db).records == 0
    assert book.check(db) == (8, 0)
    log.close()


def test_a_transaction_that_fails_leaves_a_gap_that_means_nothing(book, database, db):
    log = book.sealer(database)
    with psycopg.connect(database.url(), row_factory=dict_row) as failing:
        book.put(failing, 7)
        book.put(db, 2)
        failing.rollback()
    book.seal(log, 2)
    assert book.check(db) == (2, 0)
    log.close()


def test_many_writers_while_two_sealers_seal(book, database, db):
    stop, failures = threading.Event(), []

    def write(number):
        try:
            with psycopg.connect(database.url("app"), row_factory=dict_row) as own:
                for turn in range(40):
                    book.put(own, 1 + (turn + number) % 4)
                    if turn % 7 == 3:
                        time.sleep(0.002 * number)
                    own.rollback() if turn % 11 == 5 else own.commit()
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    def sealing():
        log = book.sealer(database, batch=37)
        try:
            while not stop.is_set():
                log.seal_once()
        except Exception as error:  # noqa: BLE001
            failures.append(error)
        finally:
            log.close()

    writers = [threading.Thread(target=write, args=(n,)) for n in range(6)]
    sealers = [threading.Thread(target=sealing) for _ in range(2)]
    for thread in (*writers, *sealers):
        thread.start()
    for thread in writers:
        thread.join(60)
    stop.set()
    for thread in sealers:
        thread.join(60)
    assert failures == []
    log = book.sealer(database)
    until = time.monotonic() + 30
    while audit_log.lag(db).records and time.monotonic() < until:
        log.seal_once()
    log.close()
    records = db.execute("select count(*) as n from remit.records").fetchone()["n"]
    assert records > 400
    assert book.check(db) == (records, 0)
    assert db.execute("select count(*) as n from remit.checkpoints").fetchone()["n"] > 5


def test_every_checkpoint_continues_the_one_before(book, database, db):
    log = book.sealer(database, batch=13)
    book.put(db, 50)
    book.seal(log, 50)
    sizes = [row["tree_size"] for row in db.execute("select tree_size from remit.checkpoints order by 1").fetchall()]
    assert sizes == [13, 26, 39, 50]
    leaves = [leaf.leaf for leaf in audit_log.read_leaves(db, 50, batch=7)]
    for old, new in itertools.pairwise(sizes):
        ranges = consistency_ranges(old, new)
        proof = proof_of(ranges, audit_log.read_nodes(db, nodes_of(ranges)))
        assert verify_consistency(old, new, root(leaves[:old]), root(leaves[:new]), proof)
    log.close()


STEPS = ["lock_sealing", "load_frontier", "next_sealable", "append_leaves", "put_checkpoint"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_sealer_killed_at_any_step_leaves_a_whole_log(book, database, db, step, when, tmp_path):
    book.put(db, 10)
    killed = textwrap.dedent(f"""
        import os, signal, sys
        from remit.domain.checkpoints import SigningKey
        from remit.governance.places import FolderPlace
        from remit.governance.sealer import Sealer
        from remit.storage import audit_log
        from pathlib import Path
        original, calls = audit_log.{step}, []
        def killing(*arguments):
            calls.append(1)
            if len(calls) == 2 and {when!r} == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*arguments)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return result
        audit_log.{step} = killing
        key = SigningKey.parse(sys.argv[2])
        sealer = Sealer(sys.argv[1], key, batch=4, places=[FolderPlace(Path(sys.argv[3]))])
        while True:
            sealer.seal_once()
    """)
    done = subprocess.run(
        [sys.executable, "-c", killed, database.url("sealer"), book.key.secret_text(), str(tmp_path)],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert book.check(db) == (4, 6)
    log = book.sealer(database, places=[FolderPlace(tmp_path)])
    book.seal(log, 6)
    assert book.check(db) == (10, 0)
    assert book.key.verifier.open((tmp_path / "latest.checkpoint").read_text()).size == 10
    log.close()


def test_a_sealer_killed_before_it_left_the_checkpoint_outside_is_made_up_for(book, database, db, tmp_path):
    book.put(db, 3)
    alone = book.sealer(database)
    book.seal(alone, 3)
    alone.close()
    again = book.sealer(database, places=[FolderPlace(tmp_path)])
    assert again.seal_once().records == 0
    assert book.key.verifier.open((tmp_path / "latest.checkpoint").read_text()).size == 3
    again.close()


def test_a_hundred_thousand_records_are_caught_up_with_in_bounded_batches(book, database, db):
    book.put(db, 100_000)
    log = book.sealer(database)
    took = []
    while not took or took[-1][0]:
        started = time.perf_counter()
        took.append((log._writer.seal_batch(log._sign, 5_000), time.perf_counter() - started))
    batches = [seconds for batch, seconds in took if batch]
    assert [batch.records for batch, _ in took if batch] == [5_000] * 20
    assert sum(batches) < 60
    # Work does not grow with the log: the last batches take no longer than the first, with room for a busy machine.
    assert sorted(batches[-7:])[3] < 4 * sorted(batches[:7])[3]
    book.put(db)
    started = time.perf_counter()
    book.seal(log, 1)
    assert time.perf_counter() - started < 5
    assert log._writer.root_at(100_001) == log._writer.latest().root
    log.close()


def test_the_search_for_the_next_records_goes_along_the_index(book, database, db):
    book.put(db, 3_000)
    log = book.sealer(database)
    book.seal(log, 3_000)
    book.put(db, 5)
    db.execute("analyze remit.records, remit.leaves")
    with db.transaction():
        db.execute(audit_log._IN_ORDER)
        cursor = db.execute(audit_log._CURSOR, (3_000,)).fetchone()
        plan = db.execute(
            "explain (analyze, format json) " + audit_log._NEXT,
            {"xid": cursor["xid"], "id": cursor["id"], "limit": 5_000},
        ).fetchone()["QUERY PLAN"]
    read = []

    def walk(node):
        if "Relation Name" in node:
            read.append(node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0))
        for child in node.get("Plans", ()):
            walk(child)

    walk(plan[0]["Plan"])
    assert sum(read) <= 20
    with db.transaction():
        assert len(audit_log.next_sealable(db, 3_000, 2)) <= 2
        assert db.execute("show enable_sort").fetchone() == {"enable_sort": "off"}
    log.close()


def test_records_restored_into_another_cluster_go_on_being_sealed(book, database, db):
    """After a dump and restore the transaction ids of old records lie in this cluster's future."""
    log = book.sealer(database, batch=3)
    book.put(db, 4)
    book.seal(log, 4)
    db.execute("update remit.records set xid = (xid::text::bigint + 4000000000)::text::xid8")
    book.put(db, 2)
    db.execute("update remit.records set xid = (xid::text::bigint + 4000000000)::text::xid8 where id > 4")
    book.put(db, 5)
    book.seal(log, 7)
    book.put(db, 5)
    book.seal(log, 5)
    assert book.check(db) == (16, 0)
    log.close()


def test_a_tree_that_was_altered_is_not_continued(book, database, db):
    log = book.sealer(database)
    book.put(db, 6)
    book.seal(log, 6)
    book.put(db)
    db.execute("update remit.merkle_nodes set hash = sha256(hash) where (level, idx) = (2, 0)")
    with pytest.raises(IntegrityError, match="not the one that its checkpoint of 6 leaves signed"):
        log.seal_once()
    db.execute("delete from remit.merkle_nodes where (level, idx) = (2, 0)")
    with pytest.raises(IntegrityError, match="lost nodes"):
        log.seal_once()
    db.execute("delete from remit.leaves where leaf_index = 5")
    with pytest.raises(IntegrityError, match="other leaves than the 6"):
        log.seal_once()
    log.close()


def test_the_applications_role_cannot_touch_what_was_recorded(book, database, db):
    book.put(db, 2)
    log = book.sealer(database)
    book.seal(log, 2)
    log.close()
    with psycopg.connect(database.url("app"), autocommit=True) as app:
        for statement in (
            "update remit.records set body = '{}'",
            "delete from remit.records",
            "truncate remit.records",
            "delete from remit.leaves",
            "update remit.checkpoints set note = ''",
            "insert into remit.leaves values (99, 99, now(), '')",
            "insert into remit.checkpoints values (99, '', '')",
            "update remit.payloads set digest = ''",
            "delete from remit.payloads",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement)


def test_a_stuck_sealer_is_told_of(book, database, db, monkeypatch):
    book.put(db)
    log = book.sealer(database)
    log._writer._wait = timedelta(milliseconds=50)
    with psycopg.connect(database.url()) as stuck:
        stuck.execute("select pg_advisory_xact_lock(%s)", (audit_log._LOCK,))
        with pytest.raises(Conflict, match="another sealer"):
            log.seal_once()
    book.seal(log, 1)
    log.close()


def test_the_loop_survives_a_lost_connection_and_seals_once_more_at_the_end(book, database, db):
    seen = []

    async def scenario():
        stop = asyncio.Event()
        log = book.sealer(database)
        loop = asyncio.create_task(log.run(stop, timedelta(milliseconds=20), seen.append))
        book.put(db)
        await until(lambda: any(isinstance(s, Sealed) and s.records for s in seen))
        db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'remit-sealer' and datname = current_database()"
        )
        book.put(db)
        await until(lambda: any(isinstance(s, RemitError) for s in seen))
        await until(lambda: sum(s.records for s in seen if isinstance(s, Sealed)) == 2)
        stop.set()
        await asyncio.wait_for(loop, 30)

    async def until(condition):
        for _ in range(1_000):
            if condition():
                return
            await asyncio.sleep(0.02)
        raise AssertionError(seen)

    asyncio.run(scenario())
    assert book.check(db) == (2, 0)
