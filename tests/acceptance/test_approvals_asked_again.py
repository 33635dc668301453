"""Where an approval does not hold any more, the same thing is asked again, and can be answered again."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

import pytest

from remit.config.loader import load_project
from remit.errors import NotEntitled
from remit.governance.deployments import deploy
from remit.governance.desk import Decider
from tests.acceptance.shop import FILES, Shop

PAY = {"tool": "pay", "who": "ivy", "amount": 120, "currency": "USD"}


def test_changed_policy_asks_the_same_person_again(changed_shop: Callable[..., Shop]) -> None:
    shop = changed_shop()
    shop.worker()
    session = shop.start(PAY)
    shop.wait(session, "waiting")
    shop.end_workers()
    shop.services.sessions.approve(shop.item(session, "approval"), Decider("bo"), "fine")
    stricter = FILES["policies/shop.cedar"].replace("100.0000", "90.0000")
    (shop.folder / "policies/shop.cedar").write_text(stricter)
    with shop.services.sessions.transaction() as db:
        deploy(db, load_project(shop.folder), shop.folder / ".remit" / "deploy.key", "person:ada")
    shop.worker()
    while shop.session(session)["status"] != "waiting" or len(shop.session(session)["items"]) < 2:
        assert shop.wait(session, "waiting", "running")
    assert shop.books() == [], "the approval was for another policy"
    shop.services.sessions.approve(shop.item(session, "approval"), Decider("bo"), "still fine")
    shop.wait(session, "finished")
    assert [b["amount"] for b in shop.books()] == [120]


def test_an_edit_is_approved_by_somebody_else(changed_shop: Callable[..., Shop]) -> None:
    shop = changed_shop()
    shop.worker()
    session = shop.start(PAY)
    shop.wait(session, "waiting")
    edited = {"who": "ivy", "amount": 110, "currency": "USD"}
    first = shop.item(session, "approval")
    shop.services.sessions.approve(first, Decider("bo"), "less", edited=edited)
    while len(items := [i for i in shop.session(session)["items"] if i.status == "open"]) < 1:
        assert shop.session(session)["status"] in {"waiting", "running"}
    with pytest.raises(NotEntitled):
        shop.services.sessions.approve(items[0].id, Decider("bo"), "again")
    shop.services.sessions.approve(items[0].id, Decider("cleo"), "fine")
    shop.wait(session, "finished")
    assert [b["amount"] for b in shop.books()] == [110]


def test_who_is_asked_again_is_shown_what_is_there_then(changed_shop: Callable[..., Shop]) -> None:
    look = "current: {tool: till.peek, arguments: {}, compare: {amount: balance}}"
    shop = changed_shop(
        **{"actions.yaml": FILES["actions.yaml"].replace("title: Pay\n", f"title: Pay\n    {look}\n", 1)}
    )
    shop.worker()
    session = shop.start(PAY)
    shop.wait(session, "waiting")
    first = shop.item(session, "approval")
    assert there(shop, session, first) == 1000
    shop.finish(shop.start({**PAY, "who": "kim", "amount": 30}))
    shop.services.sessions.approve(
        first, Decider("bo"), "less", edited={"who": "ivy", "amount": 110, "currency": "USD"}
    )
    while not (again := [i.id for i in shop.session(session)["items"] if i.status == "open"]):
        assert shop.session(session)["status"] in {"waiting", "running"}
    assert there(shop, session, again[0]) == 970


def there(shop: Shop, session: str, item: str) -> Decimal:
    """What the item shows as the balance now: the worker looks after it has asked."""
    until = time.monotonic() + 20
    while True:
        detail = next(i.detail for i in shop.session(session)["items"] if i.id == item)
        if "changes" in detail:
            return detail["changes"]["amount"]["now"]
        assert time.monotonic() < until, detail
        time.sleep(0.05)
