"""Sessions in the cockpit: found, read, written in, moved and forked; one action's story; search; starting one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from remit.governance.desk import Decider
from tests.acceptance.cockpit.desk import DESK
from tests.acceptance.cockpit.office import Office, open_office
from tests.acceptance.nursery import Nursery
from tests.acceptance.shop import open_shop
from tests.acceptance.talking import begin
from tests.conftest import DatabaseFactory


@pytest.fixture(scope="module")
def desk(
    database_factory: DatabaseFactory,
    migrated: str,
    nursery: Nursery,
    browser: Browser,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Office]:
    database = database_factory.create(migrated)
    with open_shop(tmp_path_factory.mktemp("desk") / "shop", database.url(), nursery, **DESK) as shop:
        shop.worker()
        with open_office(shop, browser) as office:
            yield office
            assert office.problems == []
    database_factory.drop(database)


def pays(*amounts: int) -> dict[str, Any]:
    return {"steps": [{"who": "kim", "amount": amount} for amount in amounts]}


def sessions_of(desk: Office, who: str, **query: str) -> str:
    return desk.client(who).get("/sessions", params=query).text


def action_of(desk: Office, session_id: str, place: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = desk.shop.session(session_id)["actions"][place]
    return found


HOSTILE = "<script>alert(1)</script>\u202egpj.exe {{ 7*7 }}"


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


def test_lists_are_in_pages(desk: Office) -> None:
    from remit.surfaces.web import sessions

    for number in range(3):
        desk.shop.finish(begin(desk.shop, "wordy", {"question": "page"}, title=f"Page {number}", request_id="pages"))
    kept, sessions._PAGE = sessions._PAGE, 2  # type: ignore[misc]
    try:
        first = sessions_of(desk, "bo", text="page")
        assert "Page 2" in first
        assert "Page 0" not in first
        older = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
        assert "Page 0" in desk.client("bo").get(older).text
    finally:
        sessions._PAGE = kept  # type: ignore[misc]


def test_several_people_and_agents_talk_in_one_session(desk: Office) -> None:
    session_id = begin(desk.shop, "wordy", {"question": "Which are late?"}, title="Late invoices")
    desk.shop.finish(session_id)
    page = desk.page("bo")
    page.goto(f"/sessions/{session_id}")
    expect(page.get_by_role("article").first).to_contain_text("Dov Levin")
    page.get_by_label("Message").fill("and which belong to Acme?")
    page.get_by_role("combobox", name="To", exact=True).select_option("chat")
    page.get_by_role("button", name="Send").click()
    answer = page.get_by_role("article").nth(3)
    expect(answer).to_contain_text("and which belong to Acme?")  # it comes by itself
    expect(answer).to_contain_text("chat")
    expect(page.get_by_role("article").nth(2)).to_contain_text("to @chat")
    page.get_by_label("Message").fill("@nobody hello")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("no agent @nobody can be addressed")
    expect(page.get_by_label("Message")).to_have_value("@nobody hello")
    page.get_by_label("Comment", exact=True).fill("Ask Cleo first.")
    page.get_by_role("button", name="Comment").click()
    expect(page.locator("#comments")).to_contain_text("Ask Cleo first.")
    assert "Ask Cleo first." in desk.client("vera").get(f"/sessions/{session_id}").text


def test_a_session_says_why_it_waits_and_is_moved_with_a_reason(desk: Office) -> None:
    session_id = begin(desk.shop, "steps", pays(120), title="Pay the plumber")
    desk.shop.wait_for(session_id, "approval")
    page = desk.page("bo")
    page.goto(f"/sessions/{session_id}")
    expect(page.get_by_text("It waits for an approval.")).to_be_visible()
    page.locator("summary", has_text="Pause").click()
    page.get_by_label("Why").first.fill("Wait for Cleo")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Somebody has set it aside")).to_be_visible()
    expect(page.get_by_text("Wait for Cleo")).to_be_visible()
    expect(page.get_by_text("It is paused: resume it first.")).to_be_visible()
    page.locator("summary", has_text="Resume").click()
    page.get_by_label("Why").first.fill("Cleo said yes")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("It waits for an approval.")).to_be_visible()
    page.get_by_role("link", name="steps: Pay of 120 USD").click()
    page.get_by_role("button", name="Approve", exact=True).click()
    desk.shop.finish(session_id)
    second = begin(desk.shop, "steps", pays(130), title="Pay twice")
    desk.shop.wait_for(second, "approval")
    refused = desk.client("bo").post(f"/sessions/{second}/move", data={"verb": "cancel", "reason": " "})
    assert refused.status_code == 422
    assert "say why" in refused.text
    cancelled = desk.client("bo").post(f"/sessions/{second}/move", data={"verb": "cancel", "reason": "a mistake"})
    assert cancelled.status_code == 303
    assert "ended for good" in desk.client("bo").get(f"/sessions/{second}").text
    assert desk.client("bo").post(f"/sessions/{second}/move", data={"verb": "pause", "reason": "x"}).status_code == 409
    assert desk.client("bo").post(f"/sessions/{second}/move", data={"verb": "tick", "reason": "x"}).status_code == 422


def test_the_timeline_tells_queue_wait_and_run_apart(desk: Office) -> None:
    steps = {"steps": [*pays(120)["steps"], {"do": {"pay": "lee", "amount": 4}}, {"who": "kim", "amount": 900}]}
    session_id = begin(desk.shop, "steps", steps, title="All of it")
    desk.shop.wait_for(session_id, "approval")
    desk.services.sessions.approve(desk.shop.item(session_id, "approval"), Decider("bo"), "yes")
    desk.shop.wait(session_id, "finished", "failed")
    page = desk.page("bo")
    page.goto(f"/sessions/{session_id}")
    page.get_by_role("link", name="Timeline").click()
    lanes = page.locator(".lanes > li")
    expect(lanes.first).to_contain_text("Dov Levin to @steps")
    assert lanes.first.locator(".bar-queue").count() > 0
    assert lanes.first.locator(".bar-wait").count() > 0
    assert lanes.first.locator(".bar-run").count() > 0
    assert page.locator(".lane-action .bar-wait").count() == 1
    assert page.locator(".lane-child .bar-child").count() == 1
    expect(page.get_by_text("Shaded: nothing ran there")).to_have_count(
        page.locator(".lane:nth-child(1) .gap").count() and 1
    )
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("row")).to_have_count(1 + lanes.count())
    page.get_by_role("link", name="With a problem 1").click()
    expect(page.locator(".lane-action")).to_have_count(1)
    expect(page.locator(".lane-action")).to_contain_text("refused")
    expect(page.locator(".lane-action .bar-bad")).to_have_count(1)


def test_an_action_tells_its_whole_story_and_is_taken_back(desk: Office) -> None:
    session_id = begin(desk.shop, "steps", pays(120), title="Pay the roofer")
    desk.shop.wait_for(session_id, "approval")
    item = desk.shop.item(session_id, "approval")
    less = {"who": "kim", "amount": 90, "currency": "USD"}
    desk.services.sessions.approve(item, Decider("bo"), "The roof leaks less", edited=less)
    desk.shop.finish(session_id)
    action = action_of(desk, session_id)
    page = desk.page("bo")
    page.goto(f"/actions/{action['id']}")
    expect(page.get_by_role("heading", name="Pay", exact=True)).to_be_visible()
    for said in (
        "till.pay",
        "Changed by Bo Adeyemi to",
        "writes",
        "policies/shop.cedar:",
        "Idempotency key",
        "approved as accountable",
    ):
        expect(page.get_by_text(said).first).to_be_visible()
    page.get_by_text("How it would be decided today").click()
    page.get_by_label("Why").fill("The roofer never came")
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_text("Taking it back was asked for.")).to_be_visible()
    desk.shop.wait(session_id, "finished")
    page.goto(f"/actions/{action['id']}")
    expect(page.get_by_text("It was taken back by")).to_be_visible()
    page.get_by_text("It was taken back by").get_by_role("link").click()
    expect(page.get_by_text("It takes back")).to_be_visible()
    again = desk.client("bo").post(f"/actions/{action['id']}/undo", data={"reason": "twice"})
    assert again.status_code == 409
    assert desk.client("bo").post(f"/actions/{action['id']}/undo", data={}).status_code == 422


def test_a_fork_says_what_happens_again_before_it_does(desk: Office) -> None:
    session_id = begin(desk.shop, "steps", pays(10, 20), title="Pay the twins")
    turn = desk.shop.finish(session_id)["turns"][0]["id"]
    page = desk.page("bo")
    page.goto(f"/sessions/{session_id}/fork")
    expect(page.get_by_role("heading", name="This cannot be forked so")).to_be_visible()
    page.goto(f"/sessions/{session_id}/timeline")
    page.get_by_text("The same as a table").click()
    page.get_by_role("link", name="Fork here").last.click()
    expect(page.get_by_text("1 action behind the point changed something")).to_be_visible()
    expect(page.get_by_text("1 action of the turn at the point")).to_be_visible()
    page.get_by_role("button", name="Fork; 1 effect may happen again").click()
    expect(page.get_by_text("It begins where another session stood")).to_have_count(0)  # no earlier turn was inherited
    expect(page.get_by_role("link", name="Pay the twins").first).to_be_visible()
    made = page.url.partition("/sessions/")[2]
    desk.shop.finish(made)
    assert [a["key"] for a in desk.shop.session(made)["actions"]] == ["2"]
    page.goto(f"/sessions/{session_id}")
    expect(page.get_by_role("heading", name="Forks of it")).to_be_visible()
    page.goto(f"/sessions/{session_id}/fork?how=message")
    expect(page.get_by_text("Nothing that changed the world is behind the point.")).to_be_visible()
    page.get_by_role("textbox", name="Message").fill("@chat what was paid?")
    page.get_by_role("button", name="Fork", exact=True).click()
    expect(page.get_by_text("It begins where another session stood: 1 turn of that one")).to_be_visible()
    bad = desk.client("bo").post(f"/sessions/{session_id}/fork", data={"at": f"{turn}:99"})
    assert bad.status_code == 404
    assert "the turn has done nothing at 99" in bad.text
    assert desk.client("bo").get(f"/sessions/{session_id}/fork?at=turn_nope:1").status_code == 200


def test_rows_tell_their_reasons_and_the_source_is_what_ran(desk: Office) -> None:
    session_id = begin(desk.shop, "lister", {}, title="Whom to call")
    desk.shop.wait(session_id, "finished", "failed")
    page = desk.page("bo")
    page.goto(f"/sessions/{session_id}")
    page.get_by_role("link", name="Results and reasons").click()
    page.get_by_role("link", name="Bolt").click()
    expect(page.get_by_role("heading", name="Why Bolt is no. 2 of calls")).to_be_visible()
    expect(page.get_by_text("is new").first).to_be_visible()
    expect(page.get_by_text("Dear Acme")).to_be_visible()
    page.get_by_role("link", name="Source").click()
    expect(page.get_by_text("session.explain_all(")).to_be_visible()
    assert "No row is called" in desk.client("bo").get(f"/sessions/{session_id}/results?row=nothing").text


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
        assert hidden.text == missing.text, path
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


def test_hostile_and_huge_text_harms_no_page(desk: Office) -> None:
    session_id = begin(desk.shop, "wordy", {"question": HOSTILE}, title=HOSTILE, request_id=HOSTILE)
    desk.shop.finish(session_id)
    huge = begin(desk.shop, "filler", {"who": "x" * 1_000_000, "amount": 1}, title="y" * 5_000)
    desk.shop.finish(huge)
    client = desk.client("bo")
    client.post(f"/sessions/{session_id}/comment", data={"text": HOSTILE})
    for path in ("", "/timeline", "/results", "/source", "/fork"):
        shown = client.get(f"/sessions/{session_id}{path}").text
        assert "<script>alert" not in shown, path
        assert "\u202e" not in shown, path
        assert "{{ 7*7 }}" in shown or path, "nothing is evaluated"
        assert len(client.get(f"/sessions/{huge}{path}").content) < 200_000, path
    assert "<script>alert" not in sessions_of(desk, "bo", text="alert")
    assert "<script>alert" not in client.get("/search", params={"q": HOSTILE}).text
    page = desk.page("bo")
    page.goto(f"/sessions/{session_id}")
    page.goto(f"/sessions/{huge}")
    expect(page.get_by_text("The beginning of 1,0").first).to_be_visible()
    assert client.post(f"/sessions/{session_id}/message", data={"text": "x" * 400_000}).status_code == 422


def test_a_session_works_without_scripts(desk: Office) -> None:
    session_id = begin(desk.shop, "wordy", {"question": "Which?"}, title="Plain")
    desk.shop.finish(session_id)
    page = desk.page("bo", java_script_enabled=False)
    page.goto(f"/sessions/{session_id}")
    page.get_by_label("Message").fill("and then?")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Said.")).to_be_visible()
    assert [t["author"] for t in desk.shop.session(session_id)["turns"]] == ["person:dov", "person:bo"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_passes_the_accessibility_check(desk: Office, scheme: Any) -> None:
    waits = begin(
        desk.shop, "steps", {"steps": [*pays(10)["steps"], {"do": {"pay": "lee", "amount": 4}}, *pays(120)["steps"]]}
    )
    desk.shop.wait_for(waits, "approval")
    listed = begin(desk.shop, "lister", {})
    desk.shop.wait(listed, "finished", "failed")
    failed = begin(desk.shop, "steps", {"steps": [{"fail": 1}]})
    turn = desk.shop.wait(failed, "failed")["turns"][0]["id"]
    place = action_of(desk, waits)
    page = desk.page("bo", color_scheme=scheme)
    paths = [
        "/sessions",
        "/sessions?text=nothinglikethis",
        "/sessions/new",
        "/sessions/new?agent=filler",
        "/search?q=pay",
        "/search",
    ]
    paths += [
        f"/sessions/{waits}",
        f"/sessions/{failed}",
        f"/sessions/{waits}/timeline",
        f"/sessions/{listed}/results?row=acme",
    ]
    paths += [f"/sessions/{listed}/source", f"/sessions/{waits}/fork", f"/sessions/{failed}/fork?at={turn}"]
    paths += [
        f"/sessions/{waits}/fork?at={place['turn_id']}:1",
        *(f"/actions/{a['id']}" for a in desk.shop.session(waits)["actions"]),
    ]
    for path in paths:
        page.goto(path)
        page.evaluate("document.querySelectorAll('main details').forEach((part) => (part.open = true))")
        found = Axe().run(page).response["violations"]
        assert [(v["id"], v["nodes"][0]["html"]) for v in found] == [], path
