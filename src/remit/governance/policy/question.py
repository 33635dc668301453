"""What policy is asked: who wants to do what, with which arguments, and how things stand."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from remit.domain.agents import AutonomyLevel
from remit.domain.budgets import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyQuestion:
    """One action as policy sees it. The gate fills it from its snapshot; nothing in it comes from the agent but `args`.

    `args` is canonical and holds the action type's defaults. For a model request it holds `model`, the model's name,
    besides what identifies the request.
    """

    agent: str
    person: str | None
    """On whose behalf the agent works now."""
    assisted: bool
    """True: the permit must hold for the agent and for the person."""
    action: str
    args: dict[str, Any]
    autonomy: AutonomyLevel
    """The level that this agent has earned for this action type."""
    labels: frozenset[str]
    """What the session has touched so far."""
    usd_micros: int
    """Spent and reserved by this session so far, as are `tokens` and `calls`."""
    tokens: int
    calls: int
    workspace: str
    workflow: str
    """Empty where the agent works in none."""
    trigger: str
    today: Usage | None = None
    """Spent and reserved by this agent today (UTC). None: not known; an action whose policies read it is refused."""
    moved_today: Decimal | None = None
    """Money that this action type has moved today, in the currency of this call. None: as for `today`."""
