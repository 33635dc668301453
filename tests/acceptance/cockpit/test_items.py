"""What else is done with items: taken, handed over, commented, decided together; questions and ideas."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from playwright.sync_api import expect

from remit.governance import ideas
from tests.acceptance.cockpit.accessibility import accessible
from tests.acceptance.cockpit.office import DIRECTORY, Office, open_office
from tests.acceptance.cockpit.test_decide import asked
from tests.acceptance.shop import FILES

TOGETHER = FILES["actions.yaml"].replace("title: Pay\n", "title: Pay\n    approval: {together: true}\n", 1)
ASKING = """
async def run(session):
    choice = await session.ask(
        "Which colour?", to="bo", choices=["red", "blue"], context={"seen": session.input["steps"]}, confidence=0.4,
        remember="colour"
    )
    return {"colour": choice}
"""


def test_what_is_there_now_stands_beside_what_is_asked_for(changed_shop: Any) -> None:
    look = "current: {tool: till.peek, arguments: {}, compare: {amount: balance, who: last.who}}"
    actions = FILES["actions.yaml"].replace("title: Pay\n", f"title: Pay\n    {look}\n", 1)
    with open_office(changed_shop(**{"directory.yaml": DIRECTORY, "actions.yaml": actions}), None) as office:
        _, item_id = asked(office)
        until = time.monotonic() + 20  # the worker looks after it has asked
        while "Beside what is there" not in (page := office.client("bo").get(f"/inbox/{item_id}").text):
            assert time.monotonic() < until, page
        words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
        assert re.search(r"Beside what is there amount, as asked for 120 balance, there now 1,?000 ", words), words
        assert re.search(r"What changes Field Now Then who .{0,12} ?kim ", words), words


def test_what_was_done_before_is_said_loudly_and_linked(changed_shop: Any) -> None:
    actions = FILES["actions.yaml"].replace("title: Pay\n", "title: Pay\n    business_key: [who]\n", 1)
    with open_office(changed_shop(**{"directory.yaml": DIRECTORY, "actions.yaml": actions}), None) as office:
        office.shop.worker()
        paid = office.shop.finish(office.shop.start({"tool": "pay", "who": "kim", "amount": 10, "currency": "USD"}))
        _, item_id = asked(office, amount=20)
        page = office.client("bo").get(f"/inbox/{item_id}").text
    warned = re.search(r'<p class="banner warn" role="alert"><code>duplicate_effect</code>(.*?)</p>', page, re.DOTALL)
    assert warned, page
    assert f'<a href="/actions/{paid["actions"][0]["id"]}">' in warned[1]


def test_who_looks_at_it_and_to_whom_it_is_handed(office: Office) -> None:
    _, item_id = asked(office)
    client = office.client("bo")
    assert client.post(f"/inbox/{item_id}/take").status_code == 303
    assert "You look at this" in client.get(f"/inbox/{item_id}").text
    assert "Bo Adeyemi looks at it" in client.get("/inbox?tab=open").text
    assert client.post(f"/inbox/{item_id}/take", data={"back_again": "yes"}).status_code == 303
    assert client.post(f"/inbox/{item_id}/take", data={"back_again": "yes"}).status_code == 409
    refused = client.post(f"/inbox/{item_id}/hand", data={"to": "dov", "reason": "you know him"})
    assert refused.status_code == 403
    assert "may not decide this" in refused.text
    assert office.client("vera").post(f"/inbox/{item_id}/take").status_code == 403


def test_a_question_is_handed_to_somebody_who_is_then_asked_and_told(changed_shop: Any, nursery: Any) -> None:
    shop = changed_shop(**{"directory.yaml": DIRECTORY, "agents/clerk/program.py": ASKING})
    with open_office(shop, None) as office:
        shop.worker()
        session_id = shop.start({"tool": "peek"})
        shop.wait_for(session_id, "question")
        item_id = shop.item(session_id, "question")
        client = office.client("bo")
        assert client.post(f"/inbox/{item_id}/hand", data={"to": "dov", "reason": ""}).status_code == 422
        assert client.post(f"/inbox/{item_id}/hand", data={"to": "dov", "reason": "Ask Dov."}).status_code == 303
        theirs = office.client("dov")
        shown = theirs.get(f"/inbox/{item_id}").text
        assert "Which colour?" in shown
        assert "The agent is 40 % sure." in shown
        assert "Remember this answer" in shown
        seal = re.findall(r'name="seen" value="(\w+)"', shown)[0]
        wrong = theirs.post(f"/inbox/{item_id}", data={"verdict": "answer", "seen": seal, "value": "7"})
        assert wrong.status_code == 422
        given = {"verdict": "answer", "seen": seal, "value": "1", "remember": "yes"}
        assert theirs.post(f"/inbox/{item_id}", data=given).status_code == 303
        assert shop.finish(session_id)["turns"][-1]["output"] == {"colour": "blue"}
        late = client.post(f"/inbox/{item_id}", data=given)
        assert late.status_code == 409
        assert "dov" in late.text
        with office.services.sessions.transaction() as db:
            told = db.execute("select text from remit.notices where person = 'dov'").fetchall()
        assert any("Bo Adeyemi hands this to you" in row["text"] for row in told)


def test_a_question_is_answered_by_choosing(changed_shop: Any, browser: Any) -> None:
    shop = changed_shop(**{"directory.yaml": DIRECTORY, "agents/clerk/program.py": ASKING})
    with open_office(shop, browser) as office:
        shop.worker()
        session_id = shop.start({"tool": "peek"})
        shop.wait_for(session_id, "question")
        page = office.page("bo")
        page.goto("/inbox")
        page.get_by_role("link", name="Which colour?").click()
        page.get_by_role("button", name="Send the answer").click()
        expect(page.get_by_role("button", name="Send the answer")).to_be_visible()  # nothing is chosen yet
        page.get_by_label("blue").check()
        page.get_by_label("Remember this answer").check()
        page.get_by_role("button", name="Send the answer").click()
        expect(page.get_by_text("Done. The work goes on by itself.")).to_be_visible()
        assert shop.finish(session_id)["turns"][-1]["output"] == {"colour": "blue"}
        again = shop.start({"tool": "peek"})
        assert shop.finish(again)["turns"][-1]["output"] == {"colour": "blue"}, "it was remembered"


def together(client: Any, item_id: str) -> Any:
    """Approve an item as its page shows it, in the way of those that are decided together."""
    seal = re.findall(r'name="seen" value="(\w+)"', client.get(f"/inbox/{item_id}").text)[0]
    return client.post("/inbox", data={"item": f"{item_id}:{seal}", "verdict": "approve", "reason": "The monthly run."})


def test_several_are_decided_together_only_where_their_type_allows_it(office: Office) -> None:
    _, item_id = asked(office)
    client = office.client("bo")
    assert together(client, item_id).status_code == 303
    assert "0 decided. Not taken" in client.get("/inbox").text
    with office.services.sessions.transaction() as db:
        row = db.execute("select status from remit.inbox_items where id = %s", (item_id,)).fetchone()
    assert row == {"status": "open"}, "this type is looked at one by one"


def test_a_comment_that_is_too_long_comes_back_to_be_shortened(office: Office) -> None:
    _, item_id = asked(office)
    client = office.client("bo")
    refused = client.post(f"/inbox/{item_id}/comment", data={"text": "ask Cleo " * 500})
    assert refused.status_code == 422
    assert "4,499 characters; at most 4,000" in refused.text
    assert "ask Cleo ask Cleo" in refused.text.partition('id="comment"')[2]
    foreign = client.post(f"/inbox/{item_id}/comment", data={"text": "ask Bo", "once": "no form's"})
    assert foreign.status_code == 422
    assert "Open the page again and send it from there." in foreign.text, "what to do is said"
    assert "ask Bo</textarea>" in foreign.text
    kept = client.post(f"/inbox/{item_id}/comment", data={"text": "one\r\n" + "x" * 3_996})
    assert kept.status_code == 303, kept.text
    assert "one\nxxx" in client.get(f"/inbox/{item_id}").text


def test_what_was_done_is_said_on_the_next_page_and_not_to_one_that_looks_anew(office: Office) -> None:
    _, item_id = asked(office)
    client = office.client("bo")
    decided = together(client, item_id)
    assert decided.status_code == 303, decided.text
    assert "0 decided." not in client.get("/inbox", headers={"HX-Request": "true"}).text
    assert "0 decided." in client.get("/inbox").text
    assert "0 decided." not in client.get("/inbox").text


def test_several_are_decided_together(changed_shop: Any, browser: Any) -> None:
    shop = changed_shop(**{"directory.yaml": DIRECTORY, "actions.yaml": TOGETHER})
    with open_office(shop, browser) as office:
        shop.worker()
        waiting = [
            shop.start({"tool": "pay", "who": who, "amount": 200 + n, "currency": "USD"})
            for n, who in enumerate(("kim", "lee", "max"))
        ]
        for session_id in waiting:
            shop.wait_for(session_id, "approval")
        page = office.page("bo")
        page.goto("/inbox")
        expect(page.get_by_role("checkbox")).to_have_count(3)
        for amount in (200, 202):
            page.locator("[data-row]", has_text=f"of {amount} USD").get_by_role("checkbox").check()
        page.get_by_label("Your reason").fill("The monthly run.")
        page.get_by_role("button", name="Approve chosen").click()
        expect(page.get_by_text("2 decided.")).to_be_visible()
        expect(page.get_by_role("checkbox")).to_have_count(1)
        for session_id in (waiting[0], waiting[2]):
            shop.finish(session_id)
        assert sorted(b["amount"] for b in shop.books()) == [200, 202]


def test_an_idea_is_taken_up_and_shipped(office: Office) -> None:
    with office.services.sessions.transaction() as db:
        new = ideas.NewIdea("clerk", "person:dov", "I want to see the till's balance every morning", None)
        ideas.submit(db, office.services.deployments.load(), new)
        row = db.execute("select id from remit.inbox_items where kind = 'idea'").fetchone()
    assert row is not None
    client = office.client("bo")
    assert "balance every morning" in client.get(f"/inbox/{row['id']}").text
    assert client.post(f"/inbox/{row['id']}/idea", data={"verdict": "decline"}).status_code == 422
    assert client.post(f"/inbox/{row['id']}/idea", data={"verdict": "accept"}).status_code == 303
    assert "Taken up: say when it has shipped" in client.get(f"/inbox/{row['id']}").text
    done = client.post(f"/inbox/{row['id']}/idea", data={"verdict": "ship", "where": "clerk 1a2b"})
    assert done.status_code == 303
    assert "Shipped in clerk 1a2b" in client.get(f"/inbox/{row['id']}").text


def test_what_outsiders_wrote_is_shown_as_text_and_bounded(open_cockpit: Office) -> None:
    open_cockpit.shop.worker()
    nasty = "<script>alert(1)</script>\u202egpj.exe" + "x" * 100_000
    session_id = open_cockpit.shop.start({"tool": "pay", "who": nasty, "amount": 120, "currency": "USD"})
    open_cockpit.shop.wait_for(session_id, "approval")
    item_id = open_cockpit.shop.item(session_id, "approval")
    page = open_cockpit.page("bo")
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.goto("/inbox")
    page.goto(f"/inbox/{item_id}")
    expect(page.get_by_text("<script>alert(1)</script>").first).to_be_visible()
    assert "\u202e" not in page.content()
    page.get_by_label("Comment").fill("<b>bold</b> & plain")
    page.get_by_role("button", name="Comment").click()
    expect(page.get_by_text("<b>bold</b> & plain")).to_be_visible()


def test_nobody_is_kept_out(open_cockpit: Office) -> None:
    _, item_id = asked(open_cockpit)
    pages = ("/inbox", f"/inbox/{item_id}", "/inbox?tab=decided", "/stop", "/stop?scope=agent&target=clerk", "/help")
    accessible(open_cockpit, "bo", *pages)


def test_the_keyboard_goes_everywhere(open_cockpit: Office) -> None:
    asked(open_cockpit)
    page = open_cockpit.page("bo")
    page.goto("/help")
    page.keyboard.press("g")
    page.keyboard.press("i")
    expect(page).to_have_url(re.compile("/inbox$"))
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your decision")).to_be_visible()
