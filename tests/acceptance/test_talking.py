"""Several people and several agents in one session, and finding and following it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from remit.config.loader import load_project
from remit.domain.records import Tag
from remit.errors import Conflict, InvalidInput, NotEntitled
from remit.governance.deployments import deploy
from remit.governance.desk import Decider
from remit.storage import session_search, sessions, stream
from remit.surfaces.cli.main import cli
from tests.acceptance.delegating import job, until
from tests.acceptance.nursery import Nursery
from tests.acceptance.shop import Shop, open_shop
from tests.acceptance.talking import COMPANY, begin, ended, say
from tests.conftest import DatabaseFactory


@pytest.fixture(scope="module")
def shop(
    database_factory: DatabaseFactory, migrated: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    database = database_factory.create(migrated)
    with open_shop(tmp_path_factory.mktemp("shop") / "shop", database.url(), nursery, **COMPANY) as opened:
        opened.worker()
        yield opened
    database_factory.drop(database)


# -- addressed -----------------------------------------------------------------------------------------------------


def test_a_message_is_answered_by_the_agent_it_names_and_the_next_by_the_session_s_own(shop: Shop) -> None:
    session = begin(shop, "hand", "first")
    turns = [
        say(shop, session, "@wordy, why?", "ada"),
        say(shop, session, "again"),
        say(shop, session, '@picky {"a": 1, "b": "x"}'),
    ]
    answers = [ended(shop, session, turn) for turn in turns]
    assert [(t["agent"], t["author"], t["output"]) for t in answers] == [
        ("wordy", "person:ada", {"question": "why?"}),
        ("hand", "person:dov", "AGAIN"),
        ("picky", "person:dov", {"a": 1, "b": "x"}),
    ]


def test_an_addressed_model_runs_with_its_own_remit_and_knows_what_was_said_before(shop: Shop) -> None:
    session = begin(shop, "hand", "first")
    turn = ended(shop, session, say(shop, session, "@chat what happened?"))
    assert turn["output"] == '[person:dov to agent hand]\n{"text":"first"} | what happened?'
    asked = [a for a in shop.session(session)["actions"] if a["mode"] == "model"]
    assert [(a["agent"], a["args"]["model"]) for a in asked] == [("chat", "script:till")]


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [
        ("@stranger hi", InvalidInput, "no agent @stranger can be addressed"),
        ("@nobody hi", InvalidInput, "no agent @nobody can be addressed"),
        ("@picky hi", InvalidInput, "takes no plain text"),
        ("@wordy", InvalidInput, "nothing to say to @wordy"),
        ("  ", InvalidInput, "nothing to say"),
        ({"a": "?"}, None, ""),
    ],
)
def test_what_fits_no_agent_is_refused(shop: Shop, text: Any, error: type[Exception] | None, why: str) -> None:
    session = begin(shop, "hand", "first")
    if error is None:
        assert ended(shop, session, say(shop, session, text))["status"] == "failed"
        return
    with pytest.raises(error, match=why):
        say(shop, session, text)


def test_a_suspended_agent_is_not_addressed_and_a_redeployed_one_keeps_its_version_here(shop: Shop) -> None:
    session = begin(shop, "hand", "first")
    first = ended(shop, session, say(shop, session, "@wordy one"))
    file = shop.folder / "agents/wordy/agent.yaml"
    file.write_text(file.read_text().replace("title: wordy", "title: Wordy, once more"))
    with shop.services.sessions.transaction() as db:
        deploy(db, load_project(shop.folder), shop.folder / ".remit" / "deploy.key", "person:ada")
    second = ended(shop, session, say(shop, session, "@wordy two"))
    other = begin(shop, "hand", "first")
    third = ended(shop, other, say(shop, other, "@wordy three"))
    assert first["agent_version"] == second["agent_version"] != third["agent_version"]


@pytest.mark.parametrize(
    ("who", "why"), [("eva", "not in the workspace"), ("fay", "not an active"), ("zoe", "not an active")]
)
def test_who_has_no_business_here_may_not_write_or_fork(shop: Shop, who: str, why: str) -> None:
    session = begin(shop, "hand", "first")
    with pytest.raises(NotEntitled, match=why):
        say(shop, session, "hello", who)
    with pytest.raises(NotEntitled, match=why):
        shop.services.sessions.fork(session, f"person:{who}", message="hello")


def test_whoever_started_it_may_write_from_anywhere(shop: Shop) -> None:
    session = begin(shop, "hand", "first", "person:eva")
    assert ended(shop, session, say(shop, session, "mine", "eva"))["output"] == "MINE"


# -- on whose behalf -----------------------------------------------------------------------------------------------


def test_two_people_write_at_once_and_each_turn_acts_for_its_author(shop: Shop) -> None:
    session = begin(shop, "aide", {"ask": "go?"}, "person:dov")
    turns = {who: say(shop, session, f"from {who}", who) for who in ("ada", "bo")}
    for who, turn in turns.items():
        assert (ended(shop, session, turn)["output"], ended(shop, session, turn)["on_behalf_of"]) == (
            f"FROM {who.upper()}",
            who,
        )
    narrowed = say(shop, session, "@hand not assisted elsewhere", "bo")
    assert ended(shop, session, narrowed)["on_behalf_of"] == "bo"
    shop.services.sessions.answer(shop.item(session, "question"), Decider("ada"), "yes")
    assert [t["on_behalf_of"] for t in shop.wait(session, "finished")["turns"]] == ["dov", "ada", "bo", "bo"]


def test_what_b_asks_for_b_does_not_approve_and_a_may(shop: Shop) -> None:
    """Dov started it, Bo asked for the payment: Bo is the accountable, so his manager decides."""
    session = begin(shop, "hand", "first", "person:dov")
    say(shop, session, {"pay": "bea", "amount": 300}, "bo")
    shop.wait_for(session, "approval")
    item = shop.item(session, "approval")
    with pytest.raises(NotEntitled, match="bo asked for this work"):
        shop.services.sessions.approve(item, Decider("bo"), "mine")
    shop.services.sessions.approve(item, Decider("cleo"), "fine")
    shop.wait(session, "finished")


def test_an_assisted_agent_addressed_by_b_acts_for_b_in_any_session(shop: Shop) -> None:
    session = begin(shop, "hand", "first", "person:dov")
    turn = say(shop, session, {"pay": "abe", "amount": 10}, "bo", to="aide")
    assert ended(shop, session, turn)["on_behalf_of"] == "bo"
    assert [a["on_behalf_of"] for a in shop.session(session)["actions"]] == ["bo"]


# -- moves that are refused ----------------------------------------------------------------------------------------


def test_illegal_moves_say_what_to_do_instead(shop: Shop) -> None:
    session = begin(shop, "hand", {"ask": "?"})
    shop.wait_for(session, "question")
    shop.services.sessions.pause(session, "ada", "test")
    with pytest.raises(Conflict) as paused:
        say(shop, session, "hello")
    assert "remit session resume" in paused.value.advice
    shop.services.sessions.resume(session, "ada", "test")
    assert shop.wait_for(session, "question")["status"] == "waiting"
    shop.services.sessions.cancel(session, "ada", "test")
    for verb in (lambda: say(shop, session, "x"), lambda: shop.services.sessions.resume(session, "ada", "x")):
        with pytest.raises(Conflict) as cancelled:
            verb()
        assert "remit session fork" in cancelled.value.advice


# -- finding and following -----------------------------------------------------------------------------------------


def test_sessions_are_found_by_words_people_agents_and_status(shop: Shop) -> None:
    session = begin(shop, "hand", "Zanzibar shipment", title="Quarterly wombat")
    shop.wait(session, "finished")  # so that what it puts out stands beside what it was given
    say(shop, session, "@wordy about the platypus", "bo")
    shop.wait(session, "finished")

    def found(**wanted: str) -> bool:
        with shop.services.sessions.transaction() as db:
            return session in {s.id for s in session_search.find(db, session_search.Wanted(**wanted))}

    assert all(
        found(text=text) for text in ("zanzibar", "WOMBAT", "platypus", '"zanzibar shipment"', "zanzibar -koala")
    )
    missing = ("koala", '"shipment zanzibar"', '"wombat zanzibar"', "zanzibar -wombat", " ")
    assert [text for text in missing if found(text=text)] == []
    assert all(found(text="zanzibar", person=person) for person in ("dov", "bo"))
    assert not found(text="zanzibar", person="ada")
    assert found(text="zanzibar", agent="wordy", status="finished", trigger="person")
    assert not found(text="zanzibar", agent="chat")
    assert not found(text="zanzibar", label="private")


def test_the_stream_gives_every_record_once_in_the_order_of_commits(shop: Shop) -> None:
    with shop.services.sessions.transaction() as db:
        start_ = stream.now(db)
    with shop.services.sessions.transaction() as slow:
        sessions.record(slow, Tag.DRILL_RUN, by="slow")
        session = begin(shop, "hand", "hello")
        shop.wait(session, "finished")
        with shop.services.sessions.transaction() as db:
            seen, position = stream.after(db, start_)
    assert seen == []  # what a running transaction wrote may still come before
    with shop.services.sessions.transaction() as db:
        until(lambda: any(r["tag"] == Tag.TURN_FINISHED for r in stream.after(db, start_, session_id=session)[0]))
        rest, position = stream.after(db, position)
        one_by_one, at = [], start_
        while len(one_by_one) < len(rest):
            (record,), at = stream.after(db, at, limit=1)
            one_by_one.append(record)
    assert rest[0]["tag"] == Tag.DRILL_RUN
    assert [r["id"] for r in one_by_one] == [r["id"] for r in rest]
    assert at == position


@pytest.fixture
def remit(shop: Shop) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, [*arguments, "--project", str(shop.folder)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_the_command_line_follows_forks_finds_and_shows(shop: Shop, remit: Callable[..., str]) -> None:
    session = begin(shop, "boss", {"jobs": [job("marmalade")]}, title="Marmalade")
    lines = [json.loads(line) for line in remit("session", "follow", session, "--json").splitlines()]
    assert (lines[0]["tag"], lines[-1]["tag"]) == (Tag.SESSION_STARTED, Tag.TURN_FINISHED) or len(lines) > 1
    shop.wait(session, "finished")
    shown = json.loads(remit("session", "show", session, "--json"))
    turn = shown["turns"][0]["id"]
    (child,) = shown["children"]
    assert (child["agent"], child["turn_id"], child["key"]) == ("hand", turn, "1")
    assert json.loads(remit("session", "show", child["id"], "--json"))["parent_id"] == session
    planned = json.loads(remit("session", "fork", session, "--at", f"{turn}:1", "--dry-run", "--json"))
    assert (planned["id"], planned["history"], [e["key"] for e in planned["anew"]]) == (None, [], ["1"])
    assert [s["id"] for s in json.loads(remit("sessions", "--text", "marmalade", "--agent", "boss", "--json"))] == [
        session
    ]
    assert "delegated: " + child["id"] in remit("session", "show", session)
    assert "what that session did behind this point" in remit("session", "fork", session, "--at", turn, "--dry-run")
    assert Tag.SESSION_STARTED in remit("sessions", "follow", "--after", stream.BEGINNING, "--timeout", "0")
