"""The Governance capability over a fake road: keys, replay, refusals, limits."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.models.test import TestModel
from pydantic_ai.settings import ModelSettings

from remit.domain.decisions import ActionStatus, Outcome
from remit.errors import ProgramDiverged
from remit.runtime.model_agents import Governance, ModelFailed, ModelLimitReached, Ungoverned, clearance
from remit.testing import FakeRoad, ScriptedModel

ACTIONS = {"refund": "payments.refund", "look": "crm.look"}


def calls(*wanted: tuple[str, Any], ids: str = "call_0") -> dict[str, Any]:
    return {"tool_calls": [{"id": ids, "name": name, "arguments": arguments} for name, arguments in wanted]}


class Desk:
    """Local tools that remember what they did."""

    def __init__(self) -> None:
        self.refunded: list[tuple[int, str]] = []

    async def refund(self, amount: int) -> str:
        self.refunded.append((amount, clearance().idempotency_key))
        return f"refunded {amount}"

    def look(self, name: str) -> dict[str, Any]:
        return {"name": name, "balance": 12.5}


def run(road: FakeRoad, model: Any, desk: Desk | None = None, **options: Any) -> str:
    desk = desk or Desk()
    governance = Governance(road, actions=ACTIONS, **options)
    agent = Agent(model, tools=[desk.refund, desk.look], capabilities=[governance])
    return asyncio.run(agent.run("go")).output


def test_a_provider_that_repeats_its_ids_gets_every_call_done_once() -> None:
    """Keyed by the provider's id, three refunds were asked for, one was made, and all were reported."""
    road, desk = FakeRoad(), Desk()
    three = calls(("refund", {"amount": 10}), ("refund", {"amount": 11}))
    model = ScriptedModel(three, calls(("refund", {"amount": 12})))
    assert run(road, model, desk) == "refunded 10 | refunded 11 | refunded 12"
    assert desk.refunded == [(10, "act_m1.t1"), (11, "act_m1.t2"), (12, "act_m2.t1")]
    assert road.executed == ["m1", "m1.t1", "m1.t2", "m2", "m2.t1", "m3"]
    assert set(road.provider_call_ids.values()) == {"call_0"}


def test_a_second_run_replays_and_buys_and_does_nothing() -> None:
    road, desk = FakeRoad(), Desk()
    model = ScriptedModel(calls(("refund", {"amount": 10})))
    first = run(road, model, desk)
    executed = list(road.executed)
    assert run(road, model, desk) == first
    assert road.executed == executed
    assert model.bought.total() == 2
    assert len(desk.refunded) == 1


def test_a_recorded_answer_wins_over_a_model_that_changed_its_mind() -> None:
    road, desk = FakeRoad(), Desk()
    first = run(road, ScriptedModel(calls(("refund", {"amount": 10}))), desk)
    assert run(road, ScriptedModel({"text": "something else"}), desk) == first


def test_another_prompt_at_the_same_place_is_a_divergence() -> None:
    road = FakeRoad()
    run(road, ScriptedModel({"text": "hello"}))
    agent = Agent(ScriptedModel({"text": "hello"}), capabilities=[Governance(road)])
    with pytest.raises(ProgramDiverged, match="m1"):
        asyncio.run(agent.run("go elsewhere"))


def test_a_changed_instruction_or_tool_is_a_divergence_too() -> None:
    road = FakeRoad()
    run(road, ScriptedModel({"text": "hello"}))
    agent = Agent(ScriptedModel({"text": "hello"}), instructions="be quick", capabilities=[Governance(road)])
    with pytest.raises(ProgramDiverged):
        asyncio.run(agent.run("go"))


def test_requests_are_recorded_by_what_they_add() -> None:
    """Ten requests must not store ten histories."""
    road = FakeRoad()
    long = "x" * 10_000
    steps = [calls(("look", {"name": f"{n} {long}"})) for n in range(10)]
    run(road, ScriptedModel(*steps))
    args = [road.ledger[f"m{n}"].args for n in range(1, 12)]
    assert [len(a["messages"]) for a in args] == [1] * 11
    assert [a.get("after", {}).get("messages") for a in args] == [None, *range(2, 21, 2)]
    assert all("value" not in a["tools"] for a in args[1:])
    assert road.reserved["m11"][0] > 100_000  # the reservation covers the whole request nevertheless


def test_duplicate_keys_in_arguments_are_refused_and_recorded() -> None:
    road, desk = FakeRoad(), Desk()
    model = ScriptedModel(calls(("refund", '{"amount": 50, "amount": 99}')))
    assert "stands twice" in run(road, model, desk)
    assert desk.refunded == []
    assert road.ledger["m1.t1"].status is ActionStatus.REFUSED
    assert road.ledger["m1.t1"].args["raw"] == '{"amount": 50, "amount": 99}'


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ('{"amount": "many"}', "amount: "),
        ("[1]", "no JSON object"),
        ("{", "not JSON"),
        ('{"amount": NaN}', "NaN"),
        ('{"other": 1}', "amount: Field required"),
        ('{"amount": ' + "1" * 50 + "}", "digits"),
        ('{"amount": ' + "[" * 80 + "]" * 80 + "}", "nested deeper"),
    ],
)
def test_invalid_arguments_are_recorded_and_told_to_the_model(raw: str, said: str) -> None:
    road, desk = FakeRoad(), Desk()
    assert said in run(road, ScriptedModel(calls(("refund", raw))), desk)
    assert desk.refunded == []
    assert ("invalid", "m1.t1", "payments.refund") in road.asked


def test_an_unknown_tool_is_recorded_and_does_not_end_the_run() -> None:
    """pydantic-ai gives up when a model asks for the same unknown tool twice."""
    road = FakeRoad()
    unknown = calls(("wire_money", {"amount": 1}))
    output = run(road, ScriptedModel(unknown, unknown, unknown, calls(("look", {"name": "ada"}))))
    assert output.count("there is no tool 'wire_money'; there are: look, refund") == 3
    assert [entry for entry in road.asked if entry[0] == "invalid"] == [
        ("invalid", f"m{n}.t1", "wire_money") for n in (1, 2, 3)
    ]
    assert "m4.t1" in road.executed


def test_a_refusal_is_told_with_its_reason() -> None:
    road, desk = FakeRoad(refusals={"payments.refund": "Refunds over 100 need the finance lead"}), Desk()
    again = calls(("refund", {"amount": 500}))
    output = run(road, ScriptedModel(again, again, again), desk)
    assert output.count("Refused; nothing was done. Refunds over 100 need the finance lead.") == 3
    assert desk.refunded == []


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome("failed", None, "no such charge"), "Failed; nothing was done. no such charge."),
        (Outcome("unknown", None, "the line went dead"), "It is not known whether this was done"),
    ],
)
def test_failed_and_unknown_calls_are_told_apart(outcome: Outcome, said: str) -> None:
    road = FakeRoad()

    async def refund(amount: int) -> str:
        if outcome.status == "failed":
            raise ToolFailed("no such charge")
        raise ConnectionError("the line went dead")

    agent = Agent(
        ScriptedModel(calls(("refund", {"amount": 1}))),
        tools=[refund],
        capabilities=[Governance(road, actions=ACTIONS)],
    )
    assert said in asyncio.run(agent.run("go")).output
    assert road.outcomes["m1.t1"].status == outcome.status


def test_a_tool_that_asks_to_retry_fails_without_ending_the_run() -> None:
    road = FakeRoad()

    async def refund(amount: int) -> str:
        raise ModelRetry(f"{amount} is not possible")

    steps = [calls(("refund", {"amount": n})) for n in range(4)]
    agent = Agent(ScriptedModel(*steps), tools=[refund], capabilities=[Governance(road, actions=ACTIONS)])
    output = asyncio.run(agent.run("go")).output
    assert all(f"{n} is not possible" in output for n in range(4))
    assert {road.outcomes[f"m{n}.t1"].status for n in (1, 2, 3, 4)} == {"failed"}


def test_a_tool_that_hangs_is_unknown() -> None:
    from datetime import timedelta

    road = FakeRoad(timeout=timedelta(milliseconds=20))

    async def refund(amount: int) -> str:
        await asyncio.sleep(30)
        return "late"

    agent = Agent(
        ScriptedModel(calls(("refund", {"amount": 1}))),
        tools=[refund],
        capabilities=[Governance(road, actions=ACTIONS)],
    )
    assert "not known" in asyncio.run(agent.run("go")).output


def test_nothing_is_called_after_the_deadline() -> None:
    road, desk = FakeRoad(window=-1.0), Desk()
    with pytest.raises(ModelFailed, match="clearance ran out"):
        run(road, ScriptedModel(calls(("refund", {"amount": 1}))), desk)
    assert desk.refunded == []


def test_a_local_tool_is_not_called_after_the_deadline() -> None:
    """The clearance of the call runs out while that of the model request did not."""
    road, desk = FakeRoad(), Desk()
    asked: list[str] = []

    def late(point: str) -> None:
        asked.append(point)
        if point == "m1.t1:asked":
            road.window = -1.0
        if point == "m2:asked":
            road.window = 5.0

    road.boundary = late
    assert "clearance ran out" in run(road, ScriptedModel(calls(("refund", {"amount": 1}))), desk)
    assert desk.refunded == []


def test_the_number_of_model_requests_is_limited() -> None:
    road = FakeRoad()
    steps = [calls(("look", {"name": str(n)})) for n in range(10)]
    with pytest.raises(ModelLimitReached, match="3 times"):
        run(road, ScriptedModel(*steps), max_model_requests=3)
    assert "m4" not in road.ledger


def test_the_output_limit_is_always_sent_and_never_above_the_reserved() -> None:
    seen = []

    class Model(TestModel):
        async def request(self, messages: Any, model_settings: Any, parameters: Any) -> Any:
            seen.append(model_settings["max_tokens"])
            return await super().request(messages, model_settings, parameters)

    road = FakeRoad()
    for asked in ({}, {"max_tokens": 100_000}, {"max_tokens": 70}):
        agent = Agent(
            Model(),
            capabilities=[Governance(road, max_output_tokens=300, prefix=f"{len(seen)}.")],
            model_settings=ModelSettings(**asked),
        )
        asyncio.run(agent.run("go"))
    assert seen == [300, 300, 70]
    assert [road.reserved[f"{n}.m1"][1] for n in range(3)] == [300, 300, 70]


def test_streams_are_answered_from_the_settled_response() -> None:
    road, desk = FakeRoad(), Desk()

    async def main() -> str:
        agent = Agent(
            ScriptedModel(calls(("refund", {"amount": 3}))),
            tools=[desk.refund],
            capabilities=[Governance(road, actions=ACTIONS)],
        )
        async with agent.run_stream("go") as stream:
            return await stream.get_output()

    assert asyncio.run(main()) == "refunded 3"
    assert road.executed == ["m1", "m1.t1", "m2"]
    assert asyncio.run(main()) == "refunded 3"
    assert road.executed == ["m1", "m1.t1", "m2"]


def test_two_runs_of_one_turn_share_an_instance() -> None:
    road, desk = FakeRoad(), Desk()

    async def main() -> list[str]:
        agent = Agent(ScriptedModel(calls(("refund", {"amount": 3}))), tools=[desk.refund])
        governance = Governance(road, actions=ACTIONS)
        first = await agent.run("go", capabilities=[governance])
        second = await agent.run("again", capabilities=[governance])
        return [first.output, second.output]

    once = asyncio.run(main())
    assert road.executed == ["m1", "m1.t1", "m2", "m3", "m3.t1", "m4"]
    assert asyncio.run(main()) == once
    assert len(desk.refunded) == 2


def test_structured_output_is_no_action() -> None:
    class Answer(BaseModel):
        total: int

    road = FakeRoad()
    agent = Agent(
        ScriptedModel({"tool_calls": [{"name": "final_result", "arguments": {"total": 3}}]}),
        output_type=Answer,
        capabilities=[Governance(road)],
    )
    assert asyncio.run(agent.run("go")).output == Answer(total=3)
    assert list(road.ledger) == ["m1"]


def test_exact_numbers_stay_exact() -> None:
    road = FakeRoad()
    seen: list[Decimal] = []

    async def refund(amount: Decimal) -> dict[str, Any]:
        seen.append(amount)
        return {"amount": amount}

    agent = Agent(
        ScriptedModel(calls(("refund", '{"amount": 0.1000000000000000055}'))),
        tools=[refund],
        capabilities=[Governance(road, actions=ACTIONS)],
    )
    asyncio.run(agent.run("go"))
    assert road.ledger["m1.t1"].args == {"amount": Decimal("0.1000000000000000055")}
    assert seen == [Decimal("0.1000000000000000055")]


def test_results_that_no_json_takes_are_kept_as_done() -> None:
    road = FakeRoad()

    async def look(name: str) -> dict[str, Any]:
        return {"odd": "a\ud800b\x00", "name": name} if name == "odd" else {"deep": float("inf")}

    agent = Agent(
        ScriptedModel(calls(("look", {"name": "odd"}), ("look", {"name": "inf"}))),
        tools=[look],
        capabilities=[Governance(road, actions=ACTIONS)],
    )
    output = asyncio.run(agent.run("go")).output
    assert "a�b" in output.replace("\\u0000", "")
    assert "Done, but the result cannot be shown" in output
    assert {road.outcomes[k].status for k in ("m1.t1", "m1.t2")} == {"succeeded"}


def test_a_refused_model_request_ends_the_turn_with_the_reasons() -> None:
    road = FakeRoad(refusals={"function:script:test": "The day's budget is spent"})
    with pytest.raises(ModelFailed, match="budget is spent") as failed:
        run(road, ScriptedModel())
    assert failed.value.reasons[0].text == "The day's budget is spent"


def test_a_sync_tool_has_its_clearance_too() -> None:
    road, seen = FakeRoad(), []

    def look(name: str) -> str:
        seen.append(clearance().idempotency_key)
        return name

    agent = Agent(
        ScriptedModel(calls(("look", {"name": "ada"}))), tools=[look], capabilities=[Governance(road, actions=ACTIONS)]
    )
    assert asyncio.run(agent.run("go")).output == "ada"
    assert seen == ["act_m1.t1"]
    with pytest.raises(Ungoverned, match="no governed call"):
        clearance()
