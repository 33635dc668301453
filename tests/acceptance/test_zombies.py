"""Workers that are stopped, taken for dead, and wake up: they do nothing that their successors have done or refused."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from remit.runtime.worker import EXIT_LEASE_LOST
from tests.acceptance.nursery import Worker
from tests.acceptance.shop import Shop

PAY = {"tool": "pay", "who": "ivy", "amount": 20, "currency": "USD"}
CASH = {"tool": "hand_out", "who": "ivy", "amount": 20}


def quiet(shop: Shop, session: str, seconds: float = 1.5) -> dict[str, Any]:
    """What stands after a while in which a zombie could have done something."""
    time.sleep(seconds)
    return shop.session(session)


def paused(shop: Shop, point: str, *steps: dict[str, Any]) -> tuple[Worker, str]:
    zombie = shop.zombie(REMIT_PAUSE_AT=point)
    session = shop.start(*steps)
    zombie.paused()
    if point == "call:before":
        time.sleep(1.1)  # its clearance has run out
    shop.bury(zombie)
    shop.worker()
    return zombie, session


def test_a_zombie_from_before_its_epoch_leaves_silently(shop: Shop) -> None:
    zombie, session = paused(shop, "run:before_epoch", PAY)
    before = shop.finish(session)
    zombie.signal(signal.SIGCONT)
    after = quiet(shop, session)
    assert after["turns"] == before["turns"]
    assert after["status"] == "finished"
    assert len(shop.attempts()) == len(shop.books()) == 1


def test_a_zombie_does_not_fence_its_successor_at_work(shop: Shop) -> None:
    zombie, session = paused(shop, "run:before_epoch", PAY, {**PAY, "who": "joe"})
    slow = shop.folder / ".remit" / "connections" / "till" / "delay"
    slow.parent.mkdir(parents=True, exist_ok=True)
    slow.write_text("1")
    until = time.monotonic() + 30
    while not shop.books():
        assert time.monotonic() < until
        time.sleep(0.02)
    zombie.signal(signal.SIGCONT)
    shop.finish(session)
    with shop.services.sessions.transaction() as db:
        row = db.execute(
            "select s.epoch, e.pid from remit.sessions s join remit.executors e on e.id = s.executor"
        ).fetchone()
    assert row is not None
    assert row["epoch"] == 1
    assert row["pid"] != zombie.pid
    assert len(shop.attempts()) == 2


@pytest.mark.parametrize("step", [PAY, CASH], ids=["idempotent", "not"])
def test_nothing_is_sent_after_its_deadline(shop: Shop, step: dict[str, Any]) -> None:
    """Paused between clearance and call: awake, it sends nothing, and what it knows is counted where it helps."""
    zombie, session = paused(shop, "call:before", step)
    if step is PAY:
        shop.finish(session)
        assert len(shop.attempts()) == 1
    else:
        shop.wait_for(session, "reconciliation")
        assert shop.attempts() == []
    sent = len(shop.attempts())
    zombie.signal(signal.SIGCONT)
    if step is PAY:
        assert quiet(shop, session)["actions"][0]["status"] == "succeeded"
    else:
        found = shop.wait(session, "finished")
        assert found["actions"][0]["status"] == "failed", "its worker said that it never was sent"
        assert [i.status for i in found["items"]] == ["withdrawn"]
    assert len(shop.attempts()) == sent


@pytest.mark.parametrize("step", [PAY, CASH], ids=["idempotent", "not"])
def test_what_a_zombie_has_done_counts_once(shop: Shop, step: dict[str, Any]) -> None:
    zombie, session = paused(shop, "call:after", step)
    if step is PAY:
        shop.finish(session)
    else:
        shop.wait_for(session, "reconciliation")
    zombie.signal(signal.SIGCONT)
    found = shop.wait(session, "finished")
    quiet(shop, session, 0.5)
    assert found["actions"][0]["status"] == "succeeded"
    assert len(shop.books()) == 1
    with shop.services.sessions.transaction() as db:
        rows = db.execute(
            "select count(*) as n from remit.records "
            "where tag in ('runtime:action:settled', 'person:action:reconciled')"
        ).fetchone()
    assert rows == {"n": 1}


def test_a_worker_whose_lease_ran_out_exits(shop: Shop) -> None:
    worker = shop.doomed()
    session = shop.start(PAY)
    shop.finish(session)
    worker.signal(signal.SIGSTOP)
    time.sleep(4)  # longer than its lease
    worker.signal(signal.SIGCONT)
    assert worker.wait(10) == EXIT_LEASE_LOST
