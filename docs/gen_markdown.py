"""What the generated pages have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOTE = "This page is generated from the code by `make docs`."


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    lines += [f"| {' | '.join(cell(c) for c in row)} |" for row in rows]
    return "\n".join(lines)


def cell(text: str) -> str:
    """Text on one line that does not end its cell."""
    return " ".join(text.split()).replace("|", "\\|")


def page(*parts: str) -> str:
    """Paragraphs, tables and headings as one page."""
    return "\n\n".join(parts) + "\n"
