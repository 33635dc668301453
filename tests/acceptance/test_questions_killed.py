"""Workers that are killed while a question is asked, waits, is answered and is remembered."""

from __future__ import annotations

import signal
from collections.abc import Callable

from remit.governance.desk import Decider
from remit.runtime.sessions import Start
from remit.storage import inbox
from tests.acceptance.shop import FILES, Shop

PROGRAM = """
async def run(session):
    which = await session.ask(
        "Which one?",
        choices=[{"id": "a1", "title": "Acme One", "owner": "bo"}, {"id": "a2", "title": "Acme Two"}],
        to="role:risk", context=session.input, confidence=0.5, remember=session.input["key"], keep_days=3,
    )
    await session.remember("last", which, why="to know it")
    paid = await session.call("till.pay", who=f"{session.input['key']} {which}", amount=10, currency="USD")
    return [which, await session.recall("last"), paid["who"]]
"""
TOOLS = "tools: [remit.remember, remit.recall, "
ASKING = ("suspend:before", "run:before_end", "run:after_end")
ANSWERED = ("run:after_epoch", "settle:after")


def questions(shop: Shop, session: str) -> list[inbox.InboxItem]:
    with shop.services.sessions.transaction() as db:
        return inbox.listing(db, status=None, session_id=session, kind="question")


def die(shop: Shop, work: Callable[[], None], points: tuple[str, ...]) -> None:
    """Give work to one worker after the other, each of which dies at its point; then to one that lives."""
    dead = []
    for point in points:
        work()
        worker = shop.zombie(REMIT_KILL_AT=point)
        assert worker.wait(60) == -signal.SIGKILL, point
        dead.append(worker)
    for worker in dead:
        shop.bury(worker)
    shop.worker()


def test_a_question_is_asked_once_and_its_answer_counts_once_wherever_workers_die(
    changed_shop: Callable[..., Shop],
) -> None:
    yaml = FILES["agents/clerk/agent.yaml"].replace("tools: [", TOOLS)
    shop = changed_shop(**{"agents__clerk__program.py": PROGRAM, "agents__clerk__agent.yaml": yaml})
    started: dict[str, str] = {}

    def ask() -> None:
        key = f"k{len(started)}"
        started[key] = shop.services.sessions.start(Start("clerk", {"key": key}, "person:dov"))

    die(shop, ask, ASKING)
    for session in started.values():
        shop.wait_for(session, "question")
        (item,) = questions(shop, session)
        assert item.assignees == ("ada",)

    shop.end_workers()
    unanswered = list(started.values())

    def answer() -> None:
        (item,) = questions(shop, unanswered.pop())
        shop.services.sessions.answer(item.id, Decider("ada"), "acme two", remember=True, via="mail")

    answer()
    die(shop, answer, ANSWERED)
    for key, session in started.items():
        found = shop.wait(session, "finished", "failed")
        assert found["turns"][0]["output"] == ["a2", "a2", f"{key} a2"], found["turns"]
        (item,) = questions(shop, session)
        assert (item.decision or {})["via"] == "mail"
    assert sorted(entry["who"] for entry in shop.books()) == sorted(f"{key} a2" for key in started)

    again = shop.services.sessions.start(Start("clerk", {"key": "k0"}, "person:dov"))
    assert shop.wait(again, "finished", "waiting", "failed")["turns"][0]["output"] == ["a2", "a2", "k0 a2"]
    assert questions(shop, again) == []
