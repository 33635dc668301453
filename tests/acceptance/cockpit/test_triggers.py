"""Triggers in the cockpit: what they did and will do; firing, pausing, resuming."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect

from remit.storage import triggers
from remit.storage.triggers import Firing
from tests.acceptance.cockpit.accessibility import accessible
from tests.acceptance.cockpit.bureau import HOSTILE
from tests.acceptance.cockpit.office import Office


def test_a_trigger_is_fired_paused_and_resumed(open_bureau: Office) -> None:
    page = open_bureau.page("bo")
    page.goto("/triggers")
    expect(page.get_by_text("by the clock, 0 3 * * * in UTC")).to_be_visible()
    page.get_by_role("link", name="nightly").click()
    expect(page.get_by_role("heading", name="It has not fired yet")).to_be_visible()
    page.get_by_role("button", name="Fire now").click()
    expect(page.get_by_text("Fired nightly.")).to_be_visible()
    assert "/sessions/ses_" in page.url
    page.goto("/triggers/nightly")
    expect(page.get_by_role("cell", name="started")).to_have_count(1)
    page.get_by_label("Why").fill("The till is being moved")
    page.get_by_role("button", name="Pause it").click()
    expect(page.get_by_text("Paused by Bo Adeyemi: The till is being moved")).to_be_visible()
    page.goto("/triggers")
    expect(page.get_by_text("paused by Bo Adeyemi: The till is being moved")).to_be_visible()
    page.goto("/triggers/nightly")
    page.get_by_label("Why").fill("It stands again")
    page.get_by_role("button", name="Let it fire again").click()
    expect(page.get_by_text("nightly fires again")).to_be_visible()


def test_what_has_no_input_of_its_own_is_given_one(bureau: Office) -> None:
    client = bureau.client("bo")
    none = client.post("/triggers/bell/fire", data={})
    assert none.status_code == 422
    assert "knows its input only when something comes in" in none.text
    broken = client.post("/triggers/bell/fire", data={"given": "{oh <b>"})
    assert broken.status_code == 422
    assert "{oh &lt;b&gt;" in broken.text, "what was written is still there"
    assert client.post("/triggers/bell/fire", data={"given": '{"steps": []}'}).status_code == 303
    with bureau.services.sessions.transaction() as db:
        rows = db.execute("select principal, trigger from remit.sessions").fetchall()
    assert rows == [{"principal": "person:bo", "trigger": "bell"}]


def test_who_only_looks_and_who_is_elsewhere_moves_nothing(bureau: Office) -> None:
    vera, otto = bureau.client("vera"), bureau.client("otto")
    assert "Fire now" not in vera.get("/triggers/nightly").text
    for verb in ("fire", "pause", "resume"):
        given = {"reason": "no"}
        assert vera.post(f"/triggers/nightly/{verb}", data=given).status_code == 403
        assert otto.post(f"/triggers/nightly/{verb}", data=given).status_code == 404
    assert otto.get("/triggers/nightly").status_code == 404
    assert "nightly" not in otto.get("/triggers").text
    assert "vault-watch" in otto.get("/triggers").text
    assert bureau.client("bo").post("/triggers/nightly/pause", data={"reason": " "}).status_code == 422
    assert bureau.client("bo").post("/triggers/nightly/resume", data={"reason": "why"}).status_code == 409
    assert not any(one.paused for one in bureau.services.triggers.listing())


def test_what_was_left_out_says_why_page_by_page(bureau: Office) -> None:
    now = datetime.now(UTC)
    with bureau.services.sessions.transaction() as db:
        made = [
            Firing("bell", f"{n:03}", now - timedelta(minutes=n), "refused" if n % 2 else "skipped", None, HOSTILE, now)
            for n in range(120)
        ]
        triggers.write(db, [(firing, {}) for firing in made])
    client, seen, path = bureau.client("bo"), "", "/triggers/bell"
    for _ in range(3):
        shown = client.get(path).text
        assert "<script>alert" not in shown
        assert "\u202e" not in shown
        seen += shown
        path = shown.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&") if 'rel="next"' in shown else ""
    assert path == ""
    assert seen.count('<span class="badge firing-') == 120
    only = client.get("/triggers/bell?status=refused").text
    assert "firing-refused" in only
    assert "firing-skipped" not in only
    assert client.get("/triggers/bell?at=yesterday").status_code == 422
    assert client.get("/triggers/bell?at=2026-01-01").status_code == 422
    first = client.get("/triggers").text
    assert first.index("bell") < first.index("nightly"), "what could not start something comes first"


def test_everybody_can_use_the_pages(open_bureau: Office) -> None:
    open_bureau.services.triggers.fire("nightly", "bo")
    open_bureau.services.triggers.pause("bell", "person:bo", "too loud")
    accessible(open_bureau, "ada", "/triggers", "/triggers/nightly", "/triggers/bell", "/workflows")
