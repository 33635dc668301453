"""One session in the cockpit: read, written in, moved and forked; one action's story; hostile text; accessibility."""

from __future__ import annotations

from itertools import pairwise

from playwright.sync_api import expect

from remit.governance.desk import Decider
from tests.acceptance.cockpit.accessibility import accessible
from tests.acceptance.cockpit.desk import HOSTILE, action_of, pays, sessions_of
from tests.acceptance.cockpit.office import Office
from tests.acceptance.talking import begin


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
    for lane in lanes.all():
        name, bars = lane.locator(".lane-name").bounding_box(), lane.locator(".bars").bounding_box()
        assert name
        assert bars
        assert abs(name["y"] + name["height"] / 2 - bars["y"] - bars["height"] / 2) < 4, "a bar is beside its name"
        assert bars["width"] > 400, "and has the width of the page"
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
    page.goto(f"/sessions/{session_id}")
    page.get_by_role("link", name="Fork", exact=True).click()
    expect(page.get_by_label("Point")).to_have_value(turn)  # nothing was chosen yet: the last turn is
    expect(page.get_by_role("button", name="Fork; 2 effects may happen again")).to_be_visible()
    expect(page.get_by_role("heading", name="This cannot be forked so")).to_have_count(0)
    page.get_by_label("Point").select_option("where it stands now")
    page.get_by_role("button", name="Show what it gives").click()
    expect(page.get_by_text("Choose another point, or begin with a new message.")).to_be_visible()
    expect(page.get_by_text("--at")).to_have_count(0)
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


def test_a_fork_is_called_after_what_it_was_forked_from(desk: Office) -> None:
    client, verbs = desk.client("bo"), desk.services.sessions
    named = begin(desk.shop, "steps", pays(10), request_id="CS-19422")
    bare = begin(desk.shop, "steps", pays(11))
    for origin, name in ((named, "CS-19422"), (bare, f"steps, {bare[-6:]}")):
        desk.shop.finish(origin)
        made, _ = verbs.fork(origin, "person:bo", message="@chat what was paid?")
        shown = client.get(f"/sessions/{made}").text
        assert f"<h1>Fork of {name}</h1>" in shown
        assert f'<a href="/sessions/{origin}">{name}</a> <code>{origin}</code>' in shown
        assert f'href="/sessions/{made}">Fork of {name}</a>' in client.get("/sessions").text
        again, _ = verbs.fork(made, "person:bo", message="@chat and why?")
        assert f"<h1>Fork of {name}</h1>" in client.get(f"/sessions/{again}").text


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


def test_every_page_passes_the_accessibility_check(desk: Office) -> None:
    waits = begin(
        desk.shop, "steps", {"steps": [*pays(10)["steps"], {"do": {"pay": "lee", "amount": 4}}, *pays(120)["steps"]]}
    )
    desk.shop.wait_for(waits, "approval")
    listed = begin(desk.shop, "lister", {})
    desk.shop.wait(listed, "finished", "failed")
    failed = begin(desk.shop, "steps", {"steps": [{"fail": 1}]})
    turn = desk.shop.wait(failed, "failed")["turns"][0]["id"]
    place = action_of(desk, waits)
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
    accessible(desk, "bo", *paths)


def test_the_labels_of_the_axis_do_not_lie_over_each_other_on_a_phone(desk: Office) -> None:
    session_id = begin(desk.shop, "steps", pays(10, 120))
    desk.shop.wait_for(session_id, "approval")
    for width in (390, 640, 1280):
        page = desk.page("bo", viewport={"width": width, "height": 800})
        page.goto(f"/sessions/{session_id}/timeline")
        labels = page.locator(".axis text:visible")
        boxes = [box for label in labels.all() if (box := label.bounding_box()) is not None]
        assert len(boxes) == (3 if width == 390 else 5)
        boxes.sort(key=lambda box: box["x"])
        assert all(a["x"] + a["width"] < b["x"] for a, b in pairwise(boxes)), (width, boxes)
        assert boxes[-1]["x"] + boxes[-1]["width"] <= width
        page.context.close()
