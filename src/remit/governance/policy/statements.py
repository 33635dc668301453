"""Cedar files cut into statements, so that every finding has a file, a line and a column.

The engine reports no positions. A policy ends at a `;` outside of strings and comments, which is enough to cut a
file; within one statement a word of a message is found again by reading its tokens.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from remit.errors import Problem

MAX_NESTING = 40
"""Deepest nesting of brackets. The engine's parser overflows the process's stack somewhere above 500."""
MAX_DOTS = 20
"""Longest chain of attributes. `has a.b.c` is expanded by the parser into every prefix, squared in size."""
MAX_CHARS = 20_000
"""Longest statement, in characters."""

_TOKEN = re.compile(
    r"""
    (?P<comment>//[^\n]*)
  | (?P<string>"(?:[^"\\]|\\.)*")
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<number>\d+)
  | (?P<operator>::|==|!=|<=|>=|&&|\|\||[^\s])
    """,
    re.VERBOSE | re.DOTALL,
)
_COARSE = re.compile(r'//[^\n]*|"(?:[^"\\]|\\.)*"|[;(){}\[\]]|[^\s/";(){}\[\]]+|[/"]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a statement: its text as written and its offset in the statement."""

    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class Statement:
    """One policy as written, from its first annotation to its semicolon."""

    file: str
    line: int
    column: int
    text: str

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column in the file, both from 1, of an offset in this statement."""
        before = self.text[:offset]
        newlines = before.count("\n")
        if newlines == 0:
            return self.line, self.column + offset
        return self.line + newlines, offset - before.rfind("\n")

    def tokens(self) -> Iterator[Token]:
        """The statement's tokens in order, comments left out."""
        for match in _TOKEN.finditer(self.text):
            if match.lastgroup != "comment":
                yield Token(match[0], match.start())

    def find(self, *words: str, after: frozenset[str] = frozenset()) -> int:
        """Offset of the first token that is one of `words`, bare or quoted; 0 where none is.

        `after` asks for the token before it to be one of these.
        """
        wanted = {form for word in words for form in (word, f'"{word}"')}
        previous = ""
        for token in self.tokens():
            if token.text in wanted and (not after or previous in after):
                return token.offset
            previous = token.text
        return 0

    def problem(self, message: str, mend: str = "", *, offset: int = 0, severity: str = "error") -> Problem:
        """A problem at this statement, or at an offset in it."""
        line, column = self.position(offset)
        return Problem(self.file, line, column, message, mend, severity)


def cut(file: str, text: str) -> tuple[list[Statement], list[Problem]]:
    """Cut a Cedar file into its statements. Those too long or too deeply nested to be parsed are problems instead."""
    starts = [0, *(m.end() for m in re.finditer("\n", text))]
    statements: list[Statement] = []
    problems: list[Problem] = []
    begin: int | None = None
    depth = deepest = 0

    def close(end: int) -> None:
        nonlocal begin, depth, deepest
        if begin is None:
            return
        row = bisect_right(starts, begin)
        statement = Statement(file, row, begin - starts[row - 1] + 1, text[begin:end].rstrip())
        excess = _excess(statement.text, deepest)
        if excess:
            problems.append(statement.problem(excess, "simplify it, or split it into several policies"))
        else:
            statements.append(statement)
        begin, depth, deepest = None, 0, 0

    for match in _COARSE.finditer(text):
        piece = match[0]
        if piece.startswith("//"):
            continue
        if begin is None:
            begin = match.start()
        if piece in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif piece in ")]}":
            depth -= 1
        elif piece == ";":
            close(match.end())
    close(len(text))
    return statements, problems


def _excess(text: str, nesting: int) -> str:
    """What is too much about a statement for the engine's parser; empty where nothing is."""
    if len(text) > MAX_CHARS:
        return f"a policy is longer than {MAX_CHARS:,} characters"
    if nesting > MAX_NESTING:
        return f"brackets are nested deeper than {MAX_NESTING} levels"
    chain = longest = 0
    previous = ""
    for token in Statement("", 1, 1, text).tokens() if text.count(".") > MAX_DOTS else ():
        chain = chain + 1 if token.text == "." else chain if previous == "." else 0
        longest = max(longest, chain)
        previous = token.text
    return f"a chain of attributes is longer than {MAX_DOTS}" if longest > MAX_DOTS else ""


def quote(text: str) -> str:
    """A Cedar string literal for any text."""
    plain = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
    return '"' + "".join(plain.get(c) or (c if c.isprintable() else f"\\u{{{ord(c):x}}}") for c in text) + '"'
