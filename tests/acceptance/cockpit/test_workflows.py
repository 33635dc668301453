"""The map of workflows: where work is now, and where it went wrong."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.acceptance.cockpit.accessibility import accessible
from tests.acceptance.cockpit.office import Office
from tests.acceptance.cockpit.test_decide import asked
from tests.acceptance.cockpit.test_record import counted


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
    refusals = paying.get_by_role("link", name="1 refused")
    expect(refusals).to_be_visible()  # as soon as a worker has counted it
    expect(page.get_by_text("the till burns")).to_be_visible()
    open_bureau.shop.start({"tool": "peek"})
    second = open_bureau.shop.start({"tool": "pay", "who": "lee", "amount": 300, "currency": "USD"})
    open_bureau.shop.wait_for(second, "approval")
    expect(page.get_by_role("link", name="2 waiting", exact=True)).to_be_visible()
    page.get_by_role("link", name="30 days").click()
    refusals.click()
    expect(page.get_by_role("heading", name="till.pay, refused")).to_be_visible()
    expect(page.get_by_text("in the last 30 days")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(2)
    action = open_bureau.shop.session(refused)["actions"][-1]["id"]
    expect(page.locator(f'a[href="/actions/{action}"]')).to_be_visible()


def test_the_work_of_other_workspaces_is_not_on_the_map(bureau: Office) -> None:
    bo, otto, ada = (bureau.client(p).get("/workflows").text for p in ("bo", "otto", "ada"))
    assert "Payments" in bo
    assert "Hidden work" not in bo
    assert "Payments" not in otto
    assert "Hidden work" in otto
    assert "Payments" in ada
    assert "Hidden work" in ada


def test_what_went_wrong_is_listed_for_those_who_see_the_agent(open_bureau: Office) -> None:
    open_bureau.shop.worker()
    refused = open_bureau.shop.start({"tool": "pay", "who": "kim", "amount": 900, "currency": "USD"})
    open_bureau.shop.finish(refused)
    open_bureau.shop.end_workers()
    counted(open_bureau)
    listed = "/workflows/actions?agent=clerk&action=till.pay&outcome="
    bo = open_bureau.client("bo")
    assert bo.get(f"{listed}refused").text.count("/actions/") == 1
    assert "None any more" in bo.get(f"{listed}unknown").text
    assert bo.get(f"{listed}succeeded").status_code == 404
    assert open_bureau.client("otto").get(f"{listed}refused").status_code == 404
    assert "1 refused" in bo.get("/workflows").text
    assert "1 refused" in bo.get("/workflows?span=7d").text
    assert "1 refused" not in open_bureau.client("otto").get("/workflows").text
    accessible(open_bureau, "bo", "/workflows", f"{listed}refused")


def test_without_a_workflow_the_page_says_what_one_is(office: Office) -> None:
    assert "No workflow yet" in office.client("bo").get("/workflows").text
