"""The directory, and one's own logins and tokens."""

from __future__ import annotations

from datetime import timedelta

from playwright.sync_api import expect

from remit.storage import tokens
from tests.acceptance.cockpit.accessibility import accessible
from tests.acceptance.cockpit.office import Office


def token_of(office: Office, subject: str) -> str:
    with office.services.sessions.transaction() as db:
        return tokens.issue(db, subject, f"digest of {subject}", "local", timedelta(days=3))


def login_of(office: Office, person: str) -> str:
    office.token(person)
    with office.services.sessions.transaction() as db:
        row = db.execute("select id from remit.logins where person = %s order by id desc limit 1", (person,)).fetchone()
    assert row is not None
    return row["id"]


def test_people_stand_in_their_reporting_lines_with_what_they_may_approve(open_bureau: Office) -> None:
    page = open_bureau.page("vera")
    page.goto("/directory#bo")
    below_ada = page.locator("#ada")
    expect(below_ada.locator("#cleo #bo")).to_be_visible()
    bo = page.locator("#bo")
    expect(bo.get_by_role("link", name="clerk")).to_be_visible()
    bo.get_by_text("may approve 1 kind of action").click()
    expect(bo.get_by_text("as accountable")).to_be_visible()
    expect(page.get_by_text("Gone Away")).to_be_hidden()
    page.get_by_text("1 who left").click()
    expect(page.get_by_text("Gone Away")).to_be_visible()


def test_people_and_agents_of_other_workspaces_are_not_in_it(bureau: Office) -> None:
    bo, otto = bureau.client("bo").get("/directory").text, bureau.client("otto").get("/directory").text
    assert "Otto" not in bo
    assert "Keeper" not in bo
    assert "vault" not in bo
    assert "Bo Adeyemi" not in otto
    assert "Clerk" not in otto
    assert "Otto Berg" in otto


def test_a_login_and_a_token_are_ended_by_whose_they_are(open_bureau: Office) -> None:
    other = open_bureau.page("bo")
    page = open_bureau.page("bo")
    token_id = token_of(open_bureau, "person:bo")
    page.goto("/me")
    expect(page.get_by_role("button", name="End the login")).to_have_count(2)
    page.get_by_role("button", name=f"Revoke the token {token_id[-8:]}").click()
    expect(page.get_by_text("That token does not work any more.")).to_be_visible()
    page.get_by_role("listitem").filter(has_not_text="this one").get_by_role("button", name="End the login").click()
    expect(page.get_by_text("That login has ended.")).to_be_visible()
    other.goto("/me")
    expect(other).to_have_url(f"{page.url.partition('/me')[0]}/login?next=/me")
    page.get_by_role("button", name="End the login").click()
    expect(page).to_have_url(f"{page.url.partition('/login')[0]}/login")


def test_only_who_administers_sees_and_ends_what_is_not_theirs(bureau: Office) -> None:
    login, token_id = login_of(bureau, "bo"), token_of(bureau, "person:bo")
    token_of(bureau, "agent:clerk")
    for person in ("cleo", "rita", "otto"):
        client = bureau.client(person)
        assert "Bo Adeyemi" not in client.get("/me").text
        assert client.post(f"/me/logins/{login}/end").status_code == 404
        assert client.post(f"/me/tokens/{token_id}/revoke").status_code == 404
    ada = bureau.client("ada")
    shown = ada.get("/me").text
    assert "Bo Adeyemi" in shown
    assert "agent:clerk" in shown
    assert ada.post(f"/me/logins/{login}/end").status_code == 303
    assert ada.post(f"/me/logins/{login}/end").status_code == 404
    assert ada.post(f"/me/tokens/{token_id}/revoke").status_code == 303
    with bureau.services.sessions.transaction() as db:
        row = db.execute("select ended_by from remit.logins where id = %s", (login,)).fetchone()
        tags = [r["tag"] for r in db.execute("select tag from remit.records order by id desc limit 2").fetchall()]
    assert row == {"ended_by": "person:ada"}
    assert "person:token:revoked" in tags


def test_everybody_can_use_the_pages(open_bureau: Office) -> None:
    token_of(open_bureau, "person:ada")
    login_of(open_bureau, "bo")
    accessible(open_bureau, "ada", "/directory", "/me")
