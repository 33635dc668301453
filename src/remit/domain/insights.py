"""What counts as a quick decision, and the steps in which waiting is told. Pure values."""

from __future__ import annotations

from dataclasses import dataclass

WAITS = (10, 60, 600, 3_600, 14_400, 86_400, 604_800)
"""Seconds at which the next step of waiting begins: under 10 s is step 0, a week and more step 7."""
WAIT_NAMES = (
    "under 10 s",
    "10 s to 1 min",
    "1 to 10 min",
    "10 min to 1 h",
    "1 to 4 h",
    "4 to 24 h",
    "1 to 7 d",
    "7 d or more",
)
"""What people call the steps."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a request can be read at most.

    People read about 238 words a minute silently (Brysbaert, How many words do we read per minute?, 2019), some 24
    characters a second. A decision counts as too fast only at more than about twice that, so that a quick reader who
    knows such requests is not accused.
    """

    characters_per_second: float = 50.0
    shortest: float = 2.0
    """Seconds that the shortest request takes."""
    longest: float = 60.0
    """Seconds after which nobody is taken to have skipped anything."""


PACE = Pace()
PACES = {
    "fast": "decided faster than it can be read",
    "unopened": "decided without opening the details",
    "read": "read, with the details",
    "elsewhere": "decided outside of the cockpit",
}
"""How somebody looked at what they decided, and what that means."""


def wait_step(seconds: float) -> int:
    """The step of waiting that so many seconds are in."""
    return sum(seconds >= begin for begin in WAITS)
