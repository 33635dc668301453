"""A shop's own code, written before anybody thought of governing its agent: charges, an agent, two tools."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic_ai import Agent

import remit

BOOKS = Path(os.environ.get("SHOP_BOOKS", Path(__file__).with_name("books.json")))
CHARGES = {
    "ada": {"id": "ch_1", "amount": 40, "currency": "USD"},
    "bert": {"id": "ch_2", "amount": 240, "currency": "USD"},
}

agent = Agent(
    instructions="You answer customers who want their money back. Look their charge up, then pay it back in full.",
)


@agent.tool_plain
def find_charge(customer: str) -> dict[str, Any]:
    """Find a customer's latest charge."""
    return CHARGES[customer]


@agent.tool_plain
def refund(charge: str, amount: int, currency: str) -> dict[str, Any]:
    """Pay a charge back."""
    # The one line that is new here: the same key comes again if this process dies in the middle.
    key = remit.clearance().idempotency_key
    books: dict[str, Any] = json.loads(BOOKS.read_text()) if BOOKS.exists() else {}
    if key not in books:
        books[key] = {"charge": charge, "amount": amount, "currency": currency}
        part = BOOKS.with_suffix(".new")
        part.write_text(json.dumps(books, indent=2))
        part.replace(BOOKS)
    return {"refund": key, **books[key]}
