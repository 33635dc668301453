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
from remit.storage import actions, delegations, deliveries, forks, inbox, sessions
from remit.storage.sessions import Db

if TYPE_CHECKING:  # heavy, and not needed to list sessions
    from remit.runtime.undoing import Takeback


def summary(found: Session) -> dict[str, Any]:
    """A session as lists have it."""
    return {name: getattr(found, name) for name in fields.SESSION}


def session(db: Db, session_id: str) -> dict[str, Any]:
    """A session with all that belongs to it. Raises NotFound."""
    found = sessions.get(db, session_id)
    made = actions.of_session(db, session_id)
    return {
        **summary(found),
        "turns": [{name: turn[name] for name in fields.TURN} for turn in sessions.turns(db, session_id)],
        "actions": [action(row) for row in made],
        "items": [item(i) for i in inbox.listing(db, status=None, session_id=session_id)],
        "children": [{name: child[name] for name in more.CHILD} for child in delegations.children(db, session_id)],
        "forks": [fork["id"] for fork in forks.forks(db, session_id)],
        "inherits": list(forks.inherited_turns(db, session_id)),
        "usd": usd(sum(a["usd_micros"] for a in made)),
        "tokens": sum(a["input_tokens"] + a["output_tokens"] for a in made),
    }


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


def taken_back(found: Takeback, asked: Mapping[str, str]) -> list[dict[str, Any]]:
    """What became of the wish to take a session back: what is asked for now or was before, and what cannot be."""
    report = []
    for effect in found.effects:
        row = {"id": effect.id, "action": effect.action, "session_id": found.session}
        if effect.id in asked:
            report.append(undone(row, "asked", asked[effect.id]))
        elif effect.undo == "asked":
            report.append(undone(row, "asked", effect.turn))
        elif effect.undo in {"irreversible", "unsettled"}:
            report.append(undone(row, effect.undo, None) | {"error": effect.why})
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
