"""Where a row's parts came from: which recorded result, and which place in it.

A program hands on the very objects that it was given: the account in a row is the account in the answer to a call. So
an object's identity leads to its origin, for as long as the object is remembered here. What was computed anew, such as
a number, has no origin of its own.
"""

from __future__ import annotations

from collections import deque
from typing import Any

_MOST = 32 * 1024 * 1024
"""About as many bytes of results are remembered; the oldest go first."""
_DEPTH = 6
_MOST_ORIGINS = 20


class Origins:
    """The results of one run of a turn, by the objects in them."""

    def __init__(self) -> None:
        # Results are kept alive here, because the identity of an object that is gone says nothing.
        self._results: deque[tuple[Any, dict[int, tuple[int, str, str]], int]] = deque()
        self._size = 0

    def keep(self, ordinal: int, subject: str, value: Any) -> None:
        """Remember a result."""
        places: dict[int, tuple[int, str, str]] = {}
        size = _note(value, ordinal, subject, "", places)
        if not places:
            return
        self._results.append((value, places, size))
        self._size += size
        while self._size > _MOST:
            self._size -= self._results.popleft()[2]

    def of(self, *values: Any) -> list[dict[str, Any]]:
        """Origins of these values and of the objects inside them, each once, outermost first."""
        found: dict[tuple[int, str, str], None] = {}
        for value in values:
            self._look(value, found, 0)
        return [
            {"request": ordinal, "action": subject, "path": path}
            for ordinal, subject, path in list(found)[:_MOST_ORIGINS]
        ]

    def _look(self, value: Any, found: dict[tuple[int, str, str], None], depth: int) -> None:
        if not isinstance(value, (dict, list, tuple)) or depth > _DEPTH:
            return
        for _, places, _ in self._results:
            if id(value) in places:
                found[places[id(value)]] = None
                return  # what is inside came from the same place
        for part in value.values() if isinstance(value, dict) else value:
            self._look(part, found, depth + 1)


def _note(value: Any, ordinal: int, subject: str, path: str, places: dict[int, tuple[int, str, str]]) -> int:
    """Note the containers in a value; returns about how many bytes it takes."""
    if isinstance(value, str):
        return 64 + len(value)
    if not isinstance(value, (dict, list)):
        return 32
    places[id(value)] = (ordinal, subject, path)
    size = 64
    for name, part in value.items() if isinstance(value, dict) else enumerate(value):
        size += 16 + _note(part, ordinal, subject, f"{path}.{name}" if path else str(name), places)
    return size
