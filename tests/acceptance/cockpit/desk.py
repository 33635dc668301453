"""A company for the pages of sessions: agents that delegate, answer, ask, put out lists and are started by forms."""

from __future__ import annotations

from typing import Any

from tests.acceptance.cockpit.office import DIRECTORY, Office
from tests.acceptance.delegating import agent
from tests.acceptance.talking import COMPANY

LIST = """
async def run(session):
    await session.call("till.peek")
    await session.explain_all(
        "calls",
        [({"id": "acme", "title": "Acme"}, ["brings 9000 a year"]), ({"id": "bolt", "title": "Bolt"}, ["is new"])],
    )
    await session.publish("letter", "Dear Acme", title="A letter to Acme", kind="draft")
    return "done"
"""
REPORT = """
async def run(session):
    await session.publish("sums", session.input, title="The sums", kind="report")
    return "done"
"""
INPUT = """input:
  type: object
  required: [who, amount]
  properties:
    who: {type: string, title: Who is paid}
    amount: {type: number, description: In US dollars.}
    speed: {type: string, enum: [slow, fast]}
    urgent: {type: boolean}
    notes: {type: array}
"""
ECHO = """
async def run(session):
    return session.input
"""
DESK = {
    **COMPANY,
    **{k: v.replace("tools: [", "tools: [remit.publish, ") for k, v in agent("lister", LIST).items()},
    **{k: v.replace("tools: [", "tools: [remit.publish, ") for k, v in agent("reporter", REPORT).items()},
    **agent("filler", ECHO, more=INPUT),
    **agent("keeper", ECHO, workspace="vault"),
    "directory.yaml": DIRECTORY.replace("{id: vault, title", "{id: elsewhere, title: Elsewhere}, {id: vault, title"),
}
"""Files of the company; `keeper` is in Otto's workspace, and nobody of the shop sees it."""


def pays(*amounts: int) -> dict[str, Any]:
    return {"steps": [{"who": "kim", "amount": amount} for amount in amounts]}


def sessions_of(desk: Office, who: str, **query: str) -> str:
    return desk.client(who).get("/sessions", params=query).text


def action_of(desk: Office, session_id: str, place: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = desk.shop.session(session_id)["actions"][place]
    return found


HOSTILE = "<script>alert(1)</script>\u202egpj.exe {{ 7*7 }}"
