"""Coming in, what is open to whom, and what other sites and other workspaces get: nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.routing import Mount

from remit import asgi
from remit.errors import NotEntitled
from remit.surfaces.api import app as api
from remit.surfaces.http.guard import COOKIE, Needs, Open
from tests.acceptance.cockpit.office import Office
from tests.acceptance.cockpit.test_decide import asked


def test_a_link_works_once_and_looking_does_not_use_it_up(office: Office) -> None:
    token = office.services.logins.offer("bo", "test")
    client = office.client()
    for _ in range(2):
        assert "Log in as Bo Adeyemi" in client.get(f"/login/{token}").text
    entered = client.post(f"/login/{token}", data={"next": "/stop"})
    assert (entered.status_code, entered.headers["location"]) == (303, "/stop")
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert client.get("/inbox").status_code == 200
    again = office.client().post(f"/login/{token}", data={})
    assert again.status_code == 403
    assert "does not work any more" in again.text


def test_whoever_opens_an_open_link_says_who_they_are_and_that_is_recorded(office: Office) -> None:
    token = office.services.logins.offer(None, "test")
    client = office.client()
    shown = client.get(f"/login/{token}").text
    assert "Ada Lovell" in shown
    assert "Gone Away" not in shown, "who has left cannot come in"
    assert client.post(f"/login/{token}", data={"person": "gone"}).status_code == 403
    assert (
        client.post(f"/login/{token}", data={"person": "bo", "next": "//evil.example"}).headers["location"] == "/inbox"
    )
    assert "recorded as simulated" in client.get("/inbox").text


def test_nobody_is_asked_to_log_in_and_comes_back_to_where_they_were(office: Office) -> None:
    asked_for = office.client().get("/inbox?tab=open")
    assert (asked_for.status_code, asked_for.headers["location"]) == (303, "/login?next=/inbox%3Ftab%3Dopen")
    client = office.client("bo")
    client.post("/logout")
    assert client.get("/inbox").status_code == 303
    stolen = office.client()
    stolen.cookies.set(COOKIE, "guessed")
    assert stolen.get("/inbox").status_code == 303


def test_another_site_cannot_send_anything(office: Office) -> None:
    _, item_id = asked(office)
    client = office.client("bo")
    for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "none"}):
        sent = client.post(f"/inbox/{item_id}", data={"verdict": "approve"}, headers=headers)
        assert sent.status_code == 403, headers
    assert office.services.sessions is not None
    with office.services.sessions.transaction() as db:
        row = db.execute("select status from remit.inbox_items where id = %s", (item_id,)).fetchone()
    assert row == {"status": "open"}


def test_what_belongs_to_another_workspace_does_not_exist(office: Office) -> None:
    _, item_id = asked(office)
    client = office.client("otto")
    hidden, missing = client.get(f"/inbox/{item_id}"), client.get(f"/inbox/{item_id[:-1]}_")
    assert (hidden.status_code, missing.status_code) == (404, 404)
    assert 'href="/stop' in missing.text, "the red button is on every page, also on this one"
    position = re.compile('after=[^"]+')  # where the record stands; the worker may have written meanwhile
    told = [
        position.sub("", hidden.text.replace(item_id, "")),
        position.sub("", missing.text.replace(f"{item_id[:-1]}_", "")),
    ]
    assert told[0] == told[1], "nobody can tell them apart"
    assert client.post(f"/inbox/{item_id}", data={"verdict": "approve"}).status_code == 404
    assert client.post(f"/inbox/{item_id}/opened").status_code == 404
    assert "Pay of 120" not in client.get("/inbox?tab=all").text
    assert "clerk" not in client.get("/stop?scope=agent").text


def test_whoever_is_not_asked_may_look_and_not_decide(office: Office) -> None:
    _, item_id = asked(office)
    client = office.client("vera")
    shown = client.get(f"/inbox/{item_id}").text
    assert "Not yours to decide" in shown
    assert "Bo Adeyemi" in shown
    seal = office.client("bo").get(f"/inbox/{item_id}").text.split('name="seen" value="')[1].split('"')[0]
    refused = client.post(f"/inbox/{item_id}", data={"verdict": "approve", "seen": seal})
    assert refused.status_code == 403
    assert "This was not taken" in refused.text


def test_a_page_that_shows_an_older_request_decides_nothing(office: Office) -> None:
    _, item_id = asked(office)
    refused = office.client("bo").post(f"/inbox/{item_id}", data={"verdict": "approve", "seen": "0" * 32})
    assert refused.status_code == 422
    assert "has changed since this page was shown" in refused.text


def test_a_login_ends_when_its_person_leaves_or_somebody_ends_it(office: Office) -> None:
    client = office.client("bo")
    with office.services.sessions.transaction() as db:
        login = db.execute("select id from remit.logins order by id desc limit 1").fetchone()
    assert login is not None
    office.services.logins.leave(login["id"], "person:ada")
    assert client.get("/inbox").status_code == 303
    client = office.client("bo")
    with office.services.sessions.transaction() as db:
        db.execute("update remit.logins set seen_at = clock_timestamp() - interval '13 hours'")
    assert client.get("/inbox").status_code == 303
    with pytest.raises(NotEntitled):
        office.services.logins.offer("gone", "test")


def endpoints(app: Any) -> Iterator[Any]:
    """Every endpoint of an application, with the dependencies that it has where it is included."""
    for route in app.routes:
        # An included router is one entry of its own kind, which stands for its endpoints.
        yield from route.effective_candidates() if hasattr(route, "effective_candidates") else [route]


def test_every_endpoint_of_cockpit_and_api_declares_what_it_needs(office: Office) -> None:
    mounted = {route.path: route.app for route in asgi.app(office.services).routes if isinstance(route, Mount)}
    assert set(mounted) == {"", api.PATH}
    missing, count = [], Counter[str]()
    for path, app in mounted.items():
        for route in endpoints(app):
            count[path] += 1
            needs = [d.call for d in route.dependant.dependencies if isinstance(d.call, Needs | Open)]
            if len(needs) != 1:
                missing.append(f"{sorted(route.methods)} {path}{route.path}")
    assert missing == []
    assert count[""] > 15
    assert count[api.PATH] > 50


def test_the_pages_load_nothing_from_elsewhere(office: Office) -> None:
    shown = office.client("bo").get("/inbox")
    policy = shown.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http://" not in shown.text.replace("http://www.w3.org", "")
    assert "https://" not in shown.text
    packed = office.client("bo").get("/static/vendor/tabler.css", headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert office.client().get("/static/../app.py").status_code == 404
