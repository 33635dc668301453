"""Audit and insights say when more is counted, and move nothing under the eyes of whoever reads or types."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from remit.domain.records import Tag
from remit.storage.sessions import record
from remit.surfaces.http import live
from tests.acceptance.cockpit.office import Office
from tests.acceptance.cockpit.test_record import counted, worked


def stopped(office: Office, times: int = 1, workspace: str = "shop", session: str | None = None) -> None:
    """More records of a workspace, sealed and counted."""
    with office.services.sessions.transaction() as db:
        for _ in range(times):
            record(db, Tag.STOP_SET, by="ada", scope="workspace", target=workspace, session_id=session)
    counted(office)


def test_the_audit_explorer_says_that_there_is_more_and_shows_it_when_asked(open_cockpit: Office) -> None:
    worked(open_cockpit)
    page = open_cockpit.page("rita")
    page.goto("/audit")
    rows = page.get_by_role("list", name="Records").get_by_role("listitem")
    first = rows.first
    first.locator("summary").click()
    page.get_by_role("combobox", name="Agent").fill("half a na")
    before, place = rows.count(), first.bounding_box()
    stopped(open_cockpit, 2)
    expect(page.get_by_role("link", name="2 new records: show them")).to_be_visible()
    stopped(open_cockpit, workspace="vault")
    stopped(open_cockpit)
    more = page.get_by_role("link", name="3 new records: show them")
    expect(more).to_be_visible()
    assert rows.count() == before
    assert first.bounding_box() == place, "nothing has moved"
    assert first.locator("details").get_attribute("open") is not None
    expect(page.get_by_role("combobox", name="Agent")).to_have_value("half a na")
    expect(page.get_by_role("combobox", name="Agent")).to_be_focused()
    more.click()
    expect(rows).to_have_count(before + 3)
    expect(page.get_by_role("link", name="new record")).to_have_count(0)


def test_it_tells_only_of_what_is_chosen_and_open_to_the_viewer(
    open_cockpit: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(live._REST, "counted", 0.5)
    worked(open_cockpit)
    chosen, other = open_cockpit.page("ada"), open_cockpit.page("otto")
    chosen.goto("/audit?tag=person:stop:set&workspace=shop")
    other.goto("/audit")
    asked: list[str] = []
    other.on("request", lambda request: asked.append(request.url))
    stopped(open_cockpit, workspace="vault", times=3)
    expect(other.get_by_role("link", name="3 new records: show them")).to_be_visible()
    other.wait_for_timeout(1_500)  # what happens while a page begins to listen may be told to it twice
    asked.clear()
    stopped(open_cockpit)
    with open_cockpit.services.sessions.transaction() as db:
        record(db, Tag.STOP_SET, by="ada", scope="all", target="")
    counted(open_cockpit)
    expect(chosen.get_by_role("link", name="1 new record: show it")).to_be_visible()
    chosen.get_by_role("link", name="1 new record: show it").click()
    expect(chosen.get_by_text("1 record", exact=True)).to_be_visible()
    other.wait_for_timeout(1_500)  # longer than pages rest between two words of it
    assert asked == [], "a page is not told of what belongs to others, or to the whole company"


def test_what_came_is_counted_behind_the_page_and_only_where_it_may_be_seen(office: Office) -> None:
    worked(office)
    ada, otto = office.client("ada"), office.client("otto")
    every = ada.get("/audit/new?after=-1").text
    assert "new records: show them" in every
    assert "show" not in otto.get("/audit/new?after=-1").text
    assert "1 new record: show it" in ada.get("/audit/new?after=-1&tag=person:approval:denied").text
    assert "8 new records" in ada.get("/audit/new?after=-1&known=7&tag=person:approval:denied").text
    assert office.client("bo").get("/audit/new?after=-1").status_code == 403
    for wrong in ("", "?after=x", "?after=-2", "?after=1&known=1001", "?after=1&since=nonsense"):
        assert ada.get(f"/audit/new{wrong}").status_code == 422
    full = ada.get("/audit/new?after=0&known=1000").text
    assert "1,000+ new records" in full
    assert "hx-get" not in full, "there it stops asking"


def test_insights_draw_new_numbers_where_nobody_is_in_the_middle_of_something(open_cockpit: Office) -> None:
    page = open_cockpit.page("rita", viewport={"width": 1280, "height": 500})
    page.goto("/insights?span=24h")
    expect(page.get_by_text("Nothing to count yet")).to_be_visible()
    worked(open_cockpit)
    denied = page.get_by_role("row", name="denied 1")
    expect(denied).to_be_visible()
    page.get_by_role("combobox", name="Agent").focus()
    page.get_by_role("combobox", name="Agent").select_option("clerk")
    open_cockpit.shop.worker()
    open_cockpit.shop.finish(open_cockpit.shop.start({"tool": "pay", "who": "kim", "amount": 9, "currency": "USD"}))
    open_cockpit.shop.end_workers()
    counted(open_cockpit)
    more = page.get_by_role("link", name="New numbers: show them")
    expect(more).to_be_visible()
    expect(page.get_by_role("combobox", name="Agent")).to_have_value("clerk")
    done = page.locator(".numbers .number").first
    before = done.inner_text()
    more.click()
    expect(done).not_to_have_text(before)
    expect(more).to_have_count(0)


def test_insights_of_one_workspace_are_not_drawn_anew_for_another(open_cockpit: Office) -> None:
    page = open_cockpit.page("otto")
    page.goto("/insights")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    worked(open_cockpit)
    stopped(open_cockpit, workspace="vault")
    expect(page.get_by_text("Counted up to")).to_be_visible()
    assert len([url for url in asked if "/insights" in url]) == 1
