"""Acme's CRM: who the customers are, and which accounts its sellers look after (crm_accounts.py).

Its notes honour no idempotency key and cannot be looked up, as in many a CRM.
"""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any, Literal

import crm_accounts
import crm_meetings
import crm_records
from common import Store, serve
from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from pydantic import BaseModel, Field

Tier = Literal["basic", "silver", "gold", "platinum"]

TABLES = """
CREATE TABLE customers (customer_id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE,
  company TEXT NOT NULL, country TEXT NOT NULL, tier TEXT NOT NULL, since TEXT NOT NULL);
CREATE TABLE notes (number INTEGER PRIMARY KEY, customer_id TEXT NOT NULL, text TEXT NOT NULL)
"""


class Customer(BaseModel):
    """Somebody who buys from Acme."""

    customer_id: str
    name: str
    email: str
    company: str
    country: str
    tier: str
    since: str


class FoundCustomer(BaseModel):
    """The customer with an e-mail address; null: nobody has it."""

    customer: Customer | None


class CustomerWithNotes(Customer):
    """A customer with what colleagues noted, oldest first."""

    notes: list[str]


class Noted(BaseModel):
    """A note was added; another call adds another."""

    note_id: int
    customer_id: str


class TierChange(BaseModel):
    """A customer's tier before and now."""

    customer_id: str
    previous_tier: str
    tier: str


def _seed(db: sqlite3.Connection) -> None:
    columns = ("customer_id", "name", "email", "company", "country", "tier", "since")
    for row in store.seed_rows("customers"):
        db.execute("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?)", [row[column] for column in columns])
    crm_records.seed(db)


store = Store("crm", f"{TABLES};{crm_records.TABLES};{crm_meetings.TABLES};", _seed)
server = FastMCP("acme-crm", instructions="Acme's customers, and the accounts of its sellers.")
crm_accounts.register(server, store)
crm_meetings.register(server, store)


@server.tool(annotations={"readOnlyHint": True})
def find_customer(email: Annotated[str, Field(description="The whole address; case does not matter")]) -> FoundCustomer:
    """Find the customer with an e-mail address."""
    with store.work() as db:
        row = db.execute("SELECT * FROM customers WHERE lower(email) = lower(?)", (email.strip(),)).fetchone()
        return FoundCustomer(customer=None if row is None else Customer(**dict(row)))


@server.tool(annotations={"readOnlyHint": True})
def get_customer(customer_id: Annotated[str, Field(description="Such as cus_1007")]) -> CustomerWithNotes:
    """Read one customer with the notes about them."""
    with store.work() as db:
        rows = db.execute("SELECT text FROM notes WHERE customer_id = ? ORDER BY number", (customer_id,)).fetchall()
        return CustomerWithNotes(**dict(_row(db, customer_id)), notes=[row["text"] for row in rows])


@server.tool
def add_note(customer_id: str, text: Annotated[str, Field(min_length=1)]) -> Noted:
    """Add a note about a customer."""
    with store.work() as db:
        _row(db, customer_id)
        note = db.execute("INSERT INTO notes(customer_id, text) VALUES (?, ?)", (customer_id, text)).lastrowid
        return Noted(note_id=note or 0, customer_id=customer_id)


@server.tool(annotations={"destructiveHint": True, "idempotentHint": True})
def update_tier(customer_id: str, tier: Tier) -> TierChange:
    """Change a customer's service tier, and with it their prices."""
    with store.work() as db:
        before = _row(db, customer_id)["tier"]
        db.execute("UPDATE customers SET tier = ? WHERE customer_id = ?", (tier, customer_id))
        return TierChange(customer_id=customer_id, previous_tier=before, tier=tier)


@server.tool(annotations={"destructiveHint": True})
def update_email(customer_id: str, email: str) -> Customer:
    """Change a customer's e-mail address, by which they are recognised."""
    with store.work() as db:
        _row(db, customer_id)
        try:
            db.execute("UPDATE customers SET email = ? WHERE customer_id = ?", (email, customer_id))
        except sqlite3.IntegrityError:
            raise ToolError(f"another customer has the address {email!r}") from None
        return Customer(**dict(_row(db, customer_id)))


def changes() -> dict[str, Any]:
    """Print every note, every customer that is no longer as seeded, and what was entered about accounts, as JSON."""
    seeded = {row["customer_id"]: row for row in store.seed_rows("customers")}
    with store.work() as db:
        notes = [dict(row) for row in db.execute("SELECT * FROM notes ORDER BY number").fetchall()]
        customers = [dict(row) for row in db.execute("SELECT * FROM customers ORDER BY customer_id").fetchall()]
        sales = {
            name: [dict(row) for row in db.execute(read).fetchall()]
            for name, read in (crm_records.CHANGES | crm_meetings.CHANGES).items()
        }
    return {"notes": notes, "changed": [row for row in customers if row != seeded.get(row["customer_id"])], **sales}


def _row(db: sqlite3.Connection, customer_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute("SELECT * FROM customers WHERE customer_id = ?", (customer_id,)).fetchone()
    if row is None:
        raise ToolError(f"no customer has the id {customer_id!r}")
    return row


if __name__ == "__main__":
    serve(server, store, {"changes": changes})
