"""Pull the plug on each surface in turn: the work waits, tells, and completes later; nothing is lost or sent twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.error import URLError

import pytest

from tests.acceptance.front import Front, until
from tests.acceptance.shop import Shop
from tests.integration.telling.team import workspace_module

PAY = {"tool": "pay", "who": "kim", "amount": 200, "currency": "USD"}


@pytest.fixture
def front(changed_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch) -> Front:
    module = workspace_module()
    monkeypatch.setenv("SLACK_BOT_TOKEN", module.BOT_TOKEN)
    monkeypatch.setenv("SLACK_SIGNING_SECRET", module.SIGNING_SECRET)
    return Front(changed_shop)


def test_mail_and_slack_away_and_back(front: Front) -> None:
    shop = front.shop
    shop.worker()
    with front.serving():
        first = shop.start(PAY)
        shop.wait(first, "waiting")
        # Nobody can be told. The work waits, and whoever looks is told why.
        for surface, why in (("mail", "cannot be used"), ("slack", "")):
            row = until(lambda surface=surface: (r := front.told(first, surface)) and r["error"] and r)
            assert row["status"] == "due"
            assert why in row["error"]
        assert shop.books() == []
        with front.posting():
            (link,) = until(lambda: front.mails(first))
            # Slack is still away: mails do not wait for it.
            assert front.told(first, "slack")["status"] == "due"
            assert front.http(link, verdict="approve", reason="by mail")[0] == 200
            shop.wait(first, "finished")
            second = shop.start(PAY | {"who": "lee"})
            (later,) = until(lambda: front.mails(second))
        with front.chatting():
            until(lambda: front.told(second, "slack").get("status") == "sent")
            # What was decided while Slack was away is not asked there any more.
            until(lambda: front.told(first, "slack")["status"] == "dropped")
            assert front.http(later, verdict="deny", reason="lee can wait")[0] == 200
            shop.wait(second, "finished")
            until(lambda: front.told(second, "slack")["final"])
            (card,) = front.cards()
            assert "lee can wait" in str(card["blocks"])
    assert [b["who"] for b in shop.books()] == ["kim"]
    assert len(front.mails(first)) == len(front.mails(second)) == 1


def test_the_server_away_and_back(front: Front) -> None:
    shop = front.shop
    shop.worker()
    with front.posting():
        with front.serving():
            session = shop.start(PAY)
            (link,) = until(lambda: front.mails(session))
        with pytest.raises(URLError):
            front.http(link)
        # Workers need no surface: other work goes on, and what waits keeps waiting.
        other = shop.start(PAY | {"amount": 50, "who": "max"})
        unseen = shop.start(PAY | {"who": "nan"})
        shop.wait(other, "finished")
        shop.wait(unseen, "waiting")
        assert front.mails(unseen) == []
        with front.serving():
            until(lambda: front.mails(unseen))
            assert front.http(link, verdict="approve")[0] == 200
            shop.wait(session, "finished")
    assert [b["who"] for b in shop.books()] == ["max", "kim"]
    assert (len(front.mails(session)), len(front.mails(unseen))) == (1, 1)


def test_no_worker_while_somebody_answers(front: Front) -> None:
    shop = front.shop
    worker: Any = shop.worker()
    with front.posting(), front.serving():
        session = shop.start(PAY)
        (link,) = until(lambda: front.mails(session))
        worker.kill()
        assert front.http(link, verdict="approve")[0] == 200
        assert "Thank you" in front.http(link)[1]
        assert shop.books() == []
        shop.worker()
        shop.wait(session, "finished")
    assert [b["who"] for b in shop.books()] == ["kim"]
