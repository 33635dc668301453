"""An agent of the shop that a language model runs, and the model: a script that does what the message tells it.

A message is `{"steps": [[call, …], …]}`, a list of calls for every answer of the model; the last answer repeats what
the tools said. Every request is written down outside of Remit, so that a test sees what was really bought.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remit.runtime.sessions import Start
from tests.acceptance.shop import FILES, Shop

MODEL = """
import json

def respond(messages, tools):
    asked = max(i for i, m in enumerate(messages) if m["role"] == "user")
    plan = json.loads(messages[asked]["content"])["steps"]
    step = sum(1 for m in messages[asked:] if m["role"] == "assistant")
    with open("BOUGHT", "a") as f:
        f.write(json.dumps({"step": step, "messages": messages, "tools": [t["name"] for t in tools]}) + "\\n")
    usage = {"input_tokens": INPUT, "output_tokens": 10}
    if step < len(plan):
        return {"text": f"step {step}", "tool_calls": plan[step], "usage": usage}
    told = [m["content"] for m in messages[asked:] if m["role"] == "tool"]
    return {"text": " | ".join(told) or "done", "usage": usage}
"""
AGENT = """
title: Teller
purpose: Does what a message tells it.
owner: bo
escalation: ada
workspace: shop
persistent: It is asked at any time.
tools: [till.pay, till.hand_out, till.peek]
model: "script:till"
max_output_tokens: 100
budget:
  session: {calls: 100, usd: 1}
  day: {calls: 50000}
"""
POLICIES = FILES["policies/shop.cedar"].replace('principal == Agent::"clerk"', "principal")


class Teller:
    """The shop with a model agent."""

    def __init__(self, shop: Shop, bought: Path) -> None:
        self.shop = shop
        self._bought = bought

    def start(self, *steps: list[dict[str, Any]]) -> str:
        return self.shop.services.sessions.start(Start("teller", {"steps": list(steps)}, "person:dov"))

    def bought(self) -> list[dict[str, Any]]:
        """Every request that the model really got, in order."""
        return [json.loads(line) for line in self._bought.read_text().splitlines()] if self._bought.exists() else []

    def steps(self) -> list[int]:
        """Which step of its turn each request was for."""
        return [request["step"] for request in self.bought()]


def open_teller(
    changed_shop: Callable[..., Shop], folder: Path, changed: dict[str, str] | None = None, *, input_tokens: str = "100"
) -> Teller:
    """The shop with the teller; `changed` replaces files by their names."""
    bought = folder / "bought.jsonl"
    files = {
        "agents/teller/agent.yaml": AGENT,
        "agents/teller/prompt.md": "Do what the message says.",
        "policies/shop.cedar": POLICIES,
        "model.py": MODEL.replace("BOUGHT", str(bought)).replace("INPUT", input_tokens),
        **(changed or {}),
    }
    return Teller(changed_shop(**files), bought)


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    """A tool call as the model makes it."""
    return {"name": f"till.{tool}", "arguments": arguments}


def pay(amount: int, who: str = "ivy") -> dict[str, Any]:
    """The call of a payment."""
    return call("pay", who=who, amount=amount, currency="USD")
