"""Ideas: from the command line, a message or an agent, to the owner, and back to whoever had them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.asking.conftest import Asking
from tests.integration.asking.test_questions import at_once, left

from remit.errors import Conflict, InvalidInput, NotEntitled, NotFound
from remit.governance import ideas
from remit.governance.desk import Decider
from remit.storage import ideas as stored
from remit.storage import inbox


def submit(world: Asking, words: str = "I want to see my ten accounts", **more: Any) -> dict[str, Any]:
    new = ideas.NewIdea(**{"agent": "asker", "requester": "person:dov", "words": words, **more})
    with world.verbs.transaction() as db:
        return ideas.submit(db, world.deployed.load(), new)


def decide(world: Asking, verb: str, idea: str, person: str = "bo", *words: str) -> dict[str, Any]:
    with world.verbs.transaction() as db:
        done: dict[str, Any] = getattr(ideas, verb)(db, world.deployed.load(), idea, Decider(person), *words)
        return done


def told(world: Asking, person: str) -> list[str]:
    with world.db.transaction():
        return [n["text"] for n in reversed(inbox.notices(world.db, person)) if n["kind"] == "told"]


def test_an_idea_goes_to_the_owner_and_its_requester_is_told_until_it_is_shipped(world: Asking) -> None:
    session = world.run().session_id
    idea = submit(world, session_id=session)
    (item,) = inbox.listing(world.db, person="bo", kind="idea")
    assert (item.session_id, item.detail["idea_id"], item.assignees) == (session, idea["id"], ("bo",))
    assert "dov would like to see: I want to see my ten accounts" in item.summary
    with pytest.raises(InvalidInput, match="is an idea"):
        world.verbs.answer(item.id, Decider("bo"), "accept")
    with pytest.raises(NotEntitled, match="ask bo"):
        decide(world, "accept", idea["id"], "eve")
    assert decide(world, "accept", item.id)["status"] == "accepted"
    assert inbox.get(world.db, item.id).status == "decided"
    with pytest.raises(InvalidInput, match="where it is to be found"):
        decide(world, "ship", idea["id"], "bo", " ")
    assert decide(world, "ship", idea["id"], "bo", "asker 3f2a")["shipped_in"] == "asker 3f2a"
    assert [t.partition(":")[0] for t in told(world, "dov")] == [
        "Your idea was accepted by bo",
        "Your idea was shipped in asker 3f2a by bo",
    ]
    with pytest.raises(Conflict, match="is shipped already, by bo"):
        decide(world, "decline", idea["id"], "bo", "no")
    tags = [r["tag"] for r in world.rows("select tag from remit.records where tag like '%%:idea:%%' order by id")]
    assert tags == ["person:idea:submitted", "person:idea:accepted", "person:idea:shipped"]


def test_an_idea_is_declined_with_a_reason_that_its_requester_is_told(world: Asking) -> None:
    idea = submit(world)
    with pytest.raises(InvalidInput, match="say why"):
        decide(world, "decline", idea["id"], "bo", " ")
    assert (
        decide(world, "decline", idea["id"], "bo", "there is a report for it")["reason"] == "there is a report for it"
    )
    assert "(there is a report for it)" in told(world, "dov")[0]


def test_the_same_wish_of_the_same_person_is_one_idea_while_it_is_open(world: Asking) -> None:
    one, two = at_once(lambda: submit(world, "See  THIS"), lambda: submit(world, "see this "))
    assert one["id"] == two["id"]
    assert submit(world, "see this", requester="person:eve")["id"] != one["id"]
    assert submit(world, "see this", agent="helper")["id"] != one["id"]
    decide(world, "accept", one["id"])
    assert submit(world, "see this")["id"] == one["id"]
    decide(world, "decline", one["id"], "bo", "no")
    assert submit(world, "see this")["id"] != one["id"]
    assert len(inbox.listing(world.db, kind="idea", status=None)) == 4


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("I want to see my ten accounts", "I want to see my ten accounts"),
        ("  i WANT to see it\nwith lines", "i WANT to see it\nwith lines"),
        ("Idea: a list of them", "a list of them"),
        ("idea:", None),
        ("I want to seed it", None),
        ("He said: I want to see it", None),
        ("An idea: none", None),
        ({"idea": "x"}, None),
    ],
)
def test_only_a_message_that_begins_so_is_an_idea(said: Any, words: str | None) -> None:
    assert ideas.words_of(said) == words


def test_a_message_in_a_session_and_an_agent_bring_ideas_with_the_session(world: Asking) -> None:
    run = world.run()
    world.verbs.message(run.session_id, "person:dov", "Idea: sort by revenue")
    world.verbs.message(run.session_id, "person:dov", "Sort by revenue")
    for _ in range(2):
        given = world.result(world.again(run), "remit.suggest", {"idea": "sort by name"}, key="1")
    found = stored.listing(world.db, session_id=run.session_id)
    assert [(i["words"], i["requester"]) for i in found if i["id"] != given["idea"]] == [
        ("sort by revenue", "person:dov")
    ]
    assert [i["requester"] for i in found if i["id"] == given["idea"]] == ["person:dov"]
    by_clock = world.run(principal="trigger:daily")
    world.result(by_clock, "remit.suggest", {"idea": "x"}, key="1")
    assert [i["requester"] for i in stored.listing(world.db, session_id=by_clock.session_id)] == ["agent:asker"]


def test_who_does_not_see_the_agent_has_no_ideas_about_it_and_nobody_is_asked_for_nothing(world: Asking) -> None:
    with pytest.raises(NotEntitled, match="does not see the workspace"):
        submit(world, requester="person:zed")
    with pytest.raises(NotFound):
        submit(world, agent="nobody")
    for words in ("", "  ", "x" * 4_001):
        with pytest.raises(InvalidInput):
            submit(world, words)
    world.deploy(directory_DOT_yaml=left("ada", "bo", "cleo"))
    with pytest.raises(NotEntitled, match="nobody is here who owns asker"):
        submit(world)
    world.verbs.message(world.run().session_id, "person:dov", "idea: it is said all the same")
    assert stored.listing(world.db) == []
