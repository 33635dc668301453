"""One agent behind every kind of trigger, and events that go round in circles."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from remit.runtime.sessions import Start
from remit.storage import events
from remit.surfaces import webhooks
from tests.acceptance.nursery import Nursery
from tests.acceptance.shop import FILES, Shop, open_shop
from tests.conftest import DatabaseFactory

BOSS = """
async def run(session):
    await session.emit("help", {"steps": [{"tool": "peek"}]})
    await session.emit("other", {"steps": "nobody listens"})
    done = await session.delegate("clerk", {"steps": [{"tool": "peek"}]})
    return done["session"]
"""
ECHO = "async def run(session):\n    return session.input\n"
TRIGGERS = """
triggers:
  on-time: {kind: schedule, agent: clerk, cron: "0 0 1 1 *", input: {steps: [{tool: peek}]}}
  hook: {kind: webhook, agent: clerk, input: {steps: $body.steps}, verify: {scheme: github, secret: "env:HOOK"}}
  heard: {kind: event, agent: clerk, on: emit, name: help, input: {steps: $event.value.steps}}
  own-end: {kind: event, agent: clerk, on: outcome, input: {steps: []}}
  round: {kind: event, agent: echo, on: outcome, name: finished, source: echo, input: {again: $event.value}}
  written: {kind: event, agent: echo, on: message, name: slack, input: {text: $event.value.text}, title: $event.name}
"""


def agent(name: str, program: str, *tools: str) -> dict[str, str]:
    text = FILES["agents/clerk/agent.yaml"].replace("title: Clerk", f"title: {name}")
    text = text.replace("tools: [", f"tools: [{''.join(f'{t}, ' for t in tools)}")
    return {f"agents/{name}/agent.yaml": text, f"agents/{name}/program.py": program}


EXTRA = {"triggers.yaml": TRIGGERS, **agent("boss", BOSS, "remit.delegate"), **agent("echo", ECHO)}


@pytest.fixture(scope="module")
def shop(
    database_factory: DatabaseFactory, migrated: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    database = database_factory.create(migrated)
    with open_shop(tmp_path_factory.mktemp("shop") / "shop", database.url(), nursery, **EXTRA) as opened:
        yield opened
    database_factory.drop(database)


def rows(shop: Shop, what: str, *values: Any) -> list[dict[str, Any]]:
    with shop.services.sessions.transaction() as db:
        return db.execute(what, values).fetchall()


def until(holds: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)
    return found


def make_due(shop: Shop, trigger: str, moment: str) -> None:
    """Let a schedule's clocks stand at a time that has passed."""
    with shop.services.sessions.transaction() as db:
        db.execute("update remit.trigger_clocks set next_at = %s where trigger = %s", (moment, trigger))


def test_one_agent_behind_five_kinds(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "sesame")
    shop.worker()
    verbs = shop.services.sessions
    by_person = shop.start({"tool": "peek"})
    boss = verbs.start(Start("boss", {}, "person:dov"))
    raw = json.dumps({"steps": [{"tool": "peek"}]}).encode()
    signed = {
        "X-GitHub-Delivery": "d-1",
        "X-Hub-Signature-256": "sha256=" + hmac.new(b"sesame", raw, hashlib.sha256).hexdigest(),
    }
    client = TestClient(Starlette(routes=webhooks.routes(shop.services)))
    by_hook = client.post("/hooks/hook", content=raw, headers=signed).json()["session"]
    until(lambda: rows(shop, "select 1 from remit.trigger_clocks where trigger = 'on-time'"))
    make_due(shop, "on-time", "2026-01-01T00:00:00Z")

    def by(trigger: str) -> str | None:
        found = rows(shop, "select id from remit.sessions where trigger = %s and agent = 'clerk'", trigger)
        return found[0]["id"] if found else None

    by_schedule, by_event = until(lambda: by("on-time")), until(lambda: by("heard"))
    by_agent = shop.wait(boss, "finished")["turns"][0]["output"]
    all_five = [by_person, by_hook, by_schedule, by_event, by_agent]
    for session in all_five:
        (turn,) = shop.wait(session, "finished", "failed")["turns"]
        assert (turn["error"], turn["output"]) == (None, [{"balance": 1000}]), session
    started = rows(shop, "select * from remit.sessions where id = any(%s)", all_five)
    assert {row["agent"] for row in started} == {"clerk"}
    assert len({row["agent_version"] for row in started}) == 1
    assert len({row["trigger"] for row in started}) == 5
    assert {row["id"]: row["depth"] for row in started} == dict(zip(all_five, (0, 0, 0, 1, 1), strict=True))
    (turn,) = rows(shop, "select requester from remit.turns where session_id = %s", by_event)
    assert turn["requester"] == "person:dov", "who asked in the end does not approve what comes of it"
    # An agent's own end starts nothing that does not name it: only the boss's and the echo's did.
    until(lambda: not rows(shop, "select 1 from remit.events where handled_at is null"))
    sources = rows(shop, "select distinct e.agent from remit.firings f join remit.events e "
                         "on f.key = 'event ' || e.id where f.trigger = 'own-end'")  # fmt: skip
    assert {row["agent"] for row in sources} == {"boss"}
    shop.end_workers()


def test_a_circle_of_events_ends_with_its_owner(shop: Shop) -> None:
    shop.worker()
    first = shop.services.sessions.start(Start("echo", "hello", "person:dov"))
    refused = until(lambda: rows(shop, "select * from remit.firings where trigger = 'round' and status = 'refused'"))
    assert len(refused) == 1
    assert "more than 10 look like a circle" in refused[0]["reason"]
    chain = rows(shop, "select * from remit.sessions where trigger = 'round' order by depth")
    assert [row["depth"] for row in chain] == list(range(1, 11))
    (item,) = (i for i in shop.session(chain[-1]["id"])["items"] if i.detail["trigger"] == "round")
    assert (item.kind, item.assignees) == ("attention", ("bo", "ada"))
    assert "The trigger round did not start echo" in item.summary
    assert shop.session(first)["items"] == []
    shop.end_workers()


def test_messages_and_emits_are_told_once(shop: Shop) -> None:
    look = shop.services.triggers.look
    look()
    with shop.services.sessions.transaction() as db:
        told = [events.add(db, key="message:slack:1", kind="message", name="slack", value={"text": "hi"}) for _ in "12"]
        assert not events.add(db, key="message:slack:1", kind="message", name="mail", value={})
    assert told == [True, False]
    assert (look(), look()) == (1, 0)
    (session,) = rows(shop, "select * from remit.sessions where trigger = 'written'")
    assert (session["title"], session["labels"], session["depth"]) == ("slack", ["untrusted"], 1)
    assert shop.session(session["id"])["turns"][0]["input"] == {"text": "hi"}
    shop.services.triggers.pause("written", "person:ada", "quiet")
    with shop.services.sessions.transaction() as db:
        events.add(db, key="message:slack:2", kind="message", name="slack", value={"text": "psst"})
    look()
    (newest, _) = shop.services.triggers.history("written")
    assert (newest.status, newest.reason) == ("skipped", "the trigger was paused")
    shop.services.triggers.resume("written", "person:ada", "loud")
    shop.services.sessions.cancel(session["id"], "person:ada", "enough")
