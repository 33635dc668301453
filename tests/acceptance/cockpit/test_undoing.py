"""Taking back a whole session, in the cockpit and the API: first what would be, then, confirmed, exactly that."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from remit.runtime.sessions import Start
from remit.surfaces.api import models
from tests.acceptance.cockpit.accessibility import accessible
from tests.acceptance.cockpit.office import Office
from tests.acceptance.delegating import until
from tests.acceptance.shop import Shop
from tests.acceptance.talking import begin

V1 = "/api/v1"
FORM = re.compile(r'name="once" value="([^"]+)">\s*<input type="hidden" name="seen" value="([^"]+)">')


def worked(shop: Shop, *tools: str, title: str = "", who: str = "kim") -> str:
    """A session that has used these tools of the till, each for ten dollars."""
    steps = [{"tool": tool, "who": f"{who}-{n}", "amount": 10} for n, tool in enumerate(tools)]
    steps = [{**step, "currency": "USD"} if step["tool"] == "pay" else step for step in steps]
    session_id = begin(shop, "clerk", {"steps": steps}, title=title)
    shop.finish(session_id)
    return session_id


def undone(shop: Shop, session_id: str) -> list[str | None]:
    return [a["undone_by"] for a in shop.session(session_id)["actions"] if a["action"] == "till.pay"]


def form_of(text: str) -> dict[str, str]:
    found = FORM.search(text)
    assert found is not None
    return {"once": found[1], "seen": found[2]}


def test_a_session_is_taken_back_as_far_as_it_can_be(desk: Office) -> None:
    session_id = worked(desk.shop, "pay", "hand_out", "pay", title="Pay the fair", who="fair")
    page = desk.page("bo")
    page.goto(f"/sessions/{session_id}")
    page.get_by_role("link", name="Take back").click()
    expect(page.locator("#possible").get_by_role("listitem")).to_have_count(2)
    expect(page.locator("#possible")).to_contain_text("till.unpay")
    expect(page.locator("#possible")).to_contain_text("amount 10, currency USD, who fair-0")
    expect(page.locator("#impossible")).to_contain_text("Hand out cash")
    expect(page.locator("#impossible")).to_contain_text("its action type declares no undo")
    assert undone(desk.shop, session_id) == [None, None], "to look takes nothing back"
    page.get_by_label("Why").fill("The fair was called off")
    page.get_by_label("to confirm").fill("take back 3")
    page.get_by_role("button", name="Take back 2 actions").click()
    expect(page.get_by_role("alert")).to_contain_text("type “take back 2” to confirm")
    expect(page.get_by_label("Why")).to_have_value("The fair was called off")
    page.get_by_label("to confirm").fill("take back 2")
    page.get_by_role("button", name="Take back 2 actions").click()
    expect(page.get_by_text("Asked for: 2 actions to be taken back.")).to_be_visible()
    expect(page.locator("#done").get_by_role("listitem")).to_have_count(2)  # it comes by itself
    assert None not in undone(desk.shop, session_id)
    paid = [b["amount"] for b in desk.shop.books() if str(b["who"]).startswith("fair")]
    assert sorted(paid) == [-10, -10, 10, 10, 10], "what was handed out is out"
    bo = desk.client("bo")
    for tab in ("", "/timeline"):
        shown = bo.get(f"/sessions/{session_id}{tab}").text
        for by in undone(desk.shop, session_id):
            assert f'<a class="badge status-cancelled" href="/actions/{by}">taken back</a>' in shown, tab
    page.get_by_role("link", name="what took it back").first.click()
    expect(page.get_by_role("heading", name="Take a payment back")).to_be_visible()


def test_it_works_without_scripts_and_is_done_once(desk: Office) -> None:
    session_id = worked(desk.shop, "pay", title="Pay the band", who="band")
    page = desk.page("bo", java_script_enabled=False)
    page.goto(f"/sessions/{session_id}/undo")
    page.get_by_label("Why").fill("They never played")
    page.get_by_label("to confirm").fill("take back 1")
    page.get_by_role("button", name="Take back 1 action", exact=True).dblclick()
    expect(page.get_by_text("Asked for: 1 action to be taken back.")).to_be_visible()
    until(lambda: None not in undone(desk.shop, session_id))
    assert [t["kind"] for t in desk.shop.session(session_id)["turns"]] == ["agent", "undo"]


def test_only_what_was_shown_is_taken_back(desk: Office) -> None:
    session_id = worked(desk.shop, "pay", title="Pay the cook", who="cook")
    bo, path = desk.client("bo"), f"/sessions/{session_id}/undo"
    sent = {"reason": "burnt", "word": "take back 1", **form_of(bo.get(path).text)}
    desk.services.sessions.message(session_id, "person:bo", {"steps": [{"tool": "hand_out", "who": "c", "amount": 1}]})
    desk.shop.finish(session_id)
    step = {"tool": "pay", "who": "cook-2", "amount": 5, "currency": "USD"}
    desk.services.sessions.message(session_id, "person:bo", {"steps": [step]})
    desk.shop.finish(session_id)
    changed = bo.post(path, data=sent)
    assert changed.status_code == 409
    assert "has changed since this page was shown" in changed.text
    for wrong in ({"reason": " "}, {"word": "yes"}):
        assert (
            bo.post(path, data={**sent, "word": "take back 2", **form_of(bo.get(path).text), **wrong}).status_code
            == 422
        )
    assert undone(desk.shop, session_id) == [None, None]
    sent |= {"word": "take back 2", **form_of(bo.get(path).text)}
    assert [bo.post(path, data=sent).status_code for _ in range(2)] == [303, 303]
    until(lambda: None not in undone(desk.shop, session_id))
    assert bo.post(path, data={**sent, "once": ""}).status_code == 409, "nothing is left"


def test_what_waits_is_shown_and_not_asked_for_twice(desk: Office) -> None:
    session_id = worked(desk.shop, "pay", title="Pay the judge", who="judge")
    desk.services.sessions.stop("action", "till.unpay", "not today", "ada")
    bo = desk.client("bo")
    first = bo.post(f"{V1}/sessions/{session_id}/undo", json={"reason": "wrong"})
    assert first.status_code == 202
    again = bo.post(f"{V1}/sessions/{session_id}/undo", json={"reason": "wrong"})
    assert again.json() == first.json(), "it was asked for already"
    shown = bo.get(f"/sessions/{session_id}/undo").text
    assert "Being taken back: 1" in shown
    assert "Nothing is left that can be taken back" in shown
    desk.services.sessions.release("action", "till.unpay", "ada", "go on")
    until(lambda: None not in undone(desk.shop, session_id))


def test_nothing_is_taken_back_of_what_was_ended_for_good(desk: Office) -> None:
    session_id = worked(desk.shop, "pay", title="Pay nobody", who="nobody")
    desk.services.sessions.message(
        session_id, "person:bo", {"steps": [{"tool": "pay", "who": "x", "amount": 400, "currency": "USD"}]}
    )
    desk.shop.wait_for(session_id, "approval")
    desk.services.sessions.cancel(session_id, "bo", "no")
    bo = desk.client("bo")
    shown = bo.get(f"/sessions/{session_id}/undo").text
    assert "It was ended for good" in shown
    refused = bo.post(f"{V1}/sessions/{session_id}/undo", json={"reason": "x"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    action = desk.shop.session(session_id)["actions"][0]["id"]
    assert bo.post(f"{V1}/actions/{action}/undo", json={"reason": "x"}).status_code == 409
    assert [t["kind"] for t in desk.shop.session(session_id)["turns"]] == ["agent", "agent"]


def test_who_only_looks_and_who_is_elsewhere_takes_nothing_back(desk: Office) -> None:
    session_id = worked(desk.shop, "pay", title="Pay in peace", who="peace")
    path, vera, otto = f"/sessions/{session_id}/undo", desk.client("vera"), desk.client("otto")
    assert "Not yours to take back" in vera.get(path).text
    sent = {"reason": "x", "word": "take back 1", **form_of(desk.client("bo").get(path).text)}
    assert vera.post(path, data=sent).status_code == 403
    assert vera.post(f"{V1}{path}", json={"reason": "x"}).status_code == 403
    assert otto.get(path).status_code == otto.post(path, data=sent).status_code == 404
    assert otto.post(f"{V1}{path}", json={"reason": "x"}).status_code == 404
    assert undone(desk.shop, session_id) == [None]


def test_a_program_takes_a_session_back_once_for_its_key(desk: Office) -> None:
    session_id = worked(desk.shop, "hand_out", "pay", "pay", title="Pay the twins", who="twins")
    bo, key = desk.client("bo"), {"idempotency-key": "undo-twins"}
    answers = [bo.post(f"{V1}/sessions/{session_id}/undo", json={"reason": "both"}, headers=key) for _ in range(2)]
    report: list[dict[str, Any]] = answers[0].json()
    assert answers[1].json() == report
    for entry in report:
        models.Undone.model_validate(entry)
    assert [(e["type"], e["undo"], e["turn"] is None) for e in report] == [
        ("till.pay", "asked", False),
        ("till.pay", "asked", False),
        ("till.hand_out", "irreversible", True),
    ]
    until(lambda: None not in undone(desk.shop, session_id))
    (left,) = bo.post(f"{V1}/sessions/{session_id}/undo", json={"reason": "again"}).json()
    assert (left["undo"], left["error"]) == ("irreversible", "its action type declares no undo")
    assert bo.post(f"{V1}/sessions/{session_id}/undo", json={"reason": " "}).status_code == 422


def test_what_nobody_knows_is_not_taken_back(desk: Office) -> None:
    session_id = worked(desk.shop, "pay", title="Pay perhaps", who="perhaps")
    with desk.services.sessions.transaction() as db:
        db.execute("update remit.actions set status = 'unknown' where session_id = %s", (session_id,))
    shown = desk.client("bo").get(f"/sessions/{session_id}/undo").text
    assert "nobody knows whether it happened" in shown
    (entry,) = desk.client("bo").post(f"{V1}/sessions/{session_id}/undo", json={"reason": "x"}).json()
    assert entry["undo"] == "unsettled"


def test_everybody_can_use_the_page(desk: Office) -> None:
    nothing = desk.services.sessions.start(Start("clerk", {"steps": []}, "person:dov"))
    some = worked(desk.shop, "pay", "hand_out", title="Pay all", who="all")
    accessible(desk, "bo", f"/sessions/{nothing}/undo", f"/sessions/{some}/undo")
