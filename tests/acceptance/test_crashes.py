"""Kill -9 at every boundary of the way: nothing lost, nothing doubled, and nothing silently repeated."""

from __future__ import annotations

import signal

import pytest

from remit.governance.desk import Decider
from remit.runtime.boundaries import POINTS
from tests.acceptance.shop import Shop

PAY = {"tool": "pay", "who": "ivy", "amount": 20, "currency": "USD"}
DEATHS = -signal.SIGKILL


@pytest.mark.parametrize("point", [p for p in POINTS if p != "suspend:before"])
def test_an_idempotent_effect_happens_once(shop: Shop, point: str) -> None:
    first = shop.worker(REMIT_KILL_AT=point)
    session = shop.start({"tool": "peek"}, PAY)
    assert first.wait(60) == DEATHS
    shop.worker()
    found = shop.wait(session, "finished")
    assert [b["amount"] for b in shop.books()] == [20]
    assert [a["status"] for a in found["actions"]] == ["succeeded", "succeeded"]
    assert found["turns"][0]["output"][1]["amount"] == 20


@pytest.mark.parametrize("point", ["admit:before", "admit:after", "call:before", "call:after", "settle:after"])
def test_a_doubtful_effect_is_never_repeated_without_a_person(shop: Shop, point: str) -> None:
    first = shop.worker(REMIT_KILL_AT=f"{point}:2")  # the first call reads
    session = shop.start({"tool": "peek"}, {"tool": "hand_out", "who": "ivy", "amount": 20})
    assert first.wait(60) == DEATHS
    shop.worker()
    found = shop.wait(session, "finished", "waiting")
    while found["status"] == "waiting" and found["reason"] == "limit":
        found = shop.wait(session, "finished", "waiting")
    happened = len(shop.books())
    assert happened <= 1
    if point in {"admit:before", "settle:after"}:
        assert found["status"] == "finished"
        assert happened == 1
        return
    item = shop.item(session, "reconciliation")
    shop.services.sessions.answer(item, Decider("ada"), "happened" if happened else "did-not-happen", "looked")
    found = shop.wait(session, "finished")
    assert len(shop.books()) == happened, "asking a person must not repeat it"
    assert found["actions"][1]["status"] == ("succeeded" if happened else "failed")


@pytest.mark.parametrize("point", ["call:before", "call:after"])
def test_a_lookup_says_what_happened(shop: Shop, point: str) -> None:
    first = shop.worker(REMIT_KILL_AT=point)
    session = shop.start({"tool": "wire", "who": "ivy", "amount": 20})
    assert first.wait(60) == DEATHS
    shop.worker()
    found = shop.wait(session, "finished")
    assert [b["amount"] for b in shop.books()] == [20]
    assert found["actions"][0]["status"] == "succeeded"


def test_an_approval_survives_and_pays_once(shop: Shop) -> None:
    first = shop.worker(REMIT_KILL_AT="suspend:before")
    session = shop.start({**PAY, "amount": 120})
    assert first.wait(60) == DEATHS
    shop.worker()
    shop.wait(session, "waiting")
    item = shop.item(session, "approval")
    shop.end_workers()
    shop.services.sessions.approve(item, Decider("bo"), "fine")
    second = shop.worker(REMIT_KILL_AT="call:after")
    assert second.wait(60) == DEATHS
    shop.worker()
    found = shop.wait(session, "finished")
    assert [b["amount"] for b in shop.books()] == [120]
    assert len([i for i in found["items"] if i.kind == "approval"]) == 1, "nobody is asked twice"


def test_another_worker_carries_on(shop: Shop) -> None:
    doomed = shop.worker(REMIT_KILL_AT="call:before")
    session = shop.start(PAY)
    assert doomed.wait(60) == DEATHS
    shop.worker()
    shop.wait(session, "finished", seconds=20)
    assert [b["amount"] for b in shop.books()] == [20]
