"""TOML, read by the standard library, with the place of every key found afterwards.

The standard library's reader gives values without places. `_Places` walks over a text that it has accepted, so the
walk only has to know where things begin and end, never whether they are right.
"""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from datetime import date, datetime, time
from typing import Any

from remit.config.source import (
    MAX_DEPTH,
    MAX_DIGITS,
    Mark,
    Path,
    Source,
    SourceError,
    decode,
    exact_number,
    fail,
    mark_at,
)
from remit.errors import Problem

_SYNTAX = re.compile(r"(?P<said>.*?) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL)
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_INLINE_BLANK = re.compile(r"[ \t]*")
_KEY = re.compile(r"""(?P<basic>"(?:[^"\\\n]|\\.)*")|(?P<literal>'[^'\n]*')|(?P<bare>[A-Za-z0-9_-]+)""")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'", re.DOTALL
)
_BARE = re.compile(r"[^,\]}\n#]+")


class _Number(str):
    """The text of a number with a fraction, until its place is known."""

    __slots__ = ()


def read_toml(file: str, data: bytes) -> Source:
    """Read a TOML file. Raises SourceError with everything that is wrong with it."""
    text = decode(file, data).replace("\r\n", "\n")
    try:
        value = tomllib.loads(text, parse_float=_Number)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(file, text, str(error)) from None
    except RecursionError:
        raise fail(file, Mark(1, 1), f"nested deeper than {MAX_DEPTH} levels", "make it flatter") from None
    except ValueError as error:  # an integer longer than Python converts
        raise fail(file, Mark(1, 1), f"this is not TOML: {error}", "correct the value") from None
    places = _Places(text)
    # Where the walk loses its way only marks are missing: the value above is the reader's, not the walk's.
    with suppress(RecursionError, ValueError):
        places.walk()
    source = Source(file, value, places.keys, places.values)
    problems: list[Problem] = []
    source.value = _plain(value, (), source, problems)
    if problems:
        raise SourceError(problems)
    return source


def _syntax_error(file: str, text: str, said: str) -> SourceError:
    match = _SYNTAX.fullmatch(said)
    if match is None:
        return fail(file, Mark(1, 1), f"this is not TOML: {said}", "correct the syntax")
    place = Mark(int(match["line"]), int(match["column"])) if match["line"] else mark_at(text, len(text))
    return fail(file, place, f"this is not TOML: {match['said']}", "correct the syntax here or just above")


def _plain(value: Any, path: Path, source: Source, problems: list[Problem]) -> Any:
    """The value with numbers as floats; what no setting takes becomes a problem at its place."""
    if len(path) > MAX_DEPTH:
        problems.append(source.problem(path, f"nested deeper than {MAX_DEPTH} levels", "make it flatter"))
        return None
    match value:
        case _Number():
            try:
                return exact_number(value.replace("_", ""))
            except ValueError as error:
                problems.append(source.problem(path, str(error), "write the number as text, in quotes"))
                return None
        case int() if abs(value) >= 10**MAX_DIGITS:
            problems.append(
                source.problem(path, f"this number has more than {MAX_DIGITS} digits", "write a smaller one")
            )
            return None
        case datetime() | date() | time():
            problems.append(source.problem(path, "no setting takes a date or time", "write it as text, in quotes"))
            return None
        case dict():
            return {k: _plain(v, (*path, k), source, problems) for k, v in value.items()}
        case list():
            return [_plain(v, (*path, i), source, problems) for i, v in enumerate(value)]
        case _:
            return value


class _Places:
    """Finds where every key and value of a valid TOML text stands."""

    def __init__(self, text: str) -> None:
        self.keys: dict[Path, Mark] = {}
        self.values: dict[Path, Mark] = {}
        self._text = text
        self._at = 0
        self._tables: dict[Path, int] = {}
        self._line = 1
        self._line_start = 0
        self._counted = 0

    def walk(self) -> None:
        """Walk over the whole text."""
        table: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _header(self) -> Path:
        """`[a.b]` or `[[a.b]]`; the path of the table that begins here."""
        repeated = self._text.startswith("[[", self._at)
        self._at += 2 if repeated else 1
        self._skip(_INLINE_BLANK)
        path: Path = ()
        parts = self._key_parts()
        for position, (name, mark) in enumerate(parts):
            path = (*path, name)
            self.keys.setdefault(path, mark)
            if repeated and position == len(parts) - 1:
                self._tables[path] = self._tables.get(path, -1) + 1
            if path in self._tables:
                path = (*path, self._tables[path])
                self.values.setdefault(path, mark)
        self._at = self._text.index("]", self._at) + (2 if repeated else 1)
        return path

    def _pair(self, table: Path) -> None:
        path = table
        for name, mark in self._key_parts():
            path = (*path, name)
            self.keys.setdefault(path, mark)
        self._at = self._text.index("=", self._at) + 1
        self._skip(_INLINE_BLANK)
        self._value(path)

    def _key_parts(self) -> list[tuple[str, Mark]]:
        parts: list[tuple[str, Mark]] = []
        while (match := _KEY.match(self._text, self._at)) is not None:
            parts.append((_key_text(match), self._mark()))
            self._at = match.end()
            self._skip(_INLINE_BLANK)
            if not self._text.startswith(".", self._at):
                break
            self._at += 1
            self._skip(_INLINE_BLANK)
        return parts

    def _value(self, path: Path) -> None:
        self.values[path] = self._mark()
        if (string := _STRING.match(self._text, self._at)) is not None:
            self._at = string.end()
        elif self._text.startswith("[", self._at):
            self._items("]", path)
        elif self._text.startswith("{", self._at):
            self._items("}", path)
        elif (bare := _BARE.match(self._text, self._at)) is not None:
            self._at = bare.end()

    def _items(self, end: str, path: Path) -> None:
        """What stands in brackets or braces."""
        self._at += 1
        self._skip(_BLANK)
        position = 0
        while self._at < len(self._text) and not self._text.startswith(end, self._at):
            before = self._at
            if end == "]":
                self._value((*path, position))
            else:
                self._pair(path)
            position += 1
            self._skip(_BLANK)
            if self._text.startswith(",", self._at):
                self._at += 1
            self._skip(_BLANK)
            if self._at == before:  # not a text that the reader would have accepted: end rather than turn forever
                self._at = len(self._text)
        self._at += 1

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()

    def _mark(self) -> Mark:
        """The place of the current position; lines are counted once, going forward."""
        newlines = self._text.count("\n", self._counted, self._at)
        if newlines:
            self._line += newlines
            self._line_start = self._text.rindex("\n", self._counted, self._at) + 1
        self._counted = self._at
        return Mark(self._line, self._at - self._line_start + 1)


def _key_text(match: re.Match[str]) -> str:
    """The name that a key stands for, escapes resolved."""
    if match["bare"] is not None:
        return match["bare"]
    if match["literal"] is not None:
        return match["literal"][1:-1]
    read: str = tomllib.loads(f"k = {match['basic']}")["k"]
    return read
