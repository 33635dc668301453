"""Rows that a program put out, each with the reasons that it recorded, and which of them somebody means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from remit.domain.decisions import Reason

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a part of a row came from."""

    request: int
    """Number of the request in its turn, from 1."""
    action: str
    """What was asked for, such as `crm.list_accounts`."""
    path: str
    """Dotted path in its result; empty: the whole result."""


@dataclass(frozen=True, slots=True)
class ExplainedRow:
    """One row, as it was recorded when the program put it out."""

    turn_id: str
    action_id: str
    """The ledger's row that holds it."""
    request: int
    """Number of the program's request that put it out."""
    name: str
    """The list that it belongs to, or the name that it was emitted under."""
    key: str
    rank: int
    """Place in its list, from 1."""
    title: str
    row: Any
    reasons: tuple[Reason, ...]
    origins: tuple[Origin, ...]
    at: str
    """File and line of the program that explained it, as `program.py:12`; empty where that is not known."""


def find(rows: Iterable[ExplainedRow], wanted: str, *, name: str | None = None) -> list[ExplainedRow]:
    """The rows that somebody means: by key, by rank, by the list's name, or by words of their title; best first.

    A key that fits exactly is the row, whatever else would fit. Words must all be there, as beginnings of words.
    """
    known = [row for row in rows if name is None or row.name == name]
    text = wanted.strip().lower()
    exact = [row for row in known if row.key.lower() == text]
    if exact:
        return exact
    if text.removeprefix("#").isdigit():
        return [row for row in known if row.rank == int(text.removeprefix("#"))]
    words = _WORD.findall(text)
    if not words:
        return []
    by_title = [row for row in known if _has_all(row.title, words)]
    return (
        by_title or [row for row in known if row.name.lower() == text] or [r for r in known if _has_all(r.key, words)]
    )


def _has_all(text: str, words: list[str]) -> bool:
    there = _WORD.findall(text.lower())
    return all(any(word.startswith(wanted) for word in there) for wanted in words)
