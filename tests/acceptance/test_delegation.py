"""Agents that have other agents work: one child for one action, whatever dies, and one answer in every replay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from remit.errors import Conflict
from remit.governance.desk import Decider
from remit.storage import sessions
from tests.acceptance.delegating import EXTRA, HANDS, child_of, children, job, output, start
from tests.acceptance.nursery import Nursery
from tests.acceptance.shop import Shop, open_shop
from tests.conftest import DatabaseFactory


@pytest.fixture(scope="module")
def shop(
    database_factory: DatabaseFactory, migrated: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    database = database_factory.create(migrated)
    with open_shop(tmp_path_factory.mktemp("shop") / "shop", database.url(), nursery, **EXTRA) as opened:
        opened.worker()
        yield opened
    database_factory.drop(database)


# -- what comes back -----------------------------------------------------------------------------------------------


def test_the_output_of_another_agent_comes_back_with_its_session(shop: Shop) -> None:
    session = start(shop, job({"pay": "ann", "amount": 20}), job("shout"))
    paid, shouted = output(shop, session)
    assert [paid["output"], shouted["output"]] == [20, "SHOUT"]
    assert [paid["session"], shouted["session"]] == children(shop, session)
    assert paid["status"] == "finished"
    with shop.services.sessions.transaction() as db:
        child = sessions.get(db, paid["session"])
    assert (child.principal, child.trigger, child.parent_id, child.depth) == ("agent:boss", "agent", session, 1)


def test_three_at_once_are_three_sessions_and_all_answers_come(shop: Shop) -> None:
    session = start(shop, job("one"), job({"ask": "Which?"}, "hand2"), job("three"), together=True)
    asked = child_of(shop, session, "hand2")
    shop.wait_for(asked, "question")
    shop.services.sessions.answer(shop.item(asked, "question"), Decider("ada"), "two")
    assert [o["output"] for o in output(shop, session)] == ["ONE", "two", "THREE"]
    assert len(children(shop, session)) == 3


def test_what_failed_for_the_child_fails_for_its_parent(shop: Shop) -> None:
    (said,) = output(shop, start(shop, job({"nonsense": 1})))
    assert "agent hand has not done it in session ses_" in said["failed"]
    assert "this is no work" in said["failed"]


def test_not_waiting_gives_the_session_at_once(shop: Shop) -> None:
    session = start(shop, job({"ask": "Later?"}, wait=False))
    (said,) = output(shop, session)
    assert said == {"session": child_of(shop, session)}


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (job("x", "nobody"), "there is no agent nobody here"),
        (job("x", "stranger"), "there is no agent stranger here"),
        (job("x", "boss"), "goes in a circle: boss to boss"),
        (job({"pass_on": ["hand0", "hand"]}), "goes in a circle: boss to hand to hand0 to hand"),
        (job({"pass_on": HANDS[1:9]}), "more than 8 sessions"),
        (job(7), "does not fit agent hand: 7 is not of type 'object'"),
    ],
)
def test_what_may_not_be_delegated_is_refused_and_says_why(shop: Shop, given: dict[str, Any], why: str) -> None:
    (said,) = output(shop, start(shop, given))
    assert why in said["failed"]


def test_eight_sessions_deep_is_as_deep_as_it_goes(shop: Shop) -> None:
    (said,) = output(shop, start(shop, job({"pass_on": HANDS[1:8]})))
    assert said["output"] == "reached"


# -- on whose behalf -----------------------------------------------------------------------------------------------


def test_who_asked_the_parent_may_not_approve_what_the_child_wants(shop: Shop) -> None:
    session = start(shop, job({"pay": "big", "amount": 300}), principal="person:bo")
    child = child_of(shop, session)
    shop.wait_for(child, "approval")
    item = shop.item(child, "approval")
    with pytest.raises(Exception, match="bo asked for this work"):
        shop.services.sessions.approve(item, Decider("bo"), "mine")
    shop.services.sessions.approve(item, Decider("cleo"), "fine")
    assert output(shop, session)[0]["output"] == 300


def test_an_assisted_agent_acts_for_whoever_asked_its_parent(shop: Shop) -> None:
    session = start(shop, job("hi", "aide"), principal="person:dov")
    child = output(shop, session)[0]["session"]
    with shop.services.sessions.transaction() as db:
        row = db.execute("select on_behalf_of, requester from remit.turns where session_id = %s", (child,)).fetchone()
    assert row == {"on_behalf_of": "dov", "requester": "person:dov"}
    (said,) = output(shop, start(shop, job("hi", "aide"), principal="trigger:nightly"))
    assert "acts only through a person" in said["failed"]


def test_what_a_child_has_touched_its_parent_has_touched_and_what_it_begins_with_is_its_parent_s(shop: Shop) -> None:
    session = start(shop, job({"peek": 1}), job("clean"))
    output(shop, session)
    first, second = children(shop, session)
    with shop.services.sessions.transaction() as db:
        labels = [sessions.get(db, found).labels for found in (first, session, second)]
    assert all("private" in found for found in labels)


# -- ends ----------------------------------------------------------------------------------------------------------


def test_a_child_that_never_ends_is_cancelled_when_its_time_is_over(shop: Shop) -> None:
    session = start(shop, job({"ask": "Anyone?"}), job({"ask": "Hurry?"}, "hand2", within_seconds=1), together=True)
    late = child_of(shop, session, "hand2")
    assert shop.wait(late, "cancelled")["items"][0].status == "withdrawn"
    patient = child_of(shop, session)
    shop.wait_for(patient, "question")
    shop.services.sessions.answer(shop.item(patient, "question"), Decider("ada"), "me")
    first, second = output(shop, session)
    assert first["output"] == "me"
    assert "not done in the time that was given for it" in second["failed"]


def test_cancelling_a_child_fails_its_parent_and_cancelling_the_parent_cancels_all_below(shop: Shop) -> None:
    session = start(shop, job({"ask": "One?"}), job({"ask": "Two?"}, "hand2"))
    shop.services.sessions.cancel(child_of(shop, session), "person:ada", "no")
    last = child_of(shop, session, "hand2")
    shop.wait_for(last, "question")
    shop.wait_for(session, "delegation")
    shop.services.sessions.cancel(session, "person:ada", "enough")
    assert {shop.session(s)["status"] for s in (session, last)} == {"cancelled"}
    assert shop.session(last)["reason"] == f"cancelled with {session}"


def test_a_pause_sets_aside_what_was_delegated_and_a_resume_takes_it_up(shop: Shop) -> None:
    session = start(shop, job({"ask": "Still there?"}))
    child = child_of(shop, session)
    shop.wait_for(child, "question")
    shop.wait_for(session, "delegation")
    shop.services.sessions.pause(session, "person:ada", "a moment")
    assert {shop.session(s)["status"] for s in (session, child)} == {"paused"}
    shop.services.sessions.answer(shop.item(child, "question"), Decider("ada"), "yes")
    with pytest.raises(Conflict, match="is paused"):
        shop.services.sessions.message(session, "person:ada", {"jobs": []})
    shop.services.sessions.resume(session, "person:ada", "go on")
    assert output(shop, session)[0]["output"] == "yes"
