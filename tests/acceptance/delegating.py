"""A boss that delegates what its input says, hands that do it, and how tests look at both."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from remit.runtime.sessions import Start
from remit.storage import session_lists
from tests.acceptance.shop import FILES, Shop

BOSS = """
import asyncio

async def run(session):
    async def one(job):
        try:
            return await session.delegate(job.pop("agent"), job.pop("input"), **job)
        except session.Failed as failed:
            return {"failed": str(failed)}
        except session.Refused as refused:
            return {"refused": str(refused)}
    jobs = session.input["jobs"]
    if session.input.get("together"):
        return await asyncio.gather(*map(one, jobs))
    return [await one(job) for job in jobs]
"""
HAND = """
async def run(session):
    match session.input:
        case {"pay": who, "amount": amount}:
            return (await session.call("till.pay", who=who, amount=amount, currency="USD"))["amount"]
        case {"pass_on": [agent, *rest]}:
            return (await session.delegate(agent, {"pass_on": rest}))["output"]
        case {"peek": _}:
            return (await session.call("till.peek"))["balance"]
        case {"ask": text}:
            return await session.ask(text, schema={"type": "string"})
        case {"text": text}:
            return text.upper()
        case {"pass_on": []}:
            return "reached"
    raise ValueError("this is no work")
"""


def agent(name: str, program: str, *, workspace: str = "shop", more: str = "") -> dict[str, str]:
    text = FILES["agents/clerk/agent.yaml"].replace("title: Clerk", f"title: {name}")
    text = text.replace("tools: [", "tools: [remit.delegate, ").replace("workspace: shop", f"workspace: {workspace}")
    return {f"agents__{name}__agent.yaml": text + more, f"agents__{name}__program.py": program}


HANDS = ["hand", *(f"hand{n}" for n in range(9))]
EXTRA = {
    **agent("boss", BOSS),
    **agent("stranger", HAND, workspace="elsewhere"),
    **agent("aide", HAND, more="layer: assisted\n"),
    **{k: v for name in HANDS for k, v in agent(name, HAND).items()},
    "directory.yaml": FILES["directory.yaml"].replace(
        "workspaces: [{id: shop, title: Shop}]",
        "workspaces: [{id: shop, title: Shop}, {id: elsewhere, title: Elsewhere}]",
    ),
    "actions.yaml": FILES["actions.yaml"].replace(
        "{title: Look, effect: read}", "{title: Look, effect: read, reads: [private]}"
    ),
    "policies__shop.cedar": FILES["policies/shop.cedar"].replace(
        'principal == Agent::"clerk", action in Action::"write"', 'principal, action in Action::"write"'
    ),
}


def start(shop: Shop, *jobs: dict[str, Any], principal: str = "person:dov", **more: Any) -> str:
    return shop.services.sessions.start(Start("boss", {"jobs": list(jobs), **more}, principal))


def job(given: Any, agent: str = "hand", **more: Any) -> dict[str, Any]:
    return {"agent": agent, "input": given, **more}


def output(shop: Shop, session: str) -> Any:
    found = shop.wait(session, "finished", "failed")
    assert found["status"] == "finished", found
    return found["turns"][0]["output"]


def children(shop: Shop, session: str, agent: str | None = None) -> list[str]:
    with shop.services.sessions.transaction() as db:
        return [child["id"] for child in session_lists.children(db, session) if agent in {None, child["agent"]}]


def child_of(shop: Shop, session: str, agent: str = "hand") -> str:
    until(lambda: children(shop, session, agent))
    return children(shop, session, agent)[-1]


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
