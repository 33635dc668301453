"""Logging in by the company's identity provider, and everything that does not let anybody in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import OctKey, RSAKey
from playwright.sync_api import Browser
from starlette.testclient import TestClient

from remit.domain.project import LoginSection, OidcSection, ServerSection
from tests.acceptance.cockpit.accessibility import clean
from tests.acceptance.cockpit.office import DIRECTORY, Office, open_office
from tests.acceptance.cockpit.provider import CLIENT, SECRET, Company, open_company

PEOPLE = (
    DIRECTORY.replace("name: Bo Adeyemi,", "name: Bo Adeyemi, email: Bo@Example.com, subject: u-bo,")
    .replace("name: Gone Away,", "name: Gone Away, email: gone@example.com, subject: u-gone,")
    .replace("name: Dov Levin,", "name: Dov Levin, email: two@example.com,")
    .replace("name: Vera Holm,", "name: Vera Holm, email: two@example.com,")
)


@pytest.fixture
def company() -> Iterator[Company]:
    with open_company() as company:
        yield company


@pytest.fixture
def house(
    changed_shop: Callable[..., Any], company: Company, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Office]:
    """The cockpit of a company with an identity provider."""
    monkeypatch.setenv("THE_SECRET", SECRET)
    browser: Browser | None = request.getfixturevalue("browser") if request.param else None
    with open_office(changed_shop(**{"directory.yaml": PEOPLE}), browser) as office:
        declare(office, company)
        yield office


without_browser = pytest.mark.parametrize("house", [False], indirect=True, ids=[""])


def declare(office: Office, company: Company, url: str = "http://testserver", **more: Any) -> None:
    oidc = OidcSection(
        issuer=company.issuer, client_id=CLIENT, client_secret="env:THE_SECRET", title="Acme & Co", **more
    )
    update = {"login": LoginSection(oidc=oidc), "server": ServerSection(url=url)}
    office.services.declared = office.services.declared.model_copy(update=update)
    office.services.__dict__.pop("provider", None)


def begun(office: Office, company: Company, after: str = "/stop") -> tuple[TestClient, str]:
    """Somebody who was at the provider, and where it sends them."""
    client = office.client()
    there = client.get(f"/login/oidc?next={after}")
    assert there.status_code == 303, there.text
    back = urlsplit(company.authorize(there.headers["location"]))
    assert back.path == "/login/oidc/back"
    return client, f"{back.path}?{back.query}"


def refusals(office: Office) -> list[str]:
    with office.services.sessions.transaction() as db:
        rows = db.execute(
            "select body::jsonb ->> 'why' as why from remit.records where tag like '%login:refused' order by id"
        ).fetchall()
    return [row["why"] for row in rows]


def must_fail(office: Office, company: Company, why: str, status: int = 403) -> None:
    client, back = begun(office, company)
    refused = client.get(back)
    assert refused.status_code == status, refused.text
    assert "remit_login=" not in refused.headers.get("set-cookie", "")
    assert client.get("/inbox").status_code == 303
    assert refusals(office)[-1] == why


@without_browser
def test_whoever_the_company_knows_comes_in_to_where_they_were(house: Office, company: Company) -> None:
    client, back = begun(house, company)
    entered = client.get(back, headers={"sec-fetch-site": "cross-site"})
    assert (entered.status_code, entered.headers["location"]) == (303, "/stop")
    assert client.get("/api/v1/me").json()["person"] == "bo"
    (login,) = client.get("/api/v1/logins").json()["items"]
    assert (login["via"], login["simulated"]) == ("oidc", False)
    assert refusals(house) == []
    assert client.get("/login/oidc?next=/inbox").headers["location"] == "/inbox", "they are in already"


@without_browser
@pytest.mark.parametrize(
    "changed",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": [CLIENT, "another"]},
        {"azp": "another"},
        {"iss": "https://evil.example"},
        {"exp": -3_600},
        {"exp": None},
        {"iat": 86_400},
        {"sub": None},
    ],
    ids=repr,
)
def test_a_token_that_does_not_hold_lets_nobody_in(house: Office, company: Company, changed: dict[str, Any]) -> None:
    company.changed = changed
    must_fail(house, company, "token_invalid")


@without_browser
def test_another_signature_lets_nobody_in(house: Office, company: Company) -> None:
    company.signs_with = RSAKey.generate_key(2048, {"kid": "k1"})
    must_fail(house, company, "token_invalid")
    company.signs_with, company.header = OctKey.import_key(SECRET.ljust(64, "x")), {"alg": "HS256", "kid": "k1"}  # type: ignore[assignment]
    must_fail(house, company, "token_invalid")


@without_browser
def test_keys_may_change(house: Office, company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    client, back = begun(house, company)
    assert client.get(back).status_code == 303
    company.key = company.signs_with = RSAKey.generate_key(2048, {"kid": "k2"})
    company.header = {"alg": "RS256", "kid": "k2"}
    monkeypatch.setattr("remit.governance.oidc._PATIENCE", 0.0001)
    provider = house.services.provider
    assert provider is not None
    monkeypatch.setattr(provider, "_ask", _patient(provider, monkeypatch))
    client, back = begun(house, company)
    assert client.get(back).status_code == 303


def _patient(provider: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    ask = provider._ask

    def patient(*given: Any, **how: Any) -> Any:
        with monkeypatch.context() as patched:
            patched.setattr("remit.governance.oidc._PATIENCE", 5.0)
            return ask(*given, **how)

    return patient


@without_browser
@pytest.mark.parametrize(
    ("who", "why"),
    [
        ({"sub": "u-x", "email": "nobody@example.com", "email_verified": True}, "person_unknown"),
        ({"sub": "u-gone", "email": "gone@example.com", "email_verified": True}, "person_unknown"),
        ({"sub": "u-two", "email": "two@example.com", "email_verified": True}, "person_unknown"),
        ({"sub": "u-bo", "email": "bo@example.com", "email_verified": False}, "email_unverified"),
        ({"sub": "u-bo", "email": "bo@example.com"}, "email_unverified"),
        ({"sub": "u-bo", "email": ["bo@example.com"], "email_verified": True}, "person_unknown"),
        ({"sub": "u-bo", "email": "", "email_verified": True}, "person_unknown"),
    ],
    ids=repr,
)
def test_whoever_the_directory_does_not_know_stays_out(
    house: Office, company: Company, who: dict[str, Any], why: str
) -> None:
    company.who = who
    must_fail(house, company, why)


@without_browser
def test_a_subject_may_name_the_person_instead(house: Office, company: Company) -> None:
    declare(house, company, claim="sub")
    company.who = {"sub": "u-bo"}
    client, back = begun(house, company)
    assert client.get(back).headers["location"] == "/stop"
    company.who = {"sub": "u-gone"}
    must_fail(house, company, "person_unknown")


@without_browser
def test_a_state_works_once_and_in_its_browser_only(house: Office, company: Company) -> None:
    client, back = begun(house, company)
    stranger = house.client().get(back)
    assert stranger.status_code == 403
    assert "not begun in this browser" in stranger.text
    cookie = client.cookies.get("remit_login_state")
    assert client.get(back).status_code == 303
    client.post("/logout")
    client.cookies.set("remit_login_state", cookie or "")
    replayed = client.get(back)
    assert replayed.status_code == 403
    assert "used already" in replayed.text
    assert client.get("/login/oidc/back").status_code == 403
    assert refusals(house) == ["state_invalid"] * 3
    client, back = begun(house, company)
    with house.services.sessions.transaction() as db:
        db.execute("update remit.login_attempts set expires_at = clock_timestamp()")
    assert client.get(back).status_code == 403


@without_browser
def test_a_provider_that_says_no_is_believed(house: Office, company: Company) -> None:
    client, back = begun(house, company)
    state = parse_qs(urlsplit(back).query)["state"][0]
    refused = client.get(f"/login/oidc/back?state={state}&error=<script>access_denied")
    assert refused.status_code == 403
    assert "access_denied" in refused.text
    assert "<script>access" not in refused.text
    client, back = begun(house, company)
    guessed = client.get(back.replace("code=", "code=guessed"))
    assert guessed.status_code == 403
    assert "did not take the code" in guessed.text
    assert refusals(house) == ["provider_refused", "token_invalid"]


@without_browser
def test_a_provider_that_is_away_is_said_to_be(house: Office, company: Company) -> None:
    client, back = begun(house, company)
    company.close()
    away = client.get(back)
    assert away.status_code == 503
    assert "does not answer" in away.text
    declare(house, company)
    assert house.client().get("/login/oidc").status_code == 503
    assert refusals(house) == ["provider_unavailable"] * 2


@without_browser
@pytest.mark.parametrize(
    "description",
    [
        {"issuer": "https://other.example"},
        {"token_endpoint": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "http://127.0.0.1:1/none"},
    ],
    ids=repr,
)
def test_a_provider_that_describes_itself_wrongly_is_not_asked(
    house: Office, company: Company, description: dict[str, Any]
) -> None:
    company.description = description
    assert house.client().get("/login/oidc").status_code == 503
    assert "/token" not in company.asked


@without_browser
def test_a_provider_may_want_the_secret_in_the_form(house: Office, company: Company) -> None:
    company.description = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    client, back = begun(house, company)
    assert client.get(back).status_code == 303


def test_without_a_provider_there_is_none(office: Office) -> None:
    assert office.client().get("/login/oidc").status_code == 404
    assert "Log in with" not in office.client().get("/login").text


@pytest.mark.parametrize("house", [True], indirect=True, ids=[""])
def test_in_a_browser_it_is_one_click(house: Office, company: Company, browser: Browser) -> None:
    url = house.serve()
    declare(house, company, url)
    context = browser.new_context(base_url=url)
    page = context.new_page()
    page.on("console", lambda said: house._note(said.text) if said.type == "error" else None)
    page.goto("/stop?scope=agent")
    clean(page, "logging in")
    page.get_by_role("link", name="Log in with Acme & Co").click()
    page.wait_for_url(f"{url}/stop?scope=agent")
    assert "Bo Adeyemi" in page.content()
    assert house.problems == []
