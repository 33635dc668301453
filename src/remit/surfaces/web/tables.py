"""Lists of like things, drawn as a table: most of what programs put out is one, and JSON is for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remit.surfaces.http import words

_ROWS, _COLUMNS, _CELL = 200, 8, 400
_REASON = {"code", "text"}


@dataclass(frozen=True, slots=True)
class Table:
    """What a list of objects says, ready to be shown."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """A cell for each column; empty where the object has no such field."""


def tabled(given: Any) -> Table | None:
    """The table of a list of objects with few fields of plain values; None where JSON says it better."""
    if not isinstance(given, list) or not 0 < len(given) <= _ROWS or not all(isinstance(o, dict) for o in given):
        return None
    columns = tuple(dict.fromkeys(name for one in given for name in one))
    if not 0 < len(columns) <= _COLUMNS:
        return None
    rows = []
    for one in given:
        cells = [_cell(one[name]) if name in one else "" for name in columns]
        if None in cells:
            return None
        rows.append(tuple(cell for cell in cells if cell is not None))
    return Table(tuple(words.line(name, 60) for name in columns), tuple(rows))


def _cell(value: Any) -> str | None:
    """A plain value, or several, or reasons by their texts; None for what is more than that."""
    if isinstance(value, list):
        parts = [_cell(part["text"] if isinstance(part, dict) and part.keys() == _REASON else part) for part in value]
        return None if None in parts else words.text("; ".join(part for part in parts if part), _CELL)
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case dict():
            return None
        case _:
            return words.shown(value, _CELL)
