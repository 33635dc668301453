"""Text from outside, made fit for Slack: nothing in it is read as markup, a mention or a link, and all is bounded.

Whatever agents, tools or strangers wrote stands in elements that Slack shows as they are: rich text and plain text.
Only where Slack insists on markup, as in a notification's line, is it escaped.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from remit.domain import canonical

LINE, TEXT, FIELD = 200, 3_000, 2_000
"""Most characters of a line, of a text and of one value in a message. Slack takes 3,000 in a block."""

# They change the order in which others are shown: `exe.gpj` would read `jpg.exe`.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def text(value: str, limit: int = TEXT) -> str:
    """Several lines, bounded; says so where something was cut."""
    clean = "\n".join("".join(map(_safe, line)) for line in value[: limit + 1].splitlines()).strip("\n")
    if len(value) <= limit:
        return clean
    said = f"… (cut: {len(value) - limit:,} more characters)"
    return clean[: limit - len(said)] + said


def line(value: str, limit: int = LINE) -> str:
    """One line, bounded; white space of every kind becomes a space."""
    clean = "".join(map(_safe, " ".join(value[: limit * 4].split())))
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"


def shown(value: Any, limit: int = FIELD) -> str:
    """A JSON value as people read it: text as it stands, everything else as JSON."""
    if isinstance(value, str):
        return text(value, limit)
    return text(canonical.dumps(canonical.normalise(value)).decode("utf-8", "replace"), limit)


def escaped(value: str, limit: int = LINE) -> str:
    """One line for a place that is read as markup. The bound holds after escaping, and cuts no escape in two."""
    found = line(value, limit)
    while len(result := found.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")) > limit:
        found = f"{found[: len(found) - max(1, (len(result) - limit) // 5 + 1)]}…"
    return result


def moment(at: datetime, zone: str) -> str:
    """A time as somebody in that IANA time zone reads it."""
    return f"{at.astimezone(ZoneInfo(zone)):%a %d %b %Y, %H:%M} ({zone})"


def _safe(char: str) -> str:
    if char == "\t":
        return " "
    bad = unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} or char in _BIDI
    return "\N{REPLACEMENT CHARACTER}" if bad else char
