"""Takes pictures of every page of the cockpit: light, dark, and as wide as a phone.

    .venv/bin/python docs/screenshots.py [FOLDER]

It runs the example company in a copy, starts its refund desk on all tickets and its sellers' morning lists, logs in,
and leaves the pictures in FOLDER (default: `build/screenshots`). The documentation shows some, from `docs/pictures`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser import find  # noqa: E402 - the tests know where a Chromium is

from remit.bootstrap import Services, open_services  # noqa: E402
from remit.governance.answers import Decider  # noqa: E402
from remit.runtime.sessions import Start  # noqa: E402
from remit.storage import inbox  # noqa: E402

PERSON = "dana.kim"
RISK = "maren.holt"
_SESSION = "/sessions?status=waiting >> a.row-link"
PAGES = {
    "inbox": "/inbox",
    "item": "/inbox >> a.row-link",
    "decided": "/inbox?tab=decided",
    "sessions": "/sessions",
    "session": _SESSION,
    "timeline": f"{_SESSION} >> /timeline",
    "results": f"{_SESSION} >> /results",
    "source": f"{_SESSION} >> /source",
    "fork": f"{_SESSION} >> /fork",
    "start": "/sessions/new?agent=refund-desk",
    "action": f"{_SESSION} >> /timeline >> a[href^='/actions/']:visible",
    "search": "/search?q=CS-19422",
    "agents": "/agents",
    "agent": "/agents/refund-desk",
    "workflows": "/workflows",
    "policies": "/policies",
    "decisions": "/policies >> a[href^='/policies/decisions']",
    "simulator": "/policies/try",
    "directory": "/directory",
    "me": "/me",
    "stop": "/stop?scope=agent&target=refund-desk",
    "help": "/help",
    "missing": "/sessions/none",
}
"""Name to address; behind `>>` the link that is followed from there, or what its address goes on with."""
OF_RISK = {
    "triggers": "/triggers",
    "trigger": "/triggers/priorities",
    "audit": "/audit",
    "insights": "/insights?span=24h",
    "outputs": "/outputs",
    "output": "/sessions?agent=daily-priorities >> a.row-link >> /results",
    "undo": "/sessions?status=finished >> a.row-link >> /undo",
}
SHAPES = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 860}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 860}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}


def main() -> None:
    """Take them all."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    path = find()
    if path is None:
        sys.exit("There is no Chromium: see tests/browser.py.")
    with _company() as (services, url), sync_playwright() as playwright:
        _work(services)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for person, pages in ((PERSON, PAGES), (RISK, OF_RISK)):
            for shape in SHAPES:
                page = _logged_in(services, browser, url, person, shape, folder)
                for name, address in pages.items():
                    _take(page, url, address, folder / f"{name}-{shape}.png")
        browser.close()
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")


@contextmanager
def _company() -> Iterator[tuple[Services, str]]:
    with tempfile.TemporaryDirectory() as scratch:
        acme = Path(scratch) / "acme"
        shutil.copytree(ROOT / "examples" / "acme", acme, ignore=shutil.ignore_patterns(".remit", "__pycache__"))
        command = [sys.executable, "-m", "remit", "up", str(acme), "--port", "0"]
        up = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
        try:
            assert up.stdout is not None, "it was asked for"
            url = next(m[1] for line in up.stdout if (m := re.match(r"Listening on (\S+)", line)))
            with open_services(acme) as services:
                yield services, url
        finally:
            up.terminate()
            up.wait(30)


def _work(services: Services) -> None:
    """Let the desk handle all tickets, and the lists be made; decide half of what is asked."""
    tickets = json.loads((services.folder / "seed" / "tickets.json").read_text())
    for ticket in tickets:
        given = {"ticket_id": ticket["ticket_id"]}
        start = Start("refund-desk", given, "person:leo.brandt", request_id=ticket["ticket_id"], simulated=True)
        services.sessions.start(start)
    services.triggers.fire("priorities", "kofi.mensah", simulated=True)
    _rest(services)
    with services.sessions.transaction() as db:
        asked = inbox.listing(db, person=PERSON, kind="approval")
    for n, item in enumerate(asked[: len(asked) // 2]):
        if n % 4 == 3:
            services.sessions.deny(item.id, Decider(PERSON), "The goods never came back.")
        else:
            services.sessions.approve(item.id, Decider(PERSON), "As agreed with the customer.")
    _rest(services)


def _rest(services: Services) -> None:
    """Wait until nothing runs."""
    time.sleep(2)
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with services.sessions.transaction() as db:
            row = db.execute("select count(*) as n from remit.sessions where status = 'running'").fetchone()
        if row is not None and not row["n"]:
            return
        time.sleep(0.5)


def _logged_in(services: Services, browser: Browser, url: str, person: str, shape: str, folder: Path) -> Page:
    page = browser.new_context(**SHAPES[shape]).new_page()
    page.goto(f"{url}/login/{services.logins.offer(person, 'pictures')}")
    page.screenshot(path=str(folder / f"login-{shape}.png"))
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/inbox*")
    return page


def _take(page: Page, url: str, address: str, file: Path) -> None:
    where, *steps = address.split(" >> ")
    page.goto(url + where)
    for step in steps:
        if step.startswith("/"):
            page.goto(page.url.partition("?")[0] + step)
        else:
            page.locator(step).first.click(timeout=10_000)
            page.wait_for_load_state()
    page.wait_for_timeout(300)
    page.screenshot(path=str(file), full_page=file.stem.endswith("phone"))


if __name__ == "__main__":
    main()
