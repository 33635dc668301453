"""Inbox items: what needs a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class ItemKind(StrEnum):
    """Why a person is asked."""

    APPROVAL = "approval"
    """May this action go ahead?"""
    QUESTION = "question"
    """An agent asks something."""
    RECONCILIATION = "reconciliation"
    """Did this action happen? Nobody but the other side knows."""
    ATTENTION = "attention"
    """Something stopped: a loop, a budget, a turn that keeps failing."""
    IDEA = "idea"
    """Somebody would like to see something; the agent's owner takes it up or declines it."""


class ItemStatus(StrEnum):
    """Where an item stands."""

    OPEN = "open"
    DECIDED = "decided"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class InboxItem:
    """One thing that a person is asked for."""

    id: str
    kind: ItemKind
    status: ItemStatus
    session_id: str
    """Empty for an idea that came from no session."""
    turn_id: str | None
    action_id: str | None
    workspace: str
    summary: str
    """The request in a sentence."""
    roles: tuple[str, ...]
    """Roles of which each must answer; for an approval each by another person."""
    assignees: tuple[str, ...]
    """People who may answer now; grows when the item escalates."""
    created_at: datetime
    escalate_at: datetime | None
    expires_at: datetime | None
    escalations: int
    detail: dict[str, Any] = field(default_factory=dict)
    decision: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's yes to one action, for one role, bound to its arguments and to the policies that asked for it."""

    action_id: str
    role: str
    person: str
    args_digest: str
    determining: str
    expires_at: datetime
    used: bool
