"""Agents in the cockpit: who they are, what they may do, and taking them out of service."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from remit.config.loader import load_project
from remit.domain import ids
from remit.errors import NotEntitled
from remit.governance.deployments import deploy
from remit.storage import memories
from remit.storage.memories import NewMemory, Place
from tests.acceptance.cockpit.accessibility import accessible
from tests.acceptance.cockpit.bureau import HOSTILE
from tests.acceptance.cockpit.office import Office


def remembered(office: Office, key: str, value: Any, place: Place) -> None:
    with office.services.sessions.transaction() as db:
        new = NewMemory(ids.new_id("mem"), "clerk", place, key, value, "said so", "person:bo", timedelta(days=9))
        memories.insert(db, new, [])


def test_a_card_leads_to_what_an_agent_may_do_and_who_answers_for_it(open_bureau: Office) -> None:
    open_bureau.shop.worker()
    open_bureau.shop.finish(open_bureau.shop.start({"tool": "pay", "who": "kim", "amount": 20, "currency": "USD"}))
    page = open_bureau.page("bo")
    page.goto("/agents")
    card = page.get_by_role("listitem").filter(has_text="Does what its input says.")
    expect(card.get_by_text("1 of 50,000 calls")).to_be_visible()
    page.get_by_role("link", name="Clerk", exact=True).click()
    remit = page.locator("#remit")
    expect(remit.get_by_text("at most 500 USD at once; at most 5,000 USD a day; can be taken back")).to_be_visible()
    expect(remit.get_by_text("Pay anybody whom it does not know")).to_be_visible()
    expect(remit.get_by_role("link", name="pay_over_100")).to_have_attribute("href", "/policies#pay_over_100")
    expect(remit.get_by_text("asks accountable: Bo Adeyemi")).to_be_visible()
    assert "keeper_finds" not in remit.inner_text(), "a policy about another agent says nothing about this one"
    row = page.locator("#raci tr").filter(has_text="till.pay")
    expect(row).to_contain_text("Bo Adeyemi")
    expect(row).to_contain_text("Ada Lovell")
    expect(page.locator("#gates li.shut")).to_contain_text("no policy bounds till.unpay, which writes")
    expect(page.locator("#gates li")).to_have_count(6)
    expect(page.get_by_text("20.00 of 5,000.00 USD")).to_be_visible()
    expect(page.locator("#sessions").get_by_text("finished")).to_be_visible()
    expect(page.get_by_role("link", name="Stop what it is doing")).to_have_attribute(
        "href", "/stop?scope=agent&target=clerk"
    )


def test_an_agent_is_suspended_with_a_reason_and_does_nothing_until_it_is_back(open_bureau: Office) -> None:
    open_bureau.shop.worker()
    page, watching = open_bureau.page("rita"), open_bureau.page("bo")
    watching.goto("/agents")
    watching.wait_for_timeout(500)  # its stream stands
    page.goto("/agents/clerk")
    page.get_by_label("Why").fill("It pays the wrong people")
    page.get_by_role("button", name="Suspend it").click()
    expect(page.get_by_text("Suspended by Rita Stone")).to_be_visible()
    expect(page.get_by_text("It pays the wrong people")).to_be_visible()
    expect(watching.get_by_text("suspended")).to_be_visible()
    with pytest.raises(NotEntitled, match="clerk is suspended"):
        open_bureau.shop.start({"tool": "peek"})
    page.get_by_label("Why").fill("It was mended")
    page.get_by_role("button", name="Take it back into service").click()
    expect(page.get_by_text("clerk is in service again")).to_be_visible()
    done = open_bureau.shop.finish(open_bureau.shop.start({"tool": "peek"}))
    assert [a["status"] for a in done["actions"]] == ["succeeded"]


def test_who_may_not_suspend_cannot_and_nobody_does_so_without_a_reason(bureau: Office) -> None:
    given = {"reason": "no"}
    for person in ("bo", "vera"):
        assert bureau.client(person).post("/agents/clerk/suspend", data=given).status_code == 403
        assert "Suspend it" not in bureau.client(person).get("/agents/clerk").text
    assert bureau.client("otto").post("/agents/clerk/suspend", data=given).status_code == 404
    rita = bureau.client("rita")
    assert rita.post("/agents/keeper/suspend", data=given).status_code == 404
    assert rita.post("/agents/clerk/suspend", data={"reason": "  "}).status_code == 422
    assert rita.post("/agents/clerk/resume", data=given).status_code == 409
    assert bureau.services.deployments.load().suspended == frozenset()
    assert rita.post("/agents/clerk/suspend", data=given).status_code == 303
    assert rita.post("/agents/clerk/suspend", data=given).status_code == 409, "it is so already"


def test_agents_of_other_workspaces_do_not_exist(bureau: Office) -> None:
    bo, otto, ada = (bureau.client(p) for p in ("bo", "otto", "ada"))
    assert "Keeper" not in bo.get("/agents").text
    assert "Clerk" not in otto.get("/agents").text
    assert "2 deployed" in ada.get("/agents").text
    assert bo.get("/agents/keeper").status_code == bo.get("/agents/nobody").status_code == 404
    assert bo.get("/agents/keeper/diff").status_code == 404
    shown = bo.get("/agents/clerk").text
    assert "The whole company" not in shown, "what all have used would tell of the others"
    assert "The whole company" in ada.get("/agents/clerk").text


def test_two_versions_are_compared(bureau: Office) -> None:
    folder = bureau.shop.folder
    spec = folder / "agents" / "clerk" / "agent.yaml"
    spec.write_text(spec.read_text().replace("title: Clerk", "title: Chief clerk"))
    program = folder / "agents" / "clerk" / "program.py"
    program.write_text(program.read_text() + "\n# <script>alert(1)</script>\n")
    with bureau.services.sessions.transaction() as db:
        deploy(db, load_project(folder), folder / ".remit" / "deploy.key", "person:ada")
    client = bureau.client("bo")
    assert client.get("/agents/clerk").text.count("with the one before") == 1
    shown = client.get("/agents/clerk/diff").text
    assert "Chief clerk" in shown
    assert "+# &lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script>alert" not in shown
    assert client.get("/agents/clerk/diff?old=zzz").status_code == 404


def test_what_it_remembers_is_shown_to_whom_it_concerns(bureau: Office) -> None:
    remembered(bureau, "tone", {"say": HOSTILE}, Place("shop", "workspace", "shop"))
    remembered(bureau, "dov-likes", "tea", Place("shop", "person", "dov"))
    remembered(bureau, "long", "x" * 1_000_000, Place("shop", "agent", "clerk"))
    owner, viewer, other = (bureau.client(p).get("/agents/clerk") for p in ("bo", "vera", "cleo"))
    assert "dov-likes" in owner.text
    assert "dov-likes" not in viewer.text + other.text
    assert "not open to you" in viewer.text, "who only looks does not read what is remembered"
    assert "<script>alert" not in owner.text
    assert "\u202e" not in owner.text
    assert len(owner.text) < 150_000


@pytest.mark.parametrize("path", ["/agents", "/agents/clerk"])
def test_everybody_can_use_the_pages(open_bureau: Office, path: str) -> None:
    accessible(open_bureau, "ada", path)


def test_an_agent_that_is_stopped_says_so_by_whom_and_why(open_bureau: Office) -> None:
    page = open_bureau.page("bo")
    page.goto("/agents")
    card = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="Clerk"))
    expect(card.get_by_text("stopped", exact=True)).to_have_count(0)
    page.wait_for_timeout(500)  # its stream stands
    open_bureau.services.sessions.stop("agent", "clerk", "It pays the wrong people", "rita")
    expect(card.get_by_text("stopped", exact=True)).to_be_visible()  # it comes by itself
    expect(card).to_contain_text("Stopped by Rita Stone")
    expect(card).to_contain_text("It pays the wrong people")
    page.goto("/agents/clerk")
    expect(page.get_by_text("stopped", exact=True)).to_be_visible()
    expect(page.get_by_text("Nothing that it asks for is let through")).to_contain_text("Stopped by Rita Stone")
    accessible(open_bureau, "bo", "/agents", "/agents/clerk")
    open_bureau.services.sessions.release("agent", "clerk", "rita", "mended")
    open_bureau.services.sessions.stop("workspace", "vault", "otto is away", "otto")
    assert ">stopped<" not in open_bureau.client("bo").get("/agents").text
    assert "Stopped with its workspace by Otto Berg" in open_bureau.client("otto").get("/agents").text
    open_bureau.services.sessions.stop("all", "", "fire drill", "ada")
    assert "Stopped with everything by Ada Lovell" in open_bureau.client("bo").get("/agents").text
