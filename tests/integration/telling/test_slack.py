"""Slack: people are asked, decide and are refused there, over its real protocol, against a workspace of the example."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.road.world import World
from tests.integration.telling.team import DIRECTORY, SETTINGS, SlackOffice, buttons, slack_office, words

from remit.errors import ConfigurationError
from remit.governance.judgement import Run
from remit.surfaces.slack.app import Slack


@pytest.fixture
def office(make_world: Any, tmp_path: Path) -> Iterator[SlackOffice]:
    world: World = make_world(directory_DOT_yaml=DIRECTORY, remit_DOT_toml=SETTINGS)
    with slack_office(world, tmp_path) as made:
        yield made


def test_an_approval_is_asked_and_given_by_a_click(office: SlackOffice) -> None:
    run = office.asks()
    office.tell()
    card = office.card("UBO")
    assert "clerk: Pay of 200 USD" in words(card)
    assert "over_100 (policies/world.cedar:" in words(card), "by which policy, on which line"
    office.press("UBO", card, "remit_approve")
    (item,) = office.world.items(run, status=None)
    assert item.decision is not None
    assert (item.status, item.decision["by"], item.decision["via"]) == ("decided", "bo", "slack")
    office.tell()
    (message,) = office.workspace.messages("DBO")
    assert buttons(message) == []
    assert "Approved by bo." in words(message)


def test_who_may_not_decide_is_refused_and_told_why(office: SlackOffice) -> None:
    run = office.asks()
    office.tell()
    card = office.card("UBO")
    for user, said in (
        ("UEVE", "may not decide this; ask accountable: bo"),
        ("UDOV", "dov asked for this work and may not approve it"),
        ("USTRANGER", "The directory names nobody with your Slack id, TACME0001/USTRANGER"),
        ("UGUS", "Guests may not act here"),
        ("UOTHER", "another Slack team"),
        ("ULEA", "lea has left"),
    ):
        office.press(user, card, "remit_approve")
        (whisper,) = office.workspace.whispers(user)
        assert said in whisper
    (item,) = office.world.items(run)
    assert item.status == "open"


def test_nobody_is_let_in_while_slack_cannot_say_who_they_are(office: SlackOffice) -> None:
    run = office.asks()
    office.tell()
    card = office.card("UBO")
    office.workspace.limited["users.info"] = time.time() + 600
    office.press("UBO", card, "remit_approve")
    assert "cannot be checked" in office.workspace.whispers("UBO")[0]
    assert office.world.item(run).status == "open"


def test_what_slack_did_not_sign_just_now_changes_nothing(office: SlackOffice) -> None:
    acts = office.workspace.acts
    body = json.dumps({"type": "url_verification", "challenge": "echo"}).encode()
    attempts = {
        "as it should be": (body, acts.signed(body), 200),
        "forged": (body, acts.signed(body, secret="guessed"), 401),
        "unsigned": (body, {}, 401),
        "old": (body, acts.signed(body, at=time.time() - 301), 401),
        "of another body": (body, acts.signed(b"{}"), 401),
        "not UTF-8": (b"\xff\xfe", acts.signed(b"\xff\xfe"), 400),
        "2 MB": (b"x" * 2_000_000, acts.signed(b"x" * 2_000_000), 413),
    }
    for how, (sent, headers, status) in attempts.items():
        said = acts.post(sent, {"Content-Type": "application/json", **headers})
        assert said["status"] == status, how
        assert ("echo" in said["body"]) is (status == 200), how


def test_without_a_way_to_know_slack_by_it_does_not_listen(office: SlackOffice) -> None:
    services, settings = office.slack._talk._services, office.slack._settings
    for missing in ({"signing_secret": None}, {"mode": "socket", "app_token": None}):
        with pytest.raises(ConfigurationError, match="needs"):
            Slack(services, settings.model_copy(update=missing))


def test_a_no_takes_a_reason_which_the_agent_is_told(office: SlackOffice) -> None:
    run = office.asks()
    office.tell()
    office.press("UBO", office.card("UBO"), "remit_deny")
    assert office.fill("UBO", reason="kim was paid in May") == {}
    (item,) = office.world.items(run, status=None)
    assert item.decision is not None
    assert (item.decision["verdict"], item.decision["reason"]) == ("denied", "kim was paid in May")
    office.tell()
    assert "Denied by bo. Reason: kim was paid in May" in words(office.workspace.messages("DBO")[0])


def test_changed_arguments_are_taken_by_field_and_what_cannot_be_read_is_said_there(office: SlackOffice) -> None:
    run = office.asks()
    office.tell()
    office.press("UBO", office.card("UBO"), "remit_edit")
    shown = office.fill("UBO", **{"arg:amount": "much"})
    assert shown["response_action"] == "errors"
    assert "cannot be read" in shown["errors"]["arg:amount"]
    assert office.fill("UBO", **{"arg:amount": "80", "reason": "half"}) == {}
    assert office.world.call(office.world.again(run), "till.pay", _PAY | {"amount": 200}).status == "succeeded"
    assert office.world.till.done("pay")[0]["amount"] == 80


def test_a_stale_click_is_explained_and_the_message_shown_anew(office: SlackOffice) -> None:
    run = office.asks()
    office.tell()
    card = office.card("UBO")
    office.world.decide(office.world.item(run), "bo", "deny", reason="by the command line")
    office.press("UBO", card, "remit_approve")  # nothing has been shown anew yet
    (whisper,) = office.workspace.whispers("UBO")
    assert "out of date" in whisper
    assert "Denied by bo" in whisper
    assert buttons(office.workspace.messages("DBO")[0]) == []


def test_a_form_that_was_overtaken_says_so(office: SlackOffice) -> None:
    run = office.asks()
    office.tell()
    office.press("UBO", office.card("UBO"), "remit_deny")
    office.world.decide(office.world.item(run), "bo", "approve")
    shown = office.fill("UBO", reason="too late")
    assert shown["response_action"] == "update"
    assert "Approved by bo" in words(shown["view"])


def test_two_clicks_at_once_decide_once(office: SlackOffice) -> None:
    run = office.asks()
    office.tell()
    card = office.card("UBO")
    clicks = [threading.Thread(target=office.press, args=("UBO", card, "remit_approve")) for _ in range(4)]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    given = office.world.rows("select tag from remit.records where tag = 'person:approval:given'")
    assert len(given) == 1
    assert len(office.workspace.whispers("UBO")) == 3, "the others were told"
    assert office.world.items(run, status="decided")


def test_slack_down_for_an_hour_delays_and_nothing_else(office: SlackOffice) -> None:
    office.workspace.down = True
    runs = [office.asks() for _ in range(3)]
    for _ in range(3):
        office.tell()
        office.overdue()
    assert office.workspace.messages() == []
    office.world.decide(office.world.item(runs[0]), "bo", "deny")
    office.workspace.down = False
    office.tell()
    assert len(office.workspace.messages("DBO")) == 2, "what was decided meanwhile is not asked any more"


def test_slack_asking_for_patience_is_left_alone_that_long(office: SlackOffice) -> None:
    office.workspace.limited["chat.postMessage"] = time.time() + 40
    office.asks()
    office.tell()
    (row,) = office.world.rows("select extract(epoch from next_at - clock_timestamp()) as s from remit.deliveries")
    assert 30 < row["s"] <= 41
    office.workspace.limited.clear()
    office.overdue()
    office.tell()
    assert len(office.workspace.messages("DBO")) == 1


def test_a_message_whose_answer_was_lost_is_not_sent_again(office: SlackOffice) -> None:
    office.asks()
    rows = office.dispatcher._make(office.slack.channel)
    delivery, _ = office.dispatcher._load(rows[0])
    office.slack.channel._send(delivery)  # and the process is killed before it wrote that down
    office.overdue()
    office.tell()
    assert len(office.workspace.messages("DBO")) == 1
    assert [r["status"] for r in office.rows()] == ["sent"]


def test_hostile_text_is_shown_as_it_stands_and_bounded(office: SlackOffice) -> None:
    evil = "<!channel> <@UADA> <https://evil.example|click> *bold* &amp; \u202egpj.exe \x07"
    run = office.world.run()
    pay = {"who": evil, "amount": 200, "currency": "USD", "key": "k", "memo": "x" * 50_000}
    office.world.waits(run, "till.pay", pay, reason=evil * 100)
    office.tell()
    card = office.card("UBO")
    assert "<!channel>" in words(card), "as plain text, which Slack does not read"
    kinds = {t["type"] for t in _texts(card["blocks"])}
    assert kinds == {"plain_text", "text"}, "nothing from outside is markup"
    assert "\u202e" not in words(card)
    assert "<" not in card["text"], "the notification's line is escaped"


def test_questions_are_answered_by_button_by_list_and_in_writing(office: SlackOffice) -> None:
    office.tell()
    few = office.question({"enum": ["left", "right"]}, to="bo", context={"road": "<!here>"}, confidence=0.42)
    office.tell()
    card = office.card("UBO", "remit_choose_1")
    assert "42%" in words(card)
    office.press("UBO", card, "remit_choose_1")
    assert _answer(office, few) == "right"

    many = {"oneOf": [{"const": n, "title": f"Account <{n}>"} for n in range(150)], "x-record": True}
    run = office.question(many, to="dov")
    office.tell()
    office.press("UDOV", office.card("UDOV", "remit_answer"), "remit_answer")
    form = office.workspace.form("UDOV")
    (field,) = (b for b in form["blocks"] if b.get("block_id", "").startswith("answer"))
    assert json.loads(office.workspace.acts.suggest("UEVE", form["id"], field["block_id"], "")["body"])["options"] == []
    said = office.workspace.acts.suggest("UDOV", form["id"], field["block_id"], "count 14")
    options = json.loads(said["body"])["options"]
    assert [o["text"]["text"] for o in options][:2] == ["Account <14>", "Account <114>"]
    assert office.fill("UDOV", answer=options[1]["value"], remember=True) == {}
    assert _answer(office, run) == 114
    assert office.world.rows("select key from remit.memories"), "it is remembered"

    run = office.question({"type": "integer", "minimum": 3}, to="eve")
    office.tell()
    office.press("UEVE", office.card("UEVE", "remit_answer"), "remit_answer")
    shown = office.fill("UEVE", answer="2")
    assert "a whole number of at least 3" in words(shown["view"]), "it says what is wanted"
    office.press("UEVE", office.card("UEVE", "remit_answer"), "remit_answer")
    assert office.fill("UEVE", answer="4") == {}
    assert _answer(office, run) == 4


def test_a_question_to_a_channel_is_answered_there_by_whoever_is_first(office: SlackOffice) -> None:
    run = office.question({"enum": ["left", "right"]}, to="channel:sales")
    office.tell()
    assert office.workspace.messages("DBO") == [], "not everybody who may answer is asked for themselves"
    (card,) = office.workspace.messages("C00000001")
    office.press("UDOV", card, "remit_choose_0")
    office.press("UEVE", card, "remit_choose_1")
    assert _answer(office, run) == "left"
    assert "Answered by dov" in office.workspace.whispers("UEVE")[0]


def test_escalation_asks_the_next_and_consulted_people_are_told(office: SlackOffice) -> None:
    office.tell()
    office.asks()
    office.tell()
    assert "you are consulted" in words(office.workspace.messages("DEVE")[0])
    assert buttons(office.workspace.messages("DEVE")[0]) == []
    office.world.tick(after=timedelta(hours=9))
    office.tell()
    office.press("UCLEO", office.card("UCLEO"), "remit_approve")
    office.tell()
    assert "Approved by cleo" in words(office.workspace.messages("DBO")[0])


def test_details_are_for_the_workspace_only(office: SlackOffice) -> None:
    office.asks()
    office.tell()
    card = office.card("UBO")
    office.press("UFAR", card, "remit_details")
    assert "not in the workspace" in office.workspace.whispers("UFAR")[0]
    office.press("UEVE", card, "remit_details")
    assert "needs_human_approval_over_100" in words(office.workspace.form("UEVE"))


_PAY = {"who": "kim", "amount": 200, "currency": "USD", "key": "k"}


def _answer(office: SlackOffice, run: Run) -> Any:
    (item,) = office.world.items(run, status="decided")
    assert item.decision is not None
    return item.decision["value"]


def _texts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
