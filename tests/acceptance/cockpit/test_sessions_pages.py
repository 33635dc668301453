"""Sessions in the cockpit: found, read, written in, moved and forked; one action's story; search; starting one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.acceptance.cockpit.desk import DESK
from tests.acceptance.cockpit.office import Office, open_office
from tests.acceptance.nursery import Nursery
from tests.acceptance.shop import open_shop
from tests.acceptance.talking import begin, ended, say
from tests.conftest import DatabaseFactory


@pytest.fixture(scope="module")
def desk(
    database_factory: DatabaseFactory,
    migrated: str,
    nursery: Nursery,
    browser: Browser,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Office]:
    database = database_factory.create(migrated)
    with open_shop(tmp_path_factory.mktemp("desk") / "shop", database.url(), nursery, **DESK) as shop:
        shop.worker()
        with open_office(shop, browser) as office:
            yield office
            assert office.problems == []
    database_factory.drop(database)


def pays(*amounts: int) -> dict[str, Any]:
    return {"steps": [{"who": "kim", "amount": amount} for amount in amounts]}


def test_draft(desk: Office) -> None:
    shop = desk.shop
    lot = {}
    lot["steps"] = begin(shop, "steps", {"steps": [*pays(10)["steps"], {"do": {"pay": "lee", "amount": 4}}, {"who": "kim", "amount": 20}]}, title="Pay the week's bills")
    shop.finish(lot["steps"])
    lot["waits"] = begin(shop, "steps", pays(10, 120), title="Pay the plumber")
    shop.wait_for(lot["waits"], "approval")
    lot["ask"] = begin(shop, "steps", {"steps": [{"ask": "Which account is it?"}]}, title="Find the account")
    shop.wait_for(lot["ask"], "question")
    lot["list"] = begin(shop, "lister", {}, title="Whom to call today")
    shop.wait(lot["list"], "finished", "failed")
    lot["fail"] = begin(shop, "steps", {"steps": [{"fail": 1}]}, title="Reconcile the till")
    shop.wait(lot["fail"], "failed")
    lot["chat"] = begin(shop, "wordy", {"question": "Which invoices are late?"}, title="Late invoices")
    shop.wait(lot["chat"], "finished")
    say(shop, lot["chat"], "@chat and which of them belong to Acme?", who="bo")
    shop.wait(lot["chat"], "finished")
    with shop.services.sessions.transaction() as db:
        act = db.execute("select id from remit.actions where mode='tool' and session_id = %s order by id desc", (lot["waits"],)).fetchall()
    fork_at = shop.session(lot["steps"])["turns"][0]["id"]
    pages = {"sessions": "/sessions", "steps": f"/sessions/{lot['steps']}", "waits": f"/sessions/{lot['waits']}", "chat": f"/sessions/{lot['chat']}",
      "fail": f"/sessions/{lot['fail']}",
      "timeline": f"/sessions/{lot['steps']}/timeline", "timeline2": f"/sessions/{lot['waits']}/timeline", "results": f"/sessions/{lot['list']}/results?row=acme&name=calls",
      "source": f"/sessions/{lot['list']}/source", "fork": f"/sessions/{lot['steps']}/fork?at={fork_at}", "action": f"/actions/{act[0]['id']}", "action2": f"/actions/{act[-1]['id']}",
      "search": "/search?q=pay", "new": "/sessions/new?agent=filler", "empty": "/sessions?text=nothinglikethis"}
    import os
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 390)):
        page = desk.page("bo", color_scheme=scheme, viewport={"width": width, "height": 900})
        for name, path in pages.items():
            r = page.goto(path)
            page.wait_for_timeout(300)
            page.screenshot(path=f"/tmp/shots-sessions/{name}-{scheme}-{width}.png", full_page=True)
            print(name, r.status, len(Axe().run(page).response["violations"]), [ (v["id"], v["nodes"][0]["html"][:200]) for v in Axe().run(page).response["violations"]])
