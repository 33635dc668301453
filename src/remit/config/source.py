"""A project file as read: its value, and the line and column of every key and value in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from remit.errors import Problem

Path = tuple[str | int, ...]
"""Keys and list positions from the top of a file to a value."""

MAX_BYTES = 1_000_000
"""Largest YAML or TOML file, in bytes."""
MAX_DEPTH = 64
"""Deepest nesting of mappings and lists."""
MAX_VALUES = 200_000
"""Most values in one file, aliases counted as what they stand for."""

MAX_DIGITS = 40
"""Most digits of a number."""


class Mark(NamedTuple):
    """A place in a file; both count from 1."""

    line: int
    column: int


START = Mark(1, 1)


class SourceError(Exception):
    """A file cannot be read. `problems` says why; never shown as it is, the loader turns it into ProjectInvalid."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(slots=True)
class Source:
    """One file's value, and where everything in it stands."""

    file: str
    value: Any
    keys: dict[Path, Mark] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)
    relocate: Callable[[], Source] | None = None
    """Reads the file again with marks; for formats whose ordinary reader gives none. Called at most once."""

    def at(self, path: Path, *, key: bool = False) -> Mark:
        """Where the value at `path` begins, or its key; the nearest place around it where it has no mark of its own.

        A mapping or list that has a key is found by its key: that is the line that names it.
        """
        if self.relocate is not None:
            read, self.relocate = self.relocate, None
            try:
                again = read()
            except SourceError:
                return START
            self.keys, self.values = again.keys, again.values
        if not key and not isinstance(self.get(path), dict | list) and path in self.values:
            return self.values[path]
        for end in range(len(path), -1, -1):
            mark = self.keys.get(path[:end]) or self.values.get(path[:end])
            if mark is not None:
                return mark if end else START
        return START

    def get(self, path: Path) -> Any:
        """The value at a path, or None where there is none."""
        value = self.value
        for part in path:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value):
                value = value[part]
            else:
                return None
        return value

    def problem(
        self, path: Path, message: str, mend: str = "", *, key: bool = False, severity: str = "error"
    ) -> Problem:
        """A problem at a place in this file."""
        mark = self.at(path, key=key)
        return Problem(self.file, mark.line, mark.column, message, mend, severity)


def fail(file: str, mark: Mark, message: str, mend: str = "") -> SourceError:
    """The error for a file that cannot be read because of one thing."""
    return SourceError([Problem(file, mark.line, mark.column, message, mend)])


def decode(file: str, data: bytes, *, limit: int = MAX_BYTES) -> str:
    """The file's text. Raises SourceError if it is too large or not UTF-8."""
    if len(data) > limit:
        raise fail(file, START, f"the file has {len(data):,} bytes; at most {limit:,} are read", "split it up")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        raise fail(
            file, mark_at(before, len(before)), "this is not UTF-8 text", "save the file in the encoding UTF-8"
        ) from None


def mark_at(text: str, position: int) -> Mark:
    """The line and column of a position in a text."""
    before = text[:position]
    return Mark(before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)


def is_text(value: str) -> bool:
    """False if half a UTF-16 pair is in it: such a text cannot be written, printed or digested."""
    return not any("\ud800" <= c <= "\udfff" for c in value) if not value.isascii() else True


def exact_number(text: str) -> float:
    """A number with a fraction, if a float holds exactly what was written. Raises ValueError if it does not."""
    number = float(text)
    if number != number or number in (float("inf"), float("-inf")):  # noqa: PLR0124 - how a NaN is known
        raise ValueError("this is not a finite number")
    if Decimal(repr(number)) != Decimal(text):
        raise ValueError("this number has more digits than can be held exactly")
    return number
