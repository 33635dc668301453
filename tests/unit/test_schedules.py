"""Times of schedules: daylight saving in both directions, what is missed, and how much is made up for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.domain.triggers import ScheduleTrigger
from remit.runtime.triggers.schedules import MOST, MOST_MISSED, Due, Wanted, between, due, following, last_before, times

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca")
CRONS = ("30 2 * * *", "*/20 * * * *", "0 9 * * 1-5", "15 0,1,2,3 * * *", "0 0 1 * *", "5 */3 * * *", "30 1 * * 0")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def clock(cron: str, zone: str = "UTC", **more: Any) -> Wanted:
    schedule = ScheduleTrigger(kind="schedule", agent="clerk", cron=cron, time_zone=zone, **more)
    return Wanted("t", schedule, None, zone)


def local(cron: str, zone: str, after: str, count: int) -> list[str]:
    return [t.strftime("%d %H:%M") for t in islice(times(cron, zone, at(after)), count)]


def test_a_time_that_does_not_exist_is_due_at_the_first_that_does() -> None:
    assert local("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2) == ["29 01:00", "30 00:30"]
    assert local("30 2 * * *", "America/New_York", "2026-03-08T05:00", 2) == ["08 07:00", "09 06:30"]


def test_a_time_that_comes_twice_is_due_once() -> None:
    assert local("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2) == ["25 00:30", "26 01:30"]
    # asked from within the second coming of the hour
    assert local("45 2 * * *", "Europe/Berlin", "2026-10-25T01:10", 1) == ["26 01:45"]


def test_by_the_minute_it_runs_through_both_hours() -> None:
    assert local("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:59", 6) == [
        "25 00:00", "25 00:30", "25 01:00", "25 01:30", "25 02:00", "25 02:30"
    ]  # fmt: skip


@given(
    st.sampled_from(CRONS),
    st.sampled_from(ZONES),
    st.integers(0, 3 * 366 * 86_400).map(lambda seconds: at("2025-01-01T00:00") + timedelta(seconds=seconds)),
    st.timedeltas(timedelta(0), timedelta(days=3)),
)
def test_asking_in_pieces_gives_the_same_times(cron: str, zone: str, start: datetime, length: timedelta) -> None:
    """Whenever a clock is asked, and from wherever, it goes through the same times, each once and in order."""
    first = following(cron, zone, start)
    end = first + length
    whole = list(between(cron, zone, first, end))
    pieces, now = [first], first
    while (now := following(cron, zone, now)) <= end:
        pieces.append(now)
    assert whole == pieces == sorted(set(whole))
    for moment in islice(whole, 1, None, max(1, len(whole) // 5)):
        assert last_before(cron, zone, first, moment) == max(t for t in whole if t < moment)


def test_what_is_in_time_is_fired_whatever_is_said_of_missed() -> None:
    for missed in ("skip", "once", "all"):
        found = due(clock("*/2 * * * *", missed=missed), at("2026-03-02T09:00"), at("2026-03-02T09:04:30"), None)
        assert found == Due((at("2026-03-02T09:00"), at("2026-03-02T09:02"), at("2026-03-02T09:04")), None,
                            at("2026-03-02T09:06"))  # fmt: skip


@pytest.mark.parametrize(
    ("missed", "fire", "left_out"),
    [
        ("skip", [], ("09:00", "09:20")),
        ("once", ["09:20"], ("09:00", "09:10")),
        ("all", ["09:00", "09:10", "09:20"], ()),
    ],
)
def test_what_was_missed(missed: str, fire: list[str], left_out: tuple[str, ...]) -> None:
    found = due(clock("*/10 * * * *", missed=missed), at("2026-03-02T09:00"), at("2026-03-02T09:26"), None)
    assert [t.strftime("%H:%M") for t in found.fire] == fire
    assert tuple(t.strftime("%H:%M") for t in found.left_out or ()) == left_out
    assert found.next_at == at("2026-03-02T09:30")


def test_years_of_missed_minutes_are_not_all_made_up_for() -> None:
    now, first = at("2031-01-01T00:00:30"), at("2026-01-01T00:00")
    one = clock("* * * * *", missed="all")
    found, total = due(one, first, now, None), 0
    assert found.left_out == (first, now.replace(second=0) - timedelta(minutes=MOST_MISSED))
    while True:
        total += len(found.fire)
        assert len(found.fire) <= MOST
        if found.next_at > now:
            break
        found = due(one, found.next_at, now, None)
        assert found.left_out is None
    assert total == MOST_MISSED
    assert found.next_at == at("2031-01-01T00:01")


def test_years_are_skipped_quickly() -> None:
    found = due(clock("* * * * *"), at("2001-01-01T00:00"), at("2031-01-01T00:10:30"), at("2031-01-01T00:10:10"))
    assert found.fire == (at("2031-01-01T00:10"),)
    assert found.left_out == (at("2001-01-01T00:00"), at("2031-01-01T00:09"))
