"""A company whose agents answer what is said to them, for tests of messages and forks."""

from __future__ import annotations

from typing import Any

from remit.runtime.sessions import Start
from tests.acceptance.delegating import EXTRA, agent, until
from tests.acceptance.shop import FILES, Shop

STEPS = """
async def run(session):
    mark = session.uuid4().hex
    done = []
    for step in session.input["steps"]:
        if "ask" in step:
            done.append(await session.ask(step["ask"], schema={"type": "string"}))
        elif "do" in step:
            done.append((await session.delegate("hand", step["do"]))["session"])
        elif "fail" in step:
            raise ValueError("as told")
        else:
            done.append((await session.call("till.pay", currency="USD", **step))["amount"])
    return {"mark": mark, "done": done}
"""
PICKY = "input: {type: object, properties: {a: {type: integer}, b: {type: string}}, required: [a, b]}\n"
WORDY = "input: {type: object, properties: {question: {type: string}}, required: [question]}\n"
ECHO = """
async def run(session):
    return session.input
"""
PROMPTED = {
    "agents__chat__agent.yaml": FILES["agents/clerk/agent.yaml"].replace("title: Clerk", "title: chat"),
    "agents__chat__prompt.md": "Say what you know.",
    "model.py": """
def respond(messages, tools):
    said = [m["content"] for m in messages if m["role"] == "user"]
    return {"text": " | ".join(said)}
""",
}
COMPANY = {
    **EXTRA,
    **agent("steps", STEPS),
    **agent("picky", ECHO, more=PICKY),
    **agent("wordy", ECHO, more=WORDY),
    **PROMPTED,
    "directory.yaml": EXTRA["directory.yaml"].replace(
        "  - {id: dov",
        "  - {id: eva, name: Eva, workspaces: [elsewhere]}\n  - {id: fay, name: Fay, status: left}\n  - {id: dov",
    ),
}


def begin(shop: Shop, name: str, given: Any, principal: str = "person:dov", **more: Any) -> str:
    return shop.services.sessions.start(Start(name, given, principal, **more))


def say(shop: Shop, session: str, text: Any, who: str = "dov", **more: Any) -> str:
    return shop.services.sessions.message(session, f"person:{who}", text, **more)


def ended(shop: Shop, session: str, turn: str) -> dict[str, Any]:
    def found() -> dict[str, Any]:
        return next(t for t in shop.session(session)["turns"] if t["id"] == turn)

    until(lambda: found()["status"] in {"finished", "failed"})
    return found()
