"""Acme's payments: charges, and refunds of them. Refunds honour idempotency keys, as payment providers do."""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any

from common import Store, major, minor, serve
from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from pydantic import BaseModel, Field

TABLES = """
CREATE TABLE charges (charge_id TEXT PRIMARY KEY, customer_id TEXT NOT NULL, amount INTEGER NOT NULL,
  currency TEXT NOT NULL, description TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE refunds (number INTEGER PRIMARY KEY, refund_id TEXT NOT NULL UNIQUE, charge_id TEXT NOT NULL,
  amount INTEGER NOT NULL, currency TEXT NOT NULL, reason TEXT NOT NULL, status TEXT NOT NULL, key TEXT NOT NULL,
  seeded INTEGER NOT NULL DEFAULT 0);
CREATE TABLE attempts (number INTEGER PRIMARY KEY, charge_id TEXT NOT NULL, key TEXT NOT NULL, outcome TEXT NOT NULL);
"""


class Charge(BaseModel):
    """What a customer paid, and how much of it was given back."""

    charge_id: str
    customer_id: str
    amount: float
    currency: str
    description: str
    created_at: str
    refunded: float
    refundable: float


class Refund(BaseModel):
    """Money given back."""

    refund_id: str
    charge_id: str
    amount: float
    currency: str
    reason: str
    status: str


class FoundRefund(BaseModel):
    """The refund that was made under an idempotency key; null: none was, and none is on its way."""

    refund: Refund | None


class Refunds(BaseModel):
    """Refunds, oldest first."""

    refunds: list[Refund]


def _seed(db: sqlite3.Connection) -> None:
    for row in store.seed_rows("charges"):
        charge = (row["charge_id"], row["customer_id"], minor(row["amount"]), row["currency"])
        db.execute("INSERT INTO charges VALUES (?, ?, ?, ?, ?, ?)", (*charge, row["description"], row["created_at"]))
        for amount in row.get("refunds", ()):
            given_back = {"charge_id": row["charge_id"], "amount": minor(amount), "currency": row["currency"]}
            _insert_refund(db, {**given_back, "reason": "made before", "seeded": True})


store = Store("payments", TABLES, _seed)
server = FastMCP("acme-payments", instructions="Charges of Acme's customers, and refunds of them.")


@server.tool(annotations={"readOnlyHint": True})
def get_charge(charge_id: Annotated[str, Field(description="Such as ch_4k2mz81q")]) -> Charge:
    """Look up one charge: who paid what and when, and how much of it can still be refunded."""
    with store.work() as db:
        return _charge(db, charge_id)


@server.tool(annotations={"destructiveHint": True, "idempotentHint": True})
def refund(
    charge_id: Annotated[str, Field(description="The charge to give money back for")],
    amount: Annotated[float, Field(description="In major units, such as 99.50")],
    currency: Annotated[str, Field(description="ISO 4217, the currency of the charge")],
    reason: Annotated[str, Field(description="Why, for the books")],
    idempotency_key: Annotated[str, Field(description="The same key gives the same refund, never a second one")] = "",
) -> Refund:
    """Give money back to the customer who paid a charge."""
    asked = {"charge_id": charge_id, "amount": minor(amount), "currency": currency, "reason": reason}
    try:
        with store.work() as db:
            result, replayed = store.once(db, idempotency_key, asked, lambda: _pay_back(db, asked, idempotency_key))
            _attempt(db, charge_id, idempotency_key, "answered again" if replayed else "executed")
            return Refund(**result)
    except ToolError as error:
        with store.work() as db:
            _attempt(db, charge_id, idempotency_key, f"rejected: {error}")
        raise


@server.tool(annotations={"readOnlyHint": True})
def find_refund(idempotency_key: str) -> FoundRefund:
    """Tell whether a refund was made under an idempotency key. This is the books' own answer."""
    with store.work() as db:
        known = store.known(db, idempotency_key)
        return FoundRefund(refund=None if known is None else _refund(db, known["refund_id"]))


@server.tool(annotations={"destructiveHint": True, "idempotentHint": True})
def cancel_refund(refund_id: str) -> Refund:
    """Take a refund back. Cancelling one that is cancelled changes nothing."""
    with store.work() as db:
        _refund(db, refund_id)
        db.execute("UPDATE refunds SET status = 'cancelled' WHERE refund_id = ?", (refund_id,))
        return _refund(db, refund_id)


@server.tool(annotations={"readOnlyHint": True})
def list_refunds(charge_id: str = "") -> Refunds:
    """List the refunds of a charge, or all of them."""
    with store.work() as db:
        rows = db.execute("SELECT * FROM refunds WHERE ? IN ('', charge_id) ORDER BY number", (charge_id,)).fetchall()
        return Refunds(refunds=[_as_refund(row) for row in rows])


def books() -> dict[str, Any]:
    """Print the books as JSON: totals, refunds, and how often a refund was attempted and executed per charge."""
    with store.work() as db:
        rows = db.execute("SELECT * FROM refunds WHERE NOT seeded ORDER BY number").fetchall()
        attempts = db.execute("SELECT * FROM attempts ORDER BY number").fetchall()
    totals: dict[str, int] = {}
    charges: dict[str, dict[str, Any]] = {}
    for row in attempts:
        entry = charges.setdefault(row["charge_id"], {"attempts": 0, "executed": 0, "answered_again": 0, "rejected": 0})
        entry["attempts"] += 1
        entry[row["outcome"].partition(":")[0].replace(" ", "_")] += 1
    for row in rows:
        if row["status"] == "paid":
            totals[row["currency"]] = totals.get(row["currency"], 0) + row["amount"]
    return {
        "totals": {currency: f"{major(cents):.2f}" for currency, cents in sorted(totals.items())},
        "refunds": [{**_as_refund(row).model_dump(), "idempotency_key": row["key"]} for row in rows],
        "executions": sum(entry["executed"] for entry in charges.values()),
        "attempts": len(attempts),
        "by_charge": charges,
    }


def _pay_back(db: sqlite3.Connection, asked: dict[str, Any], key: str) -> dict[str, Any]:
    charge = _charge(db, asked["charge_id"])
    if asked["currency"] != charge.currency:
        raise ToolError(f"the charge was made in {charge.currency}; it is refunded in {charge.currency}")
    if major(asked["amount"]) > charge.refundable:
        raise ToolError(f"only {charge.refundable:.2f} {charge.currency} of this charge can still be refunded")
    return _refund(db, _insert_refund(db, {**asked, "key": key})).model_dump()


def _insert_refund(db: sqlite3.Connection, values: dict[str, Any]) -> str:
    number = db.execute("SELECT count(*) + 1 FROM refunds").fetchone()[0]
    row = {"seeded": False, "key": "", **values, "number": number, "refund_id": f"re_{number:06d}", "status": "paid"}
    db.execute(
        "INSERT INTO refunds VALUES"
        " (:number, :refund_id, :charge_id, :amount, :currency, :reason, :status, :key, :seeded)",
        row,
    )
    return f"re_{number:06d}"


def _attempt(db: sqlite3.Connection, charge_id: str, key: str, outcome: str) -> None:
    db.execute("INSERT INTO attempts(charge_id, key, outcome) VALUES (?, ?, ?)", (charge_id, key, outcome))


def _charge(db: sqlite3.Connection, charge_id: str) -> Charge:
    row = db.execute("SELECT * FROM charges WHERE charge_id = ?", (charge_id,)).fetchone()
    if row is None:
        raise ToolError(f"no charge has the id {charge_id!r}")
    paid = "SELECT coalesce(sum(amount), 0) FROM refunds WHERE charge_id = ? AND status = 'paid'"
    refunded = db.execute(paid, (charge_id,)).fetchone()[0]
    amounts = {"amount": major(row["amount"]), "refunded": major(refunded)}
    return Charge(**{**dict(row), **amounts, "refundable": major(row["amount"] - refunded)})


def _refund(db: sqlite3.Connection, refund_id: str) -> Refund:
    row = db.execute("SELECT * FROM refunds WHERE refund_id = ?", (refund_id,)).fetchone()
    if row is None:
        raise ToolError(f"no refund has the id {refund_id!r}")
    return _as_refund(row)


def _as_refund(row: sqlite3.Row) -> Refund:
    return Refund(**{**dict(row), "amount": major(row["amount"])})


if __name__ == "__main__":
    serve(server, store, {"books": books})
