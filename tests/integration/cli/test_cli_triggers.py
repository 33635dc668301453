"""What the command line says of triggers, and what people can do with them."""

import re

import pytest

from remit.evidence.shapes import flow as flow_shapes


@pytest.fixture
def listed(acme):
    """The triggers, by name."""
    return lambda: {t["trigger"]: t for t in acme("triggers", "--json").json}


def test_triggers_are_listed_paused_and_resumed(acme, listed):
    found = listed()
    assert {frozenset(t) for t in found.values()} == {frozenset(flow_shapes.TRIGGER)}
    watch = found["agreements"]
    assert (watch["kind"], watch["when"], watch["paused"]) == ("schedule", "30 4 * * * UTC", False)
    assert found["priorities"]["when"] == "0 9 * * 1-5 each one's own zone"
    acme("triggers", "pause", "agreements", "--reason", "a holiday")
    watch = listed()["agreements"]
    assert (watch["paused"], watch["paused_by"], watch["paused_reason"]) == (True, "person:leo.brandt", "a holiday")
    assert "paused" in acme("triggers").out
    assert "paused already" in acme.refused("triggers", "pause", "agreements", "--reason", "again")
    acme("triggers", "resume", "agreements", "--reason", "back")
    assert listed()["agreements"]["paused"] is False
    assert "not paused" in acme.refused("triggers", "resume", "agreements", "--reason", "again")
    tags = [r["tag"] for r in acme("audit", "records", "--tag", "person:trigger:", "--json").json]
    assert tags[-2:] == ["person:trigger:paused", "person:trigger:resumed"]


def test_a_trigger_is_fired_and_made_up_for_by_hand(acme, listed):
    (fired,) = acme("triggers", "fire", "agreements", "--json").json
    assert set(fired) == set(flow_shapes.FIRED)
    assert fired["status"] == "started"
    session = acme("session", "show", fired["session_id"], "--json").json
    assert (session["principal"], session["trigger"]) == ("person:leo.brandt", "agreements")
    days = ("--since", "2026-01-05", "--until", "2026-01-07T04:29+00:00", "--json")
    missing = acme("triggers", "backfill", "agreements", *days, "--dry-run").json
    assert [(m["due_at"][:16], m["status"]) for m in missing] == [
        ("2026-01-05T04:30", "missing"), ("2026-01-06T04:30", "missing")
    ]  # fmt: skip
    made = acme("triggers", "backfill", "agreements", *days).json
    assert {frozenset(m) for m in made} == {frozenset(flow_shapes.BACKFILLED)}
    assert [m["status"] for m in made] == ["started", "started"]
    assert acme("triggers", "backfill", "agreements", *days).json == []
    history = acme("triggers", "history", "agreements", "--json").json
    assert {frozenset(f) for f in history} == {frozenset(flow_shapes.FIRING)}
    assert [f["key"] for f in history[:2]] == ["2026-01-06T04:30:00Z", "2026-01-05T04:30:00Z"]
    assert listed()["agreements"]["last"] == history[0]
    assert history[0]["session_id"] in acme("triggers", "history", "agreements").out
    for made_up in (fired, *made):
        acme("session", "cancel", made_up["session_id"], "--reason", "enough", code=None)


def test_a_session_by_hand_is_given_what_the_clock_would_give(acme):
    (fired,) = acme("triggers", "fire", "meetings", "--person", "jack.doyle", "--json").json
    assert fired["status"] == "started", fired
    given = acme("session", "show", fired["session_id"], "--json").json["turns"][0]["input"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", given["before"]), given
    acme("session", "cancel", fired["session_id"], "--reason", "enough", code=None)


def test_what_cannot_be_done_is_said(acme):
    assert "Deployed triggers: agreements" in acme.refused("triggers", "history", "nothing")
    assert "'nobody'" in acme.refused("triggers", "fire", "priorities", "--person", "nobody")
    assert "ends in the past" in acme.refused(
        "triggers", "backfill", "agreements", "--since", "2026-01-01", "--until", "2999-01-01"
    )
    assert "more than 1,000" in acme.refused("triggers", "backfill", "priorities", "--since", "2001-01-01")
    acme("triggers", "backfill", "agreements", "--since", "yesterday", code=2)
