"""Meetings in the CRM: whom they were with, which deal they were about, and the notes."""

from __future__ import annotations

from typing import Annotated

from common import Store
from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from pydantic import BaseModel, Field

TABLES = """
CREATE TABLE meetings (meeting_id TEXT PRIMARY KEY, account_id TEXT NOT NULL, deal_id TEXT, text TEXT NOT NULL)
"""
CHANGES = {"meetings": "SELECT * FROM meetings ORDER BY meeting_id"}
"""What was entered since the beginning, by name."""


class AccountName(BaseModel):
    """What an account is called, and the domains of its addresses."""

    account_id: str
    name: str
    domains: list[str]


class AccountNames(BaseModel):
    """Every account, closed ones too: a meeting may bring one back."""

    accounts: list[AccountName]


class DealOfAccount(BaseModel):
    """Business with an account. `status` is open, won or lost."""

    deal_id: str
    title: str
    status: str


class Deals(BaseModel):
    """An account's deals."""

    deals: list[DealOfAccount]


class Meeting(BaseModel):
    """A meeting with its notes."""

    meeting_id: str
    account_id: str
    deal_id: str | None
    text: str


class FoundMeeting(BaseModel):
    """The meeting with an id; null: it has no notes here."""

    meeting: Meeting | None


class Removed(BaseModel):
    """A meeting was taken out again."""

    meeting_id: str


def register(server: FastMCP, store: Store) -> None:
    """Add the tools to the server."""

    @server.tool(annotations={"readOnlyHint": True})
    def list_account_names() -> AccountNames:
        """List what all accounts are called."""
        with store.work() as db:
            rows = db.execute("SELECT account_id, name, domain FROM accounts ORDER BY account_id").fetchall()
        named = [AccountName(account_id=r["account_id"], name=r["name"], domains=[r["domain"]]) for r in rows]
        return AccountNames(accounts=named)

    @server.tool(annotations={"readOnlyHint": True})
    def list_deals(account_id: str) -> Deals:
        """List an account's deals."""
        with store.work() as db:
            rows = db.execute(
                "SELECT deal_id, title, state FROM deals WHERE account_id = ? ORDER BY deal_id", (account_id,)
            )
            return Deals(deals=[DealOfAccount(deal_id=d, title=title, status=state) for d, title, state in rows])

    @server.tool(annotations={"readOnlyHint": True})
    def find_meeting(meeting_id: str) -> FoundMeeting:
        """Look whether a meeting has its notes already."""
        with store.work() as db:
            row = db.execute("SELECT * FROM meetings WHERE meeting_id = ?", (meeting_id,)).fetchone()
            return FoundMeeting(meeting=None if row is None else Meeting(**dict(row)))

    @server.tool(annotations={"idempotentHint": True})
    def add_meeting(
        meeting_id: str,
        account_id: str,
        text: Annotated[str, Field(min_length=1, max_length=20_000)],
        deal_id: str | None = None,
    ) -> Meeting:
        """Enter a meeting with its notes, once: the calendar's id is its key."""
        with store.work() as db:
            if db.execute("SELECT 1 FROM accounts WHERE account_id = ?", (account_id,)).fetchone() is None:
                raise ToolError(f"there is no account {account_id}")
            known = db.execute("SELECT * FROM meetings WHERE meeting_id = ?", (meeting_id,)).fetchone()
            if known is not None and (known["account_id"], known["text"]) != (account_id, text):
                raise ToolError(f"{meeting_id} stands under account {known['account_id']} already")
            if known is None:
                db.execute("INSERT INTO meetings VALUES (?, ?, ?, ?)", (meeting_id, account_id, deal_id, text))
            return Meeting(meeting_id=meeting_id, account_id=account_id, deal_id=deal_id, text=text)

    @server.tool(annotations={"destructiveHint": True, "idempotentHint": True})
    def remove_meeting(meeting_id: str) -> Removed:
        """Take a meeting out again that was entered by mistake."""
        with store.work() as db:
            if not db.execute("DELETE FROM meetings WHERE meeting_id = ?", (meeting_id,)).rowcount:
                raise ToolError(f"there is no meeting {meeting_id}")
            return Removed(meeting_id=meeting_id)
