"""Kill -9 at every boundary of the way: nothing lost, nothing doubled, and nothing silently repeated."""

from __future__ import annotations

import signal
from collections import Counter
from itertools import cycle

import pytest

from remit.governance.desk import Decider
from remit.runtime.boundaries import POINTS
from tests.acceptance.shop import Shop

KILLED = -signal.SIGKILL
TOOLS = {"pay": {"currency": "USD"}, "hand_out": {}, "wire": {}}
"""One that honours idempotency keys, one that honours none, one that can be looked up."""
OF_A_CALL = [p for p in POINTS if p.partition(":")[0] in {"admit", "call", "settle"}]
OF_A_RUN = [p for p in POINTS if p.partition(":")[0] == "run"]
OF_A_FIRING = [p for p in POINTS if p.partition(":")[0] == "fire"]
"""Tried in test_triggers_crashes.py."""


def step(tool: str, who: str, amount: int = 20) -> dict[str, object]:
    return {"tool": tool, "who": who, "amount": amount, **TOOLS[tool]}


def paid(shop: Shop) -> Counter[str]:
    return Counter(f"{b['tool']} {b['who']}" for b in shop.books())


def test_every_point_is_tried() -> None:
    assert sorted([*OF_A_CALL, *OF_A_RUN, *OF_A_FIRING, "suspend:before"]) == sorted(POINTS)


@pytest.mark.parametrize(
    ("point", "count"), [*((p, 1) for p in OF_A_RUN), *((p, n) for p in OF_A_CALL for n in (1, 2, 3))]
)
def test_a_worker_dies_and_another_is_started(shop: Shop, point: str, count: int) -> None:
    """The worker dies at the first, second or third call: one of each kind."""
    doomed = shop.doomed(REMIT_KILL_AT=f"{point}:{count}")
    session = shop.start(*(step(tool, "ivy") for tool in TOOLS))
    assert doomed.wait(60) == KILLED
    shop.bury(doomed)
    shop.worker()
    found = shop.finish(session)
    assert found["status"] == "finished", found
    in_doubt = (count, point) in {(2, "admit:after"), (2, "call:before"), (2, "call:after")}
    sent = point == "call:after" or not in_doubt
    assert paid(shop) == {f"{tool} ivy": 1 for tool in TOOLS if tool != "hand_out" or sent}
    assert [i.kind for i in found["items"]] == (["reconciliation"] if in_doubt else [])
    assert [a["status"] for a in found["actions"] if a["action"] != "till.find"] == [
        "succeeded", "succeeded" if sent else "failed", "succeeded"
    ]  # fmt: skip
    assert "failed" in found["turns"][0]["output"][1] or sent


@pytest.mark.parametrize("point", [*OF_A_CALL, *OF_A_RUN])
def test_one_of_two_workers_dies_and_the_other_carries_on(shop: Shop, point: str) -> None:
    doomed = shop.doomed(REMIT_KILL_AT=point)
    shop.worker()
    sessions: dict[str, str] = {}
    tools = cycle(TOOLS)
    while doomed.poll() is None and len(sessions) < 30:
        tool = next(tools)
        who = f"ivy-{len(sessions)}"
        sessions[shop.start(step(tool, who))] = f"{tool} {who}"
        if len(sessions) % 3 == 0:
            shop.wait(next(reversed(sessions)), "finished", "waiting", "failed")
    assert doomed.poll() == KILLED
    for session, effect in sessions.items():
        found = shop.finish(session)
        assert found["status"] == "finished", found
        asked = bool(found["items"])
        assert paid(shop)[effect] in ({0, 1} if asked else {1}), effect
        assert not asked or effect.startswith("hand_out")


def test_an_approval_survives_and_pays_once(shop: Shop) -> None:
    first = shop.doomed(REMIT_KILL_AT="suspend:before")
    session = shop.start(step("pay", "ivy", 120))
    assert first.wait(60) == KILLED
    second = shop.doomed(REMIT_KILL_AT="call:after")
    shop.wait(session, "waiting")
    shop.services.sessions.approve(shop.item(session, "approval"), Decider("bo"), "fine")
    assert second.wait(60) == KILLED
    shop.worker()
    found = shop.finish(session)
    assert paid(shop) == {"pay ivy": 1}
    assert [i.kind for i in found["items"]] == ["approval"], "nobody is asked twice"


def test_a_turn_that_keeps_killing_its_worker_is_left_to_its_owner(shop: Shop) -> None:
    session = shop.start(step("pay", "ivy"))
    for _ in range(2):
        doomed = shop.doomed(REMIT_KILL_AT="admit:before")
        assert doomed.wait(60) == KILLED
        shop.bury(doomed)
    with shop.services.sessions.transaction() as db:
        row = db.execute("select failures from remit.turns").fetchone()
        assert row == {"failures": 2}
        db.execute("update remit.turns set failures = 3")
    shop.worker()
    shop.wait_for(session, "attention")
    assert shop.books() == []
    shop.services.sessions.answer(shop.item(session, "attention"), Decider("bo"), "continue", "mended")
    shop.finish(session)
    assert paid(shop) == {"pay ivy": 1}


def test_what_was_under_way_in_a_session_that_was_ended_is_not_forgotten(shop: Shop) -> None:
    """Its worker dies, somebody cancels the session: no run will ever come back to those calls."""
    doomed = shop.doomed(REMIT_KILL_AT="call:after:4")
    session = shop.start({"tool": "peek"}, step("pay", "ivy"), step("wire", "ivy"), step("hand_out", "ivy"))
    assert doomed.wait(60) == KILLED
    reading = shop.doomed(REMIT_KILL_AT="call:before")
    other = shop.start({"tool": "peek"})
    assert reading.wait(60) == KILLED
    shop.services.sessions.cancel(session, "person:ada", "enough")
    shop.services.sessions.cancel(other, "person:ada", "enough")
    shop.bury(doomed)
    shop.bury(reading)
    with shop.services.sessions.transaction() as db:
        db.execute("update remit.turns set resume_at = clock_timestamp() where resume_at is not null")
    assert shop.services.sessions.tick() == 2
    assert shop.services.sessions.tick() == 0
    assert [a["status"] for a in shop.session(session)["actions"]] == ["succeeded"] * 3 + ["unknown"]
    assert [a["status"] for a in shop.session(other)["actions"]] == ["failed"]
    shop.services.sessions.answer(shop.item(session, "reconciliation"), Decider("ada"), "happened", "looked")
    found = shop.session(session)
    assert (found["status"], found["actions"][3]["status"]) == ("cancelled", "succeeded")
