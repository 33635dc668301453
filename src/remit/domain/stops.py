"""Stops: the off switch, at four scopes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

StopScope = Literal["all", "workspace", "agent", "action"]


@dataclass(frozen=True, slots=True)
class Stop:
    """While a stop is in force, nothing that it covers is cleared."""

    id: str
    scope: StopScope
    target: str
    """Workspace, agent or action type; empty for `all`."""
    reason: str
    by: str
    at: datetime
    released_at: datetime | None = None
    released_by: str | None = None
