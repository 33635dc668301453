"""Policies in the cockpit: what they say, and what would happen."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.acceptance.cockpit.accessibility import accessible, clean
from tests.acceptance.cockpit.bureau import HOSTILE
from tests.acceptance.cockpit.office import Office
from tests.acceptance.cockpit.test_decide import asked
from tests.acceptance.cockpit.test_record import counted

TABLES = ("records", "actions", "sessions", "inbox_items", "budgets", "payloads")


def test_a_verdict_leads_to_its_policy_with_how_often_it_was_named(open_bureau: Office) -> None:
    session_id, item_id = asked(open_bureau)
    counted(open_bureau)
    page = open_bureau.page("bo")
    page.goto(f"/inbox/{item_id}")
    page.locator("summary", has_text="pay_over_100").click()
    page.get_by_role("link", name="The policy among the others").click()
    policy = page.locator("#pay_over_100")
    expect(policy).to_be_in_viewport()
    expect(policy.get_by_text("asks a person")).to_be_visible()
    expect(policy.get_by_text("policies/shop.cedar:10")).to_be_visible()
    expect(policy.get_by_text("about till.pay")).to_be_visible()
    action = open_bureau.shop.session(session_id)["actions"][0]["id"]
    policy.get_by_text("policies/shop.cedar:10").click()
    expect(policy.get_by_text('context.approved_by.contains("accountable")')).to_be_visible()
    policy.get_by_role("link", name="named once").click()
    expect(page.get_by_text("Decisions of the last 30 days")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(2)
    expect(page.get_by_role("row").last).to_contain_text("waiting")
    expect(page.locator(f'a[href="/actions/{action}"]')).to_be_visible()
    assert open_bureau.client("otto").get("/policies/decisions?policy=pay_over_100").text.count("/actions/") == 0
    assert open_bureau.client("bo").get("/policies/decisions?policy=keeper_finds").status_code == 404


def test_policies_of_other_workspaces_and_their_names_are_not_shown(bureau: Office) -> None:
    bo, ada = bureau.client("bo").get("/policies").text, bureau.client("ada").get("/policies").text
    assert "keeper_finds" in ada
    assert "&#34;keeper&#34;" in ada
    assert "keeper_finds" not in bo
    assert "&#34;keeper&#34;" not in bo
    assert "(not shown)" in bo
    assert "named" not in bureau.client("otto").get("/policies").text.replace("not named", "")
    only = bureau.client("bo").get("/policies?action=till.pay").text
    assert 'id="pay_over_100"' in only
    assert 'id="wires_are_shut"' not in only


def test_what_would_happen_is_said_with_who_would_have_to_agree(open_bureau: Office) -> None:
    page = open_bureau.page("rita", java_script_enabled=False)
    page.goto("/policies")
    page.get_by_role("link", name="Try what would happen").click()
    page.get_by_label("Agent").select_option("clerk")
    page.get_by_role("button", name="Choose").click()
    page.get_by_label("asks for").select_option("till.pay")
    page.get_by_role("button", name="Choose").click()
    expect(page.get_by_label("with these values")).to_contain_text('"currency": ""')
    values = '{"who": "kim", "amount": 120, "currency": "USD"}'
    page.get_by_label("with these values").fill(values)
    page.get_by_role("button", name="Say what would happen").click()
    expect(page.get_by_role("heading", name="A person would be asked first")).to_be_visible()
    expect(page.get_by_text("needs_human_approval_over_100").first).to_be_visible()
    expect(page.get_by_text("accountable: Bo Adeyemi")).to_be_visible()
    expect(page.get_by_text("At once at most 500 USD.")).to_be_visible()
    page.get_by_label("on behalf of").select_option("bo")
    page.get_by_role("button", name="Say what would happen").click()
    expect(page.get_by_text("accountable: Cleo Marsh")).to_be_visible()  # who asks does not approve
    page.get_by_label("accountable").check()
    page.get_by_role("button", name="Say what would happen").click()
    expect(page.get_by_role("heading", name="It would be done at once")).to_be_visible()
    page.get_by_label("with these values").fill(values.replace("120", "900"))
    page.get_by_role("button", name="Say what would happen").click()
    expect(page.get_by_role("heading", name="It would be refused")).to_be_visible()
    expect(page.get_by_text("900 USD is over the cap of 500 at once")).to_be_visible()


def test_trying_executes_and_writes_nothing(bureau: Office) -> None:
    def rows() -> list[int]:
        with bureau.services.sessions.transaction() as db:
            return [db.execute(f"select count(*) as n from remit.{t}").fetchone()["n"] for t in TABLES]

    client = bureau.client("bo")
    before = rows()
    given = {"agent": "clerk", "action": "till.pay", "args": '{"who": "kim", "amount": 20, "currency": "USD"}'}
    for more in ({}, {"approved": ["accountable"]}, {"person": "dov", "labels": ["private", "untrusted"]}):
        assert "It would be done at once" in client.post("/policies/try", data=given | more).text
    assert rows() == before
    assert bureau.shop.books() == []


def test_what_stands_in_the_way_besides_policy_is_said(bureau: Office) -> None:
    client = bureau.client("bo")
    given = {"agent": "clerk", "action": "till.peek", "args": "{}"}
    bureau.services.sessions.stop("agent", "clerk", "odd", "ada")
    stopped = client.post("/policies/try", data=given).text
    assert "It would be held: a stop is in force" in stopped
    bureau.services.sessions.release("agent", "clerk", "ada", "fine")
    with bureau.services.sessions.transaction() as db:
        db.execute(
            """insert into remit.budgets (id, calls_spent)
               values ('agent:clerk:' || to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD'), 50000)"""
        )
    assert "a budget has no room" in client.post("/policies/try", data=given).text
    assert bureau.client("rita").post("/agents/clerk/suspend", data={"reason": "odd"}).status_code == 303
    assert "agent_suspended" in client.post("/policies/try", data=given).text


def test_what_cannot_be_tried_says_why_and_names_nothing_hidden(bureau: Office) -> None:
    client = bureau.client("bo")
    good = {"agent": "clerk", "action": "till.pay", "args": "{}"}
    for change, status, said in (
        ({"agent": "keeper"}, 404, "there is no agent keeper"),
        ({"action": "nothing.here"}, 422, "there is no action type"),
        ({"args": "[1]"}, 422, "one JSON object"),
        ({"args": "{oh"}, 422, "{oh"),
        ({"args": f'{{"who": "{HOSTILE}"}}'.replace("\u202e", "\\u202e")}, 200, "It would be refused"),
        ({"person": "otto"}, 422, "there is nobody of that name"),
    ):
        answer = client.post("/policies/try", data=good | change)
        assert answer.status_code == status, change
        assert said in answer.text.replace("&#39;", "'"), change
        assert "<script>alert" not in answer.text
    assert client.post("/policies/try", data=good | {"args": "x" * 1_000_000}).status_code == 422
    shown = client.get("/policies/try?agent=keeper").text
    assert "Keeper" not in shown
    assert "Otto" not in shown


def test_everybody_can_use_the_pages(open_bureau: Office) -> None:
    asked(open_bureau)
    accessible(
        open_bureau,
        "ada",
        "/policies",
        "/policies/decisions?policy=pay_over_100",
        "/policies/try?agent=clerk&action=till.pay",
    )


def test_it_is_tried_before_it_happens(open_bureau: Office) -> None:
    page = open_bureau.page("bo")
    page.goto("/policies")
    page.get_by_role("link", name="Try what would happen").click()
    page.get_by_label("Agent").select_option("clerk")
    page.get_by_label("asks for").select_option("till.pay")
    page.get_by_role("button", name="Choose").click()
    page.get_by_label("with these values, as JSON").fill('{"who": "kim", "amount": 120, "currency": "USD"}')
    page.get_by_role("button", name="Say what would happen").click()
    expect(page.get_by_role("heading", name="A person would be asked first")).to_be_visible()
    expect(page.get_by_text("pay_over_100").first).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="Bo Adeyemi").first).to_be_visible()
    clean(page, "a verdict")
    page.get_by_label("accountable").check()
    page.get_by_role("button", name="Say what would happen").click()
    expect(page.get_by_role("heading", name="It would be done at once")).to_be_visible()
    assert open_bureau.shop.books() == []


def test_heads_of_tables_are_of_the_palettes_tone(open_bureau: Office) -> None:
    asked(open_bureau)
    counted(open_bureau)
    page = open_bureau.page("ada", color_scheme="dark")
    page.goto("/policies/decisions?policy=pay_over_100")
    colour = page.locator("thead th").first.evaluate("cell => getComputedStyle(cell).backgroundColor")
    red, _, blue = (float(part) for part in re.findall(r"[\d.]+", colour)[:3])
    assert blue > red * 1.3, f"{colour} is Tabler's grey, which looks brown beside ours"
