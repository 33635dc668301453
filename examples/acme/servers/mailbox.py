"""Acme's mail and calendar: read-only, one mailbox at a time, as a company's mail server offers it to programs.

The server gives any mailbox to whoever holds its credential, as such servers do. Which of them an agent may read is
Remit's business: policies/meetings.cedar.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Annotated, Any

from common import Store, serve
from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from pydantic import BaseModel, Field

TABLES = """
CREATE TABLE events (event_id TEXT, mailbox TEXT, start TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (mailbox, event_id));
CREATE TABLE messages (message_id TEXT, mailbox TEXT, sent_at TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (mailbox, message_id));
CREATE TABLE mailboxes (mailbox TEXT PRIMARY KEY);
"""

Moment = Annotated[str, Field(description="ISO 8601 in UTC, such as 2026-11-16T00:00:00Z")]


class Attendee(BaseModel):
    """Somebody who was invited. `response` is accepted, tentative, declined or none."""

    name: str
    email: str
    response: str


class Event(BaseModel):
    """An entry of a calendar. `status` is confirmed or cancelled, `visibility` normal or private."""

    event_id: str
    title: str
    start: str
    end: str
    status: str
    visibility: str
    organizer: str
    attendees: list[Attendee]
    description: str


class Message(BaseModel):
    """A mail as it was sent or received."""

    message_id: str
    sent_at: str
    sender: str
    recipients: list[str]
    subject: str
    text: str


class Events(BaseModel):
    """Entries of a calendar, by their beginning."""

    events: list[Event]


class Messages(BaseModel):
    """Mails, oldest first."""

    messages: list[Message]


def _seed(db: sqlite3.Connection) -> None:
    for box in store.seed_rows("mailboxes"):
        db.execute("INSERT INTO mailboxes VALUES (?)", (box["mailbox"],))
        for event in box["events"]:
            row = (event["event_id"], box["mailbox"], event["start"], json.dumps(event))
            db.execute("INSERT INTO events VALUES (?, ?, ?, ?)", row)
        for message in box["messages"]:
            row = (message["message_id"], box["mailbox"], message["sent_at"], json.dumps(message))
            db.execute("INSERT INTO messages VALUES (?, ?, ?, ?)", row)


store = Store("mailbox", TABLES, _seed)
server = FastMCP("acme-mailbox", instructions="Acme's mail and calendar, read-only.")


@server.tool(annotations={"readOnlyHint": True})
def list_events(mailbox: str, after: Moment, before: Moment) -> Events:
    """List a calendar's entries that begin at or after one moment and before another."""
    rows = _rows(
        "SELECT body FROM events WHERE mailbox = ? AND start >= ? AND start < ? ORDER BY start", mailbox, after, before
    )
    return Events(events=[Event(**row) for row in rows])


@server.tool(annotations={"readOnlyHint": True})
def list_messages(mailbox: str, after: Moment, before: Moment) -> Messages:
    """List a mailbox's mails that were sent at or after one moment and before another."""
    statement = "SELECT body FROM messages WHERE mailbox = ? AND sent_at >= ? AND sent_at < ? ORDER BY sent_at"
    return Messages(messages=[Message(**row) for row in _rows(statement, mailbox, after, before)])


def _rows(statement: str, mailbox: str, after: str, before: str) -> list[dict[str, Any]]:
    with store.work() as db:
        if db.execute("SELECT 1 FROM mailboxes WHERE mailbox = ?", (mailbox,)).fetchone() is None:
            raise ToolError(f"there is no mailbox {mailbox!r}")
        return [json.loads(row["body"]) for row in db.execute(statement, (mailbox, after, before)).fetchall()]


if __name__ == "__main__":
    serve(server, store)
