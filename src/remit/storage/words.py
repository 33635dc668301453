"""The words by which a session is found: those of its title, its messages and its outputs."""

from __future__ import annotations

from typing import Any

from remit.storage.contents import Db
from remit.storage.database import safe_text

MOST_WORDS = 20_000
"""Characters of one title, message or output that are searched; what is behind them is not found."""
_GAP = "' ':1"
"""Stands between two texts, so that no words in quotes are found across them. Searches never have this as a word."""
_MOST_BYTES = 400_000  # of one session's words; PostgreSQL takes at most a megabyte


def add_words(db: Db, session_id: str, *values: Any) -> None:
    """Make a session found by the words in these values."""
    words = safe_text(" ".join(_texts(values)), MOST_WORDS)
    if words.strip():
        db.execute(
            """update remit.sessions set search = search || %s::tsvector || to_tsvector('simple', %s)
               where id = %s and pg_column_size(search) < %s""",
            (_GAP, words, session_id, _MOST_BYTES),
        )


def forget_words(db: Db, session_id: str) -> None:
    """Let a session be found by its title alone, because contents of it were erased."""
    db.execute("update remit.sessions set search = to_tsvector('simple', title) where id = %s", (session_id,))


def _texts(value: Any) -> list[str]:
    """The texts in a value, without the names of its fields."""
    match value:
        case str():
            return [value]
        case dict():
            return [text for item in value.values() for text in _texts(item)]
        case list() | tuple():
            return [text for item in value for text in _texts(item)]
        case int() | float():
            return [] if isinstance(value, bool) else [str(value)]
        case _:
            return []
