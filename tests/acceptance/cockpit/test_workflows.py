"""The map of workflows: where work is now, and where it went wrong."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.acceptance.cockpit.office import Office
from tests.acceptance.cockpit.test_decide import asked


def test_the_map_says_where_work_waits_and_where_it_went_wrong(open_bureau: Office) -> None:
    asked(open_bureau)
    refused = open_bureau.shop.start({"tool": "pay", "who": "kim", "amount": 900, "currency": "USD"})
    open_bureau.shop.finish(refused)
    with open_bureau.services.sessions.transaction() as db:
        db.execute("update remit.sessions set status = 'failed', reason = 'the till burns' where id = %s", (refused,))
    page = open_bureau.page("bo")
    page.goto("/workflows")
    expect(page.get_by_role("link", name="1 waiting", exact=True)).to_have_attribute(
        "href", "/sessions?agent=clerk&status=waiting"
    )
    expect(page.get_by_role("link", name="1 failed")).to_be_visible()
    paying = page.get_by_role("listitem").filter(has=page.get_by_text("till.pay"))
    expect(paying.get_by_role("link", name="1 waiting for a person")).to_be_visible()
    expect(paying.get_by_role("link", name="1 refused today")).to_be_visible()
    expect(page.get_by_text("the till burns")).to_be_visible()
    open_bureau.shop.start({"tool": "peek"})
    second = open_bureau.shop.start({"tool": "pay", "who": "lee", "amount": 300, "currency": "USD"})
    open_bureau.shop.wait_for(second, "approval")
    expect(page.get_by_role("link", name="2 waiting", exact=True)).to_be_visible()


def test_the_work_of_other_workspaces_is_not_on_the_map(bureau: Office) -> None:
    bo, otto, ada = (bureau.client(p).get("/workflows").text for p in ("bo", "otto", "ada"))
    assert "Payments" in bo
    assert "Hidden work" not in bo
    assert "Payments" not in otto
    assert "Hidden work" in otto
    assert "Payments" in ada
    assert "Hidden work" in ada


def test_without_a_workflow_the_page_says_what_one_is(office: Office) -> None:
    assert "No workflow yet" in office.client("bo").get("/workflows").text
