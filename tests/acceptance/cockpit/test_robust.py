"""Servers that die and share the work, logins that end in the middle, and how heavy a page is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect
from starlette.testclient import TestClient

from remit import asgi
from remit.surfaces.http.guard import COOKIE
from tests.acceptance.cockpit.office import Office
from tests.acceptance.cockpit.test_decide import asked

HEAVIEST = 150 * 1024


def server(folder: Path, port: int) -> tuple[subprocess.Popen[str], int]:
    """`remit server` as a process of its own, and its port."""
    command = [sys.executable, "-m", "remit", "server", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stdout is not None
    with process.stdout as said:
        found = re.search(r"listens on http://127.0.0.1:(\d+)", said.readline())
    assert found is not None
    return process, int(found[1])


def test_a_server_that_is_killed_loses_nothing_that_somebody_has_open(open_cockpit: Office) -> None:
    session_id, item_id = asked(open_cockpit)
    process, port = server(open_cockpit.shop.folder, 0)
    try:
        page = open_cockpit.page("bo", url=f"http://127.0.0.1:{port}")
        page.goto(f"/inbox/{item_id}")
        page.get_by_label("Your reason").fill("Agreed by phone.")
        process.kill()
        process.wait(10)
        gone = page.get_by_role("status").filter(has_text="Remit does not answer.")
        expect(gone).to_be_visible()
        process, _ = server(open_cockpit.shop.folder, port)
        expect(gone).to_have_count(0)
        page.get_by_role("button", name="Approve", exact=True).click()
        expect(page.get_by_text("Decided by Bo Adeyemi: approved. Reason: Agreed by phone.")).to_be_visible()
        open_cockpit.shop.finish(session_id)
    finally:
        process.kill()
        process.wait(10)
    open_cockpit.problems.clear()  # the stream of a server that was killed


def test_two_servers_behind_a_balancer_need_no_stickiness(office: Office) -> None:
    session_id, item_id = asked(office)
    apps = [TestClient(asgi.app(office.services), headers={"sec-fetch-site": "same-origin"}) for _ in range(2)]
    token = office.services.logins.offer("bo", "test")
    entered = apps[0].post(f"/login/{token}", follow_redirects=False)
    cookie = entered.cookies[COOKIE]
    for client in apps:
        client.cookies.set(COOKIE, cookie)
    shown = [apps[n % 2].get(f"/inbox/{item_id}").text for n in range(6)]
    seal = re.findall(r'name="seen" value="(\w+)"', shown[0])[0]
    assert all(seal in text for text in shown)
    done = apps[1].post(f"/inbox/{item_id}", data={"verdict": "approve", "seen": seal}, follow_redirects=False)
    assert done.status_code == 303
    assert "Decided by Bo Adeyemi" in apps[0].get(f"/inbox/{item_id}").text
    office.shop.finish(session_id)


def cut_off(page: Page) -> None:
    """End the page's stream, as a network does; it listens anew by itself."""
    stream = "document.getElementById('live')._htmx?.sse?.reader"
    page.wait_for_function(f"() => {stream} && ({stream}.cancel(), true)")


def end_logins(office: Office) -> None:
    """End everybody's login, behind the back of what they have open."""
    with office.services.sessions.transaction() as db:
        db.execute("update remit.logins set ended_at = clock_timestamp(), ended_by = 'test'")


def slowly(route: Route) -> None:
    time.sleep(0.5)
    route.continue_()


@pytest.mark.parametrize("answer", [None, 503], ids=["no answer", "a balancer's apology"])
def test_a_page_that_could_not_begin_to_listen_says_so_and_tries_again(
    open_cockpit: Office, answer: int | None
) -> None:
    sorry = "<p>No server is ready.</p>"

    def refuse(route: Route) -> None:
        if answer is None:
            route.abort()
        else:
            route.fulfill(status=answer, body=sorry, content_type="text/html")

    page = open_cockpit.page("bo")
    page.route("**/live?*", refuse, times=2)
    page.route("**/static/cockpit.js*", slowly)  # nothing begins to listen before it has come
    page.goto("/inbox")
    gone = page.get_by_role("status").filter(has_text="Remit does not answer.")
    expect(gone).to_be_visible()
    expect(gone).to_have_count(0)
    assert "No server is ready." not in page.content(), "it does not become a part of the page"
    open_cockpit.problems.clear()  # what was cut off


def test_a_login_that_ends_while_a_page_is_drawn_is_said(open_cockpit: Office) -> None:
    def late(route: Route) -> None:
        end_logins(open_cockpit)
        route.continue_()

    page = open_cockpit.page("bo")
    page.route("**/live?*", late, times=1)
    page.goto("/inbox")
    expect(page.get_by_role("status").filter(has_text="Your login has ended.")).to_be_visible()
    expect(page.get_by_role("heading", name="Log in")).to_have_count(0)
    open_cockpit.problems.clear()  # the stream was turned away, as it should be


def test_a_login_that_ends_in_the_middle_comes_back_to_the_item(open_cockpit: Office) -> None:
    _, item_id = asked(open_cockpit)
    page = open_cockpit.page("bo")
    page.goto(f"/inbox/{item_id}")
    page.wait_for_function("() => document.getElementById('live')._htmx?.sse?.reader")
    end_logins(open_cockpit)
    cut_off(page)
    expect(page.get_by_role("status").filter(has_text="Your login has ended.")).to_be_visible()
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert page.url.endswith(f"/login?next=/inbox/{item_id}")
    token = open_cockpit.services.logins.offer("bo", "test")
    page.goto(f"/login/{token}?next=/inbox/{item_id}")
    page.get_by_role("button", name="Log in as Bo Adeyemi").click()
    expect(page.get_by_role("heading", name="Your decision")).to_be_visible()
    assert page.url.endswith(f"/inbox/{item_id}")
    open_cockpit.problems.clear()  # the stream was turned away, as it should be


def test_the_first_page_is_light(open_cockpit: Office) -> None:
    asked(open_cockpit)
    page = open_cockpit.page("bo")
    sizes: list[Any] = []
    page.on("requestfinished", lambda request: sizes.append((request.url, request.sizes()["responseBodySize"])))
    page.goto("/inbox", wait_until="load")
    page.wait_for_timeout(300)
    total = sum(size for _, size in sizes)
    assert 50_000 < total <= HEAVIEST, sizes


def test_what_is_too_long_says_how_long_it_is_and_is_kept(office: Office) -> None:
    office.shop.worker()
    session_id = office.shop.start({"tool": "peek"})
    office.shop.finish(session_id)
    bo, path = office.client("bo"), f"/sessions/{session_id}"
    typed = "Look at the lamp. " + "x" * 4_000
    answer = bo.post(f"{path}/comment", data={"text": typed})
    assert answer.status_code == 422
    assert "the comment has 4,018 characters; at most 4,000 are taken" in answer.text
    assert f">{typed}</textarea>" in answer.text, "what was typed is kept"
    lines = "\r\n".join(["x" * 99] * 40)
    assert bo.post(f"{path}/comment", data={"text": lines}).status_code == 303, "a line's end is one character"
    assert office.client("otto").post(f"{path}/comment", data={"text": typed}).status_code == 404
    told = bo.post(f"{path}/move", data={"verb": "cancel", "reason": "y" * 2_001})
    assert told.status_code == 422
    assert "reason has 2,001 characters; at most 2,000 are taken" in told.text
    assert "should have at most" not in told.text


def test_what_is_not_json_is_told_in_a_sentence(office: Office) -> None:
    told = office.client("ada").post("/policies/try", data={"agent": "clerk", "action": "till.pay", "args": "["}).text
    assert "text of the arguments is not JSON" in told
    assert "the the" not in told
