"""Budgets, caps, rates, concurrency, loops: races for the last cent, and what is left behind by a crash."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import Any

import pytest
from tests.integration.road.world import FILES, Died, World, dies, outcome, project

from remit.domain.decisions import Clearance, Outcome
from remit.governance.judgement import Run
from remit.runtime.connections import ToolAnswer
from remit.runtime.loops import LoopDetectedError
from remit.runtime.road import Performed, TurnSuspendedError

PAY = {"who": "ivy", "amount": 100, "currency": "USD"}
TIRELESS = "repeat_limit: 1000\nturn_action_limit: 100000\n"
DOLLAR = 1_000_000


def clerk(more: str, **replaced: str) -> dict[str, str]:
    """The world's files with a clerk that has budgets."""
    text = FILES["agents/clerk/agent.yaml"]
    for old, new in replaced.items():
        text = text.replace(old, new)
    return {"agents__clerk__agent_DOT_yaml": text + TIRELESS + more}


def never_over(world: World) -> None:
    """Make every commit that overspends a budget fail."""
    for what in ("usd", "tokens", "calls"):
        world.db.execute(f"alter table remit.budgets add check ({what}_reserved + {what}_spent <= {what}_limit)")


# -- budgets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_many_sessions_of_two_processes_race_for_the_last_cent(make_world: Any, seed: int) -> None:
    chance = random.Random(seed)
    limit, private = chance.randint(15, 25), chance.randint(2, 4)
    files = clerk(f"budget: {{session: {{usd: {private}}}, day: {{usd: {limit}.99, calls: 1000}}}}\n")
    one = make_world(**files)
    two = make_world(one.url, snapshots=one.snapshots)
    never_over(one)
    exact = seed == 0
    spent: list[int] = []

    async def execute(_: Clearance) -> Outcome:
        await asyncio.sleep(chance.random() / 50)
        cost = DOLLAR if exact else chance.randint(0, DOLLAR)
        spent.append(cost)
        return Outcome(chance.choice(("succeeded", "failed")), usd_micros=cost)

    async def session(world: World, run: Run) -> list[Performed]:
        road = await world.road(run)
        return [await road.tool(str(n), "till.costly", {}, execute=execute) for n in range(private + 2)]

    async def process(world: World, runs: list[Run]) -> list[list[Performed]]:
        return await asyncio.gather(*(session(world, run) for run in runs))

    runs = {world: [world.run() for _ in range(8)] for world in (one, two)}
    ends: list[list[Performed]] = []
    threads = [threading.Thread(target=lambda w=world: ends.extend(w.do(process(w, runs[w])))) for world in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [p for end in ends for p in end]
    assert len(done) == 16 * (private + 2), "every call has ended"
    refused = [p for p in done if p.status == "refused"]
    assert {r.code for p in refused for r in p.reasons} == {"over_budget"}
    assert len(done) - len(refused) == len(spent)
    if exact:
        assert len(spent) == limit, "not one more, and not one less"
    budgets = one.budgets()
    day = next(b for name, b in budgets.items() if name.startswith("agent:clerk:"))
    assert (day["usd_reserved"], day["usd_spent"], day["calls_spent"]) == (0, sum(spent), len(spent))
    private_spent = [b["usd_spent"] for name, b in budgets.items() if name.startswith("session:")]
    assert sum(private_spent) == sum(spent)
    assert max(private_spent) <= private * DOLLAR


@pytest.mark.parametrize("where", ["session", "agent", "project", "workflow"])
@pytest.mark.parametrize("what", ["usd: 2", "calls: 2"])
def test_every_budget_that_covers_an_action_limits_it(make_world: Any, where: str, what: str) -> None:
    files = {
        "session": clerk(f"budget: {{session: {{{what}}}}}\n"),
        "agent": clerk(f"budget: {{day: {{{what}}}}}\n"),
        "project": {"remit_DOT_toml": FILES["remit.toml"] + "[budget.day]\n" + what.replace(":", " =")},
        "workflow": {
            **clerk("workflow: desk\n"),
            "workflows_DOT_yaml": "workflows: {desk: {title: Desk, owner: bo, outcome: Done, steps: [], "
            f"budget: {{day: {{{what}}}}}}}}}\n",
        },
    }[where]
    world = make_world(**files)
    run = world.run()
    for key in "12":
        assert world.call(run, "till.costly", key=key, execute=outcome(usd_micros=DOLLAR)).status == "succeeded"
    assert world.refused(run, "till.costly", key="3") == ["over_budget"]
    assert world.action(run, "3")["status"] == "refused"


def test_what_failed_gives_back_what_it_did_not_cost(make_world: Any) -> None:
    world = make_world(**clerk("budget: {session: {usd: 1}}\n"))
    run = world.run()
    for key in "123":
        assert world.call(run, "till.costly", key=key, execute=outcome(status="failed")).status == "failed"
    assert world.budgets()[f"session:{run.session_id}"]["usd_spent"] == 0


def test_tokens_are_reserved_before_and_counted_after(make_world: Any) -> None:
    world = make_world(**clerk("budget: {session: {tokens: 200}}\n"))
    run = world.run()

    async def ask(key: str, size: int) -> Performed:
        road = await world.road(run)
        return await road.model(
            key,
            "script:priced",
            {"k": key},
            input_bytes=size,
            output_limit=50,
            execute=outcome("text", input_tokens=20, output_tokens=10),
        )

    assert world.do(ask("m1", 150)).status == "succeeded"
    assert world.do(ask("m2", 121)).reasons[0].code == "over_budget"
    assert world.do(ask("m3", 100)).status == "succeeded"
    assert world.budgets()[f"session:{run.session_id}"]["tokens_spent"] == 60


def test_an_overrun_blocks_the_budget_until_somebody_looked(make_world: Any) -> None:
    world = make_world(**clerk("budget: {session: {usd: 10}}\n"))
    run = world.run()
    assert world.call(run, "till.costly", execute=outcome(usd_micros=DOLLAR + 1)).status == "succeeded"
    assert world.refused(run, "till.costly", key="2") == ["budget_blocked"]
    item = world.item(run, "attention")
    assert item.assignees == ("bo",)
    assert item.detail["why"] == "budget_overrun"
    assert "runtime:budget:overrun" in world.tags(run)
    world.answer(item, "bo", "continue")
    assert world.call(world.again(run), "till.costly", key="3", execute=outcome()).status == "succeeded"


def test_a_model_without_a_price_is_refused_where_money_is_limited(make_world: Any) -> None:
    async def ask(world: World, run: Run) -> Performed:
        road = await world.road(run)
        return await road.model("m1", "script:free", {}, input_bytes=1, output_limit=1, execute=outcome("text"))

    free = {"script:priced": "script:free"}
    world = make_world(**clerk("", **free))
    assert world.do(ask(world, world.run())).status == "succeeded"
    world.snapshots.put(project(**clerk("budget: {day: {usd: 5}}\n", **free)))
    done = world.do(ask(world, world.run()))
    assert [r.code for r in done.reasons] == ["model_without_price"]


# -- caps ----------------------------------------------------------------------------------------------------------


def test_the_cap_of_a_day_holds_in_a_race(world: World) -> None:
    never_over(world)
    runs = [world.run() for _ in range(15)]

    async def race() -> list[Performed]:
        roads = [await world.road(run) for run in runs]
        return await asyncio.gather(*(road.tool("1", "till.pay", PAY) for road in roads))

    ends = world.do(race())
    assert sorted(p.status for p in ends) == ["refused"] * 5 + ["succeeded"] * 10
    assert {r.code for p in ends for r in p.reasons} == {"over_cap"}
    assert sum(e["amount"] for e in world.till.done("pay")) == 1000


@pytest.mark.parametrize(("status", "left"), [("failed", 1000), ("unknown", 900), ("succeeded", 900)])
def test_only_what_may_have_moved_counts_towards_the_cap(world: World, status: Any, left: int) -> None:
    async def ends(*_: Any) -> ToolAnswer:
        return ToolAnswer(status, error="so", reason="tool_error", sent=status != "unknown")

    world.till.before = ends
    run = world.run()
    if status == "unknown":
        world.till.before = dies(["pay"])  # type: ignore[assignment]
        with pytest.raises(Died):
            world.call(run, "till.pay", PAY)
    else:
        world.call(run, "till.pay", PAY)
    cap = next(b for name, b in world.budgets().items() if name.startswith("cap:till.pay:USD:"))
    assert cap["usd_limit"] - cap["usd_reserved"] - cap["usd_spent"] == left * DOLLAR


# -- rates and concurrency -----------------------------------------------------------------------------------------


def test_a_short_wait_is_waited_in_place(world: World) -> None:
    run = world.run()
    began = time.monotonic()
    for key in "123":
        assert world.call(run, "till.often", key=key).status == "succeeded"
    assert time.monotonic() - began >= 0.38
    assert "gate:action:limited" not in world.tags(run)


def test_a_long_wait_becomes_a_timer(world: World) -> None:
    run = world.run()
    world.call(run, "till.seldom")
    wait = world.waits(run, "till.seldom", key="2")
    assert wait.waiting_for == "limit"
    assert wait.resume_at is not None
    row = world.action(run, "2")
    assert (row["status"], row["reasons"][-1]["code"]) == ("limited", "over_rate")
    assert world.waits(world.again(run), "till.seldom", key="2").waiting_for == "limit", "too early"
    world.db.execute("update remit.limiters set at = at - interval '10 seconds'")
    assert world.call(world.again(run), "till.seldom", key="2").status == "succeeded"
    assert len(world.till.sent) == 2


def test_a_rate_holds_for_many_at_once(world: World) -> None:
    runs = [world.run() for _ in range(5)]

    async def one(run: Run) -> str:
        try:
            await (await world.road(run)).tool("1", "till.seldom", {})
        except TurnSuspendedError as wait:
            return wait.waiting_for
        return "done"

    async def race() -> list[str]:
        return await asyncio.gather(*(one(run) for run in runs))

    assert sorted(world.do(race())) == ["done", "limit", "limit", "limit", "limit"]


def test_concurrency_counts_what_is_under_way_over_all_sessions(world: World) -> None:
    most, now = 0, 0
    runs = [world.run() for _ in range(5)]

    async def execute(_: Clearance) -> Outcome:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.05)
        now -= 1
        return Outcome("succeeded")

    async def race() -> None:
        roads = [await world.road(run) for run in runs]
        await asyncio.gather(*(road.tool("1", "till.narrow", {}, execute=execute) for road in roads))

    world.do(race())
    assert most == 2
    assert world.rows("select 1 from remit.live_calls") == []


def test_a_crash_leaks_no_place(world: World) -> None:
    for _ in range(2):
        world.till.before = dies(["narrow"])  # type: ignore[assignment]
        with pytest.raises(Died):
            world.call(world.run(), "till.narrow")
    third = world.run()
    assert world.waits(third, "till.narrow").waiting_for == "limit"
    world.db.execute("update remit.live_calls set expires_at = clock_timestamp()")
    assert world.call(world.again(third), "till.narrow").status == "succeeded"


# -- loops ---------------------------------------------------------------------------------------------------------


def test_the_same_call_again_and_again_ends_the_run(world: World) -> None:
    run = world.run()
    for key in range(5):
        world.call(run, "till.peek", key=str(key))
    with pytest.raises(LoopDetectedError) as loop:
        world.call(run, "till.peek", key="5")
    assert "till.peek was made 5 times" in loop.value.summary
    assert len(world.till.sent) == 5

    async def allowed() -> Performed:
        return await (await world.road(run, allowance=1)).tool("5", "till.peek", {})

    assert world.do(allowed()).status == "succeeded"


def test_refused_calls_count_too(world: World) -> None:
    run = world.run()
    for key in range(5):
        world.refused(run, "till.pay", {}, key=str(key))
    with pytest.raises(LoopDetectedError):
        world.call(run, "till.pay", {}, key="5")


def test_a_turn_without_an_end_is_ended(make_world: Any) -> None:
    text = FILES["agents/clerk/agent.yaml"] + "turn_action_limit: 10\n"
    world = make_world(agents__clerk__agent_DOT_yaml=text)
    run = world.run()
    for key in range(10):
        world.call(run, "till.hand_out", {"who": str(key)}, key=str(key))
    with pytest.raises(LoopDetectedError) as loop:
        world.call(run, "till.hand_out", {"who": "ivy"}, key="10")
    assert "without an end" in loop.value.summary


def test_a_provider_that_repeats_its_ids_gets_what_it_asked_for(world: World) -> None:
    run = world.run()
    for number in range(3):
        done = world.call(run, "till.hand_out", {"who": str(number)}, key=f"m{number}.t0", provider_call_id="call_0")
        assert done.status == "succeeded"
    assert [e["who"] for e in world.till.done("hand_out")] == ["0", "1", "2"]
