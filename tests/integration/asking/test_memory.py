"""What agents remember: who sees it, for how long, with which labels, and what every use leaves behind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.integration.asking.conftest import Asking
from tests.integration.asking.test_questions import at_once, left

from remit.domain.questions import Question, Remember
from remit.errors import Conflict, InvalidInput, NotEntitled, NotFound
from remit.governance import memory as governing
from remit.governance.desk import Decider
from remit.runtime import asking
from remit.storage import audit_log, memories, memory_care

ACCOUNT = {"enum": ["a1", "a2"]}


def remember(world: Asking, run: Any, value: Any = "v1", *, key: str = "1", **more: Any) -> str:
    """Remember something under `k`; the memory's id."""
    args = {"key": "k", "value": value, "why": "it was said", **more}
    return str(world.result(run, "remit.remember", args, key=key)["memory"])


def recall(world: Asking, run: Any, *, key: str = "9", **more: Any) -> Any:
    """What is remembered under `k`, or None."""
    return world.result(run, "remit.recall", {"key": "k", **more}, key=key).get("value")


def memory(world: Asking, memory_id: str) -> dict[str, Any]:
    with world.db.transaction():
        return memory_care.get(world.db, memory_id)


def answered(world: Asking, question: Question, value: Any = "a1", **more: Any) -> str:
    """Ask, and answer with `remember`; the item's id."""
    item = world.asks(world.run(), question)
    world.verbs.answer(item.id, Decider("ada"), value, remember=True, **more)
    return item.id


# -- scope -----------------------------------------------------------------------------------------------------------


def test_each_scope_is_seen_by_its_own_and_by_nobody_else(world: Asking) -> None:
    remember(world, world.run(), "agent's")
    remember(world, world.run(), "workspace's", scope="workspace")
    remember(world, world.run(principal="person:dov"), "dov's", scope="person")
    assert recall(world, world.run()) == "agent's"
    assert recall(world, world.run("helper")) is None
    assert recall(world, world.run("helper"), scope="workspace") == "workspace's"
    assert recall(world, world.run("stranger"), scope="workspace") is None
    assert recall(world, world.run("helper", principal="person:dov"), scope="person", subject="dov") == "dov's"
    assert recall(world, world.run(principal="trigger:daily", on_behalf_of="dov"), scope="person") == "dov's"
    assert recall(world, world.run("stranger", principal="person:dov"), scope="person") is None
    assert recall(world, world.run(principal="person:eve"), scope="person") is None


def test_nothing_of_somebody_elses_is_reached_by_naming_them(world: Asking) -> None:
    remember(world, world.run(principal="person:dov"), scope="person")
    for run, args in (
        (world.run(principal="person:eve"), {"scope": "person", "subject": "dov"}),
        (world.run(principal="trigger:daily"), {"scope": "person", "subject": "dov"}),
        (world.run(principal="trigger:daily"), {"scope": "person"}),
        (world.run(principal="person:dov", on_behalf_of="eve"), {"scope": "person", "subject": "dov"}),
        (world.run("stranger"), {"scope": "workspace", "subject": "shop"}),
        (world.run("helper"), {"scope": "agent", "subject": "asker"}),
    ):
        done = world.call(run, "remit.recall", {"key": "k", **args})
        assert done.status == "failed", (run, args)
        assert done.result is None
    assert world.rows("select * from remit.memory_uses") == []


def test_keys_are_listed_by_a_prefix_without_their_values(world: Asking) -> None:
    run = world.run()
    for number, key in enumerate(("mail:a", "mail:b", "other")):
        world.result(run, "remit.remember", {"key": key, "value": 1, "why": "w"}, key=str(number))
    listed = world.result(run, "remit.recall", {"prefix": "mail:"}, key="9")["keys"]
    assert listed == [{"key": "mail:a", "why": "w"}, {"key": "mail:b", "why": "w"}]


# -- labels ----------------------------------------------------------------------------------------------------------


def test_a_label_cannot_be_washed_off_by_memory(world: Asking) -> None:
    reader, writer = world.run(), world.run("helper")
    world.result(reader, "till.file", {}, key="1")
    kept = remember(world, reader, "secret", key="2", scope="workspace")
    assert memory(world, kept)["labels"] == ["private"]
    assert world.call(world.run("helper"), "till.mail", {"to": "x"}).status == "succeeded"
    assert recall(world, writer, scope="workspace") == "secret"
    assert world.refused(writer, "till.mail", {"to": "x"}, key="10") == ["private_stays_inside"]
    # Another run that took the session up before it recalled cannot act on what it believed either.
    late = world.run("helper")
    other = world.again(late)
    assert recall(world, other, scope="workspace", key="1") == "secret"
    other.labels = frozenset()
    assert world.refused(other, "till.mail", {"to": "x"}, key="2") == ["private_stays_inside"]
    # Remembered once more by the second agent, in its own scope, it is still private; so is a list of keys.
    again = remember(world, writer, "secret", key="11")
    assert memory(world, again)["labels"] == ["private"]
    lister = world.run("helper")
    assert world.result(lister, "remit.recall", {"prefix": ""}, key="1")["keys"]
    assert world.refused(lister, "till.mail", {"to": "x"}, key="2") == ["private_stays_inside"]


def test_an_answer_from_memory_brings_its_labels(world: Asking) -> None:
    question = Question("Which?", ACCOUNT, remember=Remember("which"))
    first = world.run()
    world.result(first, "till.file", {}, key="0")
    item = world.asks(first, question)
    world.verbs.answer(item.id, Decider("ada"), "a2", remember=True)
    second = world.run()
    assert world.ask(second, question).result == "a2"
    assert world.refused(second, "till.mail", {"to": "x"}, key="2") == ["private_stays_inside"]


# -- answers that are remembered -------------------------------------------------------------------------------------


def test_what_was_remembered_is_not_asked_again_and_says_where_it_came_from(world: Asking) -> None:
    question = Question("Which?", ACCOUNT, to="ada", remember=Remember("which", "workspace", None, 10))
    item = answered(world, question, "a2")
    run = world.run("helper")
    done = world.ask(run, question)
    assert (done.result, world.items(run, status=None)) == ("a2", [])
    replayed = world.ask(world.again(run), question)
    assert (replayed.result, replayed.at) == ("a2", done.at)
    action = world.action(run)
    (use,) = world.rows("select * from remit.memory_uses")
    kept = memory(world, use["memory_id"])
    assert (use["action_id"], use["session_id"]) == (action["id"], run.session_id)
    assert action["override"] == {"verdict": "remembered", "memory": kept["id"], "by": "ada", "item": item}
    assert (kept["item_id"], kept["why"], kept["by"]) == (item, "asker asked: Which?", "person:ada")
    assert timedelta(days=9) < kept["expires_at"] - kept["created_at"] < timedelta(days=11)
    assert world.tags(run) == ["runtime:memory:used", "runtime:note:kept"]


def test_without_a_key_the_question_itself_is_the_key(world: Asking) -> None:
    answered(world, Question("Which?", ACCOUNT, context={"mail": "m1"}))
    assert world.ask(world.run(), Question("Which?", ACCOUNT, context={"mail": "m1"})).result == "a1"
    world.asks(world.run(), Question("Which?", ACCOUNT, context={"mail": "m2"}))
    world.asks(world.run(), Question("Which?", {"enum": ["a1"]}, context={"mail": "m1"}))


def test_an_answer_that_is_not_to_be_remembered_is_asked_for_again(world: Asking) -> None:
    question = Question("Which?", ACCOUNT, remember=Remember("which"))
    item = world.asks(world.run(), question)
    world.verbs.answer(item.id, Decider("ada"), "a1")
    world.asks(world.run(), question)


def test_what_is_remembered_and_answers_the_question_no_more_is_not_taken(world: Asking) -> None:
    answered(world, Question("Which?", ACCOUNT, remember=Remember("which")))
    world.asks(world.run(), Question("Which?", {"enum": ["b1", "b2"]}, remember=Remember("which")))


def test_answer_and_memory_are_one_transaction(world: Asking) -> None:
    item = world.asks(run := world.run(), Question("Which?", ACCOUNT, remember=Remember("which")))

    def fail(_: Any) -> None:
        raise Conflict("the link was used")

    with pytest.raises(Conflict):
        world.verbs.answer(item.id, Decider("ada"), "a1", remember=True, also=fail)
    assert world.item(run, "question").status == "open"
    assert world.rows("select * from remit.memories") == []


def test_a_worker_that_dies_between_using_a_memory_and_saying_so_replays_the_same(
    world: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = Question("Which?", ACCOUNT, remember=Remember("which"))
    answered(world, question, "a1")
    run = world.run()

    class DiedError(Exception):
        pass

    async def dies(*_: Any) -> None:
        raise DiedError

    for place in ("keep", "whence"):
        with monkeypatch.context() as patched:
            if place == "keep":
                patched.setattr(world.gate, "keep", dies)
            else:
                patched.setattr(asking.Asker, "_say_whence", lambda *_: (_ for _ in ()).throw(DiedError))
            with pytest.raises(DiedError):
                world.ask(world.again(run), question)
        if place == "keep":  # what was used is corrected before the turn is taken up again
            (use,) = world.rows("select memory_id from remit.memory_uses")
            with world.db.transaction():
                memory_care.correct(world.db, use["memory_id"], "a2", "bo", "it moved")
    assert world.ask(world.again(run), question).result == "a1"
    assert world.ask(world.run(), question).result == "a2"
    assert len(world.rows("select * from remit.memory_uses where session_id = %s", run.session_id)) == 1


# -- time ------------------------------------------------------------------------------------------------------------


def test_expired_memory_is_gone_at_once_and_its_contents_soon(world: Asking) -> None:
    kept = remember(world, world.run(), keep_days=5)
    world.db.execute("update remit.memories set expires_at = clock_timestamp()")
    assert recall(world, world.run()) is None
    world.verbs.tick()
    found = memory(world, kept)
    assert (found["value"], found["why"], found["ended_why"], found["ended_by"]) == (None, "", "expired", "clock")
    assert world.rows("select body, salt from remit.payloads where id like '%%v' and erased_at is not null") == [
        {"body": None, "salt": None}
    ]
    assert remember(world, world.run(), "v2") != kept
    assert recall(world, world.run()) == "v2"


def test_nothing_is_kept_for_longer_than_agent_yaml_allows(world: Asking) -> None:
    done = world.call(world.run(), "remit.remember", {"key": "k", "value": 1, "why": "w", "keep_days": 61})
    assert done.status == "failed"
    assert "at most 60" in (done.error or "")
    with pytest.raises(InvalidInput, match="at most 60"):
        world.ask(world.run(), Question("Which?", ACCOUNT, remember=Remember("k", keep_days=61)))
    kept = memory(world, remember(world, world.run()))
    assert kept["expires_at"] - kept["created_at"] > timedelta(days=29)


# -- people ----------------------------------------------------------------------------------------------------------


def test_a_correction_counts_from_now_on_and_replays_stay_as_they_were(world: Asking) -> None:
    old = remember(world, world.run(), "old")
    before = world.run()
    assert recall(world, before) == "old"
    with world.db.transaction():
        new = memory_care.correct(world.db, old, {"now": "new"}, "bo", "it changed")
    assert recall(world, before) == "old"
    assert recall(world, world.run()) == {"now": "new"}
    assert (memory(world, old)["replaced_by"], memory(world, old)["ended_why"]) == (new, "corrected")
    assert memory(world, new)["expires_at"] == memory(world, old)["expires_at"]
    with world.db.transaction(), pytest.raises(Conflict, match="corrected by person:bo"):
        memory_care.correct(world.db, old, "x", "bo", "again")


def test_erasing_takes_the_contents_of_all_that_it_replaced_and_leaves_the_proof(world: Asking) -> None:
    first = remember(world, world.run(), "one")
    second = remember(world, world.run(), "two")
    assert memory(world, first)["ended_why"] == "replaced"
    with world.db.transaction():
        assert set(memory_care.erase(world.db, second, "bo", "asked to")) == {first, second}
    assert recall(world, world.run()) is None
    for one in (first, second):
        found = memory(world, one)
        assert (found["value"], found["why"], found["key"]) == (None, "", f"#{one}")
    (record,) = world.rows("select body::jsonb as body from remit.records where tag = 'person:memory:erased'")
    digests = world.rows("select encode(digest, 'hex') as d from remit.payloads where erased_at is not null")
    assert {p["digest"] for p in record["body"]["payloads"]} == {row["d"] for row in digests}
    with world.db.transaction(), pytest.raises(NotFound):
        memory_care.get(world.db, "mem_none")


def test_owner_reviewers_and_the_person_decide_about_memory(world: Asking) -> None:
    kept = memory(world, remember(world, world.run(principal="person:dov"), scope="person"))
    governance = world.do(world.snapshots.refresh())
    assert set(governing.reviewers(governance, kept)) == {"bo", "cleo", "dov"}
    with pytest.raises(NotEntitled, match="eve may not decide"):
        governing.must_review(governance, kept, "eve")
    assert not governing.may_see(governance, kept, "eve")
    shared = memory(world, remember(world, world.run(), scope="workspace"))
    assert governing.may_see(governance, shared, "eve")
    assert not governing.may_see(governance, shared, "zed")
    world.deploy(directory_DOT_yaml=left("bo"))
    assert set(governing.reviewers(world.snapshots.current(), kept)) == {"cleo", "dov"}


def test_of_two_who_remember_at_once_both_are_kept_and_one_is_in_force(world: Asking) -> None:
    place = memories.Place("shop", "agent", "asker")

    def keep(number: int) -> Any:
        def done() -> str:
            with world.verbs.transaction() as db:
                new = memories.NewMemory(
                    f"mem_{number}", "asker", place, "k", number, "w", "agent:asker", timedelta(days=1)
                )
                return memories.keep(db, new)

        return done

    assert at_once(*(keep(n) for n in range(6))) == [f"mem_{n}" for n in range(6)]
    rows = world.rows("select id, ended_at, replaced_by from remit.memories")
    assert len(rows) == 6
    (current,) = [row["id"] for row in rows if row["ended_at"] is None]
    assert recall(world, world.run()) == int(current.removeprefix("mem_"))


def test_remembering_again_after_a_crash_changes_nothing(world: Asking) -> None:
    run = world.run()
    kept = remember(world, run)
    world.db.execute(
        "update remit.actions set status = 'cleared', settled_at = null, expires_at = clock_timestamp() "
        "where turn_id = %s and key = '1'",
        (run.turn_id,),
    )
    assert remember(world, world.again(run)) == kept
    assert len(world.rows("select * from remit.memories")) == 1
    assert world.tags(run).count("runtime:memory:kept") == 1


def test_erased_contents_are_gone_from_the_inbox_and_from_what_people_were_told(world: Asking) -> None:
    run, question = (
        world.run(),
        Question("Is it Acme?", {"enum": ["Sirius"]}, context="call 7", remember=Remember("which")),
    )
    item = world.asks(run, question)
    world.verbs.answer(item.id, Decider("ada"), "Sirius", remember=True, reason="they said so")
    (kept,) = world.rows("select id from remit.memories")
    with world.db.transaction():
        memory_care.erase(world.db, kept["id"], "bo", "asked to")
    assert "value" not in (world.items(run, status=None)[0].decision or {})
    world.db.execute("update remit.sessions set status = 'finished' where id = %s", (run.session_id,))
    with world.db.transaction():
        audit_log.erase_session(world.db, run.session_id, "person:bo", "asked to")
    for table in ("inbox_items", "notices", "memories", "actions", "records"):
        text = str(world.rows(f"select t::text as t from remit.{table} t"))
        assert not [word for word in ("Acme", "Sirius", "call 7", "they said so") if word in text], table
    assert world.rows("select 1 from remit.payloads where body is not null and kind <> 'reason'") == []
