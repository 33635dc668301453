"""Agents in somebody else's process: their turns are rows like any other, and no worker touches them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

import remit
from remit.bootstrap import Services, open_services
from remit.config.loader import load_project
from remit.config.settings import Settings
from remit.errors import Conflict, InvalidInput, NotEntitled, NotFound
from remit.governance.deployments import deploy
from remit.governance.desk import Decider
from remit.governance.signing import generate_key
from remit.runtime.model_agents import Ungoverned
from remit.storage import actions, executors, inbox, runs, sessions

EXAMPLE = Path(__file__).parents[2] / "examples" / "governed_agent"
ACTIONS = {"find_charge": "shop.charge", "refund": "shop.refund"}
ASK = {"agent": "refund-desk", "input": {"customer": "ada"}, "principal": "person:dov"}


class Firm:
    """The example's company on a database of its own, and an agent that counts what it really does."""

    def __init__(self, folder: Path, services: Services) -> None:
        self.folder = folder
        self.services = services
        self.done: Counter[str] = Counter()
        self.bought = 0
        self.keys: list[str] = []
        self.heard: list[str] = []
        self.amount = 40

    def agent(self) -> Agent[None, str]:
        agent = Agent(FunctionModel(self._answer, model_name="desk"), instructions="Be kind.")

        @agent.tool_plain
        def find_charge(customer: str) -> dict[str, Any]:
            """Find a customer's latest charge."""
            self.done["charge"] += 1
            return {"id": "ch_1", "amount": self.amount, "currency": "USD", "customer": customer}

        @agent.tool_plain
        def refund(charge: str, amount: int, currency: str) -> dict[str, Any]:
            """Pay a charge back."""
            self.done["refund"] += 1
            self.keys.append(remit.clearance().idempotency_key)
            return {"charge": charge, "amount": amount, "currency": currency}

        return agent

    def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.bought += 1
        results = [p for p in messages[-1].parts if isinstance(p, ToolReturnPart)]
        if not results:
            return ModelResponse([ToolCallPart("find_charge", {"customer": "ada"})])
        self.heard.append(str(results[-1].content))
        if results[-1].tool_name == "find_charge":
            charge = json.loads(str(results[0].content))
            pay = {"charge": charge["id"], "amount": charge["amount"], "currency": "USD"}
            return ModelResponse([ToolCallPart("refund", pay)])
        return ModelResponse([TextPart("done")])

    async def work(self, **ask: Any) -> Any:
        async with remit.governed(self.folder, **{**ASK, **ask}) as road:
            result = await self.agent().run("Money back.", capabilities=[road.governance(ACTIONS)])
            road.finish(result.output, result.new_messages())
        return road

    async def again(self, session: str) -> Any:
        return await self.work(session=session, input=None, principal=None)

    def turns(self, session: str) -> list[dict[str, Any]]:
        with self.services.sessions.transaction() as db:
            return sessions.turns(db, session)

    def session(self, session: str) -> tuple[str, str]:
        with self.services.sessions.transaction() as db:
            found = sessions.get(db, session)
            return str(found.status), found.reason

    def statuses(self, session: str) -> list[tuple[str, str]]:
        with self.services.sessions.transaction() as db:
            return [(a["key"], a["status"]) for a in actions.of_session(db, session)]

    def item(self, session: str) -> str:
        with self.services.sessions.transaction() as db:
            (item,) = inbox.listing(db, session_id=session)
            return item.id

    def one(self, sql: str, *args: Any) -> Any:
        with self.services.sessions.transaction() as db:
            row = db.execute(sql, args).fetchone()
            return None if row is None else next(iter(row.values()))


@pytest.fixture
def firm(
    tmp_path: Path, make_database: Callable[..., Any], migrated: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Firm]:
    folder = tmp_path / "company"
    shutil.copytree(EXAMPLE / "company", folder, ignore=shutil.ignore_patterns(".remit"))
    key = generate_key(folder / ".remit" / "deploy.key")
    with (folder / "remit.toml").open("a") as file:
        file.write(f'\n[deploy]\nkeys = ["{key}"]\n')
    url = make_database(migrated).url()
    monkeypatch.setenv("REMIT_DATABASE_URL", url)
    monkeypatch.setenv("REMIT_HEARTBEAT", "100ms")
    with open_services(folder, Settings()) as services:
        with services.sessions.transaction() as db:
            deploy(db, load_project(folder), folder / ".remit" / "deploy.key", "person:cleo")
        yield Firm(folder, services)


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


def test_only_one_process_at_a_time(firm: Firm) -> None:
    async def twice() -> None:
        async with remit.governed(firm.folder, **ASK) as road:
            with pytest.raises(Conflict, match="another process is at work"):
                await firm.again(road.session_id)
            road.finish("first")

    asyncio.run(twice())
    assert firm.done == {}
    assert firm.one("select status from remit.turns") == "finished"


def test_a_process_whose_lease_ran_out_can_do_no_more(firm: Firm) -> None:
    async def overtaken() -> str:
        async with remit.governed(firm.folder, **ASK) as road:
            owner = firm.one("select executor from remit.sessions")
            with firm.services.sessions.transaction() as db:
                executors.leave(db, owner)
            assert (await firm.again(road.session_id)).status == "finished"
            paid = dict(firm.done)
            try:
                await firm.agent().run("Money back.", capabilities=[road.governance(ACTIONS)])
            finally:
                assert firm.done == paid, "the one that was taken over did nothing"
        return road.session_id

    with pytest.raises(Conflict, match="taken session"):
        asyncio.run(overtaken())
    assert firm.one("select status from remit.turns") == "finished"
    assert firm.done == {"charge": 1, "refund": 1}


def test_an_owner_that_was_taken_over_does_not_overwrite_the_end(firm: Firm) -> None:
    async def overtaken() -> None:
        async with remit.governed(firm.folder, **ASK) as road:
            with firm.services.sessions.transaction() as db:
                executors.leave(db, firm.one("select executor from remit.sessions"))
            await firm.again(road.session_id)
            road.finish("too late")

    with pytest.raises(Conflict, match="taken session"):
        asyncio.run(overtaken())
    assert firm.turns(firm.one("select id from remit.sessions"))[0]["output"] == "done"


def test_a_turn_whose_owner_died_waits_for_it(firm: Firm) -> None:
    code = f"""
import asyncio, os, remit
async def main():
    async with remit.governed({str(firm.folder)!r}, agent="refund-desk", input={{"customer": "ada"}},
                              principal="person:dov"):
        os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    died = subprocess.run([sys.executable, "-c", code], env={**os.environ, "REMIT_LEASE": "300ms"}, check=False)
    assert died.returncode == -9
    session = firm.one("select id from remit.sessions")
    assert firm.session(session)[0] == "running"
    with firm.services.sessions.transaction() as db:
        db.execute("update remit.sessions set updated_at = now() - interval '1 hour'")
        db.execute("update remit.executors set expires_at = clock_timestamp() + interval '1 hour'")
        assert executors.lost_turns(db, Settings().lease) == [], "its owner is alive"
        db.execute("update remit.executors set expires_at = clock_timestamp()")
        (lost,) = executors.lost_turns(db, Settings().lease)
        firm.services.sessions.resume_turn(db, lost)
    assert firm.session(session) == ("waiting", "owner")
    assert firm.one("select count(*) from dbos.workflow_status") == 0
    assert asyncio.run(firm.again(session)).status == "finished"


def test_a_process_that_dies_after_paying_pays_once(firm: Firm, tmp_path: Path) -> None:
    env = {**os.environ, "SHOP_BOOKS": str(tmp_path / "books.json"), "SHOP_COMPANY": str(firm.folder)}
    command = [sys.executable, str(EXAMPLE / "desk.py")]
    dying = {**env, "REMIT_KILL_AT": "call:after:4", "REMIT_LEASE": "300ms"}  # two answers, a look, and the refund
    assert subprocess.run([*command, "ada"], env=dying, check=False).returncode == -9
    session = firm.one("select id from remit.sessions")
    assert firm.statuses(session)[-1] == ("m2.t1", "cleared")
    with firm.services.sessions.transaction() as db:  # as if the clearance, the timeout and the lease had run out
        db.execute("update remit.actions set expires_at = clock_timestamp() where status = 'cleared'")
        db.execute("update remit.executors set expires_at = clock_timestamp()")
    done = subprocess.run([*command, "--session", session], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Your money is on its way.", done.stderr
    assert len(json.loads((tmp_path / "books.json").read_text())) == 1
    assert firm.one("select attempt from remit.actions where action = 'shop.refund'") == 2
    assert firm.one("select count(*) from remit.actions where mode = 'model'") == 3


def test_no_worker_can_take_such_a_turn(firm: Firm) -> None:
    firm.amount = 240
    turn = asyncio.run(firm.work()).turn_id
    with firm.services.sessions.transaction() as db:
        executors.register(db, "exe_w", Settings().lease * 100)
        db.execute("update remit.turns set kind = 'agent'")
        firm.services.sessions.resume_turn(db, turn)  # a run that must not be there
        db.execute("update remit.turns set kind = 'external'")
        db.execute("update dbos.workflow_status set status = 'PENDING', executor_id = 'exe_w'")
        asked = {"workflow_id": f"{turn}:2", "turn_id": turn, "executor": "exe_w"}
        assert runs.begin_run(db, **asked) is None
        db.execute("update remit.turns set kind = 'agent'")
        assert runs.begin_run(db, **asked) is not None, "an ordinary turn with the same rows is taken"


def test_a_worker_keeps_out_of_a_session_that_is_at_work(firm: Firm) -> None:
    async def held() -> None:
        async with remit.governed(firm.folder, **ASK) as road:
            with firm.services.sessions.transaction() as db:
                session = sessions.get(db, road.session_id)
                undo, _ = sessions.add_turn(
                    db, road.session_id, "person:bo", session.agent, session.agent_version, {}, kind="undo"
                )
                executors.register(db, "exe_w", Settings().lease * 100)
                firm.services.sessions.resume_turn(db, undo)
                db.execute("update dbos.workflow_status set status = 'PENDING', executor_id = 'exe_w'")
                asked = {"workflow_id": f"{undo}:1", "turn_id": undo, "executor": "exe_w"}
                assert runs.begin_run(db, **asked) is None
                executors.leave(db, firm.one("select executor from remit.sessions"))
                assert runs.begin_run(db, **asked) is not None
                db.rollback()

    asyncio.run(held())


def test_what_the_code_raises_fails_the_turn(firm: Firm) -> None:
    async def broken() -> None:
        async with remit.governed(firm.folder, **ASK):
            raise ZeroDivisionError("secret-0815")

    with pytest.raises(ZeroDivisionError):
        asyncio.run(broken())
    (turn,) = firm.turns(firm.one("select id from remit.sessions"))
    assert turn["status"] == "failed"
    assert turn["error"] == "the agent's code ended with ZeroDivisionError", "its words may hold anything"


def test_a_cancelled_block_waits_for_its_owner(firm: Firm) -> None:
    async def cancelled() -> None:
        async def held() -> None:
            async with remit.governed(firm.folder, **ASK):
                inside.set()
                await asyncio.sleep(60)

        inside = asyncio.Event()
        task = asyncio.create_task(held())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    session = firm.one("select id from remit.sessions")
    assert firm.session(session) == ("waiting", "owner")
    assert asyncio.run(firm.again(session)).status == "finished"


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


def test_a_paused_session_is_left_alone(firm: Firm) -> None:
    firm.amount = 240
    session = asyncio.run(firm.work()).session_id
    firm.services.sessions.pause(session, "bo", "wait")
    with pytest.raises(Conflict, match="is paused"):
        asyncio.run(firm.again(session))
    firm.services.sessions.resume(session, "bo", "go on")
    assert asyncio.run(firm.again(session)).waiting_for == "approval"


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


def test_workers_are_not_asked_to_run_it(firm: Firm) -> None:
    from remit.runtime.sessions import Start

    with pytest.raises(InvalidInput, match="external"):
        firm.services.sessions.start(Start("refund-desk", {"customer": "ada"}, "person:dov"))


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
