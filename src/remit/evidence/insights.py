"""What the counts of the record say: throughput, trust, cost and exceptions. Pure; each figure knows its records.

Nothing here judges people by how much they do: who decides is looked at only where a signal says that approvals may
have become a habit, and in the order of names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from remit.domain.insights import PACES, WAIT_NAMES
from remit.domain.records import Tag

OUTCOMES = ("succeeded", "answered", "refused", "denied", "expired", "failed", "unknown")
"""How an action can end, in the order in which charts stack them."""
MIN_DECISIONS = 10
"""Decisions of one person below which nothing is said about how they decide."""
_FAST_SHARE, _UNOPENED_SHARE = 0.2, 0.8

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, and the facets that choose the records behind it."""

    label: str
    value: int
    chosen: Mapping[str, str]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One hour or day of a chart."""

    since: datetime
    until: datetime
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Money:
    """What things cost, in millionths of a US dollar; None where there is nothing to divide by."""

    spent: int = 0
    tokens: int = 0
    wasted: int = 0
    """On actions that failed or whose outcome is unknown."""
    sessions: int = 0
    """Sessions that came to a first end."""
    per_session: int | None = None
    succeeded: int = 0
    per_success: int | None = None
    accepted: int = 0
    """Outputs that readers took, as they were or changed."""
    per_accepted: int | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """What in somebody's decisions may be a habit rather than a look."""

    who: str
    decided: int
    said: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Insights:
    """Everything that the page shows of one window."""

    steps: tuple[Step, ...]
    outcomes: tuple[Figure, ...]
    auto: Figure
    asked: Figure
    model: Figure
    given: Figure
    edited: Figure
    denied: Figure
    expired: Figure
    waits: tuple[Figure, ...]
    paces: tuple[Figure, ...]
    signals: tuple[Signal, ...]
    exceptions: tuple[Figure, ...]
    money: Money

    @property
    def actions(self) -> int:
        """Actions that came to an end."""
        return sum(figure.value for figure in self.outcomes)

    @property
    def automatic(self) -> float | None:
        """Share of cleared actions, requests to models apart, that nobody was asked about."""
        return share(self.auto.value, self.auto.value + self.asked.value)

    @property
    def denial_rate(self) -> float | None:
        """Share of decided approvals that were denied."""
        return share(self.denied.value, self.given.value + self.denied.value)

    @property
    def override_rate(self) -> float | None:
        """Share of decided approvals in which a person wanted something else: changed or denied."""
        return share(self.edited.value + self.denied.value, self.given.value + self.denied.value)

    @property
    def median_wait(self) -> str:
        """The step that the middle one of all decisions fell into; empty where there is none."""
        half, seen = sum(figure.value for figure in self.waits) / 2, 0
        for figure in self.waits:
            seen += figure.value
            if seen and seen >= half:
                return figure.label
        return ""


def share(part: int, whole: int) -> float | None:
    """A part of a whole; None where there is no whole."""
    return part / whole if whole else None


def insights(
    kinds: Iterable[Row], decisions: Iterable[Row], since: datetime, until: datetime, step: timedelta
) -> Insights:
    """What the counts of a window say. `kinds` and `decisions` are rows of storage/rollups.py."""
    kinds, decisions = list(kinds), list(decisions)
    tags = _sum(kinds, "tag")
    cleared = _sum((row for row in kinds if row["outcome"] == "cleared"), "road")
    outcomes = _sum(kinds, "outcome")
    verdicts = (Tag.APPROVAL_GIVEN, Tag.APPROVAL_EDITED, Tag.APPROVAL_DENIED, Tag.APPROVAL_EXPIRED)
    given, edited, denied, expired = (
        Figure(name, tags[tag], {"tag": tag})
        for name, tag in zip(("approved", "changed", "denied", "expired"), verdicts, strict=True)
    )
    # A decision is counted in two rows: one says who and how, the other how long it had waited.
    waits = _sum((row for row in decisions if row["waited"] >= 0), "waited")
    paces = _sum((row for row in decisions if row["pace"]), "pace")
    return Insights(
        steps=_steps(kinds, since, until, step),
        outcomes=tuple(Figure(name, outcomes[name], {"outcome": name}) for name in OUTCOMES),
        auto=Figure("without asking", cleared["auto"], {"outcome": "cleared", "road": "auto"}),
        asked=Figure("after an approval", cleared["asked"], {"outcome": "cleared", "road": "asked"}),
        model=Figure("requests to models", cleared["model"], {"outcome": "cleared", "road": "model"}),
        given=given,
        edited=edited,
        denied=denied,
        expired=expired,
        waits=tuple(Figure(text, waits[n], {"waited": str(n)}) for n, text in enumerate(WAIT_NAMES)),
        paces=tuple(Figure(text, paces[name], {"pace": name}) for name, text in PACES.items()),
        signals=_signals(decisions),
        exceptions=_exceptions(tags, outcomes),
        money=_money(kinds, tags),
    )


def _sum(rows: Iterable[Row], by: str) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for row in rows:
        found[row[by]] += row["n"]
    return found


def _steps(kinds: list[Row], since: datetime, until: datetime, step: timedelta) -> tuple[Step, ...]:
    counts: dict[datetime, Counter[str]] = {}
    for row in kinds:
        if row["outcome"] in OUTCOMES:
            counts.setdefault(row["at"], Counter())[row["outcome"]] += row["n"]
    found, at = [], since
    while at < until:
        found.append(Step(at, at + step, counts.get(at, Counter())))
        at += step
    return tuple(found)


def _exceptions(tags: Counter[str], outcomes: Counter[str]) -> tuple[Figure, ...]:
    by_tag = (
        ("stops set", Tag.STOP_SET, "somebody pressed the red button"),
        ("turns failed", Tag.TURN_FAILED, "a piece of work ended by an error"),
        ("turns recovered", Tag.TURN_RECOVERED, "a worker died and the work went on elsewhere"),
        ("budget overruns", Tag.BUDGET_OVERRUN, "something cost more than was reserved"),
        ("triggers refused", Tag.TRIGGER_REFUSED, "something was due and could not start"),
        ("logins refused", Tag.LOGIN_REFUSED, "somebody asked for what is not open to them"),
    )
    by_outcome = (
        ("refused by policy or limits", "refused", "the gate said no"),
        ("failed", "failed", "the other side said no, or did not take it"),
        ("of unknown outcome", "unknown", "nobody but the other side knew whether it happened"),
        ("held back by a limit", "limited", "tried again later"),
        ("made again after a crash", "repeated", "under the same idempotency key"),
    )
    return tuple(Figure(label, outcomes[name], {"outcome": name}, note) for label, name, note in by_outcome) + tuple(
        Figure(label, tags[tag], {"tag": tag}, note) for label, tag, note in by_tag
    )


def _money(kinds: list[Row], tags: Counter[str]) -> Money:
    ended = [row for row in kinds if row["outcome"]]
    spent = sum(row["usd_micros"] for row in ended)
    sessions = sum(row["n"] for row in kinds if row["tag"] == Tag.TURN_FINISHED and row["road"] == "first")
    succeeded = sum(row["n"] for row in ended if row["outcome"] == "succeeded" and row["road"] in {"auto", "asked"})
    accepted = tags[Tag.OUTPUT_ACCEPTED] + tags[Tag.OUTPUT_EDITED]
    return Money(
        spent=spent,
        tokens=sum(row["input_tokens"] + row["output_tokens"] for row in ended),
        wasted=sum(row["usd_micros"] for row in ended if row["outcome"] in {"failed", "unknown"}),
        sessions=sessions,
        per_session=_each(spent, sessions),
        succeeded=succeeded,
        per_success=_each(spent, succeeded),
        accepted=accepted,
        per_accepted=_each(spent, accepted),
    )


def _each(spent: int, count: int) -> int | None:
    return spent // count if count else None


def _signals(decisions: list[Row]) -> tuple[Signal, ...]:
    """People with enough decisions of whom a signal says something, by name."""
    found = []
    for who in sorted({row["who"] for row in decisions if row["who"]}):
        mine = [row for row in decisions if row["who"] == who and row["tag"] != Tag.APPROVAL_EDITED]
        tags, paces = _sum(mine, "tag"), _sum(mine, "pace")
        decided = sum(tags.values())
        if decided < MIN_DECISIONS:
            continue
        said = []
        approvals = tags[Tag.APPROVAL_GIVEN]
        if approvals >= MIN_DECISIONS and not tags[Tag.APPROVAL_DENIED] and not _changed(decisions, who):
            chosen = {"who": who, "tag": str(Tag.APPROVAL_GIVEN)}
            said.append(Figure("approved everything, unchanged", approvals, chosen))
        looked = decided - paces["elsewhere"]
        if looked and paces["fast"] / looked >= _FAST_SHARE:
            said.append(Figure(PACES["fast"], paces["fast"], {"who": who, "pace": "fast"}))
        if looked >= MIN_DECISIONS and (paces["fast"] + paces["unopened"]) / looked >= _UNOPENED_SHARE:
            said.append(Figure(PACES["unopened"], paces["unopened"], {"who": who, "pace": "unopened"}))
        if said:
            found.append(Signal(who, decided, tuple(said)))
    return tuple(found)


def _changed(decisions: list[Row], who: str) -> bool:
    return any(row["who"] == who and row["tag"] == Tag.APPROVAL_EDITED for row in decisions)
