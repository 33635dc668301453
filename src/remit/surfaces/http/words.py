"""What agents and outsiders wrote, made fit to be shown: no control characters, no reversed text, bounded."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from remit.domain import canonical
from remit.domain.inbox import InboxItem, ItemStatus

LINE, TEXT = 200, 20_000
"""Most characters of what stands on one line, and of a whole text."""

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the order in which others are shown: `exe.gpj` would read `jpg.exe`."""


def text(value: str, limit: int = TEXT) -> str:
    """Several lines of text. What would change how the rest is shown is replaced; what is too long is cut."""
    lines = value[: limit + 1].replace("\r\n", "\n").replace("\r", "\n").split("\n")
    clean = "\n".join("".join(map(_safe, line)) for line in lines)
    if len(value) <= limit:
        return clean
    return f"{clean[:limit]}… (cut: {len(value) - limit:,} more characters)"


def line(value: str, limit: int = LINE) -> str:
    """One line: white space of every kind becomes a space."""
    clean = "".join(map(_safe, " ".join(value[: limit * 4].split())))
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"


def shown(value: Any, limit: int = TEXT) -> str:
    """A value of JSON's types as people read it: text as it stands, everything else as JSON."""
    if isinstance(value, str):
        return text(value, limit)
    return text(canonical.dumps(canonical.normalise(value)).decode("utf-8", "replace"), limit)


def moment(at: datetime, zone: str) -> str:
    """A time as somebody in that IANA time zone reads it."""
    return f"{at.astimezone(ZoneInfo(zone)):%A, %d %B %Y, %H:%M} ({zone})"


def outcome(item: InboxItem, zone: str, *, name: str = "") -> str:
    """How an item that is not open any more ended, in a sentence. `name` is what people call who decided it."""
    decision = item.decision or {}
    if item.status is ItemStatus.EXPIRED:
        return "Nobody answered in time, so it has expired."
    if item.status is ItemStatus.WITHDRAWN:
        return "It is not needed any more: the work that asked for it has ended."
    who = line(name or str(decision.get("by") or "somebody"))
    said = line(str(decision.get("verdict") or "decided")).replace("-", " ")
    sentence = f"Decided by {who}: {said}."
    if "value" in decision:
        sentence = f"Answered by {who}: {shown(decision['value'], 2_000)}"
    if decision.get("reason"):
        sentence += f" Reason: {text(str(decision['reason']), 2_000)}"
    if isinstance(decision.get("at"), str):
        sentence += f" ({moment(datetime.fromisoformat(decision['at']), zone)})"
    return sentence


def _safe(char: str) -> str:
    if char == "\t":
        return " "
    category = unicodedata.category(char)
    bad = category in {"Cc", "Cs", "Zl", "Zp"} or char in _BIDI
    return "\N{REPLACEMENT CHARACTER}" if bad else char
