"""Forks: from any point, in every status; what is history is never done again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from remit.errors import InvalidInput, NotFound
from remit.governance.desk import Decider
from remit.storage import sessions
from tests.acceptance.delegating import until
from tests.acceptance.nursery import Nursery
from tests.acceptance.shop import Shop, open_shop
from tests.acceptance.talking import COMPANY, begin, say
from tests.conftest import DatabaseFactory


@pytest.fixture(scope="module")
def shop(
    database_factory: DatabaseFactory, migrated: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    database = database_factory.create(migrated)
    with open_shop(tmp_path_factory.mktemp("shop") / "shop", database.url(), nursery, **COMPANY) as opened:
        opened.worker()
        yield opened
    database_factory.drop(database)


def pays(*names: str) -> list[dict[str, Any]]:
    return [{"who": name, "amount": 10} for name in names]


def times(shop: Shop, who: str) -> int:
    return sum(1 for b in shop.books() if b["who"] == who)


def fork(shop: Shop, session: str, **more: Any) -> tuple[str, Any]:
    return shop.services.sessions.fork(session, "person:ada", **more)


def test_a_fork_in_the_middle_does_nothing_of_its_history_again(shop: Shop) -> None:
    session = begin(shop, "steps", {"steps": [*pays("f1"), {"do": "x"}, *pays("f2", "f3")]})
    first = shop.wait(session, "finished")["turns"][0]
    at = f"{first['id']}:4"
    planned = shop.services.sessions.plan_fork(session, at)
    made, plan = fork(shop, session, at=at)
    assert planned == plan
    assert [e.key for e in plan.history] == ["1", "2", "3"]
    assert [(e.key, e.writes) for e in plan.anew] == [("4", True)]
    assert [e.key for e in plan.repeats] == ["4"]
    found = shop.wait(made, "finished")
    assert found["turns"][0]["output"] == first["output"]  # the same chance, the same delegated session
    assert [times(shop, who) for who in ("f1", "f2", "f3")] == [1, 1, 2]
    assert [a["key"] for a in found["actions"]] == ["4"]
    again, plan = fork(shop, made, at=f"{found['turns'][0]['id']}:3")
    assert [e.key for e in plan.history] == ["1", "2"]
    shop.wait(again, "finished")
    assert [times(shop, who) for who in ("f1", "f2", "f3")] == [1, 2, 3]
    with shop.services.sessions.transaction() as db:
        assert sessions.get(db, again).forked_from == made


def test_a_fork_of_a_whole_turn_begins_it_anew_and_one_with_a_message_goes_on(shop: Shop) -> None:
    session = begin(shop, "steps", {"steps": pays("w1")})
    turn = shop.wait(session, "finished")["turns"][0]
    made, plan = fork(shop, session, at=turn["id"])
    assert (plan.history, [e.key for e in plan.repeats]) == ((), ["1"])
    assert shop.wait(made, "finished")["turns"][0]["output"]["mark"] != turn["output"]["mark"]
    assert times(shop, "w1") == 2
    made, plan = fork(shop, session, message="@chat what was done?")
    assert plan.turns == (turn["id"],)
    answer = shop.wait(made, "finished")["turns"][0]["output"]
    assert '"who":"w1"' in answer
    assert answer.endswith("what was done?")


@pytest.mark.parametrize(
    "status", ["running", "waiting", "approval", "paused", "failed", "cancelled", "stopped", "delegation"]
)
def test_a_session_is_forked_in_every_status(shop: Shop, status: str) -> None:
    who = f"s-{status}"
    last = {
        "approval": {"who": f"big-{status}", "amount": 200},
        "failed": {"fail": True},
        "delegation": {"do": {"ask": "inner?"}},
    }.get(status, {"ask": "go on?"})
    session = begin(shop, "steps", {"steps": [*pays(who), last]})
    shop.wait(session, "failed" if status == "failed" else "waiting")
    verbs = shop.services.sessions
    match status:
        case "paused" | "cancelled":
            getattr(verbs, {"paused": "pause", "cancelled": "cancel"}[status])(session, "person:ada", "test")
        case "stopped":
            verbs.stop("agent", "steps", "test", "ada")
        case "running":
            until(lambda: shop.session(session)["turns"][0]["status"] == "waiting")
            say(shop, session, {"steps": [{"ask": "another?"}]})
    before = shop.session(session)
    made, plan = fork(shop, session, at=f"{before['turns'][0]['id']}:2" if status == "running" else None)
    assert plan.point == f"{before['turns'][0]['id']}:{'end' if status == 'failed' else '2'}"
    assert [e.key for e in plan.history] == ["1"]
    if status == "stopped":
        shop.wait_for(made, "stop")
        verbs.release("agent", "steps", "ada", "test")
    _through(shop, made, status)
    assert times(shop, who) == 1
    after = shop.session(session)
    assert [(t["status"], t["run"]) for t in after["turns"][:1]] == [
        (t["status"], t["run"]) for t in before["turns"][:1]
    ] or (status in {"stopped", "running"})


def _through(shop: Shop, made: str, status: str) -> None:
    """Answer whatever the fork waits for, until it has ended."""
    if status == "failed":
        shop.wait(made, "failed")
        return
    if status == "approval":
        shop.wait_for(made, "approval")
        shop.services.sessions.approve(shop.item(made, "approval"), Decider("bo"), "fine")
    elif status == "delegation":
        shop.wait_for(made, "delegation")
        with shop.services.sessions.transaction() as db:
            rows = db.execute("select id from remit.sessions where parent_id = %s", (made,)).fetchall()
        assert len(rows) == 1  # its own, not the one that the other session waits for
        shop.wait_for(rows[0]["id"], "question")
        shop.services.sessions.answer(shop.item(rows[0]["id"], "question"), Decider("ada"), "yes")
    else:
        shop.wait_for(made, "question")
        shop.services.sessions.answer(shop.item(made, "question"), Decider("ada"), "yes")
    shop.wait(made, "finished")


def test_a_fork_without_a_point_goes_on_where_it_stood(shop: Shop) -> None:
    session = begin(shop, "steps", {"steps": [*pays("stood"), {"ask": "go on?"}]})
    shop.wait_for(session, "question")
    made, plan = fork(shop, session)
    assert plan.point.endswith(":2")
    _through(shop, made, "waiting")
    assert times(shop, "stood") == 1


def test_a_fork_that_would_have_nothing_to_do_or_no_such_point_is_refused(shop: Shop) -> None:
    session = begin(shop, "hand", "x")
    turn = shop.wait(session, "finished")["turns"][0]["id"]
    with pytest.raises(InvalidInput, match="nothing to do"):
        fork(shop, session)
    with pytest.raises(NotFound, match="nothing at 9"):
        fork(shop, session, at=f"{turn}:9")
    with pytest.raises(NotFound, match="no turn turn_x"):
        fork(shop, session, at="turn_x")
    with pytest.raises(InvalidInput, match="in the middle of a turn"):
        fork(shop, session, at=f"{turn}:1", message="hi")


def test_a_fork_of_an_assisted_session_acts_for_whoever_forked_it(shop: Shop) -> None:
    session = begin(shop, "aide", {"ask": "go?"}, "person:dov")
    shop.wait_for(session, "question")
    made, _ = fork(shop, session)
    shop.wait_for(made, "question")
    assert [t["on_behalf_of"] for t in shop.session(made)["turns"]] == ["ada"]
