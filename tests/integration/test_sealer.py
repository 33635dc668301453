"""Sealing against a real PostgreSQL: out of order, concurrent, interrupted, restored, and fast enough."""

import asyncio
import itertools
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from datetime import timedelta

import psycopg
import pytest
from psycopg.rows import dict_row

from remit.domain.checkpoints import Checkpoint, SigningKey, VerifierKey
from remit.domain.merkle import Frontier, consistency_ranges, leaf_hash, nodes_of, proof_of, root, verify_consistency
from remit.errors import ConfigurationError, Conflict, IntegrityError, InvalidInput, NotFound, RemitError
from remit.governance.places import FolderPlace, GitPlace, parse_place
from remit.governance.sealer import LogForked, Sealed, Sealer, ensure_sealer_key
from remit.storage import audit_log
from remit.storage.migrate import migrate

KEY = SigningKey.generate()


@pytest.fixture(scope="module")
def migrated(database_factory):
    database = database_factory.create()
    migrate(database.url())
    yield database.name
    database_factory.drop(database)


@pytest.fixture
def database(make_database, migrated):
    return make_database(migrated)


@pytest.fixture
def db(database):
    with psycopg.connect(database.url(), row_factory=dict_row, autocommit=True) as connection:
        yield connection


def put(db, count=1, tag="gate:action:cleared"):
    db.execute(
        "select remit.append_record(%s, 'ses_1', null, null, jsonb_build_object('n', i, 'x', repeat('y', 200)))"
        " from generate_series(1, %s) as i",
        (tag, count),
    )


def sealer(database, **options):
    return Sealer(database.url("sealer"), options.pop("key", KEY), **options)


def seal(sealer, records):
    """Seal until this many records are in; another database's transaction may hold the horizon back for a moment."""
    done, until = 0, time.monotonic() + 30
    while done < records and time.monotonic() < until:
        done += sealer.seal_once().records
    assert done == records


def check_log(db, key=KEY):
    """The stored log is exactly the records, each once, and everything stored about it agrees."""
    rows = db.execute(
        "select l.leaf_index, l.leaf_hash, r.body from remit.leaves l left join remit.records r"
        " on r.id = l.record_id and r.at = l.record_at order by l.leaf_index"
    ).fetchall()
    assert [row["leaf_index"] for row in rows] == list(range(len(rows)))
    frontier, nodes, roots = Frontier(), {}, {}
    for row in rows:
        assert leaf_hash(row["body"].encode()) == row["leaf_hash"]
        nodes.update(frontier.append(row["leaf_hash"]))
        roots[frontier.size] = frontier.root()
    stored = db.execute("select level, idx, hash from remit.merkle_nodes").fetchall()
    assert {(row["level"], row["idx"]): row["hash"] for row in stored} == nodes
    for row in db.execute("select * from remit.checkpoints").fetchall():
        opened = key.verifier.open(row["note"])
        assert (opened.size, opened.root) == (row["tree_size"], roots[row["tree_size"]])
        assert row["root"] == opened.root
    unsealed = db.execute(
        "select count(*) as n from remit.records r where not exists"
        " (select 1 from remit.leaves l where l.record_id = r.id)"
    ).fetchone()["n"]
    return len(rows), unsealed


def test_records_are_sealed_under_a_checkpoint(database, db):
    first = sealer(database)
    assert first.seal_once() == Sealed(0, None)
    put(db, 5)
    seal(first, 5)
    put(db, 3)
    seal(first, 3)
    assert check_log(db) == (8, 0)
    first.close()


def test_a_transaction_that_commits_late_is_sealed_late_and_nothing_after_it_before(database, db):
    log = sealer(database)
    put(db, 3)
    seal(log, 3)
    with psycopg.connect(database.url(), row_factory=dict_row) as slow:
        put(slow)  # takes its id and its transaction id, and does not commit
        put(db, 4)  # later ids, committed
        assert log.seal_once().records == 0
        assert audit_log.lag(db).records == 4
        slow.commit()
    seal(log, 5)
    assert audit_log.lag(db).records == 0
    assert check_log(db) == (8, 0)
    log.close()


def test_a_transaction_that_fails_leaves_a_gap_that_means_nothing(database, db):
    log = sealer(database)
    with psycopg.connect(database.url(), row_factory=dict_row) as failing:
        put(failing, 7)
        put(db, 2)
        failing.rollback()
    seal(log, 2)
    assert check_log(db) == (2, 0)
    log.close()


def test_many_writers_while_two_sealers_seal(database, db):
    stop, failures = threading.Event(), []

    def write(number):
        try:
            with psycopg.connect(database.url("app"), row_factory=dict_row) as own:
                for turn in range(40):
                    put(own, 1 + (turn + number) % 4)
                    if turn % 7 == 3:
                        time.sleep(0.002 * number)
                    own.rollback() if turn % 11 == 5 else own.commit()
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    def sealing():
        log = sealer(database, batch=37)
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
    log = sealer(database)
    until = time.monotonic() + 30
    while audit_log.lag(db).records and time.monotonic() < until:
        log.seal_once()
    log.close()
    records = db.execute("select count(*) as n from remit.records").fetchone()["n"]
    assert records > 400
    assert check_log(db) == (records, 0)
    assert db.execute("select count(*) as n from remit.checkpoints").fetchone()["n"] > 5


def test_every_checkpoint_continues_the_one_before(database, db):
    log = sealer(database, batch=13)
    put(db, 50)
    seal(log, 50)
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
def test_a_sealer_killed_at_any_step_leaves_a_whole_log(database, db, step, when, tmp_path):
    put(db, 10)
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
        [sys.executable, "-c", killed, database.url("sealer"), KEY.secret_text(), str(tmp_path)],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert check_log(db) == (4, 6)
    log = sealer(database, places=[FolderPlace(tmp_path)])
    seal(log, 6)
    assert check_log(db) == (10, 0)
    assert KEY.verifier.open((tmp_path / "latest.checkpoint").read_text()).size == 10
    log.close()


def test_a_sealer_killed_before_it_left_the_checkpoint_outside_is_made_up_for(database, db, tmp_path):
    put(db, 3)
    alone = sealer(database)
    seal(alone, 3)
    alone.close()
    again = sealer(database, places=[FolderPlace(tmp_path)])
    assert again.seal_once().records == 0
    assert KEY.verifier.open((tmp_path / "latest.checkpoint").read_text()).size == 3
    again.close()


def test_a_hundred_thousand_records_are_caught_up_with_in_bounded_batches(database, db):
    put(db, 100_000)
    log = sealer(database)
    took = []
    while not took or took[-1][0]:
        started = time.perf_counter()
        took.append((log._writer.seal_batch(log._sign, 5_000), time.perf_counter() - started))
    batches = [seconds for batch, seconds in took if batch]
    assert [batch.records for batch, _ in took if batch] == [5_000] * 20
    assert sum(batches) < 60
    # Work does not grow with the log: the last batches take no longer than the first, with room for a busy machine.
    assert sorted(batches[-7:])[3] < 4 * sorted(batches[:7])[3]
    put(db)
    started = time.perf_counter()
    seal(log, 1)
    assert time.perf_counter() - started < 5
    assert log._writer.root_at(100_001) == log._writer.latest().root
    log.close()


def test_the_search_for_the_next_records_goes_along_the_index(database, db):
    put(db, 3_000)
    log = sealer(database)
    seal(log, 3_000)
    put(db, 5)
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


def test_records_restored_into_another_cluster_go_on_being_sealed(database, db):
    """After a dump and restore the transaction ids of old records lie in this cluster's future."""
    log = sealer(database, batch=3)
    put(db, 4)
    seal(log, 4)
    db.execute("update remit.records set xid = (xid::text::bigint + 4000000000)::text::xid8")
    put(db, 2)
    db.execute("update remit.records set xid = (xid::text::bigint + 4000000000)::text::xid8 where id > 4")
    put(db, 5)
    seal(log, 7)
    put(db, 5)
    seal(log, 5)
    assert check_log(db) == (16, 0)
    log.close()


def test_a_tree_that_was_altered_is_not_continued(database, db):
    log = sealer(database)
    put(db, 6)
    seal(log, 6)
    put(db)
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


def test_the_applications_role_cannot_touch_what_was_recorded(database, db):
    put(db, 2)
    log = sealer(database)
    seal(log, 2)
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


def test_a_stuck_sealer_is_told_of(database, db, monkeypatch):
    put(db)
    log = sealer(database)
    log._writer._wait = timedelta(milliseconds=50)
    with psycopg.connect(database.url()) as stuck:
        stuck.execute("select pg_advisory_xact_lock(%s)", (audit_log._LOCK,))
        with pytest.raises(Conflict, match="another sealer"):
            log.seal_once()
    seal(log, 1)
    log.close()


def test_the_loop_survives_a_lost_connection_and_seals_once_more_at_the_end(database, db):
    seen = []

    async def scenario():
        stop = asyncio.Event()
        log = sealer(database)
        loop = asyncio.create_task(log.run(stop, timedelta(milliseconds=20), seen.append))
        put(db)
        await until(lambda: any(isinstance(s, Sealed) and s.records for s in seen))
        db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'remit-sealer' and datname = current_database()"
        )
        put(db)
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
    assert check_log(db) == (2, 0)


# Places -------------------------------------------------------------------------------------------------------------


def test_a_folder_holds_every_checkpoint_and_the_newest(database, db, tmp_path):
    place = parse_place("file:outside", tmp_path)
    log = sealer(database, places=[place])
    for _ in range(3):
        put(db, 2)
        seal(log, 2)
    files = sorted(path.name for path in (tmp_path / "outside").glob("*/*.checkpoint"))
    assert files == [f"{size:020d}-{KEY.verifier.key_id.hex()}.checkpoint" for size in (2, 4, 6)]
    assert KEY.verifier.open(place.newest()).size == 6
    older = next((tmp_path / "outside").glob("*/00000000000000000002-*")).read_text()
    place.put(older)
    assert KEY.verifier.open(place.newest()).size == 6
    assert not list((tmp_path / "outside").rglob("*.new"))
    log.close()


def test_a_git_repository_holds_every_checkpoint(database, db, tmp_path):
    place = parse_place(f"git:{tmp_path / 'repo'}", tmp_path)
    log = sealer(database, places=[place])
    for _ in range(2):
        put(db, 2)
        seal(log, 2)
    (tmp_path / "repo" / "latest.checkpoint").write_text("scribbled over")
    assert KEY.verifier.open(place.newest()).size == 4
    history = subprocess.run(
        ["git", "-C", tmp_path / "repo", "log", "--format=%s"], capture_output=True, text=True, check=True
    )
    assert history.stdout.splitlines() == ["Checkpoint of 4 records", "Checkpoint of 2 records"]
    log.close()


def test_a_place_that_fails_is_reported_and_sealing_goes_on(database, db, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    log = sealer(database, places=[FolderPlace(blocked), FolderPlace(tmp_path / "good")])
    put(db, 2)
    until = time.monotonic() + 30
    while (done := log.seal_once()).checkpoint is None and time.monotonic() < until:
        pass
    assert len(done.troubles) == 1
    assert str(blocked) in done.troubles[0]
    assert KEY.verifier.open(FolderPlace(tmp_path / "good").newest()).size == 2
    blocked.unlink()
    assert log.seal_once().troubles == ()
    assert KEY.verifier.open(FolderPlace(blocked).newest()).size == 2
    log.close()


def test_a_place_that_hangs_holds_up_sealing_once_and_briefly(database, db):
    release = threading.Event()

    class Hanging:
        name = "hanging:place"

        def newest(self):
            release.wait(30)

        def put(self, note):
            release.wait(30)

    log = sealer(database, places=[Hanging()], patience=timedelta(milliseconds=100))
    put(db, 2)
    seal(log, 2)
    started = time.monotonic()
    put(db, 2)
    seal(log, 2)
    assert time.monotonic() - started < 20
    assert "no answer within 0.1 s" in log.seal_once().troubles[0]
    release.set()
    log.close()


@pytest.mark.parametrize("make", [FolderPlace, GitPlace])
def test_a_log_that_was_rolled_back_is_not_signed_on(database, db, tmp_path, make):
    place = make(tmp_path / "place")
    log = sealer(database, places=[place])
    put(db, 5)
    seal(log, 5)
    log.close()
    for table in ("checkpoints", "leaves", "merkle_nodes", "records"):
        db.execute(f"delete from remit.{table}")
    put(db, 9)
    behind = sealer(database, places=[place])
    for _ in range(2):
        with pytest.raises(LogForked, match="signed checkpoint of 5 records"):
            behind.seal_once()
    assert check_log(db) == (0, 9)
    behind.close()
    fresh = SigningKey.generate("remit-log")
    renewed = sealer(database, places=[place], key=fresh)
    seal(renewed, 9)
    assert fresh.verifier.open(place.newest()).size == 9
    renewed.close()


def test_a_place_that_did_not_answer_at_first_is_compared_when_it_does(database, db):
    held = KEY.sign(Checkpoint("remit-log", 400, bytes(32)))

    class Late:
        name = "late:place"
        asked = 0

        def newest(self):
            self.asked += 1
            if self.asked == 1:
                raise OSError("not mounted yet")
            return held

        def put(self, note):
            raise OSError("not mounted yet")

    log = sealer(database, places=[Late()])
    assert log.seal_once().troubles == ()  # nothing to deliver yet
    put(db)
    with pytest.raises(LogForked, match="400 records"):
        log.seal_once()
    log.close()


def test_places_are_read_from_their_text(tmp_path):
    assert parse_place("file:a", tmp_path).folder == tmp_path / "a"
    assert parse_place("file:/b", tmp_path).name == "file:/b"
    for wrong in ("", "file:", "a", "s3:x"):
        with pytest.raises(ConfigurationError):
            parse_place(wrong, tmp_path)


# The key ------------------------------------------------------------------------------------------------------------


def test_the_key_is_made_once_and_is_its_owners_only(tmp_path):
    folder = tmp_path / ".remit"
    made = []
    threads = [threading.Thread(target=lambda: made.append(ensure_sealer_key(folder))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({str(key.verifier) for key in made}) == 1
    assert stat.S_IMODE((folder / "sealer.key").stat().st_mode) == 0o600
    public = (folder / "sealer.pub").read_text()
    assert VerifierKey.parse(public) == made[0].verifier
    assert public.startswith("remit-log+")
    assert sorted(path.name for path in folder.iterdir()) == ["sealer.key", "sealer.pub"]


def test_a_key_that_others_can_read_is_refused(tmp_path):
    ensure_sealer_key(tmp_path)
    (tmp_path / "sealer.key").chmod(0o640)
    with pytest.raises(ConfigurationError, match="others can read"):
        ensure_sealer_key(tmp_path)


def test_a_broken_key_is_never_replaced(tmp_path):
    ensure_sealer_key(tmp_path)
    (tmp_path / "sealer.key").write_text("nonsense")
    with pytest.raises(InvalidInput, match="not the private key"):
        ensure_sealer_key(tmp_path)
    assert (tmp_path / "sealer.key").read_text() == "nonsense"


# Erasing ------------------------------------------------------------------------------------------------------------


def session(db, identifier, status):
    with suppress(psycopg.errors.UniqueViolation):
        db.execute("insert into remit.bundles values ('d', '', 'k', '', 'person:a')")
        db.execute("insert into remit.agent_versions values ('desk', 'v', 'd')")
    db.execute(
        "insert into remit.sessions (id, status, agent, agent_version, workspace, principal, trigger, request_id)"
        " values (%s, %s, 'desk', 'v', 'w', 'person:a', 'cli', 'r')",
        (identifier, status),
    )


def test_contents_of_open_sessions_cannot_be_erased(database, db):
    for status in ("running", "waiting", "paused"):
        session(db, f"ses_{status}", status)
        db.execute("select remit.put_payload(%s, %s, 'message', 'salt', 'body')", (f"pay_{status}", f"ses_{status}"))
        with pytest.raises(Conflict, match=status):
            audit_log.erase_payload(db, f"pay_{status}", "person:dana", "asked for")
        with pytest.raises(Conflict, match=status):
            audit_log.erase_session(db, f"ses_{status}", "person:dana", "asked for")
    with pytest.raises(NotFound):
        audit_log.erase_payload(db, "pay_none", "person:dana", "asked for")
    with pytest.raises(NotFound):
        audit_log.erase_session(db, "ses_none", "person:dana", "asked for")


def test_erased_contents_leave_their_digest_and_a_record(database, db):
    session(db, "ses_done", "finished")
    for n in range(3):
        db.execute(
            "select remit.put_payload(%s, 'ses_done', 'message', 'salt', %s)", (f"pay_{n}", f"body {n}".encode())
        )
    with psycopg.connect(database.url("app"), row_factory=dict_row) as app:
        assert audit_log.erase_payload(app, "pay_1", "person:dana", "asked for") is True
        assert audit_log.erase_payload(app, "pay_1", "person:dana", "asked for") is False
        assert audit_log.erase_session(app, "ses_done", "person:dana", "asked for") == 2
        assert audit_log.erase_session(app, "ses_done", "person:dana", "asked for") == 0
    rows = db.execute("select * from remit.payloads order by id").fetchall()
    assert all(row["body"] is None and row["salt"] is None and len(row["digest"]) == 32 for row in rows)
    assert {row["erased_by"] for row in rows} == {"person:dana"}
    said = db.execute("select body::jsonb as body from remit.records where tag = 'person:payload:erased'").fetchall()
    assert [len(row["body"]["payloads"]) for row in said] == [1, 2]
    assert said[0]["body"]["payloads"][0]["digest"] == rows[1]["digest"].hex()


def test_a_checkpoint_of_another_origin_is_no_concern(database, db, tmp_path):
    place = FolderPlace(tmp_path)
    place.put(KEY.sign(Checkpoint("another-log", 77, bytes(32))))
    log = sealer(database, places=[place])
    put(db)
    seal(log, 1)
    assert check_log(db) == (1, 0)
    log.close()
