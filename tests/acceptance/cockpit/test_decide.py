"""Deciding in the cockpit: what needs me, why, what happens if I say yes, and who was faster."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.acceptance.cockpit.office import Office


def asked(office: Office, amount: int = 120) -> tuple[str, str]:
    """A session that waits for an approval, and its item."""
    office.shop.worker()
    session_id = office.shop.start({"tool": "pay", "who": "kim", "amount": amount, "currency": "USD"})
    office.shop.wait_for(session_id, "approval")
    return session_id, office.shop.item(session_id, "approval")


def test_an_approval_is_found_understood_and_given(open_cockpit: Office) -> None:
    session_id, item_id = asked(open_cockpit)
    page = open_cockpit.page("bo")
    page.goto("/")
    expect(page.get_by_role("link", name="Inbox 1")).to_be_visible()
    page.get_by_role("link", name="clerk: Pay of 120 USD").click()
    expect(page).to_have_url(f"{page.url.partition('/inbox')[0]}/inbox/{item_id}")
    expect(page.get_by_text("needs_human_approval_over_100")).to_have_count(2)  # the reason and the policy's own text
    expect(page.get_by_text("policies/shop.cedar:")).to_be_visible()
    expect(page.get_by_text("Pay, once, with exactly the values shown. It can be taken back.")).to_be_visible()
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="Done")).to_be_visible()
    expect(page.get_by_text("Decided by Bo Adeyemi: approved")).to_be_visible()
    assert open_cockpit.shop.finish(session_id)["actions"][0]["status"] == "succeeded"
    assert [b["amount"] for b in open_cockpit.shop.books()] == [120]


def test_only_what_a_person_opens_counts_as_opened(open_cockpit: Office) -> None:
    _, item_id = asked(open_cockpit)
    page = open_cockpit.page("bo")
    page.goto(f"/inbox/{item_id}")
    page.wait_for_timeout(500)  # whatever the page itself would tell
    policy = page.locator("details", has_text="policies/shop.cedar:")
    expect(policy).not_to_have_attribute("open", "")
    policy.evaluate("it => it.open = true")  # not by a person's hand
    page.wait_for_timeout(300)
    policy.evaluate("it => it.open = false")
    page.reload()
    expect(page.get_by_text("did not open the details")).to_be_visible()
    with page.expect_response(lambda got: got.url.endswith("/opened")):
        policy.locator("summary").focus()
        page.keyboard.press("Enter")
    expect(policy).to_have_attribute("open", "")
    page.reload()
    expect(page.get_by_text("; opened the details")).to_be_visible()


def test_changed_values_are_judged_anew_and_a_denial_says_why(open_cockpit: Office) -> None:
    session_id, item_id = asked(open_cockpit)
    page = open_cockpit.page("bo")
    page.goto(f"/inbox/{item_id}")
    page.get_by_text("Change the values, then approve").click()
    values = page.get_by_label("Values as JSON")
    values.fill("{not json")
    page.get_by_role("button", name="Approve as changed").click()
    expect(page.get_by_role("alert")).to_contain_text("This was not taken")
    expect(page.get_by_label("Values as JSON")).to_have_value("{not json")
    page.get_by_label("Values as JSON").fill('{"who": "kim", "amount": 90, "currency": "USD"}')
    page.get_by_role("button", name="Approve as changed").click()
    expect(page.get_by_text("Decided by Bo Adeyemi: edited")).to_be_visible()
    open_cockpit.shop.finish(session_id)
    assert [b["amount"] for b in open_cockpit.shop.books()] == [90]

    second = open_cockpit.shop.start({"tool": "pay", "who": "lee", "amount": 300, "currency": "USD"})
    open_cockpit.shop.wait_for(second, "approval")
    page.goto("/inbox")
    page.get_by_role("link", name="clerk: Pay of 300 USD").click()
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("alert")).to_contain_text("say why you deny it")
    page.get_by_label("Your reason").fill("Nobody ordered that.")
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_text("Reason: Nobody ordered that.")).to_be_visible()
    (action,) = open_cockpit.shop.finish(second)["actions"]
    assert (action["status"], action["override"]["by"], action["override"]["via"]) == ("refused", "bo", "cockpit")


def test_another_tab_on_another_server_is_told(open_cockpit: Office) -> None:
    _, item_id = asked(open_cockpit)
    here, there = (open_cockpit.page("bo", url=open_cockpit.serve()) for _ in range(2))
    here.goto(f"/inbox/{item_id}")
    there.goto(f"/inbox/{item_id}")
    there.get_by_label("Your reason").fill("half writ")
    there.get_by_label("Comment", exact=True).fill("a comment, too")
    here.wait_for_timeout(500)  # both streams stand
    here.get_by_role("button", name="Approve", exact=True).click()
    expect(here.get_by_text("Decided by Bo Adeyemi")).to_be_visible()
    news = there.get_by_role("alert")
    expect(news).to_contain_text("Bo Adeyemi has decided this: approved.")
    expect(news).to_be_in_viewport()
    expect(there.get_by_label("What you had written")).to_contain_text("half writ")
    expect(there.get_by_label("What you had written")).not_to_contain_text("a comment, too")
    expect(there.get_by_label("Comment", exact=True)).to_have_value("a comment, too")
    expect(here.get_by_role("alert")).to_have_count(0)


def test_a_list_shows_what_comes_in_by_itself(open_cockpit: Office) -> None:
    open_cockpit.shop.worker()
    page = open_cockpit.page("bo")
    page.goto("/inbox")
    expect(page.get_by_role("heading", name="Nothing needs you")).to_be_visible()
    session_id = open_cockpit.shop.start({"tool": "pay", "who": "kim", "amount": 120, "currency": "USD"})
    open_cockpit.shop.wait_for(session_id, "approval")
    expect(page.get_by_role("link", name="clerk: Pay of 120 USD")).to_be_visible()


def test_a_long_transaction_elsewhere_holds_no_page_back(open_cockpit: Office) -> None:
    open_cockpit.shop.worker()
    page = open_cockpit.page("bo")
    page.goto("/inbox")
    with open_cockpit.services.sessions.transaction() as long:
        long.execute("select pg_current_xact_id()")
        session_id = open_cockpit.shop.start({"tool": "pay", "who": "kim", "amount": 120, "currency": "USD"})
        open_cockpit.shop.wait_for(session_id, "approval")
        expect(page.get_by_role("link", name="clerk: Pay of 120 USD")).to_be_visible()


def test_deciding_works_without_scripts_and_once(open_cockpit: Office) -> None:
    session_id, item_id = asked(open_cockpit)
    page, late = (open_cockpit.page("bo", java_script_enabled=False) for _ in range(2))
    page.goto(f"/inbox/{item_id}")
    late.goto(f"/inbox/{item_id}")
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_text("Decided by Bo Adeyemi: approved")).to_be_visible()
    late.get_by_label("Your reason").fill("Long thought about.")
    late.get_by_role("button", name="Approve", exact=True).click()
    expect(late.get_by_role("alert")).to_contain_text("This was not taken")
    expect(late.get_by_label("What you had written")).to_contain_text("Long thought about.")
    open_cockpit.shop.finish(session_id)
    assert len(open_cockpit.shop.books()) == 1
