"""What people answer to questions, to unknown outcomes and to stopped work, and what the clock answers for them.

Every function runs in the caller's transaction, on an item that is locked and open. The item's status, the action's
outcome, what is remembered of it and the next run of the turn are committed as one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from remit.domain import canonical
from remit.domain.decisions import Reason, ReasonCode
from remit.domain.inbox import InboxItem, ItemStatus
from remit.domain.intents import Settlement
from remit.domain.questions import parse_answer
from remit.domain.records import Tag
from remit.errors import Conflict, InvalidInput
from remit.governance import memory
from remit.governance.state import Governance
from remit.storage import actions, inbox, memories, sessions
from remit.storage.ledger import payload_id
from remit.storage.sessions import Db, put_payload, record

Resume = Callable[[Db, str], None]
"""Asks for the next run of a turn, in the given transaction."""


@dataclass(frozen=True, slots=True)
class Decider:
    """Who decides, and how this is known."""

    person: str
    simulated: bool = False
    """True if named by `--as` in local development; the record says so."""
    via: str = "cli"
    """The surface that the decision came over: `cli`, `cockpit`, `api`, `slack`, `mail`."""

    def over(self, via: str | None) -> Decider:
        """The same person, over this surface; None leaves it as it is."""
        return self if via is None else replace(self, via=via)

    def decision(self, verdict: str, **more: Any) -> dict[str, Any]:
        """What is kept with the item: the verdict, by whom, over which surface and when."""
        at = datetime.now(UTC).isoformat()
        return {
            "verdict": verdict,
            "by": self.person,
            "simulated": self.simulated,
            "via": self.via,
            "at": at,
            **more,
        }


def question(
    db: Db,
    governance: Governance,
    item: InboxItem,
    decider: Decider,
    value: Any,
    reason: str,
    *,
    remember: bool,
    resume: Resume,
) -> None:
    """Answer a question. Raises InvalidInput that says what is wanted; the item then stays open."""
    value = parse_answer(item, value)
    more: dict[str, Any] = {"reason": reason} if reason else {}
    if remember:
        more["memory"] = _remember(db, governance, item, decider, value)
    decision = decider.decision("answered", **more)
    actions.answer(db, item.action_id or "", value, decision)
    inbox.close(db, item.id, ItemStatus.DECIDED, {**decision, "value": canonical.plain(value)})
    resume(db, item.turn_id or "")


def reconcile(db: Db, item: InboxItem, decider: Decider, value: Any, reason: str, *, resume: Resume) -> None:
    """Say what became of an action of unknown outcome."""
    if value not in {"happened", "did-not-happen"}:
        raise InvalidInput("say `happened` or `did-not-happen`; look it up in the other system first")
    happened = value == "happened"
    decision = decider.decision(value, reason=reason)
    actions.settle(
        db,
        Settlement(
            id=item.action_id or "",
            status="succeeded" if happened else "failed",
            body=canonical.dumps({"reconciled": value, "by": decider.person}),
            error=None if happened else "a person found that it did not happen",
            by=decider.person,
            override=decision,
        ),
    )
    inbox.close(db, item.id, ItemStatus.DECIDED, decision)
    resume(db, item.turn_id or "")


def attend(db: Db, item: InboxItem, decider: Decider, value: Any, reason: str, *, resume: Resume) -> bool:
    """Say whether stopped work goes on. Returns False if it is to be cancelled, which is then the caller's to do."""
    if item.detail.get("say"):
        raise InvalidInput(f"{item.id} is settled in another way", advice=f"Use `{item.detail['say']}`.")
    if value not in {"continue", "cancel"}:
        raise InvalidInput("say `continue` or `cancel`")
    record(
        db,
        Tag.ITEM_ANSWERED,
        session=item.session_id,
        turn=item.turn_id,
        action=item.action_id,
        item=item.id,
        by=decider.person,
        via=decider.via,
        verdict=value,
    )
    inbox.close(db, item.id, ItemStatus.DECIDED, decider.decision(value, reason=reason))
    if value == "cancel":
        return False
    sessions.unblock(db, item.turn_id or "", tuple(item.detail.get("budgets", ())), by=decider.person)
    resume(db, item.turn_id or "")
    return True


def expire(db: Db, item: InboxItem, *, resume: Resume) -> None:
    """Nobody answered a question in time: its default is the answer, or the agent is told that there is none."""
    action = actions.get(db, item.action_id or "")
    args = action["args"] if isinstance(action["args"], dict) else {}
    decision: dict[str, Any] = {"verdict": "expired", "by": None, "reason": "nobody answered in time"}
    if "default" in args:
        decision |= {"verdict": "default", "value": canonical.plain(args["default"])}
        actions.answer(db, action["id"], args["default"], {k: v for k, v in decision.items() if k != "value"})
    else:
        reason = Reason(ReasonCode.QUESTION_EXPIRED, "nobody answered in time")
        actions.refuse(db, action["id"], reason, decision)
    _closed(db, item, decision, resume)


def refuse_unseen(db: Db, item: InboxItem, reason: Reason, *, resume: Resume) -> None:
    """Everybody who could answer a question has left, and nobody is above them: the agent is told."""
    decision: dict[str, Any] = {"verdict": "expired", "by": None, "reason": reason.text}
    actions.refuse(db, item.action_id or "", reason, decision)
    _closed(db, item, decision, resume)


def _closed(db: Db, item: InboxItem, decision: dict[str, Any], resume: Resume) -> None:
    inbox.close(db, item.id, ItemStatus.EXPIRED, {**decision, "at": datetime.now(UTC).isoformat()})
    record(
        db,
        Tag.QUESTION_EXPIRED,
        session=item.session_id,
        turn=item.turn_id,
        action=item.action_id,
        item=item.id,
        verdict=decision["verdict"],
    )
    resume(db, item.turn_id or "")


def _remember(db: Db, governance: Governance, item: InboxItem, decider: Decider, value: Any) -> str:
    """Keep an answer as governed memory, with the question as its why."""
    wanted = item.detail.get("remember")
    if not isinstance(wanted, dict):
        raise InvalidInput(f"{item.id} says no key to remember its answer under", advice="Answer without `--remember`.")
    version = governance.agent(wanted["agent"])
    if version is None:
        raise Conflict(f"agent {wanted['agent']} is not deployed any more", advice="Answer without `--remember`.")
    return memories.keep(
        db,
        memories.NewMemory(
            id=f"mem_{item.id.partition('_')[2]}",
            agent=version.agent,
            place=memories.Place(wanted["workspace"], wanted["scope"], wanted["subject"]),
            key=wanted["key"],
            value=value,
            why=f"{version.agent} asked: {item.detail.get('question', item.summary)}",
            by=f"person:{decider.person}",
            keep=memory.keep_at_most(version.spec, wanted["keep_days"]),
            session_id=item.session_id,
            turn_id=item.turn_id,
            action_id=item.action_id,
            item_id=item.id,
        ),
    )


def words(db: Db, item: InboxItem, decider: Decider, tag: Tag, reason: str) -> str:
    """Keep what a person wrote as contents. Returns its digest, for the record."""
    return put_payload(db, payload_id(item.id, f"d{decider.person}{tag.name}"), item.session_id, "reason", reason)
