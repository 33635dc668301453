"""Notes, a small MCP server: one tool that reads and one that writes, with a database file in the current folder."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from pydantic import BaseModel

TABLES = (
    "CREATE TABLE IF NOT EXISTS notes (number INTEGER PRIMARY KEY, text TEXT NOT NULL, importance INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, number INTEGER NOT NULL REFERENCES notes)",
)

server = FastMCP("notes")


class Note(BaseModel):
    """One note."""

    number: int
    text: str
    importance: int


class Notes(BaseModel):
    """All notes, oldest first."""

    notes: list[Note]


@contextmanager
def work() -> Iterator[sqlite3.Connection]:
    """One transaction: all of it stays, or none of it."""
    with closing(sqlite3.connect("notes.sqlite", timeout=30, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            for table in TABLES:
                db.execute(table)
            yield db
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")


@server.tool(name="list")
def list_notes() -> Notes:
    """List all notes, oldest first."""
    with work() as db:
        rows = db.execute("SELECT number, text, importance FROM notes ORDER BY number")
        return Notes(notes=[Note(number=n, text=t, importance=i) for n, t, i in rows])


@server.tool(name="write")
def write_note(text: str, importance: int, idempotency_key: str = "") -> Note:
    """Write a note. With an idempotency key that was used before, return the note that was written then."""
    with work() as db:
        if idempotency_key:
            find = "SELECT number, text, importance FROM notes NATURAL JOIN keys WHERE key = ?"
            row = db.execute(find, (idempotency_key,)).fetchone()
            if row is not None:
                if row[1:] != (text, importance):
                    raise ToolError("this idempotency key was used for another note; nothing was written")
                return Note(number=row[0], text=row[1], importance=row[2])
        added = db.execute("INSERT INTO notes (text, importance) VALUES (?, ?)", (text, importance))
        note = Note(number=added.lastrowid or 0, text=text, importance=importance)
        if idempotency_key:
            db.execute("INSERT INTO keys VALUES (?, ?)", (idempotency_key, note.number))
        return note


if __name__ == "__main__":
    server.run("stdio", show_banner=False, log_level="ERROR")
