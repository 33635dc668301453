"""Acme's telephone: what was said in calls with accounts, written down by a machine. Some calls belong to nobody."""

from __future__ import annotations

import sqlite3
from typing import Annotated

from common import Store, serve
from fastmcp import FastMCP
from pydantic import BaseModel, Field
from sales_world import today, world

TABLES = """
CREATE TABLE calls (call_id TEXT PRIMARY KEY, account_id TEXT, by TEXT NOT NULL, on_date TEXT NOT NULL,
  text TEXT NOT NULL);
CREATE INDEX calls_by_date ON calls (on_date)
"""


class Call(BaseModel):
    """One call. `account_id` is null where nobody could tell who was calling; `by` is who spoke for Acme."""

    call_id: str
    account_id: str | None
    by: str
    on_date: str
    text: str


class CallList(BaseModel):
    """Calls, oldest first."""

    calls: list[Call]


def _seed(db: sqlite3.Connection) -> None:
    rows = [(c["call_id"], c["account_id"], c["by"], c["on_date"], c["text"]) for c in world(today())["calls"]]
    db.executemany("INSERT INTO calls VALUES (?, ?, ?, ?, ?)", rows)


store = Store("transcripts", TABLES + ";", _seed)
server = FastMCP("acme-transcripts", instructions="What was said in calls with Acme's accounts.")


@server.tool(annotations={"readOnlyHint": True})
def list_calls(since: Annotated[str, Field(description="YYYY-MM-DD", pattern=r"^\d{4}-\d{2}-\d{2}$")]) -> CallList:
    """Every call since a day, with its text."""
    with store.work() as db:
        found = db.execute("SELECT * FROM calls WHERE on_date >= ? ORDER BY on_date, call_id", (since,)).fetchall()
    return CallList(calls=[Call(**dict(row)) for row in found])


if __name__ == "__main__":
    serve(server, store)
