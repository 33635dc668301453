"""Knowledge: the texts of an agent's folder, cut into passages that can be searched and cited."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

FOLDER = "knowledge"
SUFFIXES = (".md", ".txt")
"""Files that are read; others in the folder are not."""
MAX_FILE = 1_000_000
"""Largest file, in bytes."""
MAX_PASSAGES = 20_000
"""Most passages of one agent."""
LONGEST = 1_500
"""Longest passage, in characters."""

Language = Literal[
    "arabic", "danish", "dutch", "english", "finnish", "french", "german", "greek", "hungarian", "indonesian", "irish",
    "italian", "lithuanian", "nepali", "norwegian", "portuguese", "romanian", "russian", "simple", "spanish", "swedish",
    "tamil", "turkish",
]  # fmt: skip
"""Languages whose word forms PostgreSQL knows; `simple` finds words only as they are written."""

_HEADING = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t]*#*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_LONGEST_HEADING = 300


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text with where it stands."""

    path: str
    """Inside the knowledge folder."""
    ordinal: int
    """From 0, in the order of the file."""
    heading: str
    """The headings above it, outermost first, with ` > ` between them."""
    line: int
    """Where it begins, from 1."""
    body: str


def sources(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The knowledge files of an agent's folder, by their path inside `knowledge/`."""
    inside = {
        path.removeprefix(f"{FOLDER}/"): content for path, content in files.items() if path.startswith(f"{FOLDER}/")
    }
    return {path: content for path, content in sorted(inside.items()) if path.endswith(SUFFIXES)}


def passages(path: str, text: str) -> Iterator[Passage]:
    """Cut one file: at every Markdown heading, and within a section between paragraphs, else lines, else words."""
    ordinal = 0
    for heading, first, lines in _sections(path, text):
        for line, body in _pieces(first, lines):
            yield Passage(path, ordinal, heading, line, body)
            ordinal += 1


def _sections(path: str, text: str) -> Iterator[tuple[str, int, list[str]]]:
    """Heading, number of the first line below it, and its lines."""
    above: list[tuple[int, str]] = []
    first, lines, fence = 1, list[str](), ""
    for number, line in enumerate(text.splitlines(), start=1):
        mark = _FENCE.match(line)
        if mark is not None and (not fence or (line.strip()[:1] == fence[0] and len(mark[1]) >= len(fence))):
            fence = "" if fence else mark[1]
        found = _HEADING.fullmatch(line) if path.endswith(".md") and not fence else None
        if found is None:
            lines.append(line)
            continue
        yield _title(above), first, lines
        level = len(found[1])
        above = [*(one for one in above if one[0] < level), (level, found[2])]
        first, lines = number + 1, []
    yield _title(above), first, lines


def _title(above: list[tuple[int, str]]) -> str:
    return " > ".join(text for _, text in above if text)[:_LONGEST_HEADING]


def _pieces(first: int, lines: list[str]) -> Iterator[tuple[int, str]]:
    """Line and text of each piece that is not empty."""
    start, held, size = first, list[str](), 0
    for number, line in _short_lines(first, lines):
        room = size + len(line) + 1 <= LONGEST
        if held and (not room or (not line.strip() and size > LONGEST // 2)):
            yield from _piece(start, held)
            held, size = [], 0
        if not held:
            start = number
        held.append(line)
        size += len(line) + 1
    yield from _piece(start, held)


def _piece(start: int, lines: list[str]) -> Iterator[tuple[int, str]]:
    empty = next((count for count, line in enumerate(lines) if line.strip()), None)
    if empty is not None:
        yield start + empty, "\n".join(lines[empty:]).rstrip()


def _short_lines(first: int, lines: list[str]) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; one that is longer than a passage comes in parts, cut at white space if it can be."""
    for number, whole in enumerate(lines, start=first):
        line = whole
        while len(line) >= LONGEST:
            cut = line.rfind(" ", 1, LONGEST - 1)
            cut = cut if cut > 0 else LONGEST - 1
            yield number, line[:cut]
            line = line[cut:].lstrip()
        yield number, line
