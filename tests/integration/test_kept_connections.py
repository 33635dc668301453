"""Connections that are kept between transactions: used again, not while broken, not by two at once, not over a fork."""

import os
import threading

import psycopg
import pytest

from remit.errors import DatabaseUnavailable
from remit.storage.database import connect, keeping_connections


def backend(url):
    with connect(url) as db:
        return db.execute("select pg_backend_pid() as pid").fetchone()["pid"]


def end_and_use(url):
    with connect(url) as db:
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("select pg_terminate_backend(%s, 5000)", (db.info.backend_pid,))
        db.execute("select 1")


def insert_and_raise(url):
    with connect(url) as db:
        db.execute("insert into t values (2)")
        raise RuntimeError


@pytest.fixture
def url(make_database):
    return make_database().url()


def test_a_connection_is_used_again_within_the_block_only(url):
    assert backend(url) != backend(url)
    with keeping_connections(url):
        first = backend(url)
        assert {backend(url) for _ in range(5)} == {first}
        with keeping_connections(url):
            assert backend(url) == first
        with connect(url, autocommit=True) as db:
            assert db.execute("select pg_backend_pid() as pid").fetchone()["pid"] != first
    assert backend(url) != first
    with psycopg.connect(url) as db:
        left = db.execute("select count(*) from pg_stat_activity where pid = %s and state = 'active'", (first,))
        assert left.fetchone()[0] == 0


def test_each_transaction_is_whole_and_an_error_leaves_nothing(url):
    with keeping_connections(url):
        with connect(url) as db:
            db.execute("create table t (n int)")
            db.execute("insert into t values (1)")
        with pytest.raises(RuntimeError):
            insert_and_raise(url)
        with pytest.raises(psycopg.errors.DivisionByZero), connect(url) as db:
            db.execute("insert into t values (1 / 0)")
        with connect(url) as db:
            assert [row["n"] for row in db.execute("select n from t").fetchall()] == [1]


def test_transactions_at_the_same_time_have_connections_of_their_own(url):
    with keeping_connections(url), connect(url) as outer, connect(url) as inner:
        assert outer is not inner
        seen = []
        threads = [threading.Thread(target=lambda: seen.append(backend(url))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 20
        assert not {outer.info.backend_pid, inner.info.backend_pid} & set(seen)


def test_one_that_the_server_has_closed_is_not_lent(url):
    with keeping_connections(url):
        first = backend(url)
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("select pg_terminate_backend(%s, 5000)", (first,))
        assert backend(url) != first


def test_one_that_breaks_in_use_is_told_as_such_and_not_kept(url):
    with keeping_connections(url):
        with pytest.raises(DatabaseUnavailable):
            end_and_use(url)
        assert backend(url)


def test_a_fork_opens_its_own(url):
    with keeping_connections(url):
        first = backend(url)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - in the child
            os.write(writing, str(backend(url)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert int(os.read(reading, 20)) != first
        assert backend(url) == first
        os.close(reading)
        os.close(writing)
