"""Questions on the road: forms, who may answer, the first answer, time, and people who leave meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.asking.conftest import DIRECTORY, Asking, agent

from remit.domain.inbox import InboxItem
from remit.domain.questions import Question, Step
from remit.errors import Conflict, InvalidInput, NotEntitled, RemitError
from remit.governance.desk import Decider
from remit.governance.judgement import Run

CHOICE = {"oneOf": [{"const": "a1", "title": "Acme One"}, {"const": "a2", "title": "Acme Two"}]}
NUMBER = {"type": "number", "minimum": 0, "maximum": 10}
HOUR = timedelta(hours=1)


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Do things at the very same moment, each in a thread; results or errors, in order."""
    barrier, ended = threading.Barrier(len(jobs)), [None] * len(jobs)

    def do(number: int, job: Callable[[], Any]) -> None:
        barrier.wait(30)
        try:
            ended[number] = job()
        except RemitError as error:
            ended[number] = error

    threads = [threading.Thread(target=do, args=(n, job)) for n, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return ended


def left(*people: str) -> str:
    """The directory after some people have left."""
    text = DIRECTORY
    for person in people:
        text = text.replace(f"{{id: {person},", f"{{id: {person}, status: left,")
    return text


def test_an_answer_in_words_is_read_as_the_form_says_and_stays_in_every_replay(world: Asking) -> None:
    run = world.run()
    item = world.asks(run, Question("Which account?", CHOICE, to="ada", context={"from": "mail"}, confidence=0.4))
    assert (item.assignees, item.detail["context"], item.detail["confidence"]) == (("ada",), {"from": "mail"}, 0.4)
    world.verbs.answer(item.id, Decider("ada"), "acme two", via="slack")
    assert world.resumed == [run.turn_id]
    decision = world.items(run, status="decided")[0].decision or {}
    assert (decision["value"], decision["by"], decision["via"]) == ("a2", "ada", "slack")
    for _ in range(2):
        done = world.ask(
            world.again(run), Question("Which account?", CHOICE, to="ada", context={"from": "mail"}, confidence=0.4)
        )
        assert (done.status, done.result) == ("succeeded", "a2")
    assert len(world.items(run, status=None)) == 1


WRONG: list[Any] = [True, 11, "11", "NaN", float("nan"), float("inf"), "1e999", None, [1], {"value": 3}]
WRONG += ["x" * 100_000, "[" * 100_000, "\x00", "\ud800"]


def test_an_answer_that_does_not_fit_says_what_is_wanted_and_loses_nothing(world: Asking) -> None:
    run, question = world.run(), Question("How many?", NUMBER, to="ada")
    item = world.asks(run, question)
    for wrong in WRONG:
        with pytest.raises(InvalidInput) as refused:
            world.verbs.answer(item.id, Decider("ada"), wrong)
        assert "number" in refused.value.message + refused.value.advice, wrong
    assert world.item(run, "question") == item
    assert world.resumed == []
    world.verbs.answer(item.id, Decider("ada"), " 3 ")
    assert world.ask(world.again(run), question).result == 3


def test_of_two_who_answer_at_once_the_first_counts_and_the_other_is_told(world: Asking) -> None:
    for _ in range(5):
        run = world.run()
        item = world.asks(run, Question("Which?", {"enum": ["ada's", "eve's"]}, to="role:risk"))

        def answer(person: str, item: InboxItem = item) -> Callable[[], Any]:
            return lambda: world.verbs.answer(item.id, Decider(person), f"{person}'s")

        ended = at_once(answer("ada"), answer("eve"))
        (conflict,) = [e for e in ended if isinstance(e, Exception)]
        assert isinstance(conflict, Conflict)
        kept = world.ask(world.again(run), Question("Which?", {"enum": ["ada's", "eve's"]}, to="role:risk")).result
        winner = kept.removesuffix("'s")
        assert f"already, by {winner}, {datetime.now(UTC):%Y-}" in conflict.message
        assert kept in conflict.message
        assert world.tags(run).count("person:item:answered") == 1
        assert world.resumed.count(run.turn_id) == 1


def test_whoever_was_not_asked_may_not_answer(world: Asking) -> None:
    item = world.asks(world.run(), Question("Well?", CHOICE, to="ada"))
    with pytest.raises(NotEntitled):
        world.verbs.answer(item.id, Decider("bo"), "a1")
    world.deploy(directory_DOT_yaml=left("ada"))
    with pytest.raises(NotEntitled):
        world.verbs.answer(item.id, Decider("ada"), "a1")


def test_anybody_of_the_workspace_may_answer_in_a_channel(world: Asking) -> None:
    item = world.asks(world.run(), Question("Which?", CHOICE, to="channel:sales"))
    assert item.detail["channel"] == "sales"
    assert set(item.assignees) == {"ada", "bo", "cleo", "dov", "eve"}
    with pytest.raises(NotEntitled):
        world.verbs.answer(item.id, Decider("zed"), "a1")
    world.verbs.answer(item.id, Decider("dov"), "a1", via="slack")


# -- time ------------------------------------------------------------------------------------------------------------


def test_a_question_expires_and_the_agent_is_told_which_reason(world: Asking) -> None:
    run = world.run()
    item = world.asks(run, Question("Well?", CHOICE, timeout=HOUR))
    assert world.tick(after=timedelta(minutes=59)) == 0
    assert world.tick(after=timedelta(minutes=2)) == 1
    done = world.ask(world.again(run), Question("Well?", CHOICE, timeout=HOUR))
    assert (done.status, [r.code for r in done.reasons]) == ("refused", ["question_expired"])
    assert "clock:question:expired" in world.tags(run)
    with pytest.raises(Conflict, match="expired already, by the clock"):
        world.verbs.answer(item.id, Decider("ada"), "a1")
    assert world.resumed == [run.turn_id]


def test_a_question_that_expires_takes_its_default(world: Asking) -> None:
    run, question = world.run(), Question("Well?", CHOICE, timeout=HOUR, default="a1", has_default=True)
    assert world.asks(run, question).detail["default"] == "a1"
    world.tick(after=2 * HOUR)
    done = world.ask(world.again(run), question)
    assert (done.status, done.result) == ("succeeded", "a1")
    assert world.action(run)["override"]["verdict"] == "default"
    with pytest.raises(InvalidInput, match="default of a question is no answer"):
        world.ask(world.run(), Question("Well?", CHOICE, timeout=HOUR, default="a3", has_default=True))


def test_an_answer_that_comes_too_late_is_refused_before_the_clock_has_come_by(world: Asking) -> None:
    item = world.asks(world.run(), Question("Well?", CHOICE, timeout=HOUR))
    world.db.execute("update remit.inbox_items set expires_at = clock_timestamp()")
    with pytest.raises(Conflict, match="expired at"):
        world.verbs.answer(item.id, Decider("ada"), "a1")


def test_expiry_that_races_an_answer_ends_in_one_of_both_and_never_in_none(world: Asking) -> None:
    question = Question("Well?", CHOICE, timeout=HOUR)
    for _ in range(8):
        run = world.run()
        item = world.asks(run, question)
        # As a desk whose clock is a moment ahead sees it: due for the clock, still open for the answer.
        world.db.execute(
            "update remit.inbox_items set expires_at = clock_timestamp() + interval '30 ms' where id = %s", (item.id,)
        )

        def answer(item: InboxItem = item) -> Any:
            return world.verbs.answer(item.id, Decider("ada"), "a1")

        def expire(run: Run = run) -> None:
            while world.items(run, kind="question"):
                world.verbs.tick()

        answered, _ = at_once(answer, expire)
        done = world.ask(world.again(run), question)
        ended = world.items(run, status=None)[0].status
        if isinstance(answered, Exception):
            assert (ended, done.status) == ("expired", "refused")
        else:
            assert (ended, done.status, done.result) == ("decided", "succeeded", "a1")
        tags = world.tags(run)
        assert tags.count("person:item:answered") + tags.count("clock:question:expired") == 1
        assert world.resumed.count(run.turn_id) == 1


def test_the_declared_steps_are_gone_one_by_one_and_past_those_who_have_left(world: Asking) -> None:
    then = (Step("eve", HOUR), Step("role:empty", HOUR), Step("bo", 2 * HOUR))
    run = world.run()
    world.asks(run, Question("Well?", CHOICE, to="dov", then=then))
    seen = []
    for _ in range(3):
        world.tick(after=3 * HOUR)
        seen.append(world.item(run, "question").assignees)
    assert seen == [("dov", "eve"), ("bo", "dov", "eve"), ("bo", "dov", "eve")]
    assert world.item(run, "question").escalate_at is None


def test_the_reporting_line_is_climbed_to_its_end(world: Asking) -> None:
    run = world.run()
    world.asks(run, Question("Well?", CHOICE, to="bo"))
    seen = []
    for _ in range(3):
        world.tick(after=9 * HOUR)
        seen.append(world.item(run, "question").assignees)
    assert seen == [("bo", "cleo"), ("ada", "bo", "cleo"), ("ada", "bo", "cleo")]
    assert world.item(run, "question").escalate_at is None
    assert world.tags(run).count("clock:item:escalated") == 2


# -- people who are not there ----------------------------------------------------------------------------------------


def test_where_nobody_is_left_of_those_it_names_the_next_above_or_the_owner_is_asked(world: Asking) -> None:
    world.deploy(directory_DOT_yaml=left("bo"))
    assert world.asks(world.run(), Question("Well?", CHOICE, to="bo")).assignees == ("cleo",)
    world.deploy(directory_DOT_yaml=left("ada"), agents__asker__agent_DOT_yaml=agent("Asker", escalation="role:empty"))
    item = world.asks(world.run(), Question("Well?", CHOICE, to="ada"))
    assert (item.assignees, item.detail["instead_of"]) == (("bo",), "ada")


def test_a_question_that_nobody_could_ever_see_is_refused(world: Asking) -> None:
    world.deploy(directory_DOT_yaml=left("ada", "bo", "cleo", "eve"))
    run = world.run()
    done = world.ask(run, Question("Well?", CHOICE, to="role:risk"))
    assert (done.status, [r.code for r in done.reasons]) == ("refused", ["nobody_to_ask"])
    assert world.items(run, status=None) == []
    assert world.ask(world.again(run), Question("Well?", CHOICE, to="role:risk")).status == "refused"


def test_people_who_leave_while_a_question_waits_are_followed_by_those_above(world: Asking) -> None:
    run, question = world.run(), Question("Well?", CHOICE, to="bo")
    item = world.asks(run, question)
    world.deploy(directory_DOT_yaml=left("bo"))
    assert world.verbs.tick() == 1
    assert world.item(run, "question").assignees == ("cleo",)
    world.verbs.answer(item.id, Decider("cleo"), "a1")
    assert world.ask(world.again(run), question).result == "a1"

    lost = world.run()
    world.asks(lost, question)
    world.deploy(directory_DOT_yaml=left("ada", "bo", "cleo", "eve"))
    assert world.verbs.tick() == 1
    done = world.ask(world.again(lost), question)
    assert (done.status, [r.code for r in done.reasons]) == ("refused", ["nobody_to_ask"])
    assert lost.turn_id in world.resumed


# -- the tool of model agents ----------------------------------------------------------------------------------------


def test_the_ask_tool_is_judged_waits_and_gives_the_answer(world: Asking) -> None:
    run, args = (
        world.run(),
        {"question": "Which?", "choices": [{"id": "a1", "title": "Acme", "owner": "bo"}], "to": "ada"},
    )
    assert world.waits(run, "remit.ask", args, key="m1.t1").waiting_for == "question"
    item = world.item(run, "question")
    assert item.detail["schema"]["x-record"] is True
    world.verbs.answer(item.id, Decider("ada"), "Acme")
    assert world.result(world.again(run), "remit.ask", args, key="m1.t1") == {"answer": "a1"}
    assert world.action(run, "m1.t1.q")["mode"] == "ask"
    assert world.refused(world.run("clerk"), "remit.ask", args) == ["not_in_scope"]
    failed = world.call(world.run(), "remit.ask", {"question": "?", "kind": "choice"})
    assert failed.status == "failed"
    assert "cannot be answered" in (failed.error or "")
