"""Everything that the gate refuses without a lock: each with a reason, a ledger row, a record, and nothing sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.road.world import FILES, World, project

from remit.domain import canonical
from remit.domain.budgets import Usage
from remit.domain.decisions import Call, Forbid, Halted, InFlight, NeedsApproval, OverLimit, Permit, Reason
from remit.domain.project import Project
from remit.errors import IntegrityError, InvalidInput
from remit.governance import checks
from remit.governance.judgement import Request
from remit.runtime.attempts import Prepared

PAY = {"who": "ivy", "amount": 20, "currency": "USD"}


def written_down(world: World, run: Any, code: str, key: str = "1") -> None:
    row = world.action(run, key)
    assert row["status"] == "refused"
    assert row["attempt"] == 0
    assert row["settled_at"] is not None
    assert code in [r["code"] for r in row["reasons"]]
    (record,) = world.rows(
        "select body from remit.records where tag = 'gate:action:refused' and action_id = %s", row["id"]
    )
    body = json.loads(record["body"])
    assert code in [r["code"] for r in body["reasons"]]
    assert body["agent"] == run.actor.agent


def test_what_passes_every_check_is_executed_and_written_down(world: World) -> None:
    run = world.run()
    done = world.call(run, "till.pay", PAY)
    assert done.status == "succeeded"
    assert world.till.done("pay") == [{**PAY, "key": world.action(run)["id"]}]
    assert world.tags(run) == ["gate:action:cleared", "runtime:informed:told", "runtime:action:settled"]
    assert world.action(run)["policy_ids"] == ["writes"]


def without_person(person: str) -> Project:
    return project(
        directory_DOT_yaml=FILES["directory.yaml"].replace(f"{{id: {person},", f"{{id: {person}, status: left,")
    )


def without_pin(tool: str) -> Project:
    before = project()
    tools = {k: v for k, v in before.pins.connections["till"].items() if k != tool}
    return replace(before, pins=before.pins.model_copy(update={"connections": {"till": tools}}))


def unclassified(action: str) -> Project:
    before = project()
    return replace(before, actions={k: v for k, v in before.actions.items() if k != action})


def narrowed(action: str) -> Project:
    text = FILES["agents/clerk/agent.yaml"].replace(f"{action},", "")
    return project(agents__clerk__agent_DOT_yaml=text)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda: narrowed("till.hand_out"), "not_in_scope"),
        (lambda: without_pin("hand_out"), "tool_not_pinned"),
        (lambda: unclassified("till.hand_out"), "action_unclassified"),
        (lambda: without_person("bo"), "raci_incomplete"),
        (lambda: without_person("ada"), "raci_incomplete"),
    ],
    ids=["not listed", "not pinned", "not classified", "accountable left", "system owner left"],
)
def test_a_change_of_the_project_refuses_at_once(world: World, change: Callable[[], Any], code: str) -> None:
    run = world.run()
    assert world.call(run, "till.hand_out", {"who": "ivy"}).status == "succeeded"
    world.snapshots.put(change())  # this process still holds the old snapshot, which permits it
    assert world.refused(run, "till.hand_out", {"who": "ivy"}, key="2") == [code]
    written_down(world, run, code, "2")


def test_an_action_that_reads_needs_nobody(world: World) -> None:
    world.snapshots.put(without_person("bo"))
    assert world.call(world.run(), "till.peek").status == "succeeded"


def test_the_risk_role_is_held_by_anybody_active(world: World) -> None:
    run = world.run()
    world.snapshots.put(without_person("eve"))
    assert world.call(run, "till.hand_out", {"who": "ivy"}).status == "succeeded"


def test_a_suspended_agent_is_refused_everything(world: World) -> None:
    run = world.run()
    world.snapshots.put(suspended=frozenset({"clerk"}))
    assert world.refused(run, "till.peek") == ["agent_suspended"]
    written_down(world, run, "agent_suspended")


def test_an_agent_that_is_not_deployed_any_more_is_refused(world: World) -> None:
    run = world.run()
    before = project()
    world.snapshots.put(replace(before, agents={}))
    world.do(world.snapshots.refresh())
    call = Call(run.turn_id, "1", "till.peek", {})
    decision = world.do(world.gate.admit(Request(run, call, Usage(calls=1))))
    assert isinstance(decision, Forbid)
    written_down(world, run, "agent_unknown")


def test_acting_for_somebody_who_left_is_refused(world: World) -> None:
    run = world.run(on_behalf_of="dov", assisted=True)
    world.snapshots.put(without_person("dov"))
    assert world.refused(run, "till.peek") == ["person_unknown"]
    written_down(world, run, "person_unknown")


def test_an_assisted_agent_may_do_what_both_may(world: World) -> None:
    assert world.refused(world.run(on_behalf_of="dov", assisted=True), "till.hand_out", {"who": "x"}) == [
        "no_policy_permits"
    ]
    text = (
        FILES["policies/world.cedar"]
        + '\n@id("dov")\npermit (principal == Person::"dov", action in Action::"write", resource);'
    )
    world.snapshots.put(project(policies__world_DOT_cedar=text))
    run = world.run(on_behalf_of="dov", assisted=True)
    assert world.call(run, "till.hand_out", {"who": "x"}).status == "succeeded"
    assert world.action(run)["on_behalf_of"] == "dov"


def test_a_tool_that_is_not_what_was_pinned_is_refused(world: World) -> None:
    run = world.run()
    world.changed_tools.add("till.peek")
    assert world.refused(run, "till.peek") == ["tool_changed"]
    written_down(world, run, "tool_changed")


@pytest.mark.parametrize(
    ("action", "args", "code"),
    [
        ("till.pay", {"who": "i\ud800vy", "amount": 20, "currency": "USD"}, "arguments_invalid"),
        ("till.pay", {"who": 5, "amount": 20, "currency": "USD"}, "arguments_invalid"),
        ("till.pay", {"who": "ivy", "amount": "20", "currency": "USD"}, "arguments_invalid"),
        ("till.pay", {"who": "ivy", "currency": "USD"}, "argument_required"),
        ("till.pay", {"who": "ivy", "amount": None, "currency": "USD"}, "argument_required"),
        ("till.pay", {"who": "ivy", "amount": 20}, "argument_required"),
        ("till.pay", {"who": "ivy", "amount": 20, "currency": "EUR"}, "over_cap"),
        ("till.pay", {"who": "ivy", "amount": 501, "currency": "USD"}, "over_cap"),
        ("till.pay", {"who": "ivy", "amount": -1, "currency": "USD"}, "arguments_invalid"),
        ("till.pay", {"who": "mallory", "amount": 1, "currency": "USD"}, "blocked_payee"),
        ("till.pay", {"who": "ivy", "amount": 10**39, "currency": "USD"}, "arguments_invalid"),
        ("till.lend", {"who": "ivy"}, "argument_required"),
        ("till.lend", {"who": "ivy", "amount": 11}, "loan_over_10"),
        ("till.lend", {"who": "ivy", "amount": 10**39}, "policy_error"),
        ("till.lend", {"who": "ivy", "amount": 1.00001}, "policy_error"),
        ("till.lease", {"who": "ivy"}, "loan_over_10"),
        ("till.lease", {"who": "ivy", "amount": None}, "loan_over_10"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_their_reason(
    world: World, action: str, args: dict[str, Any], code: str
) -> None:
    run = world.run()
    assert world.refused(run, action, args) == [code]
    written_down(world, run, code)


def test_a_default_is_judged_and_executed(world: World) -> None:
    run = world.run()
    assert world.call(run, "till.lease", {"who": "ivy", "amount": 5}).status == "succeeded"
    assert world.till.sent == [("lease", {"who": "ivy", "amount": 5})]


@pytest.mark.parametrize(
    "args",
    [
        {"who": "ivy", "amount": float("nan"), "currency": "USD"},
        {"who": "ivy", "amount": float("inf"), "currency": "USD"},
        {"who": "ivy", "amount": 10**41, "currency": "USD"},
        {"who": "ivy", "amount": 1e-41, "currency": "USD"},
        {**PAY, "memo": {1: "a key that is no text"}},
        {**PAY, "memo": b"bytes"},
        {**PAY, "memo": object()},
    ],
)
def test_what_json_does_not_have_is_refused_before_the_gate(world: World, args: dict[str, Any]) -> None:
    run = world.run()
    with pytest.raises(InvalidInput):
        world.call(run, "till.pay", args)
    assert world.till.sent == []
    assert world.rows("select 1 from remit.actions where turn_id = %s", run.turn_id) == []


def test_nesting_without_end_is_refused(world: World) -> None:
    deep: Any = "end"
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(InvalidInput, match="nested deeper"):
        world.call(world.run(), "till.pay", {**PAY, "memo": deep})
    assert world.till.sent == []


def test_a_string_of_four_megabytes_is_carried_whole_or_refused(world: World) -> None:
    run = world.run()
    memo = "x" * (canonical.MAX_BYTES - 10_000)
    assert world.call(run, "till.pay", {**PAY, "memo": memo}).status == "succeeded"
    assert world.till.done("pay")[0]["memo"] == memo
    again = world.again(run)
    assert world.call(again, "till.pay", {**PAY, "memo": memo}).replayed
    with pytest.raises(InvalidInput, match="bytes"):
        world.call(again, "till.pay", {**PAY, "memo": "x" * (canonical.MAX_BYTES + 1)}, key="2")
    assert len(world.till.sent) == 1


def test_a_key_that_stands_twice_is_no_argument() -> None:
    with pytest.raises(InvalidInput, match="stands twice"):
        canonical.parse('{"who": "ivy", "amount": 1, "amount": 5000, "currency": "USD"}')


@pytest.mark.parametrize(
    "who",
    [
        '"); permit (principal, action, resource); //',
        "a\nb",
        "x\"y\\z'",
        'Payee::"ivy"',
        "\u2028\x00\x1b",
        "💸",
        "",
    ],
)
def test_names_from_outside_stay_names(world: World, who: str) -> None:
    run = world.run()
    assert world.call(run, "till.pay", {**PAY, "who": who}).status == "succeeded"
    assert world.till.done("pay")[0]["who"] == who
    assert world.waits(run, "till.pay", {**PAY, "who": who, "amount": 120}, key="2").waiting_for == "approval"
    assert world.call(world.again(run), "till.pay", {**PAY, "who": who}).replayed


@pytest.mark.parametrize("who", ["mallory", '"mallory"', "mallory\n"])
def test_a_blocked_name_is_blocked_exactly(world: World, who: str) -> None:
    run = world.run()
    done = world.call(run, "till.pay", {**PAY, "who": who})
    assert (done.status == "refused") == (who == "mallory")


def test_private_content_stays_inside_once_it_was_read(world: World) -> None:
    run = world.run()
    assert world.call(run, "till.mail", {"to": "out"}).status == "succeeded"
    assert world.call(run, "till.file", key="2").status == "succeeded"
    assert world.refused(run, "till.mail", {"to": "out"}, key="3") == ["private_stays_inside"]


def test_labels_that_another_process_has_added_count(world: World) -> None:
    run = world.run()
    assert world.call(run, "till.file").status == "succeeded"
    ignorant = replace(run, labels=frozenset())
    assert world.refused(ignorant, "till.mail", {"to": "out"}, key="2") == ["private_stays_inside"]
    assert ignorant.labels == {"private"}


def test_an_error_inside_a_check_is_a_refusal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Reason:
        raise ZeroDivisionError("this check is broken")

    monkeypatch.setattr(checks, "raci", broken)
    run = world.run()
    assert world.refused(run, "till.pay", PAY) == ["check_failed"]
    written_down(world, run, "check_failed")


def test_an_attempt_that_is_no_call_is_written_down(world: World) -> None:
    run = world.run()

    async def attempt() -> Any:
        return await (await world.road(run)).invalid("m1.t1", "till.nonsense", "{not json", "there is no such tool")

    assert world.do(attempt()).status == "refused"
    written_down(world, run, "not_in_scope", "m1.t1")
    assert world.do(attempt()).replayed


def test_a_model_that_is_not_the_agents_own_is_refused(world: World) -> None:
    run = world.run()

    async def ask(model: str, key: str) -> Any:
        async def never(_: Any) -> Any:
            raise AssertionError("it was sent")

        return await (await world.road(run)).model(key, model, {}, input_bytes=1, output_limit=1, execute=never)

    assert [r.code for r in world.do(ask("script:free", "m1")).reasons] == ["not_in_scope"]


def test_only_a_permit_is_truthy() -> None:
    reason = Reason("code", "text")
    assert bool(Permit(None, "n"))  # type: ignore[arg-type]
    wait = timedelta(seconds=1)
    for decision in (
        Forbid("a", (reason,)),
        NeedsApproval("a", "i", ("accountable",), (reason,)),
        OverLimit("a", wait, (reason,)),
        InFlight("a", wait),
        Halted(reason),
    ):
        assert not decision


def test_half_a_character_is_sent_to_nobody(world: World) -> None:
    run = world.run()
    assert world.refused(run, "till.pay", {**PAY, "who": "\ud800"}) == ["arguments_invalid"]
    written_down(world, run, "arguments_invalid")
    assert world.refused(run, "till.pay", {**PAY, "memo": "\ud800"}, key="2") == ["arguments_invalid"]
    assert world.call(run, "till.pay", {**PAY, "memo": "a\x00b"}, key="3").status == "succeeded"
    assert world.till.done("pay")[0]["memo"] == "a\x00b"


def test_a_clearance_that_the_gate_did_not_mint_executes_nothing(world: World) -> None:
    run = world.run()
    call = Call(run.turn_id, "1", "till.pay", PAY)
    request = Request(run, call, Usage(calls=1))
    permit = world.do(world.gate.admit(request))
    assert isinstance(permit, Permit)
    assert world.gate.is_genuine(permit.clearance)
    forged = replace(permit, clearance=replace(permit.clearance, args={**PAY, "amount": 400}, _mint=object()))
    assert not world.gate.is_genuine(forged.clearance)
    with pytest.raises(IntegrityError, match="did not mint"):
        world.do(world.attempts.execute(Prepared(call, request.usage, None), request, forged))
    assert world.till.sent == []
