"""Sessions are found, searched and started in the cockpit, and those of other workspaces do not exist."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from remit.storage import item_search, session_search
from remit.surfaces.web import sessions
from tests.acceptance.cockpit.desk import action_of, pays, sessions_of
from tests.acceptance.cockpit.office import Office
from tests.acceptance.talking import begin


def test_a_session_is_found_by_what_it_is(desk: Office) -> None:
    late = begin(desk.shop, "wordy", {"question": "zebra crossing paint"}, title="Buy the paint")
    desk.shop.finish(late)
    other = begin(desk.shop, "steps", pays(120), title="Pay the painter", principal="person:bo")
    desk.shop.wait_for(other, "approval")
    page = desk.page("bo")
    page.goto("/sessions")
    page.get_by_label("Words").fill('"zebra crossing"')
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("link", name="Buy the paint")).to_be_visible()
    expect(page.get_by_role("link", name="Pay the painter")).to_have_count(0)
    page.get_by_role("link", name="Clear").click()
    page.get_by_role("link", name="Waiting").click()
    expect(page.get_by_role("link", name="Pay the painter")).to_be_visible()
    expect(page.get_by_text("waits for an approval").first).to_be_visible()
    assert "Pay the painter" in sessions_of(desk, "bo", person="bo", agent="steps", trigger="person", workspace="shop")
    assert "Pay the painter" not in sessions_of(desk, "bo", person="dov")
    assert "No session fits" in sessions_of(desk, "bo", label="untrusted")
    assert "Pay the painter" in sessions_of(desk, "bo", text="\0"), "nothing is asked for"
    page.goto("/sessions?status=finished")
    started = begin(desk.shop, "wordy", {"question": "soon"}, title="It comes by itself")
    desk.shop.finish(started)
    expect(page.get_by_role("link", name="It comes by itself")).to_be_visible()


def test_lists_are_in_pages(desk: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        desk.shop.finish(begin(desk.shop, "wordy", {"question": "page"}, title=f"Page {number}", request_id="pages"))
    monkeypatch.setattr(sessions, "_PAGE", 2)
    first = sessions_of(desk, "bo", text="page")
    assert "Page 2" in first
    assert "Page 0" not in first
    older = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "Page 0" in desk.client("bo").get(older).text


def test_a_session_is_started_by_the_fields_that_its_agent_wants(desk: Office) -> None:
    page = desk.page("bo")
    page.goto("/sessions/new")
    page.get_by_label("Agent").select_option("filler")
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Who is paid").fill("kim")
    page.get_by_label("amount").fill("12.5")
    page.get_by_label("speed").select_option("fast")
    page.get_by_label("urgent").select_option("no")
    page.get_by_label("notes").fill("[1, 2")
    page.get_by_role("button", name="Start filler").first.click()
    expect(page.get_by_role("alert")).to_contain_text("This was not started")
    expect(page.get_by_label("Who is paid")).to_have_value("kim")
    page.get_by_label("notes").fill("[1, 2]")
    page.get_by_role("button", name="Start filler").first.click()
    expect(page.get_by_text("Started.")).to_be_visible()
    made = page.url.partition("/sessions/")[2]
    found = desk.shop.finish(made)["turns"][0]
    assert found["input"] == {"who": "kim", "amount": 12.5, "speed": "fast", "urgent": False, "notes": [1, 2]}
    assert found["author"] == "person:bo"
    client = desk.client("bo")
    as_json = {"agent": "filler", "as": "json", "title": "By hand"}
    sent = client.post("/sessions/new", data={**as_json, "input": '{"who": "lee", "amount": 1}'})
    assert sent.status_code == 303
    for wrong in ("[", '{"who": 1}', "7"):
        assert client.post("/sessions/new", data={**as_json, "input": wrong}).status_code == 422, wrong
    for agent in ("keeper", "nobody", ""):
        assert client.post("/sessions/new", data={"agent": agent}).status_code == 404, agent
    assert "keeper" not in client.get("/sessions/new").text
    assert desk.client("vera").get("/sessions/new").status_code == 403


def test_search_finds_what_is_visible_and_ids_lead_straight_there(desk: Office) -> None:
    session_id = begin(desk.shop, "steps", pays(120), title="Pay the glazier")
    desk.shop.wait_for(session_id, "approval")
    action, item = action_of(desk, session_id)["id"], desk.shop.item(session_id, "approval")
    page = desk.page("bo")
    page.goto("/inbox")
    page.keyboard.press("/")
    page.keyboard.type("glazier")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Pay the glazier").click()
    expect(page.get_by_role("heading", name="Pay the glazier")).to_be_visible()
    client = desk.client("bo")
    assert "Bo Adeyemi" in client.get("/search?q=adey").text
    assert "/agents/lister" in client.get("/search?q=lister").text
    assert f"/actions/{action}" in client.get("/search?q=till.pay").text
    ids = {session_id: f"/sessions/{session_id}", action: f"/actions/{action}", item: f"/inbox/{item}"}
    for identifier, place in ids.items():
        assert client.get(f"/search?q={identifier}").headers["location"] == place
        hidden = desk.client("otto").get(f"/search?q={identifier}")
        assert hidden.status_code == 200
        assert "Nothing fits" in hidden.text
    assert "keeper" not in client.get("/search?q=keep").text
    assert "Nothing fits" in desk.client("otto").get("/search?q=till.pay").text
    assert "Nothing fits" in client.get("/search?q=xyzzy").text
    assert "What are you looking for?" in client.get("/search").text
    for odd in ('"', "a & | !", "\0", "ses_", "%", "x" * 200):
        assert client.get("/search", params={"q": odd}).status_code == 200, odd


def test_other_workspaces_do_not_exist(desk: Office) -> None:
    session_id = begin(desk.shop, "steps", pays(10), title="Only for the shop")
    desk.shop.finish(session_id)
    action = action_of(desk, session_id)["id"]
    otto, vera = desk.client("otto"), desk.client("vera")
    assert "Only for the shop" not in otto.get("/sessions").text
    assert "No session fits" in otto.get("/sessions?workspace=shop").text
    pages = [f"/sessions/{session_id}{tab}" for tab in ("", "/timeline", "/results", "/source", "/fork")]
    for path in [*pages, f"/actions/{action}"]:
        made_up = path.replace(session_id, "ses_" + "0" * 26).replace(action, "act_" + "0" * 26)
        hidden, missing = otto.get(path), otto.get(made_up)
        assert (hidden.status_code, missing.status_code) == (404, 404), path
        told = hidden.text.replace(path, made_up)  # a page names itself in its own links, and that is all it says
        position = re.compile('after=[^"]+')  # where the record stands; the worker may have written meanwhile
        assert position.sub("", told) == position.sub("", missing.text), path
        assert otto.get(path.replace("_", "_%00")).status_code == 404, path
        assert vera.get(path).status_code == 200, path
    posts = {
        f"/sessions/{session_id}/message": {"text": "hello"},
        f"/sessions/{session_id}/move": {"verb": "cancel", "reason": "no"},
        f"/sessions/{session_id}/fork": {"how": "message", "text": "hello"},
        f"/actions/{action}/undo": {"reason": "no"},
    }
    for path, given in posts.items():
        assert desk.client("otto").post(path, data=given).status_code == 404, path
        assert vera.post(path, data=given).status_code == 403, path
    assert desk.client("otto").post(f"/sessions/{session_id}/comment", data={"text": "hi"}).status_code == 404
    assert desk.shop.session(session_id)["status"] == "finished"


def test_rows_of_one_title_say_for_whom_and_rows_without_one_what_was_given(desk: Office) -> None:
    for person in ("bo", "cleo"):
        desk.shop.finish(
            begin(desk.shop, "wordy", {"question": "today"}, title="Daily priorities", on_behalf_of=person)
        )
    shown = sessions_of(desk, "bo", text='"Daily priorities"')
    assert "<span>for Bo Adeyemi</span>" in shown
    assert "<span>for Cleo Marsh</span>" in shown
    own = begin(desk.shop, "wordy", {"question": "mine"}, title="Her own", on_behalf_of="bo", principal="person:bo")
    assert "<span>for Bo Adeyemi</span>" not in sessions_of(desk, "bo", text='"Her own"'), "it says so once"
    desk.shop.finish(own)
    given = {"who": "Zora <b>", "amount": 12.5, "notes": ["a", "b"], "urgent": True}
    filled = begin(desk.shop, "filler", given)
    desk.shop.finish(filled)
    long = begin(desk.shop, "filler", {"who": "z" * 60, "amount": 77})
    desk.shop.finish(long)
    nothing = begin(desk.shop, "steps", {"steps": []})
    desk.shop.finish(nothing)
    bo = desk.client("bo")
    for place in ("/sessions", f"/sessions/{filled}", "/agents/filler", f"/search?q={filled[-6:]}"):
        assert "filler, 12.5, Zora &lt;b&gt;" in bo.get(place).text, place
    assert "filler, 77<" in sessions_of(desk, "bo", agent="filler")
    assert f"steps, {nothing[-6:]}<" in bo.get(f"/sessions/{nothing}").text


def test_search_finds_the_short_id_that_stands_as_a_heading(desk: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = begin(desk.shop, "steps", {"steps": []})
    desk.shop.finish(session_id)
    bo = desk.client("bo")
    for end in (session_id[-6:], session_id[-8:].upper()):
        assert f"/sessions/{session_id}" in bo.get(f"/search?q={end}").text
        assert "Nothing fits" in desk.client("otto").get(f"/search?q={end}").text
        assert f"/sessions/{session_id}" in desk.client("ada").get(f"/search?q={end}").text
    assert "Nothing fits" in bo.get(f"/search?q={session_id[-12:-6]}").text, "it is no end"
    monkeypatch.setattr(session_search, "_AMONG", 1)
    desk.shop.finish(begin(desk.shop, "steps", {"steps": []}))
    assert "Nothing fits" in bo.get(f"/search?q={session_id[-6:]}").text, "only the newest are looked at"


def test_search_finds_what_people_are_asked_by_its_words(desk: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    asks = begin(desk.shop, "steps", {"steps": [{"ask": "May Marta Lindqvist (CS-19412) return the lamp?"}]})
    desk.shop.wait_for(asks, "question")
    pay = begin(desk.shop, "steps", {"steps": [{"who": "Henrik Odum", "amount": 120}]})
    desk.shop.wait_for(pay, "approval")
    question, approval = desk.shop.item(asks, "question"), desk.shop.item(pay, "approval")
    bo, otto = desk.client("bo"), desk.client("otto")

    def found(query: str, client: Any = bo) -> list[str]:
        return re.findall(r'href="/inbox/(itm_[0-9a-z]+)"', client.get("/search", params={"q": query}).text)

    for words in ("Marta Lindqvist", "lindqvist MARTA", '"marta lindqvist"', "CS-19412", "lamp"):
        assert found(words) == [question], words
        assert found(words, otto) == [], words
    assert found("Henrik Odum") == [approval]
    assert found("Marta Odum") == []
    assert found("lindq") == [], "whole words"
    assert found("schema") == [], "what is asked, and not how that is written down"
    for odd in ("%", "\\", "a & | !", "' or 1=1", "\0"):
        assert found(odd) == [], odd
    monkeypatch.setattr(item_search, "_AMONG", 1)
    assert found("Marta Lindqvist") == [], "only the newest are looked at"
