"""Stops: after one has committed, nothing that it covers is cleared; what is under way settles."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Any

import psycopg
import pytest
from tests.integration.road.world import FILES, World, project

from remit.domain.records import Tag
from remit.domain.sessions import SessionStatus
from remit.governance.judgement import Run
from remit.runtime.road import TurnSuspendedError
from remit.storage import sessions, stops
from remit.storage.database import connect

TWO_AGENTS = {
    "agents__runner__agent_DOT_yaml": FILES["agents/clerk/agent.yaml"]
    .replace("title: Clerk", "title: Runner")
    .replace("workspace: shop", "workspace: yard"),
    "agents__runner__program_DOT_py": FILES["agents/clerk/program.py"],
    "directory_DOT_yaml": FILES["directory.yaml"].replace(
        "workspaces: [{id: shop, title: Shop}]", "workspaces: [{id: shop, title: Shop}, {id: yard, title: Yard}]"
    ),
}
LIMITS = "repeat_limit: 1000\nturn_action_limit: 100000\n"
TIRELESS = {
    **TWO_AGENTS,
    "agents__runner__agent_DOT_yaml": TWO_AGENTS["agents__runner__agent_DOT_yaml"] + LIMITS,
    "agents__clerk__agent_DOT_yaml": FILES["agents/clerk/agent.yaml"] + LIMITS,
}
SCOPES: list[tuple[Any, str]] = [("all", ""), ("workspace", "shop"), ("agent", "clerk"), ("action", "till.peek")]


@pytest.mark.parametrize(("scope", "target"), SCOPES)
def test_a_stop_halts_what_it_covers_and_nothing_else(make_world: Any, scope: Any, target: str) -> None:
    world = make_world(**TWO_AGENTS)
    clerk, runner = world.run(), world.run("runner")
    world.stop(scope, target)
    assert world.waits(clerk, "till.peek").waiting_for == "stop"
    assert world.till.sent == []
    assert world.rows("select 1 from remit.actions") == [], "what is halted is not refused: it goes on after release"
    if scope == "all":
        assert world.waits(runner, "till.file").waiting_for == "stop"
    else:
        assert world.call(runner, "till.file").status == "succeeded"
    world.release(scope, target)
    assert world.call(world.again(clerk), "till.peek").status == "succeeded"


def test_a_released_stop_leaves_another_in_force(world: World) -> None:
    run = world.run()
    world.stop("agent", "clerk")
    world.stop("all")
    world.release("all")
    assert world.waits(run, "till.peek").waiting_for == "stop"
    world.release("agent", "clerk")
    assert world.call(run, "till.peek").status == "succeeded"


def test_a_stop_of_models_halts_requests_to_models(world: World) -> None:
    run = world.run()
    world.stop("action", "model.request")

    async def ask() -> None:
        await (await world.road(run)).model("m1", "script:priced", {}, input_bytes=1, output_limit=1, execute=never)

    async def never(_: Any) -> Any:
        raise AssertionError("it was sent")

    with pytest.raises(TurnSuspendedError, match="stop"):
        world.do(ask())
    assert world.call(run, "till.peek", key="2").status == "succeeded"


@pytest.mark.parametrize("kind", ["stop", "approval"])
def test_an_approval_under_a_stop_waits_for_the_release(world: World, kind: str) -> None:
    args = {"who": "ivy", "amount": 120, "currency": "USD"}
    run = world.run()
    world.waits(run, "till.pay", args)
    world.stop()
    world.decide(world.item(run), "bo")
    again = world.again(run)
    assert world.waits(again, "till.pay", args).waiting_for == "stop"
    world.release()
    assert world.call(world.again(run), "till.pay", args).status == "succeeded"
    assert len(world.till.done("pay")) == 1


@pytest.mark.parametrize(("move", "says"), [("paused", "pause"), ("cancelled", "pause")])
def test_a_session_that_was_set_aside_admits_nothing(world: World, move: str, says: str) -> None:
    run = world.run()
    if move == "paused":
        sessions.move(world.db, run.session_id, SessionStatus.PAUSED, Tag.SESSION_PAUSED, by="ada", reason="")
    else:
        sessions.cancel(world.db, run.session_id, by="ada", reason="")
    assert world.waits(run, "till.peek").waiting_for == says
    assert world.rows("select 1 from remit.actions") == []


# -- under load ----------------------------------------------------------------------------------------------------


class Load:
    """Sessions of two agents that call without a pause, and whoever stops them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.runs = [world.run(agent) for agent in ("clerk", "runner") for _ in range(6)]
        self.done = threading.Event()
        self.calls = 0
        self.waits: set[str] = set()

    async def session(self, run: Run) -> None:
        key = 0
        road = await self.world.road(run)
        while not self.done.is_set():
            action = "till.peek" if key % 2 else "till.costly"
            try:
                await road.tool(str(key), action, {"n": key})
                key += 1
                self.calls += 1
            except TurnSuspendedError as wait:
                self.waits.add(wait.waiting_for)
                await asyncio.sleep(random.random() / 100)

    async def work(self, meddle: Any) -> None:
        sessions_ = [asyncio.create_task(self.session(run)) for run in self.runs]
        try:
            await asyncio.to_thread(meddle)
        finally:
            self.done.set()
        await asyncio.gather(*sessions_)


COVERED = {
    "all": "true",
    "workspace": "session_id in (select id from remit.sessions where workspace = 'shop')",
    "agent": "agent = 'clerk'",
    "action": "action = 'till.peek'",
}


def cleared(db: Any, scope: str) -> set[tuple[str, int]]:
    return {
        (r["id"], r["attempt"])
        for r in db.execute(f"select id, attempt from remit.actions where attempt > 0 and {COVERED[scope]}")
    }


def test_nothing_is_cleared_after_any_of_hundreds_of_stops(make_world: Any) -> None:
    world = make_world(**TIRELESS)
    load = Load(world)
    grown: list[str] = []

    def meddle() -> None:
        with connect(world.url) as writer, connect(world.url, autocommit=True) as reader:
            for number in range(200):
                scope, target = SCOPES[number % 4]
                stops.put(writer, scope, target, "test", "ada")
                writer.commit()
                first = cleared(reader, scope)
                reader.execute("select pg_sleep(%s)", (random.random() / 200,))
                second = cleared(reader, scope)
                if not second <= first:
                    grown.append(f"{scope}: {len(second - first)}")
                stops.release(writer, scope, target, "ada", "test")
                writer.commit()
                reader.execute("select pg_sleep(0.002)")

    world.do(load.work(meddle))
    assert grown == []
    assert load.waits == {"stop"}
    assert load.calls > 100, "there was load"
    assert {r["status"] for r in world.rows("select distinct status from remit.actions")} == {"succeeded"}


def test_every_action_is_judged_by_what_is_in_force(make_world: Any) -> None:
    """Deployments under load. Their records and the actions' are written under one lock: their order is exact."""
    world = make_world(**TIRELESS)
    load = Load(world)
    no = '@id("no") forbid (principal, action == Action::"till.peek", resource);'
    forbids, permits = project(**TIRELESS, policies__no_DOT_cedar=no), project(**TIRELESS)
    policies = {world.snapshots.current().version: world.snapshots.current().policy.version}

    def meddle() -> None:
        with psycopg.connect(world.url, autocommit=True) as db:
            for number in range(30):
                governance = world.snapshots.put(permits if number % 2 else forbids)
                policies[governance.version] = governance.policy.version
                db.execute("select pg_sleep(0.01)")

    world.do(load.work(meddle))
    records = world.rows(
        "select tag, body::jsonb ->> 'policy_version' as policy, body::jsonb ->> 'governance_version' as version, "
        "body::jsonb ->> 'action' as action from remit.records where tag like 'gate:action:%%' "
        "or tag = 'person:bundle:deployed' order by id"
    )
    in_force, seen = "", set()
    for record in records:
        if record["version"] is not None:
            in_force = policies[int(record["version"])]
            continue
        assert record["policy"] == in_force
        if record["action"] == "till.peek":
            seen.add((in_force, record["tag"]))
    assert len(seen) == 2, "both policies were in force while there was load, each with one verdict"


def test_a_run_with_an_old_snapshot_decides_again(world: World) -> None:
    run = world.run()
    world.snapshots.put(project(policies__no_DOT_cedar='@id("no") @reason("no") forbid (principal, action, resource);'))
    assert world.refused(run, "till.peek") == ["no"]
