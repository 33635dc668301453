"""The example's company with an agent that lives in the test's own process."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

import remit
from remit.bootstrap import Services
from remit.storage import actions, inbox, sessions

EXAMPLE = Path(__file__).parents[3] / "examples" / "governed_agent"
ACTIONS = {"find_charge": "shop.charge", "refund": "shop.refund"}
ASK = {"agent": "refund-desk", "input": {"customer": "ada"}, "principal": "person:dov"}


class Firm:
    """The example's company on a database of its own, and an agent that counts what it really does."""

    def __init__(self, folder: Path, services: Services) -> None:
        self.folder = folder
        self.services = services
        self.done: Counter[str] = Counter()
        self.bought = 0
        self.keys: list[str] = []
        self.heard: list[str] = []
        self.amount = 40

    def agent(self) -> Agent[None, str]:
        agent = Agent(FunctionModel(self._answer, model_name="desk"), instructions="Be kind.")

        @agent.tool_plain
        def find_charge(customer: str) -> dict[str, Any]:
            """Find a customer's latest charge."""
            self.done["charge"] += 1
            return {"id": "ch_1", "amount": self.amount, "currency": "USD", "customer": customer}

        @agent.tool_plain
        def refund(charge: str, amount: int, currency: str) -> dict[str, Any]:
            """Pay a charge back."""
            self.done["refund"] += 1
            self.keys.append(remit.clearance().idempotency_key)
            return {"charge": charge, "amount": amount, "currency": currency}

        return agent

    def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.bought += 1
        results = [p for p in messages[-1].parts if isinstance(p, ToolReturnPart)]
        if not results:
            return ModelResponse([ToolCallPart("find_charge", {"customer": "ada"})])
        self.heard.append(str(results[-1].content))
        if results[-1].tool_name == "find_charge":
            charge = json.loads(str(results[0].content))
            pay = {"charge": charge["id"], "amount": charge["amount"], "currency": "USD"}
            return ModelResponse([ToolCallPart("refund", pay)])
        return ModelResponse([TextPart("done")])

    async def work(self, **ask: Any) -> Any:
        async with remit.governed(self.folder, **{**ASK, **ask}) as road:
            result = await self.agent().run("Money back.", capabilities=[road.governance(ACTIONS)])
            road.finish(result.output, result.new_messages())
        return road

    async def again(self, session: str) -> Any:
        return await self.work(session=session, input=None, principal=None)

    def turns(self, session: str) -> list[dict[str, Any]]:
        with self.services.sessions.transaction() as db:
            return sessions.turns(db, session)

    def session(self, session: str) -> tuple[str, str]:
        with self.services.sessions.transaction() as db:
            found = sessions.get(db, session)
            return str(found.status), found.reason

    def statuses(self, session: str) -> list[tuple[str, str]]:
        with self.services.sessions.transaction() as db:
            return [(a["key"], a["status"]) for a in actions.of_session(db, session)]

    def item(self, session: str) -> str:
        with self.services.sessions.transaction() as db:
            (item,) = inbox.listing(db, session_id=session)
            return item.id

    def one(self, sql: str, *args: Any) -> Any:
        with self.services.sessions.transaction() as db:
            row = db.execute(sql, args).fetchone()
            return None if row is None else next(iter(row.values()))
