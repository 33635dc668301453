# ruff: noqa: S608 - the pieces that statements are made of are this module's own; values are always bound
"""What the CRM keeps for sales, and what it shows of it."""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata

from fastmcp.exceptions import ToolError
from pydantic import BaseModel, Field
from sales_world import today, world

TABLES = """
CREATE TABLE users (user_id TEXT PRIMARY KEY, name TEXT NOT NULL, manager TEXT NOT NULL, active INTEGER NOT NULL,
  time_zone TEXT NOT NULL);
CREATE TABLE accounts (account_id TEXT PRIMARY KEY, name TEXT NOT NULL, domain TEXT NOT NULL, country TEXT NOT NULL,
  currency TEXT NOT NULL, time_zone TEXT NOT NULL, owner TEXT NOT NULL, stage TEXT NOT NULL);
CREATE INDEX accounts_by_owner ON accounts (owner);
CREATE TABLE contacts (contact_id TEXT PRIMARY KEY, account_id TEXT NOT NULL, name TEXT NOT NULL, email TEXT NOT NULL);
CREATE TABLE deals (deal_id TEXT PRIMARY KEY, account_id TEXT NOT NULL, title TEXT NOT NULL, state TEXT NOT NULL,
  amount REAL NOT NULL, currency TEXT NOT NULL, next_step_on TEXT);
CREATE INDEX deals_by_account ON deals (account_id);
CREATE TABLE activities (number INTEGER PRIMARY KEY, account_id TEXT NOT NULL, kind TEXT NOT NULL, by TEXT NOT NULL,
  on_date TEXT NOT NULL, text TEXT NOT NULL, seeded INTEGER NOT NULL, removed INTEGER NOT NULL);
CREATE INDEX activities_by_account ON activities (account_id, on_date);
CREATE TABLE flags (number INTEGER PRIMARY KEY, account_id TEXT NOT NULL, call_id TEXT NOT NULL UNIQUE,
  since TEXT NOT NULL, quote TEXT NOT NULL, cleared INTEGER NOT NULL);
CREATE TABLE escalations (ticket_id TEXT PRIMARY KEY, account_id TEXT NOT NULL, manager TEXT NOT NULL,
  decision TEXT NOT NULL, withdrawn INTEGER NOT NULL)
"""

_COLUMNS: dict[str, tuple[str, ...]] = {
    "users": ("user_id", "name", "manager", "active", "time_zone"),
    "accounts": ("account_id", "name", "domain", "country", "currency", "time_zone", "owner", "stage"),
    "contacts": ("contact_id", "account_id", "name", "email"),
    "deals": ("deal_id", "account_id", "title", "state", "amount", "currency", "next_step_on"),
}

CHANGES = {
    "activities": "SELECT * FROM activities WHERE NOT seeded ORDER BY number",
    "flags": "SELECT * FROM flags ORDER BY number",
    "escalations": "SELECT * FROM escalations ORDER BY ticket_id",
}
"""What was entered since the beginning, by name."""

_DONE = ("kind", "by", "on_date", "text")


class User(BaseModel):
    """Somebody who works with the CRM; `active` is false once they have left."""

    user_id: str
    name: str
    manager: str
    active: bool
    time_zone: str


class Flag(BaseModel):
    """An agreement that seems stalled, with the sentence of the call that says so."""

    flag_id: int
    call_id: str
    since: str
    quote: str


class Account(BaseModel):
    """A company that buys from Acme, or might. `owner` is empty where nobody was entered."""

    account_id: str
    name: str
    domain: str
    country: str
    currency: str
    time_zone: str
    owner: str
    stage: str


class AccountRow(Account):
    """An account with what a list needs to know. `last_touch` is null where nobody ever was in contact."""

    last_touch: str | None
    next_step_on: str | None = Field(description="The earliest next step of an open deal")
    open_deals: int
    flags: list[Flag]
    escalated: list[str] = Field(description="Tickets that were handed up")


class AccountList(BaseModel):
    """Everything that a person may see, in one answer."""

    user: User
    accounts: list[AccountRow]


class FoundAccounts(BaseModel):
    """Accounts whose name resembles the text, most alike first."""

    accounts: list[Account]


class Contact(BaseModel):
    """Somebody at an account."""

    contact_id: str
    account_id: str
    name: str
    email: str


class FoundContact(BaseModel):
    """The contact with an address; null: nobody has it."""

    contact: Contact | None


class Deal(BaseModel):
    """Business that may come, came, or did not."""

    deal_id: str
    account_id: str
    title: str
    state: str
    amount: float
    currency: str
    next_step_on: str | None


class Activity(BaseModel):
    """Something that was done with an account."""

    activity_id: int
    account_id: str
    kind: str
    by: str
    on_date: str
    text: str


class AccountDetails(AccountRow):
    """One account with all that belongs to it. `manager` leads its owner, or is who leads everybody."""

    contacts: list[Contact]
    deals: list[Deal]
    activities: list[Activity]
    manager: str


class FoundActivity(BaseModel):
    """The activity that was logged under a key; null: none was."""

    activity: Activity | None


class Removed(BaseModel):
    """An activity is no longer shown."""

    activity_id: int


class NextStep(BaseModel):
    """A deal's next step before and now."""

    deal_id: str
    previous: str | None
    next_step_on: str | None


class Escalation(BaseModel):
    """A ticket that was handed to a manager. `first` is false where that had been done before."""

    ticket_id: str
    account_id: str
    manager: str
    decision: str
    first: bool


def seed(db: sqlite3.Connection) -> None:
    """Fill the tables."""
    made = world(today())
    for table, columns in _COLUMNS.items():
        marks = ", ".join("?" * len(columns))
        db.executemany(f"INSERT INTO {table} VALUES ({marks})", [[r[c] for c in columns] for r in made[table]])
    done = [(a["account_id"], a["kind"], a["by"], a["on_date"], a["text"]) for a in made["activities"]]
    insert = "INSERT INTO activities(account_id, kind, by, on_date, text, seeded, removed) VALUES (?, ?, ?, ?, ?, 1, 0)"
    db.executemany(insert, done)


def plain(text: str) -> str:
    """A name as it is compared: without case, accents, signs and width."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(c if c.isalnum() else " " for c in folded if not unicodedata.combining(c))
    return " ".join(re.sub(r"\s+", " ", kept).split())


def user(db: sqlite3.Connection, user_id: str) -> User:
    """Somebody who works with the CRM. Raises ToolError where nobody has the id, or has left."""
    row = db.execute("SELECT * FROM users WHERE user_id = ?", (user_id,)).fetchone()
    if row is None or not row["active"]:
        raise ToolError(f"{user_id!r} is nobody who works with the CRM")
    return User(**dict(row))


def leader(db: sqlite3.Connection) -> str:
    """Who leads everybody."""
    found: str = db.execute("SELECT user_id FROM users WHERE manager = '' AND active").fetchone()["user_id"]
    return found


def seen(db: sqlite3.Connection, user_id: str) -> set[str]:
    """The owners whose accounts a person may see."""
    owners = {user_id}
    owners |= {r["user_id"] for r in db.execute("SELECT user_id FROM users WHERE manager = ?", (user_id,)).fetchall()}
    if user_id == leader(db):
        active = {r["user_id"] for r in db.execute("SELECT user_id FROM users WHERE active").fetchall()}
        owners |= {r["owner"] for r in db.execute("SELECT DISTINCT owner FROM accounts").fetchall()} - active
    return owners


def account(db: sqlite3.Connection, account_id: str) -> sqlite3.Row:
    """One account. Raises ToolError if there is none."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM accounts WHERE account_id = ?", (account_id,)).fetchone()
    if row is None:
        raise ToolError(f"no account has the id {account_id!r}")
    return row


def account_rows(db: sqlite3.Connection, condition: str, value: str) -> list[AccountRow]:
    """Accounts under a condition with one value, and what lists need: five statements, however many they are."""
    found = db.execute(f"SELECT * FROM accounts WHERE {condition} ORDER BY account_id", (value,)).fetchall()
    ids = json.dumps([row["account_id"] for row in found])
    among = "account_id IN (SELECT value FROM json_each(?))"
    touched = dict(
        db.execute(
            f"SELECT account_id, max(on_date) FROM activities WHERE NOT removed AND {among} GROUP BY 1", (ids,)
        ).fetchall()
    )
    open_deals = "SELECT account_id, count(*), min(next_step_on) FROM deals WHERE state = 'open'"
    deals = {r[0]: (r[1], r[2]) for r in db.execute(f"{open_deals} AND {among} GROUP BY 1", (ids,)).fetchall()}
    flags: dict[str, list[Flag]] = {}
    for row in db.execute(f"SELECT * FROM flags WHERE NOT cleared AND {among} ORDER BY number", (ids,)).fetchall():
        flags.setdefault(row["account_id"], []).append(flag(row))
    raised: dict[str, list[str]] = {}
    for row in db.execute(f"SELECT * FROM escalations WHERE NOT withdrawn AND {among} ORDER BY ticket_id", (ids,)):
        raised.setdefault(row["account_id"], []).append(row["ticket_id"])
    return [
        AccountRow(
            **dict(row),
            last_touch=touched.get(row["account_id"]),
            open_deals=deals.get(row["account_id"], (0, None))[0],
            next_step_on=deals.get(row["account_id"], (0, None))[1],
            flags=flags.get(row["account_id"], []),
            escalated=raised.get(row["account_id"], []),
        )
        for row in found
    ]


def account_details(db: sqlite3.Connection, account_id: str) -> AccountDetails:
    """One account with all that belongs to it. Raises ToolError if there is none."""
    account(db, account_id)
    (row,) = account_rows(db, "account_id = ?", account_id)
    of = "WHERE account_id = ?"
    contacts = db.execute(f"SELECT * FROM contacts {of} ORDER BY contact_id", (account_id,)).fetchall()
    deals = db.execute(f"SELECT * FROM deals {of} ORDER BY deal_id", (account_id,)).fetchall()
    newest = f"SELECT * FROM activities {of} AND NOT removed ORDER BY on_date DESC, number DESC LIMIT 20"
    done = db.execute(newest, (account_id,)).fetchall()
    leads = db.execute("SELECT manager FROM users WHERE user_id = ?", (row.owner,)).fetchone()
    return AccountDetails(
        **row.model_dump(),
        contacts=[Contact(**dict(one)) for one in contacts],
        deals=[Deal(**dict(one)) for one in deals],
        activities=[activity(one) for one in done],
        manager=(leads and leads["manager"]) or leader(db),
    )


def activity(row: sqlite3.Row) -> Activity:
    """A row as it is shown."""
    return Activity(activity_id=row["number"], **{name: row[name] for name in ("account_id", *_DONE)})


def flag(row: sqlite3.Row) -> Flag:
    """A row as it is shown."""
    return Flag(flag_id=row["number"], call_id=row["call_id"], since=row["since"], quote=row["quote"])


def escalation(db: sqlite3.Connection, ticket_id: str, *, first: bool) -> Escalation:
    """What was handed up. Raises ToolError if nothing was."""
    row = db.execute("SELECT * FROM escalations WHERE ticket_id = ?", (ticket_id,)).fetchone()
    if row is None:
        raise ToolError(f"the ticket {ticket_id!r} was never handed up")
    names = ("ticket_id", "account_id", "manager", "decision")
    return Escalation(**{name: row[name] for name in names}, first=first)
