"""Spans of a real worker at a collector: what the ledger says, once, whatever happens to either of them."""

from __future__ import annotations

import base64
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remit.governance.desk import Decider
from remit.telemetry import span_id, trace_id
from tests.acceptance.collector import Collector
from tests.acceptance.shop import Shop
from tests.acceptance.teller import Teller, call, open_teller, pay


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def teller(changed_shop: Callable[..., Shop], tmp_path: Path) -> Teller:
    return open_teller(changed_shop, tmp_path)


def exporting(collector: Collector) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_TIMEOUT": "2"}


def identity(span: dict[str, Any]) -> tuple[int, int]:
    return tuple(int.from_bytes(base64.b64decode(span[name])) for name in ("traceId", "spanId"))


def test_a_turn_is_one_trace_without_contents(teller: Teller, collector: Collector) -> None:
    teller.shop.worker(**exporting(collector))
    session = teller.start([call("peek"), pay(20, "secret-ivy")], [pay(501)])
    found = teller.shop.wait(session, "finished")
    spans = collector.turn(7)
    (turn,) = found["turns"]
    made = {a["key"]: a for a in found["actions"] if a["mode"] != "note"}
    assert Counter(s["name"] for s in spans) == {
        "invoke_agent teller": 1,
        "chat till": 3,
        "execute_tool till.peek": 1,
        "execute_tool till.pay": 2,
    }
    assert {s["traceId"] for s in spans} == {base64.b64encode(trace_id(turn["id"]).to_bytes(16)).decode()}
    by_key = {s["attributes"].get("remit.action.key", "turn"): s for s in spans}
    root = by_key.pop("turn")
    assert "parentSpanId" not in root
    assert {s["parentSpanId"] for s in by_key.values()} == {root["spanId"]}
    for key, span in by_key.items():
        attributes, action = span["attributes"], made[key]
        assert identity(span)[1] == span_id(action["id"])
        assert attributes["gen_ai.conversation.id"] == session
        assert attributes["remit.action.status"] == action["status"]
        assert attributes.get("remit.policy.ids", []) == action["policy_ids"]
        assert attributes["remit.cost_usd"] == action["usd_micros"] / 1e6
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
    assert by_key["m1"]["attributes"]["gen_ai.usage.input_tokens"] == 100
    assert by_key["m1"]["attributes"]["gen_ai.provider.name"] == "script"
    assert by_key["m1"]["kind"] == "SPAN_KIND_CLIENT"
    refused = by_key["m2.t1"]
    assert refused["attributes"]["error.type"] == "over_cap"
    assert refused["attributes"]["remit.decision"] == "forbid"
    assert refused["status"] == {"code": "STATUS_CODE_ERROR"}
    assert root["attributes"]["gen_ai.usage.output_tokens"] == 30
    assert root["attributes"]["gen_ai.agent.version"] == turn["agent_version"]
    assert collector.resources[0]["service.name"] == "remit"
    for private in (b"secret-ivy", b"balance", b"step 0", b"Do what the message says"):
        assert private not in collector.raw


def test_contents_only_where_they_are_asked_for(teller: Teller, collector: Collector) -> None:
    teller.shop.worker(**exporting(collector), REMIT_TELEMETRY_CONTENTS="true", OTEL_SERVICE_NAME="our-desk")
    session = teller.start([pay(20, "secret-ivy")])
    teller.shop.wait(session, "finished")
    by_key = {s["attributes"].get("remit.action.key", "turn"): s["attributes"] for s in collector.turn(4)}
    assert "secret-ivy" in by_key["m1.t1"]["gen_ai.tool.call.arguments"]
    assert '"amount": 20' in by_key["m1.t1"]["gen_ai.tool.call.result"]
    assert "secret-ivy" in by_key["m1"]["gen_ai.input.messages"]
    assert "step 0" in by_key["m1"]["gen_ai.output.messages"]
    assert "secret-ivy" in by_key["turn"]["gen_ai.input.messages"]
    assert collector.resources[0]["service.name"] == "our-desk"


def test_a_collector_that_fails_holds_up_nothing_and_loses_nothing(teller: Teller, collector: Collector) -> None:
    collector.status = 503
    teller.shop.worker(**exporting(collector))
    sessions = [teller.start([pay(amount)]) for amount in (1, 2)]
    for session in sessions:
        teller.shop.wait(session, "finished")
    log = teller.shop.folder / "worker.log"
    collector.wait(lambda _: "traces cannot be exported" in log.read_text())
    collector.status = 200
    spans = collector.wait(lambda got: len(got) >= 8, seconds=60)
    assert set(Counter(map(identity, spans)).values()) == {1}
    assert {s["attributes"]["gen_ai.conversation.id"] for s in spans} == set(sessions)
    assert sorted(b["amount"] for b in teller.shop.books()) == [1, 2]


def test_a_collector_that_hangs(teller: Teller, collector: Collector) -> None:
    collector.delay = 3.0
    teller.shop.worker(**exporting(collector))
    teller.shop.wait(teller.start([pay(1)]), "finished")
    collector.wait(lambda got: len(got) >= 2)  # taken, but the answer came too late
    for amount in (2, 3, 4):
        session = teller.start([pay(amount)])
        teller.shop.wait(session, "finished", seconds=20)
    collector.delay = 0.0
    spans = collector.wait(lambda got: len(set(map(identity, got))) >= 16, seconds=60)
    assert len(set(map(identity, spans))) == 16, "what came twice came under the same ids"


def test_a_collector_that_is_not_there(teller: Teller) -> None:
    teller.shop.worker(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_EXPORTER_OTLP_TIMEOUT="1")
    teller.shop.wait(teller.start([pay(1)]), "finished")


def test_spans_of_several_workers_join_after_a_crash(teller: Teller, collector: Collector) -> None:
    first = teller.shop.worker(**exporting(collector))
    session = teller.start([call("peek"), pay(120)])
    teller.shop.wait(session, "waiting")
    collector.wait(lambda got: len(got) >= 2)  # the answer, and the look
    first.signal(signal.SIGKILL)
    teller.shop.services.sessions.approve(teller.shop.item(session, "approval"), Decider("bo"), "fine")
    teller.shop.worker(**exporting(collector))
    teller.shop.wait(session, "finished")
    spans = collector.turn(5)
    assert len({s["traceId"] for s in spans}) == 1
    # A batch that the killed one had passed on, and not yet written down, comes once more, under the same ids.
    times = Counter(map(identity, spans))
    assert set(times.values()) <= {1, 2}
    assert sum(times.values()) - len(times) <= 2, "nothing but that batch comes twice"
    paid = next(s["attributes"] for s in spans if s["name"] == "execute_tool till.pay")
    assert paid["remit.reason.codes"] == ["needs_human_approval_over_100"]
    assert paid["remit.approval.roles"] == ["accountable"]
    assert paid["remit.person.verdict"] == "approved"
    assert paid["remit.waited_seconds"] > 0


def test_two_workers_export_once(teller: Teller, collector: Collector) -> None:
    collector.delay = 1.5  # long enough for both to look at the same stretch
    for _ in range(2):
        teller.shop.worker(**exporting(collector))
    sessions = [teller.start([pay(amount)]) for amount in range(1, 6)]
    for session in sessions:
        teller.shop.wait(session, "finished")
    collector.wait(lambda got: len(set(map(identity, got))) >= 20)
    teller.shop.wait(teller.start([pay(6)]), "finished")
    spans = collector.wait(lambda got: len(set(map(identity, got))) >= 24)  # by now every other answer is there too
    assert len(spans) == len(set(map(identity, spans))) == 24


def test_a_cancelled_turn_ends_its_trace(teller: Teller, collector: Collector) -> None:
    teller.shop.worker(**exporting(collector))
    session = teller.start([pay(120)])
    teller.shop.wait(session, "waiting")
    teller.shop.services.sessions.cancel(session, "bo", "not needed")
    (root,) = [s for s in collector.turn(2) if s["name"] == "invoke_agent teller"]
    assert root["attributes"]["error.type"] == "cancelled"
