"""Agents that a language model runs, with a real worker: the same road, and no answer is bought twice."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from remit.governance.desk import Decider
from tests.acceptance.shop import Shop
from tests.acceptance.teller import AGENT, Teller, call, open_teller, pay

DEATHS = -signal.SIGKILL


@pytest.fixture
def teller(changed_shop: Callable[..., Shop], tmp_path: Path) -> Teller:
    return open_teller(changed_shop, tmp_path)


def test_it_works_over_gate_and_connection(teller: Teller) -> None:
    teller.shop.worker()
    session = teller.start([call("peek"), pay(20)], [call("peek")])
    found = teller.shop.wait(session, "finished", "failed")
    assert found["status"] == "finished", found["turns"]
    assert [b["amount"] for b in teller.shop.books()] == [20]
    made = {a["key"]: a for a in found["actions"] if a["mode"] != "note"}
    assert list(made) == ["m1", "m1.t1", "m1.t2", "m2", "m2.t1", "m3"]
    assert {a["status"] for a in made.values()} == {"succeeded"}
    assert made["m1.t2"]["why"] == "step 0"
    assert made["m2.t1"]["result"] == {"balance": 980}
    assert (made["m1"]["usd_micros"], made["m1"]["input_tokens"], made["m1"]["output_tokens"]) == (120, 100, 10)
    assert found["turns"][0]["output"].endswith('{"balance":980}')
    assert teller.bought()[0]["tools"] == ["till.hand_out", "till.pay", "till.peek"]
    assert "key" not in json.dumps(teller.bought()[0]["messages"]), "the model never sees the idempotency key"


@pytest.mark.parametrize(
    "point",
    [
        "settle:after",  # the first answer is bought
        "admit:after:2",  # the payment
        "call:after:2",
        "settle:after:2",
        "run:before_end",
    ],
)
def test_a_crash_buys_nothing_and_pays_nothing_twice(teller: Teller, point: str) -> None:
    first = teller.shop.doomed(REMIT_KILL_AT=point)
    session = teller.start([pay(20)])
    assert first.wait(60) == DEATHS
    teller.shop.worker()
    found = teller.shop.wait(session, "finished", "failed")
    assert found["status"] == "finished", found["turns"]
    assert [b["amount"] for b in teller.shop.books()] == [20]
    assert teller.steps() == [0, 1]


@pytest.mark.parametrize("point", ["call:before", "call:after"])
def test_a_request_lost_in_a_crash_is_booked_whole(teller: Teller, point: str) -> None:
    first = teller.shop.doomed(REMIT_KILL_AT=point)
    session = teller.start([pay(20)])
    assert first.wait(60) == DEATHS
    teller.shop.worker()
    found = teller.shop.wait(session, "finished", "failed", seconds=90)
    assert found["status"] == "finished", found["turns"]
    assert teller.steps() == ([0, 0, 1] if point == "call:after" else [0, 1])
    assert [b["amount"] for b in teller.shop.books()] == [20]
    lost = next(a for a in found["actions"] if a["key"] == "m1")
    assert lost["attempt"] == 2
    assert lost["usd_micros"] > 120 + 100 * 2, "the reservation of the lost one, and the answer of the other"
    with teller.shop.services.sessions.transaction() as db:
        row = db.execute(
            "select usd_reserved, tokens_reserved, usd_spent from remit.budgets where id = %s", (f"session:{session}",)
        ).fetchone()
    assert row is not None
    assert (row["usd_reserved"], row["tokens_reserved"]) == (0, 0)
    assert row["usd_spent"] == sum(a["usd_micros"] for a in found["actions"])


def test_an_approval_outlives_workers_and_nothing_is_bought_again(teller: Teller) -> None:
    first = teller.shop.doomed(REMIT_KILL_AT="suspend:before")
    session = teller.start([call("peek"), pay(120)])
    assert first.wait(60) == DEATHS
    second = teller.shop.worker()
    teller.shop.wait(session, "waiting")
    item = teller.shop.item(session, "approval")
    second.kill()
    teller.shop.services.sessions.approve(item, Decider("bo"), "fine")
    third = teller.shop.doomed(REMIT_KILL_AT="call:after")  # the payment: what came before is on record
    assert third.wait(60) == DEATHS
    teller.shop.worker()
    found = teller.shop.wait(session, "finished")
    assert teller.steps() == [0, 1]
    assert [b["amount"] for b in teller.shop.books()] == [120]
    assert [a["key"] for a in found["actions"] if a["action"] == "till.peek"] == ["m1.t1"]
    assert len([i for i in found["items"] if i.kind == "approval"]) == 1


def test_repeated_ids_of_calls_are_different_calls(teller: Teller) -> None:
    teller.shop.worker()
    same = [{**pay(amount), "id": "call_0"} for amount in (10, 11, 12)]
    session = teller.start(same[:2], same[2:])
    found = teller.shop.wait(session, "finished")
    assert sorted(b["amount"] for b in teller.shop.books()) == [10, 11, 12]
    told = [json.loads(text)["amount"] for text in found["turns"][0]["output"].split(" | ")]
    assert told == [10, 11, 12], "each is told its own result"


def test_a_later_turn_knows_the_earlier_ones(teller: Teller) -> None:
    teller.shop.worker()
    session = teller.start([call("peek")])
    teller.shop.wait(session, "finished")
    teller.shop.services.sessions.message(session, "person:dov", {"steps": [[pay(5)]]})
    found = teller.shop.wait(session, "finished")
    while len(found["turns"]) < 2 or found["turns"][1]["status"] != "finished":
        found = teller.shop.wait(session, "finished")
    said = [m["role"] for m in teller.bought()[-1]["messages"]]
    assert said == ["system", "user", "assistant", "tool", "assistant", "user", "assistant", "tool"]
    assert teller.bought()[-1]["messages"][3]["content"] == '{"balance":1000}'
    asked = next(a for a in found["actions"] if a["turn_id"] == found["turns"][1]["id"] and a["key"] == "m1")
    assert asked["args"]["after"]["messages"] == 4, "a later request refers to what is on record"


def test_reasons_are_told_to_the_model(teller: Teller) -> None:
    teller.shop.worker()
    wrong = {"name": "till.pay", "arguments": {"who": "ivy", "amount": "much", "currency": "USD"}}
    twice = {"name": "till.pay", "arguments": '{"who": "ivy", "amount": 1, "amount": 400, "currency": "USD"}'}
    unknown = {"name": "till.burn", "arguments": {}}
    session = teller.start([pay(501), wrong, twice, unknown], [pay(120)])
    teller.shop.wait(session, "waiting")
    teller.shop.services.sessions.deny(teller.shop.item(session, "approval"), Decider("bo"), "ask Ivy first")
    found = teller.shop.wait(session, "finished")
    cap, bad, doubled, no_tool, denied = found["turns"][0]["output"].split(" | ")
    assert "501 USD is over the cap of 500" in cap
    assert "'much' is not of type 'number'" in bad
    assert "twice" in doubled or "duplicate" in doubled
    assert "there is no tool" in no_tool
    assert "denied: ask Ivy first" in denied
    assert teller.shop.books() == []
    refused = {a["key"]: a["status"] for a in found["actions"] if a["mode"] == "tool"}
    assert refused == dict.fromkeys(["m1.t1", "m1.t2", "m1.t3", "m1.t4", "m2.t1"], "refused")


def test_a_budget_stops_it_in_the_middle(changed_shop: Callable[..., Shop], tmp_path: Path) -> None:
    # A request reserves its bytes and 100 tokens, and books the 910 that its answer reports: soon the next has no room.
    agent = AGENT.replace("{calls: 100, usd: 1}", "{tokens: 8000}")
    teller = open_teller(changed_shop, tmp_path, {"agents/teller/agent.yaml": agent}, input_tokens="900")
    teller.shop.worker()
    session = teller.start(*([pay(amount)] for amount in range(1, 15)))
    found = teller.shop.wait(session, "failed", "finished")
    (turn,) = found["turns"]
    assert turn["status"] == "failed"
    assert "no room left in budget session:" in turn["error"]
    asked = [a for a in found["actions"] if a["mode"] == "model"]
    assert asked[-1]["status"] == "refused"
    assert [r["code"] for r in asked[-1]["reasons"]] == ["over_budget"]
    assert 0 < len(teller.bought()) == len(asked) - 1
    assert len(teller.shop.books()) == len(asked) - 1, "what was cleared before is done and settled"
    with teller.shop.services.sessions.transaction() as db:
        row = db.execute("select * from remit.budgets where id = %s", (f"session:{session}",)).fetchone()
    assert row is not None
    assert row["tokens_reserved"] == 0
    assert row["tokens_spent"] <= 8000


def test_a_loop_is_stopped_and_its_owner_asked(teller: Teller) -> None:
    teller.shop.worker()
    session = teller.start(*([[call("peek")]] * 7))
    teller.shop.wait(session, "waiting")
    assert len(teller.bought()) == 6
    item = teller.shop.item(session, "attention")
    teller.shop.services.sessions.answer(item, Decider("bo"), "continue", "it is a test")
    found = teller.shop.wait(session, "finished")
    assert [a["action"] for a in found["actions"]].count("till.peek") == 7
    assert teller.steps() == list(range(8))


def test_a_loop_can_be_ended(teller: Teller) -> None:
    teller.shop.worker()
    session = teller.start(*([[call("peek")]] * 7))
    teller.shop.wait(session, "waiting")
    teller.shop.services.sessions.answer(teller.shop.item(session, "attention"), Decider("bo"), "cancel", "enough")
    assert teller.shop.wait(session, "cancelled")["turns"][0]["status"] == "cancelled"
    assert len(teller.bought()) == 6
