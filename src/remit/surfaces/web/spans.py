"""How far back the pages that count look: whole hours or whole UTC days, as the counts are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_SPANS = {
    "24h": ("24 hours", _HOUR, 24),
    "7d": ("7 days", _DAY, 7),
    "30d": ("30 days", _DAY, 30),
    "90d": ("90 days", _DAY, 90),
}


@dataclass(frozen=True, slots=True)
class Span:
    """One of them, as of a moment."""

    name: str
    text: str
    step: timedelta
    since: datetime
    until: datetime
    """Exclusive: the end of the hour or day that is now."""

    @property
    def grain(self) -> Literal["hour", "day"]:
        """What the counts call its step."""
        return "hour" if self.step == _HOUR else "day"


def span(asked: str, names: tuple[str, ...], default: str) -> Span:
    """The span that was asked for; the default, where it is none of these names."""
    name = asked if asked in names else default
    text, step, many = _SPANS[name]
    until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + _HOUR
    if step == _DAY:
        until = until.replace(hour=0) + (_DAY if until.hour else timedelta())
    return Span(name, text, step, until - many * step, until)


def texts(names: tuple[str, ...]) -> dict[str, str]:
    """What people read for each name."""
    return {name: _SPANS[name][0] for name in names}
