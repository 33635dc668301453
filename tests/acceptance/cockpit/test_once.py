"""A form that is sent twice does what it says once: a double click, a page that is sent again, two at the same time."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from playwright.sync_api import expect
from starlette.testclient import TestClient

from remit.runtime.sessions import Sessions
from tests.acceptance.cockpit.office import Office

START = {"agent": "clerk", "as": "json", "input": '{"steps": []}'}


def once(client: TestClient, path: str, action: str = "") -> str:
    """The value of the form on a page that is sent to `action`."""
    found = re.search(
        rf'action="{re.escape(action or path)}"[^>]*><input type="hidden" name="once" value="([^"]+)">',
        client.get(path).text,
    )
    assert found is not None, path
    return found[1]


def count(office: Office, table: str = "sessions") -> int:
    with office.services.sessions.transaction() as db:
        row = db.execute(f"select count(*) as n from remit.{table}").fetchone()
    assert row is not None
    return int(row["n"])


def at_once(client: list[TestClient], path: str, data: dict[str, str]) -> list[Any]:
    answers: list[Any] = [None] * len(client)
    start = threading.Barrier(len(client))

    def send(place: int) -> None:
        start.wait()
        answers[place] = client[place].post(path, data=data)

    threads = [threading.Thread(target=send, args=(place,)) for place in range(len(client))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_a_session_is_started_once_however_often_its_form_is_sent(office: Office) -> None:
    bo = office.client("bo")
    form = {**START, "once": once(bo, "/sessions/new?agent=clerk", "/sessions/new")}
    first, again = (bo.post("/sessions/new", data=form) for _ in range(2))
    assert first.status_code == again.status_code == 303
    assert first.headers["location"] == again.headers["location"]
    assert count(office) == 1
    shown = bo.get(first.headers["location"]).text
    assert form["once"] not in shown, "it is no name of the session"
    assert bo.post("/sessions/new", data={**form, "once": once(bo, "/sessions/new?agent=clerk", "/sessions/new")})
    assert count(office) == 2, "another form is another session"
    dov = office.client("dov")
    assert dov.post("/sessions/new", data=form).headers["location"] != first.headers["location"]
    assert count(office) == 3, "the value is one person's own"


def test_a_form_with_other_values_is_not_taken_for_the_same(office: Office) -> None:
    bo = office.client("bo")
    form = {**START, "once": once(bo, "/sessions/new?agent=clerk", "/sessions/new")}
    refused = bo.post("/sessions/new", data={**form, "input": "{"})
    assert refused.status_code == 422
    assert bo.post("/sessions/new", data=form).status_code == 303, "what was refused has used nothing up"
    other = bo.post("/sessions/new", data={**form, "title": "Another one"})
    assert other.status_code == 409
    assert "this form was sent before with other values" in other.text
    assert form["once"] not in other.text
    value = re.search(r'name="once" value="([^"]+)"', other.text)
    assert value is not None
    assert bo.post("/sessions/new", data={**form, "title": "Another one", "once": value[1]}).status_code == 303
    assert count(office) == 2
    for wrong in ("short", "x" * 65, "\0" * 20, "a b c d e f g h i j k"):
        assert bo.post("/sessions/new", data={**START, "once": wrong}).status_code == 422
    assert count(office) == 2


def test_of_two_posts_at_the_same_time_one_starts_it(office: Office) -> None:
    clients = [office.client("bo") for _ in range(4)]
    form = {**START, "once": once(clients[0], "/sessions/new?agent=clerk", "/sessions/new")}
    answers = at_once(clients, "/sessions/new", form)
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert count(office) == 1


def test_a_crash_in_between_uses_nothing_up(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    bo = office.client("bo")
    form = {**START, "once": once(bo, "/sessions/new?agent=clerk", "/sessions/new")}
    start = Sessions.start

    def crash(verbs: Sessions, new: Any) -> str:
        start(verbs, new)
        raise RuntimeError("the server was killed")

    with monkeypatch.context() as patched:
        patched.setattr(Sessions, "start", crash)
        with pytest.raises(RuntimeError):
            bo.post("/sessions/new", data=form)
    assert count(office) == 0
    assert bo.post("/sessions/new", data=form).status_code == 303
    assert count(office) == 1


def test_a_trigger_is_fired_once_and_leads_to_its_session(bureau: Office) -> None:
    clients = [bureau.client("bo") for _ in range(3)]
    form = {"once": once(clients[0], "/triggers/nightly", "/triggers/nightly/fire")}
    answers = [*at_once(clients, "/triggers/nightly/fire", form), clients[0].post("/triggers/nightly/fire", data=form)]
    assert {answer.status_code for answer in answers} == {303}
    (to,) = {answer.headers["location"] for answer in answers}
    assert to.startswith("/sessions/ses_")
    assert count(bureau) == count(bureau, "firings") == 1
    bureau.services.sessions.stop("agent", "clerk", "odd", "ada")
    form = {"once": once(clients[0], "/triggers/nightly", "/triggers/nightly/fire")}
    for _ in range(2):
        refused = clients[0].post("/triggers/nightly/fire", data=form)
        assert refused.status_code == 409
        assert "a stop covers clerk" in refused.text
    assert count(bureau, "firings") == 2, "it is written down once that it could not"


def test_a_message_is_said_once_and_a_fork_is_made_once(office: Office) -> None:
    office.shop.worker()
    bo = office.client("bo")
    made = bo.post("/sessions/new", data=START).headers["location"]
    session_id = made.rpartition("/")[2]
    office.shop.finish(session_id)
    said = {"text": '{"steps": []}', "once": once(bo, made, f"{made}/message")}
    answers = [*at_once([office.client("bo") for _ in range(2)], f"{made}/message", said)]
    answers.append(bo.post(f"{made}/message", data=said))
    assert {answer.headers["location"] for answer in answers} == {f"{made}#say"}
    assert len(office.shop.session(session_id)["turns"]) == 2
    office.shop.finish(session_id)
    fork = {"how": "message", "text": '{"steps": []}', "once": once(bo, f"{made}/fork?how=message", f"{made}/fork")}
    first, again = (bo.post(f"{made}/fork", data=fork) for _ in range(2))
    assert first.headers["location"] == again.headers["location"]
    assert count(office) == 2


def test_an_action_is_taken_back_once_and_a_comment_kept_once(office: Office) -> None:
    office.shop.worker()
    session_id = office.shop.start({"tool": "pay", "who": "kim", "amount": 10, "currency": "USD"})
    (action,) = office.shop.finish(session_id)["actions"]
    bo, path = office.client("bo"), f"/actions/{action['id']}"
    undo = {"reason": "wrong", "once": once(bo, path, f"{path}/undo")}
    answers = at_once([office.client("bo") for _ in range(2)], f"{path}/undo", undo)
    assert {answer.status_code for answer in answers} == {303}
    assert office.shop.finish(session_id)["status"] == "finished", "a second wish would have failed"
    assert [turn["kind"] for turn in office.shop.session(session_id)["turns"]] == ["agent", "undo"]
    page = f"/sessions/{session_id}"
    said = {"text": "looks good", "once": once(bo, page, f"{page}/comment")}
    assert {bo.post(f"{page}/comment", data=said).status_code for _ in range(2)} == {303}
    assert count(office, "comments") == 1


def test_a_double_click_in_a_browser_starts_one_session(open_cockpit: Office) -> None:
    for scripts in (True, False):
        before = count(open_cockpit)
        page = open_cockpit.page("bo", java_script_enabled=scripts)
        page.goto("/sessions/new?agent=clerk")
        page.get_by_label("Input as JSON").fill('{"steps": []}')
        page.get_by_role("button", name="Start Clerk").dblclick()
        expect(page.get_by_text("Started.")).to_be_visible()
        assert count(open_cockpit) == before + 1
