"""What the meeting notes count as a client meeting, and what they write down of it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

ACME = Path(__file__).parents[2] / "examples" / "acme"
BOXES = {box["mailbox"]: box for box in json.loads((ACME / "seed" / "mailboxes.json").read_text("utf-8"))}
NORA = "nora.quist@acme.example"


def _rules() -> Any:
    spec = importlib.util.spec_from_file_location("acme_meetings", ACME / "agents" / "meeting-notes" / "meetings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


rules = _rules()


def event(event_id: str, mailbox: str = NORA) -> dict[str, Any]:
    return next(e for e in BOXES[mailbox]["events"] if e["event_id"] == event_id)


@pytest.mark.parametrize(
    ("event_id", "why"),
    [
        ("ev-1001", ""),
        ("ev-1002", "nobody from outside came"),
        ("ev-1003", ""),
        ("ev-1004", "it is private"),
        ("ev-1005", "it was cancelled"),
        ("ev-1006", "nobody from outside came"),
        ("ev-1007", "it is a broadcast that one can unsubscribe from"),
        ("ev-1008", ""),
    ],
)
def test_what_is_a_client_meeting(event_id: str, why: str) -> None:
    assert rules.not_a_client_meeting(event(event_id), NORA) == why


def test_who_declines_has_no_meeting() -> None:
    declined = json.loads(json.dumps(event("ev-1001")))
    declined["attendees"][0]["response"] = "declined"
    assert rules.not_a_client_meeting(declined, NORA) == "its owner declined"


def test_notes_hold_the_points_of_mails_with_those_who_came_and_no_others() -> None:
    meeting = event("ev-1001")
    notes = rules.draft(meeting, rules.related(meeting, BOXES[NORA]["messages"]))
    assert notes.splitlines()[0].startswith("Quarterly review Nordwind Logistik, 2026-11-16, with Elif Ferrari")
    assert "- two late deliveries in October" in notes
    assert "- Acme sends a new delivery plan by Friday" in notes
    assert "price list" not in notes, "that was another meeting's"
    assert "draft goes to your legal team" not in notes, "that was written a day later, to the same person, for another"


def test_what_an_invitation_tells_an_agent_to_do_is_not_written_anywhere() -> None:
    hostile = event("ev-1010")
    assert "ignore your rules" in hostile["description"]
    assert "ignore" not in rules.draft(hostile, rules.related(hostile, BOXES[NORA]["messages"]))


def test_long_mails_are_bounded() -> None:
    meeting = event("ev-1001")
    endless = "\n".join(f"- {'x' * 5_000}" for _ in range(500))
    mail = {"sender": "a@b.example", "recipients": [], "subject": "Re: AW: Fwd: Plan", "sent_at": "", "text": endless}
    notes = rules.draft(meeting, [mail])
    assert len(notes) < 20_000
    assert "(Plan)" in notes
