"""Approvals: bound to exact arguments and to the policies that asked, given by whoever may, used once."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.road.world import FILES, World, project

from remit.domain.inbox import ItemStatus
from remit.errors import Conflict, InvalidInput, NotEntitled
from remit.governance.judgement import Run
from remit.runtime.road import TurnSuspendedError
from remit.runtime.turn_road import TurnRoad

PAY = {"who": "ivy", "amount": 120, "currency": "USD"}
MUCH = {**PAY, "amount": 400}


def asked(world: World, args: dict[str, Any] = PAY, **more: Any) -> Run:
    """A run that waits for approval."""
    run = world.run(**more)
    assert world.waits(run, "till.pay", args).waiting_for == "approval"
    assert world.till.sent == []
    return world.again(run)


def policy(text: str) -> str:
    return FILES["policies/world.cedar"] + text


def test_the_accountable_human_approves_and_it_happens_once(world: World) -> None:
    run = asked(world)
    item = world.item(run)
    assert item.assignees == ("bo",)
    assert item.detail["reasons"][0]["code"] == "needs_human_approval_over_100"
    assert item.detail["policy_ids"] == ["over_100"]
    assert world.waits(run, "till.pay", PAY).waiting_for == "approval"
    assert [i.id for i in world.items(run)] == [item.id], "nobody is asked twice"
    world.decide(item, "bo")
    assert world.resumed == [run.turn_id]
    assert world.call(world.again(run), "till.pay", PAY).status == "succeeded"
    assert world.call(world.again(run), "till.pay", PAY).replayed
    assert len(world.till.done("pay")) == 1
    (approval,) = world.rows("select * from remit.approvals")
    assert approval["used_at"] is not None
    assert world.tags(run) == [
        "gate:action:waiting" if t == 0 else t
        for t in (
            "runtime:consulted:asked",
            0,
            "person:approval:given",
            "gate:action:cleared",
            "runtime:informed:told",
            "runtime:action:settled",
        )
    ]


def test_the_requester_may_not_approve(world: World) -> None:
    run = asked(world, principal="person:bo")
    item = world.item(run)
    assert "bo" not in item.assignees
    with pytest.raises(NotEntitled, match="asked for this work"):
        world.decide(item, "bo")
    world.decide(item, "cleo")  # the next in the reporting line
    assert world.call(world.again(run), "till.pay", PAY).status == "succeeded"


def test_the_requester_may_approve_where_the_type_says_so(make_world: Any) -> None:
    text = FILES["actions.yaml"].replace(
        "    reversible: true", "    reversible: true\n    approval: {requester_may_approve: true}"
    )
    world = make_world(actions_DOT_yaml=text)
    run = asked(world, principal="person:bo")
    world.decide(world.item(run), "bo")
    assert world.call(world.again(run), "till.pay", PAY).status == "succeeded"


@pytest.mark.parametrize("person", ["dov", "eve", "ada", "nobody", "", "bo "])
def test_nobody_else_may_approve_or_deny(world: World, person: str) -> None:
    run = asked(world)
    for verb in ("approve", "deny"):
        with pytest.raises(NotEntitled):
            world.decide(world.item(run), person, verb)
    assert world.item(run).status is ItemStatus.OPEN


def test_a_denial_reaches_the_program_with_its_reason(world: World) -> None:
    run = asked(world)
    world.decide(world.item(run), "bo", "deny", reason="not this customer")
    done = world.call(world.again(run), "till.pay", PAY)
    assert done.status == "refused"
    assert [r.code for r in done.reasons][-1] == "approval_denied"
    assert "not this customer" in done.reasons[-1].text
    assert world.till.sent == []


def test_what_was_decided_is_decided(world: World) -> None:
    run = asked(world)
    item = world.item(run)
    world.decide(item, "bo")
    for verb in ("approve", "deny"):
        with pytest.raises(Conflict, match="already"):
            world.decide(item, "bo", verb)


# -- bound to what was asked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "update remit.approvals set args_digest = translate(args_digest, '0', '1')",
        "update remit.approvals set determining = 'x'",
        "update remit.approvals set role = 'risk'",
        "update remit.approvals set person = 'dov'",
        "update remit.approvals set person = 'mallory'",
        "update remit.approvals set used_at = clock_timestamp()",
        "update remit.approvals set expires_at = clock_timestamp() - interval '1 second'",
        "update remit.approvals set action_id = 'act_other'",
        "delete from remit.approvals",
    ],
)
def test_a_row_that_does_not_fit_is_no_approval(world: World, change: str) -> None:
    run = asked(world)
    first = world.item(run)
    world.decide(first, "bo")
    world.db.execute(change)  # type: ignore[arg-type]
    assert world.waits(world.again(run), "till.pay", PAY).waiting_for == "approval"
    assert world.till.sent == []
    assert world.item(run).id != first.id


def test_an_approval_that_is_used_between_judgement_and_admission_is_seen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judgement is made on what was read before; the database looks again."""
    run = asked(world)
    world.decide(world.item(run), "bo")
    run = world.again(run)
    before = world.ledger.admit

    async def used_meanwhile(intent: Any) -> Any:
        world.db.execute("update remit.approvals set used_at = clock_timestamp()")
        return await before(intent)

    monkeypatch.setattr(world.ledger, "admit", used_meanwhile)
    assert world.waits(run, "till.pay", PAY).waiting_for == "approval"
    assert world.till.sent == []


def test_another_action_needs_its_own_approval(world: World) -> None:
    run = asked(world)
    world.decide(world.item(run), "bo")
    again = world.again(run)
    assert world.call(again, "till.pay", PAY).status == "succeeded"
    assert world.waits(again, "till.pay", PAY, key="2").waiting_for == "approval"
    assert len(world.till.done("pay")) == 1


def test_a_policy_that_has_changed_and_still_asks_the_same_asks_again(world: World) -> None:
    run = asked(world)
    world.decide(world.item(run), "bo")
    text = FILES["policies/world.cedar"].replace('decimal("100.0000")', 'decimal("99.0000")')
    world.snapshots.put(project(policies__world_DOT_cedar=text))
    assert world.waits(world.again(run), "till.pay", PAY).waiting_for == "approval"
    world.decide(world.item(run), "bo")
    assert world.call(world.again(run), "till.pay", PAY).status == "succeeded"


def test_a_deployment_that_leaves_the_asking_policies_alone_voids_nothing(world: World) -> None:
    run = asked(world)
    world.decide(world.item(run), "bo")
    world.snapshots.put(
        project(
            policies__world_DOT_cedar=policy('@id("more") permit (principal, action == Action::"till.peek", resource);')
        )
    )
    assert world.call(world.again(run), "till.pay", PAY).status == "succeeded"


def test_a_policy_that_needs_nobody_any_more_asks_nobody(world: World) -> None:
    run = asked(world)
    text = FILES["policies/world.cedar"].replace('decimal("100.0000")', 'decimal("200.0000")')
    world.decide(world.item(run), "bo")
    world.snapshots.put(project(policies__world_DOT_cedar=text))
    assert world.call(world.again(run), "till.pay", PAY).status == "succeeded"


def test_a_policy_that_forbids_now_beats_an_approval(world: World) -> None:
    run = asked(world)
    world.decide(world.item(run), "bo")
    text = policy('@id("no_ivy") @reason("no_ivy") forbid (principal, action, resource == Payee::"ivy");')
    world.snapshots.put(project(policies__world_DOT_cedar=text))
    assert world.refused(world.again(run), "till.pay", PAY) == ["no_ivy"]


def test_a_policy_that_asks_one_more_asks_for_both(world: World) -> None:
    run = asked(world)
    world.decide(world.item(run), "bo")
    text = FILES["policies/world.cedar"].replace('decimal("300.0000")', 'decimal("110.0000")')
    world.snapshots.put(project(policies__world_DOT_cedar=text))
    run = world.again(run)
    assert world.waits(run, "till.pay", PAY).waiting_for == "approval"
    assert world.item(run).roles == ("accountable", "risk")


# -- who -----------------------------------------------------------------------------------------------------------


def test_two_roles_need_two_people(world: World) -> None:
    run = asked(world, MUCH)
    item = world.item(run)
    assert set(item.roles) == {"accountable", "risk"}
    world.decide(item, "bo")
    assert world.item(run).status is ItemStatus.OPEN
    assert world.item(run).assignees == ("ada", "eve")
    assert world.waits(world.again(run), "till.pay", MUCH).waiting_for == "approval"
    with pytest.raises(NotEntitled):
        world.decide(item, "bo")
    world.decide(item, "eve")
    assert world.call(world.again(run), "till.pay", MUCH).status == "succeeded"
    assert world.till.done("pay")[0]["amount"] == 400


def test_one_person_never_fills_two_roles(make_world: Any) -> None:
    """Bo is accountable and holds the risk role: he may give one of the two."""
    text = FILES["directory.yaml"].replace("name: Bo,", "name: Bo, roles: [risk],")
    world = make_world(directory_DOT_yaml=text)
    run = asked(world, MUCH)
    item = world.item(run)
    world.decide(item, "bo")
    with pytest.raises(NotEntitled, match="other people"):
        world.decide(item, "bo")
    # Nor if somebody writes the row and closes the item.
    world.db.execute("update remit.inbox_items set status = 'decided'")
    world.db.execute(
        "insert into remit.approvals (action_id, role, item_id, person, args_digest, determining, expires_at) "
        "select action_id, 'risk', item_id, person, args_digest, determining, expires_at from remit.approvals"
    )
    assert world.waits(world.again(run), "till.pay", MUCH).waiting_for == "approval"
    assert world.till.sent == []


def test_somebody_who_left_before_it_was_used_has_not_approved(world: World) -> None:
    run = asked(world)
    world.decide(world.item(run), "bo")
    text = FILES["directory.yaml"].replace("{id: bo,", "{id: bo, status: left,")
    acts = FILES["actions.yaml"].replace("accountable: bo", "accountable: cleo")
    world.snapshots.put(project(directory_DOT_yaml=text, actions_DOT_yaml=acts))
    run = world.again(run)
    assert world.waits(run, "till.pay", PAY).waiting_for == "approval"
    assert world.item(run).assignees == ("cleo",)


def test_somebody_who_lost_the_role_has_not_approved(world: World) -> None:
    run = asked(world)
    world.decide(world.item(run), "bo")
    world.snapshots.put(project(actions_DOT_yaml=FILES["actions.yaml"].replace("accountable: bo", "accountable: eve")))
    run = world.again(run)
    assert world.waits(run, "till.pay", PAY).waiting_for == "approval"
    assert world.item(run).assignees == ("eve",)


# -- edit ----------------------------------------------------------------------------------------------------------


def test_an_edit_is_judged_as_edited_and_executed_as_edited(world: World) -> None:
    run = asked(world)
    world.decide(world.item(run), "bo", edited={**PAY, "amount": 90})
    done = world.call(world.again(run), "till.pay", PAY)
    assert done.status == "succeeded"
    assert [e["amount"] for e in world.till.done("pay")] == [90]
    row = world.action(run)
    assert row["asked_digest"] != row["args_digest"]
    assert row["override"]["verdict"] == "edited"
    assert world.call(world.again(run), "till.pay", PAY).replayed


def test_an_editor_does_not_approve_what_he_has_written(world: World) -> None:
    run = asked(world)
    world.decide(world.item(run), "bo", edited={**PAY, "amount": 150})
    run = world.again(run)
    assert world.waits(run, "till.pay", PAY).waiting_for == "approval"
    item = world.item(run)
    assert item.assignees == ("cleo",)
    with pytest.raises(NotEntitled):
        world.decide(item, "bo")
    world.decide(item, "cleo")
    assert world.call(world.again(run), "till.pay", PAY).status == "succeeded"
    assert [e["amount"] for e in world.till.done("pay")] == [150]


def test_an_editor_may_approve_where_the_type_says_so(make_world: Any) -> None:
    text = FILES["actions.yaml"].replace(
        "    reversible: true", "    reversible: true\n    approval: {editor_may_approve: true}"
    )
    world = make_world(actions_DOT_yaml=text)
    run = asked(world)
    world.decide(world.item(run), "bo", edited={**PAY, "amount": 150})
    assert world.call(world.again(run), "till.pay", PAY).status == "succeeded"
    assert [e["amount"] for e in world.till.done("pay")] == [150]


def test_an_edit_over_the_cap_is_refused(world: World) -> None:
    run = asked(world)
    world.decide(world.item(run), "bo", edited={**PAY, "amount": 501})
    assert world.refused(world.again(run), "till.pay", PAY) == ["over_cap"]


@pytest.mark.parametrize("edited", [{"who": 5}, {**PAY, "amount": "1"}, [1], {**PAY, "memo": float("nan")}])
def test_an_edit_that_the_tool_does_not_take_is_not_accepted(world: World, edited: Any) -> None:
    run = asked(world)
    with pytest.raises(InvalidInput):
        world.decide(world.item(run), "bo", edited=edited)
    assert world.item(run).status is ItemStatus.OPEN


# -- time ----------------------------------------------------------------------------------------------------------


def test_nobody_answers_and_it_escalates_to_the_manager(world: World) -> None:
    run = asked(world)
    with pytest.raises(NotEntitled):
        world.decide(world.item(run), "cleo")
    assert world.tick(after=timedelta(hours=9)) == 1
    assert world.item(run).assignees == ("bo", "cleo")
    world.decide(world.item(run), "cleo")
    assert world.call(world.again(run), "till.pay", PAY).status == "succeeded"


def test_nobody_answers_in_time_and_it_is_refused(world: World) -> None:
    run = asked(world)
    world.tick(after=timedelta(days=4))
    assert [i.status for i in world.items(run, status=None)] == [ItemStatus.EXPIRED]
    assert world.resumed == [run.turn_id]
    done = world.call(world.again(run), "till.pay", PAY)
    assert done.status == "refused"
    assert done.reasons[-1].code == "approval_expired"
    with pytest.raises(Conflict):
        world.decide(world.items(run, status=None)[0], "bo")
    assert "clock:approval:expired" in world.tags(run)


def test_too_late_is_too_late_even_before_the_clock_has_noticed(world: World) -> None:
    run = asked(world)
    world.db.execute("update remit.inbox_items set expires_at = clock_timestamp() - interval '1 second'")
    with pytest.raises(Conflict, match="expired"):
        world.decide(world.item(run), "bo")


# -- second effects ------------------------------------------------------------------------------------------------


def test_a_second_effect_needs_approval_in_any_session(world: World) -> None:
    invoice = {"invoice": "17", "amount": 5}
    assert world.call(world.run(), "till.once", invoice).status == "succeeded"
    assert world.call(world.run(), "till.once", {**invoice, "invoice": "18"}).status == "succeeded"
    run = world.run()
    assert world.waits(run, "till.once", {**invoice, "amount": 6}).waiting_for == "approval"
    item = world.item(run)
    assert item.detail["reasons"][-1]["code"] == "duplicate_effect"
    assert item.roles == ("accountable",)
    world.decide(item, "bo")
    assert world.call(world.again(run), "till.once", {**invoice, "amount": 6}).status == "succeeded"
    assert len(world.till.done("once")) == 3


def test_a_second_effect_that_policy_asks_about_too_is_asked_once(make_world: Any) -> None:
    text = policy(
        '@id("once_over_3") @approval("accountable") forbid (principal, action == Action::"till.once", resource) '
        'when { context.args.amount.greaterThan(decimal("3.0000")) } '
        'unless { context.approved_by.contains("accountable") };'
    )
    world = make_world(policies__world_DOT_cedar=text)
    invoice = {"invoice": "17", "amount": 5}
    assert world.call(world.run(), "till.once", {**invoice, "amount": 1}).status == "succeeded"
    run = world.run()
    assert world.waits(run, "till.once", invoice).waiting_for == "approval"
    codes = {r["code"] for r in world.item(run).detail["reasons"]}
    assert codes >= {"duplicate_effect"}
    world.decide(world.item(run), "bo")
    assert world.call(world.again(run), "till.once", invoice).status == "succeeded"
    assert len(world.items(run, status=None)) == 1


def test_an_effect_that_was_undone_or_never_happened_may_be_had_again(world: World) -> None:
    invoice = {"invoice": "17", "amount": 5}
    first = world.run()
    world.call(first, "till.once", invoice)
    world.db.execute("update remit.actions set undone_by = 'act_x' where turn_id = %s", (first.turn_id,))
    assert world.call(world.run(), "till.once", invoice).status == "succeeded"
    world.db.execute("update remit.actions set status = 'failed', undone_by = null")
    assert world.call(world.run(), "till.once", invoice).status == "succeeded"


def test_two_processes_at_the_same_moment_have_one_effect(make_world: Any, world: World) -> None:
    other = make_world(world.url, snapshots=world.snapshots)
    effects: list[bool] = []
    barrier = threading.Barrier(2)

    async def one(road: TurnRoad, invoice: str) -> bool:
        try:
            await road.tool("1", "till.once", {"invoice": invoice, "amount": 5})
        except TurnSuspendedError:
            return False
        return True

    async def race(where: World, runs: list[Run]) -> None:
        roads = [await where.road(run) for run in runs]
        barrier.wait(30)
        effects.extend(await asyncio.gather(*(one(road, str(n)) for n, road in enumerate(roads))))

    runs = {where: [where.run() for _ in range(60)] for where in (world, other)}
    threads = [threading.Thread(target=lambda w=w: w.do(race(w, runs[w]))) for w in (world, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [e["invoice"] for where in (world, other) for e in where.till.done("once")]
    assert sorted(done) == sorted(map(str, range(60)))
    assert sum(effects) == 60
