"""Audit records and their taxonomy, `source:subject:action`.

A record says who did what, to what, under which policy. It never holds contents: arguments, results and prompts
stand apart as payloads, of which a record holds salted digests, so that erasing a payload leaves the proof whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Tag(StrEnum):
    """Everything that is recorded. The value is stable; docs/reference/audit.md lists them all."""

    ACTION_CLEARED = "gate:action:cleared"
    ACTION_REFUSED = "gate:action:refused"
    ACTION_WAITING = "gate:action:waiting"
    ACTION_LIMITED = "gate:action:limited"
    ACTION_REPEATED = "gate:action:repeated"
    NOTE_KEPT = "runtime:note:kept"
    ACTION_SETTLED = "runtime:action:settled"
    ACTION_UNKNOWN = "runtime:action:unknown"
    ACTION_RECONCILED = "person:action:reconciled"
    ACTION_UNDONE = "person:action:undone"
    APPROVAL_GIVEN = "person:approval:given"
    APPROVAL_EDITED = "person:approval:edited"
    APPROVAL_DENIED = "person:approval:denied"
    APPROVAL_EXPIRED = "clock:approval:expired"
    ITEM_ESCALATED = "clock:item:escalated"
    ITEM_OPENED = "runtime:item:opened"
    ITEM_ANSWERED = "person:item:answered"
    ITEM_WITHDRAWN = "runtime:item:withdrawn"
    INFORMED_TOLD = "runtime:informed:told"
    CONSULTED_ASKED = "runtime:consulted:asked"
    SESSION_STARTED = "trigger:session:started"
    SESSION_MESSAGE = "person:session:message"
    SESSION_PAUSED = "person:session:paused"
    SESSION_RESUMED = "person:session:resumed"
    SESSION_CANCELLED = "person:session:cancelled"
    SESSION_FORKED = "person:session:forked"
    TURN_STARTED = "runtime:turn:started"
    TURN_WAITING = "runtime:turn:waiting"
    TURN_FINISHED = "runtime:turn:finished"
    TURN_FAILED = "runtime:turn:failed"
    TURN_RECOVERED = "runtime:turn:recovered"
    STOP_SET = "person:stop:set"
    STOP_RELEASED = "person:stop:released"
    BUNDLE_DEPLOYED = "person:bundle:deployed"
    BUNDLE_REFUSED = "runtime:bundle:refused"
    AGENT_SUSPENDED = "person:agent:suspended"
    AGENT_RESUMED = "person:agent:resumed"
    TOKEN_ISSUED = "person:token:issued"  # noqa: S105 - a tag, not a secret
    TOKEN_REVOKED = "person:token:revoked"  # noqa: S105 - a tag, not a secret
    PAYLOAD_ERASED = "person:payload:erased"
    AUDIT_EXPORTED = "person:audit:exported"
    BUDGET_OVERRUN = "runtime:budget:overrun"
    BUDGET_RELEASED = "person:budget:released"
    DRILL_RUN = "person:drill:run"


@dataclass(frozen=True, slots=True)
class Record:
    """One audit record as written: `body` is the exact text that the Merkle leaf covers."""

    id: int
    tag: Tag
    at: datetime
    session_id: str | None
    turn_id: str | None
    action_id: str | None
    body: dict[str, Any]
