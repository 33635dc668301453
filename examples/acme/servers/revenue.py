"""Acme's revenue books: what each account brought in over the last twelve months, and the tier that follows from it."""

from __future__ import annotations

import json
import sqlite3
from typing import Annotated

from common import Store, serve
from fastmcp import FastMCP
from pydantic import BaseModel, Field
from sales_world import USD, today, world

TIERS = (("A", 250_000), ("B", 50_000), ("C", 0))
"""Each tier and the USD a year from which on an account is in it."""
TABLES = """
CREATE TABLE revenue (account_id TEXT NOT NULL, amount REAL NOT NULL, currency TEXT NOT NULL);
CREATE INDEX revenue_by_account ON revenue (account_id)
"""


class Revenue(BaseModel):
    """Twelve months of one account."""

    account_id: str
    annual: float
    currency: str
    annual_usd: int
    tier: str


class RevenueList(BaseModel):
    """One entry for each account that has revenue; the others are left out."""

    accounts: list[Revenue]


def _seed(db: sqlite3.Connection) -> None:
    rows = [(r["account_id"], r["amount"], r["currency"]) for r in world(today())["revenue"]]
    db.executemany("INSERT INTO revenue VALUES (?, ?, ?)", rows)


store = Store("revenue", TABLES + ";", _seed)
server = FastMCP("acme-revenue", instructions="What Acme's accounts bring in.")


@server.tool(annotations={"readOnlyHint": True})
def list_revenue(account_ids: Annotated[list[str], Field(max_length=1000)]) -> RevenueList:
    """Revenue and tier of many accounts in one call."""
    with store.work() as db:
        found = db.execute(
            "SELECT account_id, sum(amount) AS annual, currency FROM revenue"
            " WHERE account_id IN (SELECT value FROM json_each(?)) GROUP BY account_id, currency ORDER BY account_id",
            (json.dumps(account_ids),),
        ).fetchall()
    return RevenueList(accounts=[_entry(row) for row in found])


def _entry(row: sqlite3.Row) -> Revenue:
    usd = round(row["annual"] * USD[row["currency"]])
    tier = next((name for name, least in TIERS if usd >= least), "C")
    return Revenue(**dict(row), annual_usd=usd, tier=tier)


if __name__ == "__main__":
    serve(server, store)
