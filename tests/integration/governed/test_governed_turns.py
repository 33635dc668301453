"""Agents in somebody else's process: their turns are rows like any other."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.models.function import FunctionModel
from tests.integration.governed.firm import ACTIONS, ASK, EXAMPLE, Firm

import remit
from remit.errors import Conflict, InvalidInput, NotEntitled, NotFound
from remit.governance.desk import Decider
from remit.runtime.model_agents import Ungoverned


def test_a_turn_is_finished_with_what_it_said(firm: Firm) -> None:
    road = asyncio.run(firm.work(request_id="T-1"))
    assert (road.status, road.waiting_for) == ("finished", "")
    assert firm.session(road.session_id) == ("finished", "")
    (turn,) = firm.turns(road.session_id)
    assert (turn["kind"], turn["status"], turn["output"], turn["run"]) == ("external", "finished", "done", 1)
    assert [key for key, status in firm.statuses(road.session_id) if status == "succeeded"] == [
        "m1",
        "m1.t1",
        "m2",
        "m2.t1",
        "m3",
    ]
    assert firm.done == {"charge": 1, "refund": 1}
    assert firm.one("select count(*) from dbos.workflow_status") == 0
    assert firm.one("select request_id from remit.sessions") == "T-1"
    assert firm.one("select count(*) from remit.executors where expires_at > clock_timestamp()") == 0


def test_an_approval_leaves_rows_and_its_owner_comes_back(firm: Firm) -> None:
    firm.amount = 240
    road = asyncio.run(firm.work())
    assert (road.status, road.waiting_for) == ("waiting", "approval")
    assert firm.session(road.session_id) == ("waiting", "approval")
    assert asyncio.run(firm.again(road.session_id)).waiting_for == "approval", "nobody has decided yet"

    firm.services.sessions.approve(firm.item(road.session_id), Decider("bo"), "fine")
    assert firm.session(road.session_id) == ("waiting", "owner"), "no worker is asked to go on with it"
    assert firm.one("select count(*) from dbos.workflow_status") == 0
    assert firm.done == {"charge": 1}

    again = asyncio.run(firm.again(road.session_id))
    assert (again.status, again.turn_id) == ("finished", road.turn_id)
    assert firm.done == {"charge": 1, "refund": 1}
    assert firm.bought == 3, "no answer of the model is bought twice"
    assert firm.keys == [firm.one("select id from remit.actions where action = 'shop.refund'")]


def test_a_refusal_is_told_to_the_model(firm: Firm) -> None:
    firm.amount = 240
    road = asyncio.run(firm.work())
    firm.services.sessions.deny(firm.item(road.session_id), Decider("bo"), "the parcel never came back")
    assert firm.session(road.session_id) == ("waiting", "owner")
    assert asyncio.run(firm.again(road.session_id)).status == "finished"
    assert firm.done == {"charge": 1}
    assert "denied: the parcel never came back" in firm.heard[-1]


def test_an_answer_that_comes_while_the_turn_is_at_work_is_not_lost(firm: Firm) -> None:
    firm.amount = 240

    async def both() -> Any:
        async with remit.governed(firm.folder, **ASK) as road:
            try:
                await firm.agent().run("Money back.", capabilities=[road.governance(ACTIONS)])
            finally:
                await asyncio.to_thread(
                    firm.services.sessions.approve, firm.item(road.session_id), Decider("bo"), "quick"
                )
                assert firm.session(road.session_id)[0] == "running"
        return road

    road = asyncio.run(both())
    (turn,) = firm.turns(road.session_id)
    assert (turn["status"], turn["waiting_for"]) == ("waiting", "owner")
    assert asyncio.run(firm.again(road.session_id)).status == "finished"


def test_a_suspension_inside_a_task_group_is_one(firm: Firm) -> None:
    firm.amount = 240

    async def grouped() -> Any:
        async with remit.governed(firm.folder, **ASK) as road:
            governance = road.governance(ACTIONS)
            async with asyncio.TaskGroup() as group:
                group.create_task(firm.agent().run("Money back.", capabilities=[governance]))
        return road

    assert asyncio.run(grouped()).waiting_for == "approval"


def test_a_message_makes_another_turn_with_the_history(firm: Firm) -> None:
    session = asyncio.run(firm.work()).session_id
    with pytest.raises(Conflict, match="is finished"):
        asyncio.run(firm.again(session))
    firm.services.sessions.message(session, "person:dov", {"customer": "bert"})
    assert firm.session(session) == ("waiting", "owner")
    with pytest.raises(Conflict, match="not answered yet"):
        asyncio.run(firm.work(session=session))

    async def second() -> Any:
        async with remit.governed(firm.folder, agent="refund-desk", session=session) as road:
            assert road.input == {"customer": "bert"}
            assert len(road.history) == 6
            road.finish({"heard": len(road.history)})
        return road

    asyncio.run(second())
    assert [t["output"] for t in firm.turns(session)] == ["done", {"heard": 6}]
    third = asyncio.run(firm.work(session=session, input={"customer": "ada"}))
    assert (third.status, len(firm.turns(session))) == ("finished", 3)


def test_one_host_serves_many_turns(firm: Firm) -> None:
    async def many() -> list[str]:
        async with remit.open_host(firm.folder) as host:

            async def one() -> str:
                async with remit.governed(host, **ASK) as road:
                    result = await firm.agent().run("Money back.", capabilities=[road.governance(ACTIONS)])
                    road.finish(result.output)
                return str(road.status)

            return await asyncio.gather(*(one() for _ in range(5)))

    assert asyncio.run(many()) == ["finished"] * 5
    assert firm.done == {"charge": 5, "refund": 5}
    assert len(set(firm.keys)) == 5


def test_a_function_that_is_not_as_it_was_pinned_is_refused(firm: Firm) -> None:
    agent = Agent(FunctionModel(firm._answer, model_name="desk"))

    @agent.tool_plain
    def refund(charge: str, amount: int, currency: str, note: str = "") -> None:
        """Pay a charge back."""

    async def work() -> None:
        async with remit.governed(firm.folder, **ASK) as road:
            await agent.run("hi", capabilities=[road.governance({"refund": "shop.refund"})])

    with pytest.raises(Ungoverned, match="not as it was pinned"):
        asyncio.run(work())
    assert firm.bought == 0


def test_pins_are_written_from_the_functions(firm: Firm) -> None:
    lock = firm.folder / "tools.lock.json"
    before = lock.read_text()
    assert remit.pin_tools(firm.folder, firm.agent(), ACTIONS) == []
    assert lock.read_text() == before
    lock.unlink()
    assert remit.pin_tools(firm.folder, firm.agent(), ACTIONS) == ["shop.charge: new", "shop.refund: new"]
    assert lock.read_text() == before
    assert firm.bought == 0
    with pytest.raises(InvalidInput, match="has no tool"):
        remit.pin_tools(firm.folder, firm.agent(), {"pay": "shop.refund"})
    with pytest.raises(InvalidInput, match="not a connection whose tools"):
        remit.pin_tools(firm.folder, firm.agent(), {"refund": "bank.refund"})


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        ({"principal": None}, InvalidInput),
        ({"principal": "dov"}, InvalidInput),
        ({"principal": "person:nobody"}, NotEntitled),
        ({"input": {"who": "ada"}}, InvalidInput),
        ({"agent": "another"}, NotFound),
    ],
)
def test_what_may_not_be_asked(firm: Firm, ask: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        asyncio.run(firm.work(**ask))
    assert firm.one("select count(*) from remit.sessions") == 0


def test_the_example_as_its_readme_tells(firm: Firm, tmp_path: Path) -> None:
    env = {**os.environ, "SHOP_BOOKS": str(tmp_path / "books.json"), "SHOP_COMPANY": str(firm.folder)}

    def desk(*args: str) -> str:
        done = subprocess.run(
            [sys.executable, str(EXAMPLE / "desk.py"), *args], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert desk("ada") == "Your money is on its way."
    session, _, why = desk("bert").partition(" ")
    assert why == "waits for approval"
    firm.services.sessions.approve(firm.item(session), Decider("bo"), "fine")
    assert desk("--session", session) == "Your money is on its way."
    books = json.loads((tmp_path / "books.json").read_text())
    assert sorted(entry["amount"] for entry in books.values()) == [40, 240]
    assert desk("--pin") == "Every tool is as it was pinned."
