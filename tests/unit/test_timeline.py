"""The arithmetic of a session's timeline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.surfaces.web.timeline import draw, spent

ZERO = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else ZERO + timedelta(seconds=seconds)


def turn(**more: Any) -> dict[str, Any]:
    times = {"created_at": at(0), "started_at": at(1), "finished_at": at(11)}
    return {"id": "turn_1", "session_id": "ses_1", "status": "finished", "waiting_for": "", **times, **more}


def action(begun: float, cleared: float | None, settled: float | None, **more: Any) -> dict[str, Any]:
    row = {"id": "act_1", "turn_id": "turn_1", "status": "succeeded", "mode": "tool", "item_id": None, "child": None}
    times = {"created_at": at(begun), "first_cleared_at": at(cleared), "cleared_at": at(cleared)}
    return {**row, **times, "settled_at": at(settled), **more}


def parts(lane: Any) -> list[tuple[str, float]]:
    return [(s.kind, s.seconds) for s in lane.stretches]


def drawing(turns: list[Any], waits: Any = (), actions: Any = (), now: float = 100) -> Any:
    return draw(turns, waits, actions, ZERO + timedelta(seconds=now), lambda workspace: workspace == "shop")


def test_a_turn_is_queued_then_runs_and_waits_in_between():
    wait = {"turn_id": "turn_1", "why": "approval", "since": at(3), "ready_at": at(8), "until": at(9)}
    (lane,) = drawing([turn()], [wait]).lanes
    assert parts(lane) == [("queue", 1), ("run", 2), ("wait", 5), ("queue", 1), ("run", 2)]
    assert lane.told == "queued 1.0 s, ran 2.0 s, waited 5.0 s, queued 1.0 s, ran 2.0 s"


def test_what_is_under_way_reaches_until_now():
    waiting = turn(finished_at=None, status="waiting", waiting_for="approval")
    wait = {"turn_id": "turn_1", "why": "approval", "since": at(3), "ready_at": None, "until": None}
    (lane,) = drawing([waiting], [wait]).lanes
    assert parts(lane) == [("queue", 1), ("run", 2), ("wait", 97)]
    (lane,) = drawing([turn(started_at=None, finished_at=None, status="queued")]).lanes
    assert parts(lane) == [("queue", 100)]


def test_actions_wait_are_tried_again_and_are_refused():
    tried = action(1, 2, 6, cleared_at=at(5))
    assert parts(drawing([turn()], (), [tried]).lanes[1]) == [("queue", 1), ("again", 3), ("run", 1)]
    asked = action(1, 3, 4, item_id="itm_1")
    assert parts(drawing([turn()], (), [asked]).lanes[1]) == [("wait", 2), ("run", 1)]
    refused = action(2, None, 2, status="refused")
    assert parts(drawing([turn()], (), [refused]).lanes[1]) == [("bad", 0)]
    assert parts(drawing([turn()], (), [action(1, 1, None, status="cleared")], now=4).lanes[1]) == [("run", 3)]


@pytest.mark.parametrize(("workspace", "lanes"), [("shop", 3), ("vault", 2)])
def test_delegated_sessions_are_shown_to_who_sees_them(workspace: str, lanes: int):
    child = {"child": "ses_2", "child_workspace": workspace, "child_agent": "hand", "child_status": "finished"}
    given = action(1, 1, 2, **child, child_created_at=at(2), child_updated_at=at(5))
    assert len(drawing([turn()], (), [given]).lanes) == lanes


def test_days_of_waiting_leave_room_for_seconds_of_work():
    wait = {"turn_id": "turn_1", "why": "approval", "since": at(3), "ready_at": None, "until": at(300_000)}
    drawn = drawing([turn(finished_at=at(300_008))], [wait], now=300_010)
    (gap,) = drawn.gaps
    assert gap.width < 50
    assert drawn.longest == ("3 d 11 h",)
    assert drawn.ticks[-1][1] == "3 d 11 h"


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6)), max_size=20))
def test_bars_stay_inside_and_keep_their_order(times: list[tuple[float, float, float]]):
    actions = [action(*sorted(three)) for three in times]
    drawn = drawing([turn(finished_at=at(1e6 + 1))], (), actions, now=2e6)
    for lane in drawn.lanes:
        places = [bar.x for bar in lane.bars]
        assert places == sorted(places)
        assert all(0 <= bar.x <= 100 and bar.x + bar.width <= 100.5 for bar in lane.bars)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, ""),
        (-1, "0 ms"),
        (0.0123, "12 ms"),
        (1.25, "1.2 s"),
        (61, "1 min 1 s"),
        (3_700, "1 h 1 min"),
        (9e4, "1 d 1 h"),
    ],
)
def test_durations_are_said_in_two_units(seconds: float | None, said: str):
    assert spent(seconds) == said


def test_nothing_is_drawn_of_nothing():
    assert drawing([]).lanes == ()
