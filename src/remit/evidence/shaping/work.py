"""Sessions, turns, actions, items and forks in the shapes of the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from remit.domain.inbox import InboxItem
from remit.domain.sessions import Session
from remit.evidence.shapes import fields
from remit.evidence.shapes import sessions as more
from remit.evidence.shaping.values import usd
from remit.governance.cases import case
from remit.governance.state import Governance
from remit.storage import actions, deliveries, forks, session_lists, sessions
from remit.storage.sessions import Db

if TYPE_CHECKING:  # heavy, and not needed to list sessions
    from remit.runtime.undoing import Takeback


def summary(found: Session) -> dict[str, Any]:
    """A session as lists have it."""
    return {name: getattr(found, name) for name in fields.SESSION}


def session(db: Db, session_id: str, *, most: int | None = None, workspaces: list[str] | None = None) -> dict[str, Any]:
    """A session with what belongs to it: of each list the newest `most`, None for all. Raises NotFound.

    Sessions that came of it are those of `workspaces`; None for all of them.
    """
    found = sessions.get(db, session_id)
    used = actions.used(db, session_id)
    end: dict[str, Any] = {"limit": most, "newest": True}
    made = session_lists.children(db, session_id, workspaces=workspaces, **end)
    forked = session_lists.forks(db, session_id, workspaces=workspaces, **end)
    return {
        **summary(found),
        "turns": [turn(row) for row in session_lists.turns(db, session_id, **end)],
        "actions": [action(row) for row in session_lists.actions(db, session_id, **end)],
        "items": [item(i) for i in session_lists.items(db, session_id, **end)],
        "children": [child(row) for row in made],
        "forks": [fork.id for fork in forked],
        "inherits": list(forks.inherited_turns(db, session_id)),
        "usd": usd(used["usd_micros"]),
        "tokens": used["tokens"],
    }


def turn(row: dict[str, Any]) -> dict[str, Any]:
    """A turn."""
    return {name: row[name] for name in fields.TURN}


def child(row: dict[str, Any]) -> dict[str, Any]:
    """A session that was delegated."""
    return {name: row[name] for name in more.CHILD}


def action(row: dict[str, Any]) -> dict[str, Any]:
    """An action."""
    return {name: usd(row["usd_micros"]) if name == "usd" else row[name] for name in fields.ACTION}


def item(found: InboxItem) -> dict[str, Any]:
    """An inbox item as lists have it."""
    return {name: getattr(found, name) for name in fields.ITEM}


def item_in_full(governance: Governance, db: Db, item_id: str) -> dict[str, Any]:
    """An item with its action, the policies that asked, who answers for it, history and cost. Raises NotFound."""
    found = case(governance, db, item_id)
    shown = item(found.item) | {"told": [_told(row) for row in deliveries.of_item(db, item_id)]}
    if found.action is None:
        return shown
    return {
        **shown,
        "action": found.action,
        "args": found.args,
        "asked_args": found.asked_args,
        "policies": [{"id": p.id, "where": p.where, "text": p.text} for p in found.policies],
        "raci": found.raci,
        "risk": found.risk,
        "reversible": found.reversible,
        "history": list(found.history),
        "session_usd": usd(found.usd_micros),
    }


def undone(row: dict[str, Any], undo: str, turn: str | None) -> dict[str, Any]:
    """What became of the wish to take an action back."""
    return {
        "action": row["id"],
        "type": row["action"],
        "session_id": row["session_id"],
        "undo": undo,
        "turn": turn,
        "error": None,
    }


def taken_back(found: Takeback, asked: Mapping[str, str], *, most: int | None = None) -> list[dict[str, Any]]:
    """What became of the wish to take a session back: what is asked for now or was before, and what cannot be.

    Of what is not asked for now, the newest `most`; None for all.
    """
    report, others = [], 0
    for effect in found.effects:
        row = {"id": effect.id, "action": effect.action, "session_id": found.session}
        if effect.id in asked:
            report.append(undone(row, "asked", asked[effect.id]))
        elif effect.undo in {"asked", "irreversible", "unsettled"} and (most is None or others < most):
            others += 1
            report.append(undone(row, effect.undo, effect.turn) | {"error": effect.why or None})
    return report


def fork(made: str | None, plan: Any) -> dict[str, Any]:
    """A fork, or what one would be."""
    values = {
        "id": made,
        "forked_from": plan.session,
        "fork_point": plan.point,
        "turns": plan.turns,
        "history": [_effect(e) for e in plan.history],
        "anew": [_effect(e) for e in plan.anew],
        "repeats": [e.id for e in plan.repeats],
    }
    return {name: values[name] for name in more.FORK}


def _effect(effect: Any) -> dict[str, Any]:
    return {name: getattr(effect, name) for name in more.FORK_ACTION}


def _told(row: dict[str, Any]) -> dict[str, Any]:
    to = row["person"] or row["channel"] or row["thread"]
    shown = {"surface": row["surface"], "kind": row["kind"], "to": to, "status": row["status"]}
    return shown | {"sent_at": row["sent_at"], "error": row["error"] or None}
