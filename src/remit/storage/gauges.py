"""How the system does, as numbers for monitoring: none of them costs more where there is more of the past."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from remit.domain.records import Tag
from remit.storage import audit_log, rollups, tallies
from remit.storage.sessions import Db

Sample = tuple[dict[str, str], float]

_ENDS = {Tag.TURN_FINISHED.value: "finished", Tag.TURN_FAILED.value: "failed", Tag.TURN_RECOVERED.value: "recovered"}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric with its samples."""

    name: str
    kind: str
    """`counter` or `gauge`."""
    help: str
    samples: Sequence[Sample]


def read(db: Db) -> list[Metric]:
    """All of them, as of now; counters as far as the record is counted."""
    ever = rollups.ever(db)
    lag = audit_log.lag(db)
    checkpoint = audit_log.latest_checkpoint(db)
    size = checkpoint.size if checkpoint is not None else 0
    behind = (datetime.now(UTC) - lag.oldest).total_seconds() if lag.oldest is not None else 0.0
    return [
        *_counters(ever),
        Metric("remit_inbox_open_items", "gauge", "Inbox items that wait for a person.", _by(db, _ITEMS, "kind")),
        Metric("remit_sessions", "gauge", "Sessions that have not ended.", _by(db, _SESSIONS, "status")),
        Metric("remit_stops_in_force", "gauge", "Stops that hold something back.", _by(db, _STOPS, "scope")),
        Metric("remit_workers_alive", "gauge", "Workers with a live lease.", [({}, _one(db, _WORKERS))]),
        Metric("remit_record_leaves", "gauge", "Records that the newest checkpoint covers.", [({}, size)]),
        Metric("remit_record_unsealed", "gauge", "Records not sealed yet, counted to 10000.", [({}, lag.records)]),
        Metric(
            "remit_record_unsealed_seconds", "gauge", "Age of the oldest record not sealed.", [({}, max(0, behind))]
        ),
        Metric(
            "remit_record_uncounted", "gauge", "Leaves not counted yet.", [({}, max(0, size - tallies.counted(db)))]
        ),
    ]


_ITEMS = "select kind as name, count(*) as n from remit.inbox_items where status = 'open' group by kind"
_SESSIONS = """select status as name, count(*) as n from remit.sessions
    where status in ('running', 'waiting', 'paused') group by status"""
_STOPS = "select scope as name, count(*) as n from remit.stops where released_at is null group by scope"
_WORKERS = "select count(*) as n from remit.executors where expires_at > clock_timestamp()"
_KNOWN = {
    "kind": ("approval", "attention", "idea", "question", "reconciliation"),
    "status": ("paused", "running", "waiting"),
    "scope": ("action", "agent", "all", "workspace"),
}


def _by(db: Db, sql: str, label: str) -> list[Sample]:
    """A gauge by one label; what is not there is 0, so that it can be told from what is not known."""
    found = {row["name"]: float(row["n"]) for row in db.execute(sql)}
    return [({label: name}, found.get(name, 0.0)) for name in _KNOWN[label]]


def _one(db: Db, sql: str) -> float:
    row = db.execute(sql).fetchone()
    return 0.0 if row is None else float(row["n"])


def _counters(ever: list[dict[str, Any]]) -> list[Metric]:
    actions: Counter[tuple[str, str, str]] = Counter()
    turns: Counter[tuple[str, str]] = Counter()
    usd: Counter[str] = Counter()
    tokens: Counter[tuple[str, str]] = Counter()
    for row in ever:
        where = row["workspace"]
        if row["outcome"]:
            actions[where, row["outcome"], row["road"]] += row["n"]
            usd[where] += row["usd_micros"]
            tokens[where, "input"] += row["input_tokens"]
            tokens[where, "output"] += row["output_tokens"]
        if row["tag"] in _ENDS:
            turns[where, _ENDS[row["tag"]]] += row["n"]
    return [
        Metric(
            "remit_actions_total",
            "counter",
            "Actions by what was decided about them or became of them; one action is counted at each step.",
            [({"workspace": w, "outcome": o, "road": r}, n) for (w, o, r), n in sorted(actions.items())],
        ),
        Metric(
            "remit_turns_total",
            "counter",
            "Turns of agents by how they went.",
            [({"workspace": w, "end": e}, n) for (w, e), n in sorted(turns.items())],
        ),
        Metric(
            "remit_spent_usd_total",
            "counter",
            "What actions cost, in US dollars.",
            [({"workspace": w}, micros / 1_000_000) for w, micros in sorted(usd.items())],
        ),
        Metric(
            "remit_tokens_total",
            "counter",
            "Tokens of language models.",
            [({"workspace": w, "direction": d}, n) for (w, d), n in sorted(tokens.items())],
        ),
    ]
