"""A turn that has to wait, and calls that are in flight when their run ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.run import AgentRunResult

from remit.domain.decisions import ActionStatus
from remit.errors import ProgramDiverged
from remit.runtime.model_agents import Governance, clearance
from remit.runtime.road import TurnSuspendedError
from remit.testing import Entry, FakeRoad, ScriptedModel

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


def test_suspension_passes_and_the_others_in_flight_settle_first() -> None:
    road, desk = FakeRoad(approvals=frozenset({"payments.refund"})), Desk()
    model = ScriptedModel(calls(("refund", {"amount": 1}), ("look", {"name": "ada"}), ("refund", {"amount": 2})))
    with pytest.raises(TurnSuspendedError):
        run(road, model, desk)
    assert road.waiting == ["m1.t1", "m1.t3"]
    assert road.ledger["m1.t2"].status is ActionStatus.SUCCEEDED
    road.approve("m1.t1")
    with pytest.raises(TurnSuspendedError):
        run(road, model, desk)
    road.deny("m1.t3", "not this one")
    output = run(road, model, desk)
    assert output.startswith('refunded 1 | {"balance":12.5,"name":"ada"} | Refused')
    assert "not this one" in output
    assert desk.refunded == [(1, "act_m1.t1")]
    assert model.bought.total() == 2


def test_a_slow_sibling_of_a_suspended_call_is_not_cancelled() -> None:
    road = FakeRoad(approvals=frozenset({"payments.refund"}))
    ended = []

    async def look(name: str) -> str:
        await asyncio.sleep(0.05)
        ended.append(name)
        return name

    async def refund(amount: int) -> str:
        return str(amount)

    model = ScriptedModel(calls(("refund", {"amount": 1}), ("look", {"name": "ada"})))
    agent = Agent(model, tools=[look, refund], capabilities=[Governance(road, actions=ACTIONS)])
    with pytest.raises(TurnSuspendedError):
        asyncio.run(agent.run("go"))
    assert ended == ["ada"]
    assert road.ledger["m1.t2"].status is ActionStatus.SUCCEEDED


def test_a_call_in_flight_settles_though_its_run_is_cancelled() -> None:
    road = FakeRoad()
    called = asyncio.Event()

    async def look(name: str) -> str:
        called.set()
        await asyncio.sleep(0.05)
        return name

    async def main() -> None:
        agent = Agent(
            ScriptedModel(calls(("look", {"name": "ada"}))),
            tools=[look],
            capabilities=[Governance(road, actions={"look": "crm.look"})],
        )
        task = asyncio.create_task(agent.run("go"))
        await called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert road.ledger["m1.t1"].status is ActionStatus.SUCCEEDED
    assert "m2" not in road.ledger


def test_a_call_in_flight_settles_though_its_sibling_breaks_the_run() -> None:
    """pydantic-ai cancels the others when one raises; what has left must still be written down."""
    road = FakeRoad()
    road.ledger["m1.t2"] = Entry("m1.t2", "payments.refund", {"amount": 999})

    async def look(name: str) -> str:
        await asyncio.sleep(0.05)
        return name

    model = ScriptedModel(calls(("look", {"name": "ada"}), ("refund", {"amount": 1})))
    agent = Agent(model, tools=[look, Desk().refund], capabilities=[Governance(road, actions=ACTIONS)])
    with pytest.raises(ProgramDiverged):
        asyncio.run(agent.run("go"))
    assert road.ledger["m1.t1"].status is ActionStatus.SUCCEEDED


def test_a_capability_that_recovers_from_the_suspension_does_not_finish_the_turn() -> None:
    class Recover(AbstractCapability[Any]):
        async def on_run_error(self, ctx: Any, *, error: BaseException) -> Any:
            return AgentRunResult(output="never mind")

    road, desk = FakeRoad(approvals=frozenset({"payments.refund"})), Desk()
    agent = Agent(
        ScriptedModel(calls(("refund", {"amount": 1}))),
        tools=[desk.refund],
        capabilities=[Recover(), Governance(road, actions=ACTIONS)],
    )
    with pytest.raises(TurnSuspendedError):
        asyncio.run(agent.run("go"))


def test_a_capability_that_swallows_the_suspension_does_not_end_the_turn() -> None:
    class Swallow(AbstractCapability[Any]):
        async def wrap_tool_execute(self, ctx: Any, *, handler: Any, args: Any, **_: Any) -> Any:
            try:
                return await handler(args)
            except TurnSuspendedError:
                return "never mind"

        async def on_tool_execute_error(self, ctx: Any, **_: Any) -> Any:
            return "never mind"

    road, desk = FakeRoad(approvals=frozenset({"payments.refund"})), Desk()
    agent = Agent(
        ScriptedModel(calls(("refund", {"amount": 1}))),
        tools=[desk.refund],
        capabilities=[Swallow(), Governance(road, actions=ACTIONS)],
    )
    with pytest.raises(TurnSuspendedError):
        asyncio.run(agent.run("go"))
    assert desk.refunded == []


def test_an_approver_may_edit_and_the_edited_arguments_run() -> None:
    road, desk = FakeRoad(approvals=frozenset({"payments.refund"})), Desk()
    model = ScriptedModel(calls(("refund", {"amount": 500})))
    with pytest.raises(TurnSuspendedError):
        run(road, model, desk)
    road.approve("m1.t1", {"amount": 50})
    assert run(road, model, desk) == "refunded 50"


def test_edited_arguments_that_do_not_fit_do_nothing() -> None:
    road, desk = FakeRoad(approvals=frozenset({"payments.refund"})), Desk()
    model = ScriptedModel(calls(("refund", {"amount": 500})))
    with pytest.raises(TurnSuspendedError):
        run(road, model, desk)
    road.approve("m1.t1", {"amount": "a few"})
    assert "do not fit" in run(road, model, desk)
    assert desk.refunded == []


def test_a_stream_is_suspended_like_a_run() -> None:
    road, desk = FakeRoad(approvals=frozenset({"payments.refund"})), Desk()

    async def main() -> None:
        agent = Agent(
            ScriptedModel(calls(("refund", {"amount": 3}))),
            tools=[desk.refund],
            capabilities=[Governance(road, actions=ACTIONS)],
        )
        async with agent.run_stream("go") as stream:
            await stream.get_output()

    with pytest.raises(TurnSuspendedError):
        asyncio.run(main())
    assert desk.refunded == []
