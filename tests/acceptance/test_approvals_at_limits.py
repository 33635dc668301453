"""An approval is used by the action that it lets through, not by a limit that the action meets on its way."""

from __future__ import annotations

from collections.abc import Callable

from remit.governance.desk import Decider
from tests.acceptance.shop import Shop

ONE_AT_A_TIME = """
connections:
  till:
    transport: stdio
    command: [python, servers/till.py]
    timeout: 5s
    trusted: true
    rate: {per_second: 2, burst: 1}
"""
PAY = {"tool": "pay", "amount": 120, "currency": "USD"}


def test_nobody_is_asked_twice_because_of_a_limit(changed_shop: Callable[..., Shop]) -> None:
    shop = changed_shop(**{"connections.yaml": ONE_AT_A_TIME})
    shop.worker()
    sessions = [shop.start({**PAY, "who": who}) for who in ("ivy", "jo", "kim", "lou")]
    for session in sessions:
        shop.wait(session, "waiting")
    shop.end_workers()
    for session in sessions:
        shop.services.sessions.approve(shop.item(session, "approval"), Decider("bo"), "fine")
    shop.worker()  # all four meet a limit of two calls a second, in one burst of one
    for session in sessions:
        found = shop.wait(session, "finished")
        assert len(found["items"]) == 1, "nobody is asked twice"
        assert found["actions"][0]["status"] == "succeeded"
    assert sorted(b["who"] for b in shop.books()) == ["ivy", "jo", "kim", "lou"]
