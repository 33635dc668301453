"""Identifiers tell when they were made, and an action's when its turn was asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from remit.domain import ids


def test_an_id_tells_its_moment() -> None:
    at = datetime(2026, 11, 21, 9, 30, 15, 123_000, tzinfo=UTC)
    turn = ids.new_id("turn", milliseconds=round(at.timestamp() * 1_000))
    assert ids.moment(turn) == at
    assert ids.moment(ids.action_id(turn, "m1.t1")) == at


def test_what_is_no_id_has_none() -> None:
    with pytest.raises(ValueError, match="not found"):
        ids.moment("turn_UUUUUUUUUU")
