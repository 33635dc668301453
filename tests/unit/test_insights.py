"""What the counts of the record say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from remit.domain.insights import WAIT_NAMES, WAITS, wait_step
from remit.domain.records import Tag
from remit.evidence.insights import Insights, insights

SINCE, DAY = datetime(2026, 11, 1, tzinfo=UTC), timedelta(days=1)
UNTIL = SINCE + 3 * DAY


def kind(
    outcome: str = "", n: int = 1, *, tag: str = "", road: str = "auto", usd: int = 0, day: int = 0
) -> dict[str, Any]:
    return {
        "at": SINCE + day * DAY,
        "tag": tag,
        "outcome": outcome,
        "road": road,
        "n": n,
        "usd_micros": usd,
        "input_tokens": 10 * n,
        "output_tokens": n,
    }


def decided(who: str, n: int, *, tag: Tag = Tag.APPROVAL_GIVEN, pace: str = "read") -> dict[str, Any]:
    return {"who": who, "tag": tag, "pace": pace, "waited": -1, "n": n}


def waited(step: int, n: int) -> dict[str, Any]:
    return {"who": "", "tag": "", "pace": "", "waited": step, "n": n}


def read(kinds: list[dict[str, Any]] | None = None, decisions: list[dict[str, Any]] | None = None) -> Insights:
    return insights(kinds or [], decisions or [], SINCE, UNTIL, DAY)


def test_nothing_happened() -> None:
    found = read()
    assert found.actions == 0
    assert (found.automatic, found.denial_rate, found.override_rate, found.median_wait) == (None, None, None, "")
    assert found.money.per_session is None
    assert [step.total for step in found.steps] == [0, 0, 0]
    assert found.signals == ()


def test_steps_have_no_holes_and_count_only_ends() -> None:
    found = read([kind("succeeded", 4, day=0), kind("failed", 1, day=2), kind("cleared", 9, day=1)])
    assert [dict(step.counts) for step in found.steps] == [{"succeeded": 4}, {}, {"failed": 1}]
    assert found.actions == 5
    assert [f.chosen for f in found.outcomes if f.value] == [{"outcome": "succeeded"}, {"outcome": "failed"}]


def test_auto_against_asked_leaves_models_apart() -> None:
    found = read([kind("cleared", 6), kind("cleared", 2, road="asked"), kind("cleared", 100, road="model")])
    assert found.automatic == 0.75
    assert found.model.value == 100


def test_rates_of_denials_and_overrides() -> None:
    tags = ((Tag.APPROVAL_GIVEN, 8), (Tag.APPROVAL_EDITED, 1), (Tag.APPROVAL_DENIED, 2), (Tag.APPROVAL_EXPIRED, 5))
    found = read([kind(n=n, tag=tag) for tag, n in tags])
    assert found.denial_rate == 0.2
    assert found.override_rate == pytest.approx(0.3)
    assert found.expired.value == 5


def test_the_median_wait_is_the_step_of_the_middle_decision() -> None:
    assert read(decisions=[waited(0, 1), waited(3, 1), waited(5, 3)]).median_wait == "4 to 24 h"
    assert read(decisions=[waited(2, 3), waited(7, 3)]).median_wait == "1 to 10 min"


def test_waiting_steps_meet_without_a_gap() -> None:
    assert len(WAIT_NAMES) == len(WAITS) + 1
    assert [wait_step(s) for s in (0, 9.99, 10, 60, 86_399, 604_800)] == [0, 0, 1, 2, 5, 7]


def test_cost_is_divided_by_what_came_of_it() -> None:
    found = read(
        [
            kind("succeeded", 2, usd=3_000_000),
            kind("succeeded", 10, road="model", usd=1_000_000),
            kind("failed", 1, usd=500_000),
            kind(n=3, tag=Tag.TURN_FINISHED, road="first"),
            kind(n=9, tag=Tag.TURN_FINISHED, road=""),
            kind(n=2, tag=Tag.OUTPUT_ACCEPTED),
        ]
    ).money
    assert (found.spent, found.wasted) == (4_500_000, 500_000)
    assert (found.sessions, found.per_session) == (3, 1_500_000)
    assert (found.succeeded, found.per_success) == (2, 2_250_000)
    assert found.per_accepted == 2_250_000
    assert found.tokens == 13 * 11


def test_a_signal_needs_enough_decisions() -> None:
    assert read(decisions=[decided("bo", 9, pace="fast")]).signals == ()
    (signal,) = read(decisions=[decided("bo", 10, pace="fast")]).signals
    assert [f.label for f in signal.said] == [
        "approved everything, unchanged",
        "decided faster than it can be read",
        "decided without opening the details",
    ]
    assert signal.said[0].chosen == {"who": "bo", "tag": "person:approval:given"}


def test_one_denial_or_change_ends_the_run_of_approvals() -> None:
    for tag in (Tag.APPROVAL_DENIED, Tag.APPROVAL_EDITED):
        assert read(decisions=[decided("bo", 50), decided("bo", 1, tag=tag)]).signals == ()


def test_people_are_listed_by_name_and_not_by_how_much_they_do() -> None:
    rows = [
        decided("zoe", 900, pace="fast"),
        decided("amy", 10, pace="fast"),
        decided("kim", 50),
        decided("kim", 2, tag=Tag.APPROVAL_DENIED),
    ]
    assert [signal.who for signal in read(decisions=rows).signals] == ["amy", "zoe"]


def test_what_was_decided_elsewhere_is_not_called_fast() -> None:
    rows = [decided("bo", 20, pace="elsewhere"), decided("bo", 1, tag=Tag.APPROVAL_DENIED, pace="elsewhere")]
    assert read(decisions=rows).signals == ()


def test_exceptions_lead_to_their_records() -> None:
    found = {f.label: f for f in read([kind("refused", 3), kind(n=2, tag=Tag.STOP_SET)]).exceptions}
    assert found["refused by policy or limits"].value == 3
    assert (found["stops set"].value, found["stops set"].chosen) == (2, {"tag": "person:stop:set"})
