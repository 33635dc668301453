"""Talking to agents in Slack: a thread is a session, whatever Slack sends twice, by whom it may and by nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.road.world import FILES, World
from tests.integration.telling.team import DIRECTORY, SETTINGS, SlackOffice, slack_office, until, words

from remit.storage.contents import put_payload
from remit.storage.ledger import payload_id

AGENTS = {
    "agents__clerk__agent_DOT_yaml": FILES["agents/clerk/agent.yaml"] + "input: {type: object, required: [text], "
    "properties: {text: {type: string}}}\n",
    "agents__porter__agent_DOT_yaml": FILES["agents/clerk/agent.yaml"].replace("workspace: shop", "workspace: depot"),
    "agents__porter__program_DOT_py": FILES["agents/clerk/program.py"],
}
BOT = "<@UREMITBOT>"


@pytest.fixture
def office(make_world: Any, tmp_path: Path) -> Iterator[SlackOffice]:
    world: World = make_world(directory_DOT_yaml=DIRECTORY, remit_DOT_toml=SETTINGS, **AGENTS)
    with slack_office(world, tmp_path, agent="clerk") as made:
        yield made


def sessions(office: SlackOffice) -> list[dict[str, Any]]:
    return office.world.rows("select * from remit.sessions order by id")


def said(office: SlackOffice) -> list[tuple[str, Any]]:
    """Who wrote what into sessions."""
    rows = office.world.rows(
        """select m.author, convert_from(p.body, 'UTF8')::jsonb as body from remit.messages m
           join remit.payloads p on p.id = m.payload order by m.id"""
    )
    return [(r["author"], r["body"]) for r in rows]


def finish(office: SlackOffice, output: Any) -> None:
    """Let the newest turn end with an output, as a worker does."""

    (turn,) = office.world.rows("select id, session_id from remit.turns order by id desc limit 1")
    payload = payload_id(turn["id"], "o")
    put_payload(office.world.db, payload, turn["session_id"], "output", output)
    office.world.db.execute(
        "update remit.turns set status = 'finished', finished_at = clock_timestamp(), output = %s where id = %s",
        (payload, turn["id"]),
    )


def test_a_thread_is_a_session_and_the_agent_answers_in_it(office: SlackOffice) -> None:
    first = office.workspace.acts.say("UBO", "sales", f"{BOT} look after <@UDOV> &amp; kim")
    (session,) = sessions(office)
    assert (session["principal"], session["trigger"], session["agent"]) == ("person:bo", "slack", "clerk")
    assert said(office) == [("person:bo", {"text": "look after @dov & kim"})]
    finish(office, {"text": "done <!channel>"})
    office.tell()
    (answer,) = (m for m in office.workspace.messages("C00000001") if m["user"] == "UREMITBOT")
    assert answer["thread_ts"] == first["ts"]
    assert "done <!channel>" in words(answer)
    office.workspace.acts.say("UDOV", "sales", "and lee", thread_ts=first["ts"])
    assert said(office)[1:] == [("person:dov", {"text": "and lee"})]
    assert len(sessions(office)) == 1
    finish(office, {"text": "that too"})
    office.tell()
    office.tell()
    assert len([m for m in office.workspace.messages("C00000001") if m["user"] == "UREMITBOT"]) == 2


def test_what_slack_sends_again_starts_nothing_twice(office: SlackOffice) -> None:
    first = office.workspace.acts.say("UBO", "sales", f"{BOT} once", times=3)
    office.workspace.acts.say("UBO", "sales", f"{BOT} once", ts=first["ts"])
    assert len(sessions(office)) == 1
    again = office.workspace.acts.say("UBO", "sales", "more", thread_ts=first["ts"], times=3)
    office.workspace.acts.say("UBO", "sales", "more", thread_ts=first["ts"], ts=again["ts"])
    assert len(said(office)) == 2
    events = office.world.rows("select key, name from remit.events where kind = 'message' order by id")
    assert [e["name"] for e in events] == ["slack", "slack"]


def test_a_direct_message_is_one_too_and_names_its_agent(office: SlackOffice) -> None:
    office.workspace.acts.say("UBO", "dm", "@clerk count the till")
    (session,) = sessions(office)
    assert session["agent"] == "clerk"
    assert said(office) == [("person:bo", {"text": "count the till"})]


def test_who_may_not_is_told_and_starts_nothing(office: SlackOffice) -> None:
    for user, channel, text, reason in (
        ("USTRANGER", "sales", f"{BOT} pay me", "The directory names nobody"),
        ("UGUS", "sales", f"{BOT} pay me", "Guests may not act here"),
        ("UOTHER", "sales", f"{BOT} pay me", "another Slack team"),
        ("UBO", "dm", "@porter carry", "not in the workspace of porter"),
        ("UBO", "dm", "@nobody carry", "no agent 'nobody' is deployed"),
        ("UBO", "sales", BOT, "there is nothing to do"),
    ):
        office.workspace.acts.say(user, channel, text)
        assert reason in office.workspace.whispers(user)[-1]
    first = office.workspace.acts.say("UBO", "dm", "count")
    office.workspace.acts.say("UFAR", "dm", "and mine", thread_ts=first["ts"])
    assert len(sessions(office)) == 1
    assert len(said(office)) == 1


def test_talk_between_people_is_none_of_its_business(office: SlackOffice) -> None:
    office.workspace.acts.say("UBO", "sales", "lunch?")
    office.workspace.acts.say("USTRANGER", "sales", "yes")
    assert sessions(office) == []
    assert office.workspace.whispers() == []
    assert office.world.rows("select * from remit.events") == []


def test_what_is_written_below_a_request_decides_nothing_and_starts_nothing(office: SlackOffice) -> None:
    run = office.asks()
    office.tell()
    card = office.card("UBO")
    office.workspace.acts.say("UBO", "dm", "yes, approve", thread_ts=card["ts"])
    assert "is decided by the buttons above" in office.workspace.whispers("UBO")[0]
    assert office.world.item(run).status == "open"
    assert [s["trigger"] for s in sessions(office)] == ["test"]


def test_a_mention_is_heard_also_where_a_trigger_waits_for_every_message(make_world: Any, tmp_path: Path) -> None:
    triggers = (
        "triggers:\n  hear: {kind: event, on: message, name: slack, agent: clerk, input: {text: $event.value.text}}\n"
    )
    world: World = make_world(
        directory_DOT_yaml=DIRECTORY, remit_DOT_toml=SETTINGS, triggers_DOT_yaml=triggers, **AGENTS
    )
    with slack_office(world, tmp_path, agent="clerk") as office:
        office.workspace.acts.say("UBO", "sales", f"{BOT} count")
        assert [s["trigger"] for s in sessions(office)] == ["slack"]
        office.workspace.acts.say("UBO", "sales", "lunch?")
        office.workspace.acts.say("USTRANGER", "sales", "yes")
        values = world.rows("select p.body from remit.events e join remit.payloads p on p.id = e.payload order by e.id")
        assert [b"lunch" in v["body"] for v in values] == [False, True], "for the trigger, of people only"


def test_what_cannot_be_written_down_is_sent_again_by_slack(office: SlackOffice) -> None:
    office.slack._talk._services.sessions._url, url = "postgresql://127.0.0.1:1/none", office.world.url
    missed = office.workspace.acts.say("UBO", "dm", "count")
    assert missed["status"] == 500
    office.slack._talk._services.sessions._url = url
    office.workspace.acts.say("UBO", "dm", "count", ts=missed["ts"])
    assert len(sessions(office)) == 1


def test_a_question_of_the_session_is_asked_in_its_thread(office: SlackOffice) -> None:
    first = office.workspace.acts.say("UBO", "sales", f"{BOT} choose")
    (turn,) = office.world.rows("select * from remit.turns")
    run = office.world.run(principal="person:bo")
    office.world.db.execute(
        "update remit.threads set session_id = %s where session_id = %s", (run.session_id, turn["session_id"])
    )
    office.question({"enum": ["left", "right"]}, to="bo", run=run)
    office.tell()
    (card,) = (m for m in office.workspace.messages("C00000001") if m["user"] == "UREMITBOT")
    assert card["thread_ts"] == first["ts"]
    assert office.workspace.messages("DBO") == [], "bo is in the thread already"
    office.press("UBO", card, "remit_choose_0")
    assert office.world.items(run, status="decided")


def test_socket_mode_hears_and_answers_and_comes_back_after_a_cut(make_world: Any, tmp_path: Path) -> None:
    world: World = make_world(directory_DOT_yaml=DIRECTORY, remit_DOT_toml=SETTINGS, **AGENTS)
    with slack_office(world, tmp_path, agent="clerk", mode="socket") as office:
        office.slack.ping = 0.5
        (chore,) = office.slack.chores()
        loop = asyncio.new_event_loop()
        stopping = asyncio.Event()
        thread = threading.Thread(target=loop.run_until_complete, args=(chore(stopping),))
        thread.start()
        try:
            until(lambda: office.workspace.acts.connected)
            office.asks()
            office.tell()
            office.press("UBO", office.card("UBO"), "remit_deny")
            shown = office.fill("UBO", reason="no")
            assert shown == {}
            assert world.rows("select 1 from remit.inbox_items where status = 'decided'")
            asyncio.run_coroutine_threadsafe(office.workspace.acts.cut(), office.workspace.acts._loop).result(10)
            until(lambda: office.workspace.acts.connected)
            office.workspace.acts.say("UBO", "dm", "count", times=2)
            assert len([s for s in sessions(office) if s["trigger"] == "slack"]) == 1
        finally:
            loop.call_soon_threadsafe(stopping.set)
            thread.join(20)
            loop.close()
