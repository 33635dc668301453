"""Suspending an agent and taking it back into service."""

from __future__ import annotations

from remit.errors import Conflict
from remit.storage import bundles, stops
from remit.storage.sessions import Db


def set_suspended(db: Db, agent: str, *, suspended: bool, by: str, reason: str) -> None:
    """Let an agent do nothing any more, or let it go on; `by` is a person's id. Raises Conflict if it is so already."""
    stops.lock_governance(db)
    if (agent in bundles.governance(db).suspended) == suspended:
        raise Conflict(f"{agent} is {'suspended already' if suspended else 'not suspended'}")
    bundles.suspend(db, agent, suspended=suspended, by=by, reason=reason)
