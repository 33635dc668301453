"""Taking back what a session did: what can be taken back, what cannot and why, before anything is done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from remit.domain.actions import Effect as Kind
from remit.domain.sessions import Session, SessionStatus
from remit.errors import Conflict
from remit.governance.state import Governance
from remit.storage import undos
from remit.storage.sessions import Db
from remit.storage.undos import AskedBack

MOST = 500
"""Most actions of a session that are asked back in one transaction."""
_UNDER_WAY = {"queued", "running", "waiting"}


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that a session has changed, or may have."""

    id: str
    action: str
    """Its action type."""
    status: str
    at: datetime
    """When it was asked for."""
    undo: Literal["can", "asked", "done", "irreversible", "unsettled"]
    """`can`: it can be taken back. `asked`: that was asked for and is under way. `done`: it was taken back."""
    why: str = ""
    """Why it cannot be taken back; of one that can, why that failed the last time."""
    by: str = ""
    """The tool that takes it back."""
    turn: str | None = None
    """The turn that takes it back."""
    undone_by: str | None = None
    """The action that took it back."""


@dataclass(frozen=True, slots=True)
class Takeback:
    """Everything that a session did to the world, newest first."""

    session: str
    effects: tuple[Effect, ...]

    @property
    def possible(self) -> tuple[Effect, ...]:
        """What can be taken back."""
        return tuple(effect for effect in self.effects if effect.undo == "can")

    @property
    def impossible(self) -> tuple[Effect, ...]:
        """What cannot."""
        return tuple(effect for effect in self.effects if effect.undo in {"irreversible", "unsettled"})

    @property
    def under_way(self) -> tuple[Effect, ...]:
        """What is being taken back."""
        return tuple(effect for effect in self.effects if effect.undo == "asked")

    @property
    def done(self) -> tuple[Effect, ...]:
        """What was taken back."""
        return tuple(effect for effect in self.effects if effect.undo == "done")


def plan(db: Db, governance: Governance, session_id: str) -> Takeback:
    """What there is to take back of a session. What it has delegated is not its own."""
    harmless = [name for name, kind in governance.project.actions.items() if kind.effect is not Kind.WRITE]
    asked = undos.asked(db, session_id)
    rows = undos.effects(db, session_id, harmless)
    return Takeback(session_id, tuple(_effect(governance, row, asked.get(row["id"])) for row in rows))


def check_open(session: Session) -> None:
    """Raise Conflict for a session that was ended for good: no turn runs in it any more, also none that takes back."""
    if session.status is SessionStatus.CANCELLED:
        raise Conflict(
            f"{session.id} was ended for good, and nothing can be done in it any more",
            advice="Mend it in the other systems by hand.",
        )


def _effect(governance: Governance, row: dict[str, Any], asked: AskedBack | None) -> Effect:
    kind = governance.action_type(row["action"])
    found = Effect(row["id"], row["action"], row["status"], row["created_at"], "can")
    turn = asked.turn if asked is not None else None
    if row["undone_by"] is not None:
        return _as(found, "done", turn=turn, undone_by=row["undone_by"])
    if kind is None:
        return _as(found, "irreversible", "no file classifies its action type any more")
    if kind.undo is None:
        return _as(found, "irreversible", "its action type declares no undo")
    if row["status"] != "succeeded":
        why = "nobody knows whether it happened" if row["status"] == "unknown" else "it is on its way"
        return _as(found, "unsettled", why)
    if asked is not None and asked.status in _UNDER_WAY:
        return _as(found, "asked", by=kind.undo.tool, turn=turn)
    why = f"the last time it failed: {asked.error}" if asked is not None and asked.error else ""
    return _as(found, "can", why, by=kind.undo.tool)


def _as(found: Effect, undo: Any, why: str = "", **more: Any) -> Effect:
    return Effect(found.id, found.action, found.status, found.at, undo, why, **more)
