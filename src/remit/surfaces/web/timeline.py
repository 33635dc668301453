"""A session's time as bars: when its turns were queued, waited and ran, and when each action did. Only arithmetic.

Work takes seconds and a person's answer days. Stretches in which nothing ran are drawn shorter than they were, and
marked, so that both can be seen.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from operator import itemgetter
from typing import Any

from remit.surfaces.web.rendering import TEMPLATES

_SHARE = 0.6
"""Most of the width that idle stretches take together, against what work takes, where they would take more."""
_SHORT = 1.0
"""Seconds that nothing ran which are drawn as they were, however little ran."""
_TOLD = 4
_ENDED = {"finished", "failed", "cancelled"}
_BAD = {"failed", "refused", "unknown"}


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of somebody's time: `queue`, `wait`, `run`, `again` (before it was tried again), `bad` or `child`."""

    kind: str
    start: datetime
    end: datetime
    why: str = ""

    @property
    def seconds(self) -> float:
        """How long."""
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch as it is drawn; places are percentages of the width."""

    kind: str
    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A turn, an action or a delegated session."""

    kind: str
    id: str
    row: Mapping[str, Any]
    href: str
    stretches: tuple[Stretch, ...]
    bars: tuple[Bar, ...] = ()

    def spent(self, *kinds: str) -> float | None:
        """Seconds in stretches of these kinds; None if there are none."""
        found = [s.seconds for s in self.stretches if s.kind in kinds]
        return sum(found) if found else None

    @property
    def took(self) -> float | None:
        """Seconds from its beginning to its end, or until now; None if it took none."""
        return sum(s.seconds for s in self.stretches) if self.stretches else None

    @property
    def told(self) -> str:
        """The bars in words."""
        return ", ".join(f"{_WORDS[s.kind]} {spent(s.seconds)}" for s in self.stretches) or "nothing yet"


_WORDS = {
    "queue": "queued",
    "wait": "waited",
    "run": "ran",
    "again": "before it was tried again",
    "bad": "ran",
    "child": "open for",
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """What the page draws."""

    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, str], ...]
    """Place in percent, and how long after the beginning that is."""
    gaps: tuple[Bar, ...]
    """Idle stretches that are drawn shorter than they were."""
    longest: tuple[str, ...] = ()
    """How long the longest of them were, in their order."""


def spent(seconds: float | None) -> str:
    """A duration in at most two units."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    for size, unit, small, name in ((3_600, 60, 1, ("min", "s")), (86_400, 3_600, 60, ("h", "min"))):
        if seconds < size:
            return f"{int(seconds // unit)} {name[0]} {int(seconds % unit // small)} {name[1]}"
    return f"{int(seconds // 86_400)} d {int(seconds % 86_400 // 3_600)} h"


TEMPLATES.filters["spent"] = spent


def draw(
    turns: Iterable[Mapping[str, Any]],
    waits: Iterable[Mapping[str, Any]],
    actions: Iterable[Mapping[str, Any]],
    now: datetime,
    sees: Callable[[str], bool],
) -> Drawing:
    """Lay out turns with their actions under them. `sees` says whether delegated sessions of a workspace are shown."""
    waited: dict[str, list[Mapping[str, Any]]] = {}
    for wait in waits:
        waited.setdefault(wait["turn_id"], []).append(wait)
    did: dict[str, list[Mapping[str, Any]]] = {}
    for action in actions:
        did.setdefault(action["turn_id"], []).append(action)
    lanes: list[Lane] = []
    for turn in turns:
        lanes.append(_turn(turn, waited.get(turn["id"], []), now))
        for action in did.get(turn["id"], []):
            lanes.append(_action(action, now))
            if action.get("child") and sees(action["child_workspace"]):
                lanes.append(_child(action, now))
    return _placed(lanes)


def _turn(turn: Mapping[str, Any], waits: list[Mapping[str, Any]], now: datetime) -> Lane:
    end = turn["finished_at"] or now
    begun = turn["started_at"] or end
    parts = [Stretch("queue", turn["created_at"], begun)]
    at = begun
    for wait in waits:
        since = max(wait["since"], at)
        until = min(wait["until"] or end, end)
        ready = wait["ready_at"] if wait["ready_at"] is not None and since < wait["ready_at"] < until else until
        parts += [
            Stretch("run", at, since),
            Stretch("wait", since, ready, wait["why"] or ""),
            Stretch("queue", ready, until),
        ]
        at = max(until, at)
    if turn["started_at"] is not None:
        last = {"waiting": "wait", "queued": "queue"}.get(turn["status"], "run")
        parts.append(Stretch(last, at, end, turn["waiting_for"]))
    return Lane("turn", turn["id"], turn, f"/sessions/{turn['session_id']}#{turn['id']}", _real(parts))


def _action(row: Mapping[str, Any], now: datetime) -> Lane:
    end = row["settled_at"] or (now if row["status"] in {"waiting", "limited", "cleared"} else row["created_at"])
    first, last = row["first_cleared_at"], row["cleared_at"]
    waits = row["item_id"] is not None or row["mode"] == "ask" or row["status"] in {"waiting", "limited"}
    parts = [Stretch("wait" if waits else "queue", row["created_at"], first or end)]
    if first is not None and last is not None:
        parts += [Stretch("again", first, last), Stretch("bad" if row["status"] in _BAD else "run", last, end)]
    elif row["status"] in _BAD:
        parts.append(Stretch("bad", end, end))
    return Lane("action", row["id"], row, f"/actions/{row['id']}", _real(parts, keep="bad"))


def _child(row: Mapping[str, Any], now: datetime) -> Lane:
    end = row["child_updated_at"] if row["child_status"] in _ENDED else now
    part = Stretch("child", row["child_created_at"], max(end, row["child_created_at"]))
    return Lane("child", row["child"], row, f"/sessions/{row['child']}", (part,))


def _real(parts: Iterable[Stretch], keep: str = "") -> tuple[Stretch, ...]:
    """Those that took time; a refusal takes none and is shown all the same."""
    return tuple(p for p in parts if p.end > p.start or p.kind == keep)


def _placed(lanes: list[Lane]) -> Drawing:
    every = [s for lane in lanes for s in lane.stretches]
    if not every:
        return Drawing(tuple(lanes), (), ())
    scale = _Scale(every)
    drawn = tuple(
        Lane(lane.kind, lane.id, lane.row, lane.href, lane.stretches, tuple(_bar(s, scale) for s in lane.stretches))
        for lane in lanes
    )
    ticks = tuple((place, spent(scale.at(place))) for place in (0.0, 25.0, 50.0, 75.0, 100.0))
    longest = sorted(sorted(scale.idle, reverse=True)[:_TOLD], key=scale.idle.index)
    return Drawing(drawn, ticks, scale.gaps, tuple(spent(seconds) for seconds in longest))


def _bar(stretch: Stretch, scale: _Scale) -> Bar:
    x, end = scale.place(stretch.start), scale.place(stretch.end)
    why = f" for {stretch.why}" if stretch.why else ""
    return Bar(stretch.kind, x, max(end - x, 0.3), f"{_WORDS[stretch.kind]}{why}, {spent(stretch.seconds)}")


class _Scale:
    """Moments to places: even where something ran, shortened where nothing did."""

    def __init__(self, every: Sequence[Stretch]) -> None:
        self._zero = min(s.start for s in every)
        self._end = self._since(max(s.end for s in every))
        busy = _merged((self._since(s.start), self._since(s.end)) for s in every if s.kind in {"run", "bad"})
        knots = sorted({0.0, max(self._end, 0.001), *(edge for piece in busy for edge in piece)})
        pieces = list(pairwise(knots))
        begins = {start for start, _ in busy}  # the knots are the edges of what is busy, so a piece is busy or idle
        idle = {(a, b) for a, b in pieces if a not in begins}
        ran = sum(y - x for x, y in busy)
        most = ran * _SHARE / len(idle) if idle and ran else float("inf")
        most = max(most, min(_SHORT, ran))
        widths = [min(b - a, most) if (a, b) in idle else b - a for a, b in pieces]
        whole = sum(widths) or 1.0
        self._knots: list[tuple[float, float]] = [(0.0, 0.0)]
        for (_, end), width in zip(pieces, widths, strict=True):
            self._knots.append((end, self._knots[-1][1] + 100 * width / whole))
        self.gaps = tuple(
            Bar("gap", x, y - x, f"nothing ran for {spent(b - a)}; drawn shorter")
            for (a, b), (_, x), (_, y) in zip(pieces, self._knots, self._knots[1:], strict=False)
            if (a, b) in idle and b - a > most
        )
        self.idle = [b - a for a, b in pieces if (a, b) in idle and b - a > most]

    def place(self, moment: datetime) -> float:
        """Percent of the width."""
        return round(_between(self._knots, self._since(moment)), 3)

    def at(self, place: float) -> float:
        """Seconds after the beginning."""
        return _between([(x, t) for t, x in self._knots], place)

    def _since(self, moment: datetime) -> float:
        return (moment - self._zero).total_seconds()


def _merged(pieces: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for start, end in sorted(p for p in pieces if p[1] > p[0]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _between(knots: Sequence[tuple[float, float]], value: float) -> float:
    """Where a value lies on the line through the knots."""
    right = min(max(bisect_left(knots, value, key=itemgetter(0)), 1), len(knots) - 1)
    (a, x), (b, y) = knots[right - 1], knots[right]
    return x + (y - x) * (min(value, b) - a) / (b - a) if b > a else x
