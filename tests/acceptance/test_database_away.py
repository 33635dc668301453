"""No intent, no execution: the database hangs, goes away, or ends everybody's connections, under load."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from remit.storage.embedded import processes, start
from tests.acceptance.nursery import Nursery, Worker
from tests.acceptance.proxy import Proxy
from tests.acceptance.shop import Shop, open_shop

SESSIONS, STEPS = 6, 12


@pytest.fixture
def proxy(make_database: Callable[..., Any], migrated: str) -> Iterator[Proxy]:
    proxy = Proxy(make_database(migrated).url())
    yield proxy
    proxy.close()


def load(shop: Shop, sessions: int = SESSIONS) -> list[str]:
    """Sessions that pay again and again."""
    return [
        shop.start(
            *({"tool": "pay", "who": f"ivy-{n}-{step}", "amount": 1, "currency": "USD"} for step in range(STEPS))
        )
        for n in range(sessions)
    ]


def until_paid(shop: Shop, count: int) -> None:
    until = time.monotonic() + 60
    while len(shop.books()) < count:
        assert time.monotonic() < until, "nothing is paid"
        time.sleep(0.01)


def all_paid_once(shop: Shop, sessions: list[str]) -> None:
    for session in sessions:
        found = shop.finish(session)
        assert found["status"] == "finished", found
        assert {a["status"] for a in found["actions"]} == {"succeeded"}
    names = Counter(b["who"] for b in shop.books())
    assert names == {f"ivy-{n}-{step}": 1 for n in range(len(sessions)) for step in range(STEPS)}


def alive(shop: Shop, worker: Worker) -> None:
    """A worker whose lease ran out meanwhile has ended; then another is started, as a supervisor would."""
    until = time.monotonic() + 3
    while worker.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    if worker.poll() is not None:
        shop.worker()


@pytest.mark.parametrize("lease", ["2s", "30s"])
@pytest.mark.parametrize("trouble", ["hang", "cut"])
def test_nothing_is_executed_while_the_database_is_away(
    changed_shop: Callable[..., Shop], proxy: Proxy, trouble: str, lease: str
) -> None:
    shop = changed_shop(proxy.direct)
    worker = shop.worker(REMIT_DATABASE_URL=proxy.url, REMIT_LEASE=lease)
    sessions = load(shop)
    until_paid(shop, 5)
    getattr(proxy, trouble)()
    time.sleep(1.2)  # what was cleared may still be sent before its deadline, a second later
    before = len(shop.attempts())
    time.sleep(1.5)
    assert len(shop.attempts()) == before, "something was executed without a committed intent"
    assert before < SESSIONS * STEPS
    proxy.open()
    alive(shop, worker)
    all_paid_once(shop, sessions)


def test_every_execution_had_its_intent_first(changed_shop: Callable[..., Shop], proxy: Proxy) -> None:
    """Connections that end again and again, in the middle of everything."""
    shop = changed_shop(proxy.direct)
    shop.worker()
    shop.worker()
    sessions = load(shop)
    until_paid(shop, 3)
    with psycopg.connect(proxy.direct, autocommit=True) as db:
        for _ in range(15):
            db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
            time.sleep(0.1)
    all_paid_once(shop, sessions)


def test_the_server_is_killed_and_started_again(tmp_path: Path, nursery: Nursery) -> None:
    server = start(tmp_path / "server")
    try:
        with open_shop(tmp_path / "shop", server.url("owner"), nursery) as shop:
            worker = shop.worker(REMIT_LEASE="30s")
            sessions = load(shop)
            until_paid(shop, 5)
            postmaster = processes.postmaster(server.folder / "postgres" / "data")
            assert postmaster is not None
            os.kill(postmaster, signal.SIGKILL)
            with start(tmp_path / "server"):  # whoever comes next starts it again
                alive(shop, worker)
                all_paid_once(shop, sessions)
    finally:
        server.close()
