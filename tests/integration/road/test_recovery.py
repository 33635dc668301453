"""What a successor does with actions that were under way: repeat, look up, ask; and what late answers count."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.integration.road.world import FILES, Died, World, dies, project

from remit.domain.decisions import ActionStatus, Clearance, Outcome
from remit.errors import ProgramDiverged
from remit.governance.judgement import Run
from remit.runtime.connections import ToolAnswer
from remit.runtime.road import RunSupersededError, TurnSuspendedError

PAY = {"who": "ivy", "amount": 20, "currency": "USD"}


def crashed(world: World, action: str, args: dict[str, Any], *, after: bool = False) -> Run:
    """A run that died with a call under way, before or after it was done; its clearance has run out."""
    run = world.run()
    tool = action.partition(".")[2]
    if after:
        world.till.after = dies([tool])  # type: ignore[assignment]
    else:
        world.till.before = dies([tool])  # type: ignore[assignment]
    with pytest.raises(Died):
        world.call(run, action, args)
    assert world.action(run)["status"] == "cleared"
    world.expire_clearances(run)
    return world.again(run)


@pytest.mark.parametrize("after", [False, True])
def test_an_idempotent_call_is_repeated_under_its_key(world: World, after: bool) -> None:
    run = crashed(world, "till.pay", PAY, after=after)
    done = world.call(run, "till.pay", PAY)
    assert done.status == "succeeded"
    assert len(world.till.done("pay")) == 1
    assert len({args["key"] for _, args in world.till.sent}) == 1
    assert world.tags(run).count("gate:action:repeated") == 1
    assert world.action(run)["attempt"] == 2
    cap = next(b for b in world.budgets().values() if b["id"].startswith("cap:"))
    assert (cap["usd_reserved"], cap["usd_spent"]) == (0, 20_000_000), "a repeat reserves nothing again"


def test_a_read_is_simply_repeated(world: World) -> None:
    run = crashed(world, "till.peek", {})
    assert world.call(run, "till.peek").status == "succeeded"


@pytest.mark.parametrize("after", [False, True])
def test_what_cannot_be_repeated_becomes_unknown_and_its_owner_is_asked(world: World, after: bool) -> None:
    run = crashed(world, "till.hand_out", {"who": "ivy"}, after=after)
    sent = len(world.till.sent)
    assert world.waits(run, "till.hand_out", {"who": "ivy"}).waiting_for == "reconciliation"
    assert world.action(run)["status"] == "unknown"
    assert world.item(run, "reconciliation").assignees == ("ada", "bo")
    assert world.waits(world.again(run), "till.hand_out", {"who": "ivy"}).waiting_for == "reconciliation"
    assert len(world.till.sent) == sent
    world.answer(world.item(run, "reconciliation"), "ada", "happened" if after else "did-not-happen")
    assert world.resumed == [run.turn_id]
    done = world.call(world.again(run), "till.hand_out", {"who": "ivy"})
    assert done.status == ("succeeded" if after else "failed")
    assert len(world.till.sent) == sent


@pytest.mark.parametrize("after", [False, True])
def test_a_lookup_finds_out(world: World, after: bool) -> None:
    run = crashed(world, "till.wire", {"who": "ivy"}, after=after)
    assert world.call(run, "till.wire", {"who": "ivy"}).status == "succeeded"
    assert len(world.till.done("wire")) == 1
    assert world.items(run) == []


def test_a_lookup_that_is_no_authority_proves_nothing(make_world: Any) -> None:
    world = make_world(actions_DOT_yaml=FILES["actions.yaml"].replace(", authoritative: true", ""))
    run = crashed(world, "till.wire", {"who": "ivy"})
    assert world.waits(run, "till.wire", {"who": "ivy"}).waiting_for == "reconciliation"
    assert world.till.done("wire") == []


def test_after_the_window_the_key_is_not_trusted(world: World) -> None:
    run = crashed(world, "till.pay", PAY)
    world.db.execute("update remit.actions set first_cleared_at = first_cleared_at - interval '25 hours'")
    assert world.waits(run, "till.pay", PAY).waiting_for == "reconciliation"
    assert world.till.done("pay") == []


def test_nothing_is_looked_at_before_the_clearance_has_run_out(world: World) -> None:
    run = world.run()
    world.till.before = dies(["pay"])  # type: ignore[assignment]
    with pytest.raises(Died):
        world.call(run, "till.pay", PAY)
    wait = world.waits(world.again(run), "till.pay", PAY)
    assert wait.waiting_for == "limit"
    assert wait.resume_at is not None
    assert len(world.till.sent) == 1


@pytest.mark.parametrize("verdict", ["forbidden", "needs approval", "suspended"])
@pytest.mark.parametrize("action", ["till.pay", "till.peek"])
def test_a_repeat_that_is_not_let_through_says_nothing_of_what_happened(
    world: World, action: str, verdict: str
) -> None:
    args = PAY if action == "till.pay" else {}
    run = crashed(world, action, args, after=True)
    approval = "" if verdict == "forbidden" else '@approval("accountable")'
    unless = "" if verdict == "forbidden" else 'unless { context.approved_by.contains("accountable") }'
    text = f'@id("late") {approval} forbid (principal, action == Action::"{action}", resource) {unless};'
    if verdict == "suspended":
        world.snapshots.put(suspended=frozenset({"clerk"}))
    else:
        world.snapshots.put(project(policies__late_DOT_cedar=text))
    if action == "till.peek":
        assert world.call(run, action, args).status == "failed"
        return
    assert world.waits(run, action, args).waiting_for == "reconciliation"
    assert world.action(run)["status"] == "unknown"
    cap = next(b for b in world.budgets().values() if b["id"].startswith("cap:"))
    assert cap["usd_reserved"] == 20_000_000, "what may have happened keeps its reservation"
    world.answer(world.item(run, "reconciliation"), "ada", "happened")
    cap = world.budgets()[cap["id"]]
    assert (cap["usd_reserved"], cap["usd_spent"]) == (0, 20_000_000)


def test_a_model_request_that_was_lost_is_booked_whole_and_asked_again(world: World) -> None:
    world.snapshots.put(
        project(
            agents__clerk__agent_DOT_yaml=FILES["agents/clerk/agent.yaml"] + "budget: {session: {usd: 1, tokens: 1000}}"
        )
    )
    run = world.run()
    world.do(world.snapshots.refresh())

    async def ask(run: Run, execute: Any) -> Any:
        road = await world.road(run)
        return await road.model("m1", "script:priced", {"p": 1}, input_bytes=100, output_limit=50, execute=execute)

    async def lost(_: Clearance) -> Outcome:
        raise Died

    async def answered(_: Clearance) -> Outcome:
        return Outcome("succeeded", "text", usd_micros=7, input_tokens=4, output_tokens=2)

    with pytest.raises(Died):
        world.do(ask(run, lost))
    budget = f"session:{run.session_id}"
    reserved = world.budgets()[budget]
    assert reserved["tokens_reserved"] >= 150
    world.expire_clearances(run)
    again = world.again(run)
    assert world.do(ask(again, answered)).status == "succeeded"
    spent = world.budgets()[budget]
    assert spent["tokens_reserved"] == spent["usd_reserved"] == 0
    assert spent["tokens_spent"] == reserved["tokens_reserved"] + 6
    assert spent["usd_spent"] == reserved["usd_reserved"] + 7
    assert world.do(ask(world.again(run), lost)).replayed, "a settled answer is never bought twice"


# -- late answers --------------------------------------------------------------------------------------------------


def slow(world: World, run: Run, action: str, args: dict[str, Any]) -> tuple[Any, Any, asyncio.Event]:
    """Makes a call that hangs in the till, lets it go on with an answer, and says when it hangs."""
    entered, go = asyncio.Event(), asyncio.Event()
    said: list[ToolAnswer | None] = []

    async def hang(tool: str, _: Any) -> ToolAnswer | None:
        if not entered.is_set():
            entered.set()
            await go.wait()
            return said[0]
        return None

    async def answer(what: ToolAnswer | None) -> None:
        said.append(what)
        go.set()

    async def call() -> Any:
        return await (await world.road(run)).tool("1", action, args)

    world.till.before = hang
    return call, answer, entered


@pytest.mark.parametrize("status", ["failed", "unknown"])
def test_what_an_earlier_attempt_did_not_do_says_nothing_of_a_later_one(world: World, status: Any) -> None:
    run = world.run()
    call, answer, hangs = slow(world, run, "till.pay", PAY)

    async def both() -> None:
        zombie = asyncio.create_task(call())
        await hangs.wait()
        world.expire_clearances(run)
        successor = world.again(run)
        entered: list[str] = []

        async def meanwhile(tool: str, _: Any) -> None:
            # The successor's attempt is under way when the zombie wakes up.
            entered.append(tool)
            await answer(ToolAnswer(status, error="it was not sent", reason="tool_error", sent=status == "unknown"))
            with pytest.raises((RunSupersededError, TurnSuspendedError)):
                await zombie
            assert world.action(run)["status"] == "cleared"

        world.till.before = meanwhile
        done = await (await world.road(successor)).tool("1", "till.pay", PAY)
        assert done.status == "succeeded"
        assert entered

    world.do(both())
    assert world.action(run)["status"] == "succeeded"
    assert len(world.till.done("pay")) == 1


def test_an_answer_that_comes_late_settles_what_was_unknown(world: World) -> None:
    run = world.run()
    call, answer, hangs = slow(world, run, "till.hand_out", {"who": "ivy"})

    async def both() -> None:
        zombie = asyncio.create_task(call())
        await hangs.wait()
        world.expire_clearances(run)
        successor = world.again(run)
        with pytest.raises(TurnSuspendedError, match="reconciliation"):
            await (await world.road(successor)).tool("1", "till.hand_out", {"who": "ivy"})
        world.db.execute("update remit.turns set status = 'waiting', waiting_for = 'reconciliation'")
        await answer(None)
        assert (await zombie).status is ActionStatus.SUCCEEDED

    world.do(both())
    assert world.action(run)["status"] == "succeeded"
    assert [i.status for i in world.items(run, status=None)] == ["withdrawn"], "nobody needs to be asked any more"
    assert "runtime:item:withdrawn" in world.tags(run)
    (turn,) = world.rows("select resume_at from remit.turns")
    assert turn["resume_at"] is not None, "and the turn goes on by itself"
    assert world.call(world.again(run), "till.hand_out", {"who": "ivy"}).replayed
    assert len(world.till.done("hand_out")) == 1


def test_settlement_is_accepted_once_under_any_epoch_and_any_stop(world: World) -> None:
    run = world.run()
    call, answer, hangs = slow(world, run, "till.hand_out", {"who": "ivy"})

    async def both() -> None:
        zombie = asyncio.create_task(call())
        await hangs.wait()
        world.stop()
        world.again(run)
        await answer(None)
        assert (await zombie).status is ActionStatus.SUCCEEDED

    world.do(both())
    assert world.action(run)["status"] == "succeeded"
    assert world.tags(run).count("runtime:action:settled") == 1


def test_two_attempts_that_both_succeed_are_booked_once(world: World) -> None:
    run = world.run()
    call, answer, hangs = slow(world, run, "till.pay", PAY)

    async def both() -> None:
        zombie = asyncio.create_task(call())
        await hangs.wait()
        world.expire_clearances(run)
        done = await (await world.road(world.again(run))).tool("1", "till.pay", PAY)
        assert done.status is ActionStatus.SUCCEEDED
        await answer(None)
        assert (await zombie).status is ActionStatus.SUCCEEDED

    world.do(both())
    assert len(world.till.done("pay")) == 1
    assert world.tags(run).count("runtime:action:settled") == 1
    cap = next(b for b in world.budgets().values() if b["id"].startswith("cap:"))
    assert (cap["usd_reserved"], cap["usd_spent"]) == (0, 20_000_000)


# -- retries in place ----------------------------------------------------------------------------------------------


def test_what_was_not_sent_is_tried_again_under_new_clearances(world: World) -> None:
    tries: list[str] = []

    async def offline(tool: str, _: Any) -> ToolAnswer | None:
        tries.append(tool)
        return None if len(tries) == 3 else ToolAnswer("failed", error="offline", reason="not_connected", sent=False)

    world.till.before = offline
    run = world.run()
    assert world.call(run, "till.hand_out", {"who": "ivy"}).status == "succeeded"
    assert len(tries) == 3
    assert world.tags(run).count("gate:action:repeated") == 2
    assert len(world.till.done("hand_out")) == 1


def test_a_timeout_is_never_repeated_without_a_key(world: World) -> None:
    async def silent(*_: Any) -> ToolAnswer:
        return ToolAnswer("unknown", error="no answer", reason="timeout")

    world.till.after = silent
    run = world.run()
    assert world.waits(run, "till.hand_out", {"who": "ivy"}).waiting_for == "reconciliation"
    assert len(world.till.sent) == 1


@pytest.mark.parametrize("change", ["forbidden", "stopped", "limited"])
def test_a_retry_that_is_not_let_through_keeps_what_is_known(world: World, change: str) -> None:
    run = world.run()

    async def offline(tool: str, _: Any) -> ToolAnswer:
        if change == "forbidden":
            world.snapshots.put(suspended=frozenset({"clerk"}))
        elif change == "stopped":
            world.stop()
        return ToolAnswer("failed", error="offline", reason="not_connected", sent=False)

    world.till.before = offline
    action = "till.seldom" if change == "limited" else "till.hand_out"
    args = {} if change == "limited" else {"who": "ivy"}
    assert world.call(run, action, args).status == "failed"
    row = world.action(run)
    assert (row["status"], row["error"]) == ("failed", "offline")
    world.till.before = None
    again = world.call(world.again(run), action, args)
    assert again.replayed
    assert again.status == "failed"
    assert len(world.till.sent) == 1


# -- divergence, fencing -------------------------------------------------------------------------------------------


def test_another_call_at_the_same_place_is_divergence(world: World) -> None:
    run = world.run()
    world.call(run, "till.pay", PAY)
    for action, args in (("till.pay", {**PAY, "amount": 21}), ("till.peek", {})):
        with pytest.raises(ProgramDiverged, match=r"at 1 .*nothing was executed"):
            world.call(world.again(run), action, args)
    assert len(world.till.sent) == 1


def test_divergence_is_also_seen_by_the_database(world: World) -> None:
    """Two roads that both knew nothing: the one that comes second is told by the ledger."""
    run = world.run()

    async def two() -> None:
        first, second = await world.road(run), await world.road(run)
        await first.tool("1", "till.pay", PAY)
        with pytest.raises(ProgramDiverged):
            await second.tool("1", "till.pay", {**PAY, "amount": 21})
        with pytest.raises(TurnSuspendedError):
            await second.tool("1", "till.pay", PAY)

    world.do(two())
    assert len(world.till.sent) == 1


def test_a_stale_epoch_admits_nothing(world: World) -> None:
    stale = world.run()
    fresh = world.again(stale)
    with pytest.raises(RunSupersededError):
        world.call(stale, "till.pay", PAY)
    assert world.rows("select 1 from remit.actions") == []
    assert world.call(fresh, "till.pay", PAY).status == "succeeded"


def test_another_executor_admits_nothing(make_world: Any, world: World) -> None:
    other = make_world(world.url, snapshots=world.snapshots)
    with pytest.raises(RunSupersededError):
        other.call(world.run(), "till.pay", PAY)
    assert other.till.sent == []


def test_a_call_that_two_roads_make_at_once_is_made_once(world: World) -> None:
    run = world.run()

    async def make() -> Any:
        try:
            return await (await world.road(run)).tool("1", "till.pay", PAY)
        except TurnSuspendedError as wait:
            return wait

    async def race() -> list[Any]:
        return await asyncio.gather(*(make() for _ in range(10)))

    ends = world.do(race())
    assert len(world.till.sent) == 1
    assert len([e for e in ends if not isinstance(e, TurnSuspendedError)]) == 1


# -- results -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result", ["\x00", "\ud800", {"\x00\ud800": [1e-300]}, float("inf"), object(), {1: 2}, "x" * 5_000_000]
)
def test_a_result_that_cannot_be_kept_has_happened_all_the_same(world: World, result: Any) -> None:
    run = world.run()

    async def execute(_: Clearance) -> Outcome:
        return Outcome("succeeded", result)

    assert world.call(run, "till.pay", PAY, execute=execute).status == "succeeded"
    assert world.action(run)["status"] == "succeeded"
    again = world.call(world.again(run), "till.pay", PAY)
    assert again.replayed
    assert again.status == "succeeded"
    if not isinstance(result, str) or len(result) > 10:
        assert again.result == {"result_unstorable": True} or again.result == {"\x00\ufffd": [1e-300]}
    else:
        assert again.result == result


def test_one_bad_outcome_does_not_take_others_with_it(world: World) -> None:
    runs = [world.run() for _ in range(10)]

    def execute(number: int) -> Any:
        async def executed(_: Clearance) -> Outcome:
            await asyncio.sleep(0.05)
            return Outcome("failed", error="\x00\ud800" if number % 2 else "plain")

        return executed

    async def all_at_once() -> list[Any]:
        roads = [await world.road(run) for run in runs]
        return await asyncio.gather(*(r.tool("1", "till.peek", {}, execute=execute(n)) for n, r in enumerate(roads)))

    assert {d.status for d in world.do(all_at_once())} == {"failed"}
    assert {r["status"] for r in world.rows("select status from remit.actions")} == {"failed"}
