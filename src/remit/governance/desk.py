"""The desk: where people say yes, no, or what they know.

Every verb runs in the caller's transaction together with the enqueueing of the turn's next run, so that an answer,
its item's status and the work that goes on with it are committed as one. Entitlement is checked here, when somebody
decides, and again in the gate, when the action is let through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jsonschema import Draft202012Validator

from remit.domain import canonical
from remit.domain.actions import ActionType, Effect
from remit.domain.agents import AgentSpec
from remit.domain.decisions import Actor, Call, Reason, ReasonCode
from remit.domain.inbox import Approval, InboxItem, ItemKind, ItemStatus
from remit.domain.intents import Settlement
from remit.domain.records import Tag
from remit.errors import Conflict, InvalidInput, NotEntitled
from remit.governance import approvals as approving
from remit.governance import items
from remit.governance.state import Governance
from remit.storage import actions, inbox, sessions
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


class Desk:
    """People's verbs, on one snapshot of governance."""

    def __init__(self, governance: Governance, resume: Resume) -> None:
        self._governance = governance
        self._resume = resume

    def approve(
        self, db: Db, item_id: str, decider: Decider, reason: str, *, edited: dict[str, Any] | None = None
    ) -> InboxItem:
        """Say yes to an action for one role, perhaps with changed arguments, which are then judged anew.

        Raises NotEntitled, Conflict if it was decided already, InvalidInput if the edited arguments are not what the
        tool takes.
        """
        item, action = self._open_approval(db, item_id)
        action_type, agent = self._kind(action)
        args_digest = item.detail["args_digest"]
        if edited is not None:
            edited = self._checked(action["action"], canonical.normalise(edited, what="arguments"))
            if canonical.digest(edited) == args_digest:
                edited = None
        role = self._role_for(db, item, decider, action_type, agent, editing=edited is not None)
        if edited is not None:
            contents = actions.edit(db, item.action_id or "", edited)
            args_digest = canonical.digest(edited)
            self._record(db, Tag.APPROVAL_EDITED, item, decider, reason, role=role, arguments=contents)
        inbox.add_approval(
            db,
            Approval(
                action_id=item.action_id or "",
                role=role,
                person=decider.person,
                args_digest=args_digest,
                determining=item.detail["determining"],
                expires_at=item.expires_at or datetime.now(UTC),
                used=False,
            ),
            item.id,
        )
        self._record(db, Tag.APPROVAL_GIVEN, item, decider, reason, role=role)
        given = {a.role for a in _given(db, item, args_digest)}
        decision = {"verdict": "edited" if edited is not None else "approved", "by": decider.person, "reason": reason}
        if edited is not None or given.issuperset(item.roles):
            self._close(db, item, decision, decider)
        else:
            missing = [r for r in item.roles if r not in given]
            people = {p for r in missing for p in item.detail["by_role"].get(r, ())} - {decider.person}
            inbox.amend(db, item.id, {"given": sorted(given)}, tuple(sorted(people)))
        return inbox.get(db, item.id)

    def deny(self, db: Db, item_id: str, decider: Decider, reason: str) -> InboxItem:
        """Say no to an action; the agent is told why. One no is enough."""
        item, action = self._open_approval(db, item_id)
        action_type, agent = self._kind(action)
        self._role_for(db, item, decider, action_type, agent, editing=False, denying=True)
        self._record(db, Tag.APPROVAL_DENIED, item, decider, reason)
        decision = {"verdict": "denied", "by": decider.person, "reason": reason}
        actions.refuse(db, item.action_id or "", Reason(ReasonCode.APPROVAL_DENIED, f"denied: {reason}"), decision)
        self._close(db, item, decision, decider)
        return inbox.get(db, item.id)

    def answer(self, db: Db, item_id: str, decider: Decider, value: Any, reason: str = "") -> InboxItem:
        """Answer a question, say what became of an unknown action, or say whether stopped work goes on."""
        item = inbox.get(db, item_id, lock=True)
        _must_be_open(item)
        if decider.person not in item.assignees:
            raise NotEntitled(
                f"{decider.person} is not among those asked: {', '.join(item.assignees) or 'nobody'}",
            )
        match item.kind:
            case ItemKind.QUESTION:
                self._answer_question(db, item, decider, value)
            case ItemKind.RECONCILIATION:
                self._reconcile(db, item, decider, value, reason)
            case ItemKind.ATTENTION:
                self._attend(db, item, decider, value, reason)
            case ItemKind.IDEA:
                raise InvalidInput(f"{item_id} is an idea", advice="Use `remit ideas accept|ship|decline`.")
            case ItemKind.APPROVAL:
                raise InvalidInput(
                    f"{item_id} asks for approval", advice=f"Use `remit decide {item_id} approve|edit|deny --reason …`."
                )
        return inbox.get(db, item.id)

    def tick(self, db: Db, now: datetime) -> int:
        """Expire and escalate what is due. Returns how many items were touched."""
        touched = inbox.due(db)
        for item in touched:
            if item.expires_at is not None and item.expires_at <= now:
                self._expire(db, item)
            else:
                self._escalate(db, item, now)
        return len(touched)

    def doubt(self, db: Db, action: dict[str, Any]) -> None:
        """Settle a call that was under way when its turn ended for good: nobody else will ever say what became of it.

        A change of the world is unknown and its owner is asked; a model request is booked whole.
        """
        action_type = self._governance.action_type(action["action"])
        reads = action_type is not None and action_type.effect is Effect.READ
        call = Call(action["turn_id"], action["key"], action["action"], action["args"], action["mode"])
        actor = Actor(action["agent"], action["agent_version"], action["on_behalf_of"])
        billed = action["reservations"] if action["mode"] == "model" else []
        actions.settle(
            db,
            Settlement(
                id=action["id"],
                status="failed" if reads else "unknown",
                body=canonical.dumps(None),
                error="its worker died while this was under way, and the turn has ended",
                usd=max((r["usd"] for r in billed), default=0),
                input_tokens=max((r["tokens"] for r in billed), default=0),
                attempt=action["attempt"],
                item=None if reads else items.reconciliation(self._governance, call, actor, action_type),
            ),
        )

    # -- approvals -----------------------------------------------------------------------------------------------

    def _open_approval(self, db: Db, item_id: str) -> tuple[InboxItem, dict[str, Any]]:
        item = inbox.get(db, item_id, lock=True)
        _must_be_open(item)
        if item.kind is not ItemKind.APPROVAL:
            raise InvalidInput(f"{item_id} is a {item.kind}", advice=f"Use `remit answer {item_id} VALUE`.")
        if item.expires_at is not None and item.expires_at <= datetime.now(UTC):
            raise Conflict(f"{item_id} expired at {item.expires_at:%Y-%m-%d %H:%M} UTC")
        return item, actions.get(db, item.action_id or "")

    def _kind(self, action: dict[str, Any]) -> tuple[ActionType | None, AgentSpec]:
        version = self._governance.agent(action["agent"])
        if version is None:
            raise Conflict(f"agent {action['agent']} is not deployed any more")
        return self._governance.action_type(action["action"]), version.spec

    def _checked(self, action: str, args: Any) -> dict[str, Any]:
        validator = self._governance.validator(action)
        error = next(validator.iter_errors(args), None) if validator is not None else None
        if not isinstance(args, dict) or error is not None:
            raise InvalidInput(f"the edited arguments do not fit: {error.message if error else 'not an object'}")
        return args

    def _role_for(
        self,
        db: Db,
        item: InboxItem,
        decider: Decider,
        action_type: ActionType | None,
        agent: AgentSpec,
        *,
        editing: bool,
        denying: bool = False,
    ) -> str:
        """The role that this person fills, or NotEntitled. Two roles need two people."""
        session = sessions.get(db, item.session_id)
        excluded = approving.excluded_people(session.principal, (), action_type) | set(item.detail["excluded"])
        if denying:
            excluded = frozenset()
        given = _given(db, item, item.detail["args_digest"])
        taken = {a.role for a in given}
        open_roles = [r for r in item.roles if r not in taken]
        if not editing and not denying and decider.person in {a.person for a in given}:
            raise NotEntitled(f"{decider.person} already decided for another role; the others need other people")
        entitled: dict[str, list[str]] = {}
        for role in open_roles:
            people = approving.entitled(
                self._governance.project.directory,
                role,
                action_type,
                agent,
                excluded=excluded,
                escalations=item.escalations,
            )
            entitled[role] = [p.id for p in people]
            if decider.person in entitled[role]:
                return role
        if decider.person in approving.excluded_people(session.principal, (), action_type):
            raise NotEntitled(
                f"{decider.person} asked for this work and may not approve it; ask {_names(entitled)}",
                advice="Another entitled person decides, or the action type sets `requester_may_approve`.",
            )
        raise NotEntitled(f"{decider.person} may not decide this; ask {_names(entitled)}")

    def _close(self, db: Db, item: InboxItem, decision: dict[str, Any], decider: Decider) -> None:
        decision = {**decision, "simulated": decider.simulated, "at": datetime.now(UTC).isoformat()}
        inbox.close(db, item.id, ItemStatus.DECIDED, decision)
        if item.action_id is not None and decision["verdict"] != "denied":
            # Who edited the arguments may never be the one who approves them, whoever decides later.
            editor = {"edited_by": decider.person} if decision["verdict"] == "edited" else {}
            actions.override(db, item.action_id, decision | editor)
        self._resume(db, item.turn_id or "")

    def _record(self, db: Db, tag: Tag, item: InboxItem, decider: Decider, reason: str, **more: Any) -> None:
        # What a person wrote is contents: the record holds its digest only.
        words = put_payload(db, payload_id(item.id, f"d{decider.person}{tag.name}"), item.session_id, "reason", reason)
        record(
            db,
            tag,
            session=item.session_id,
            turn=item.turn_id,
            action=item.action_id,
            item=item.id,
            by=decider.person,
            simulated=decider.simulated,
            reason=words,
            **more,
        )

    # -- the clock -----------------------------------------------------------------------------------------------

    def _expire(self, db: Db, item: InboxItem) -> None:
        decision = {"verdict": "expired", "by": None, "reason": "nobody answered in time"}
        inbox.close(db, item.id, ItemStatus.EXPIRED, decision)
        if item.action_id is not None and item.kind in {ItemKind.APPROVAL, ItemKind.QUESTION}:
            reason = Reason(ReasonCode.APPROVAL_EXPIRED, "nobody answered in time")
            actions.refuse(db, item.action_id, reason, decision)
        record(
            db, Tag.APPROVAL_EXPIRED, session=item.session_id, turn=item.turn_id, action=item.action_id, item=item.id
        )
        if item.turn_id is not None:
            self._resume(db, item.turn_id)

    def _escalate(self, db: Db, item: InboxItem, now: datetime) -> None:
        """Open an item to the next in the reporting line of everybody who was asked."""
        directory = self._governance.project.directory
        excluded = frozenset(item.detail.get("excluded", ()))
        by_role: dict[str, list[str]] = {}
        action = actions.get(db, item.action_id) if item.action_id is not None else None
        if item.kind is ItemKind.APPROVAL and action is not None:
            action_type, agent = self._kind(action)
            for role in item.roles:
                found = approving.entitled(
                    directory, role, action_type, agent, excluded=excluded, escalations=item.escalations + 1
                )
                by_role[role] = [p.id for p in found]
            people = {p for holders in by_role.values() for p in holders}
            again = action_type.approval.escalate_after if action_type is not None else None
        else:
            above = {m.id for p in item.assignees for m in list(directory.chain(p))[: item.escalations + 1]}
            people, again = {*item.assignees, *above}, None
        new = people - set(item.assignees)
        next_at = now + again if new and again is not None else None
        inbox.escalate(db, item.id, tuple(sorted({*item.assignees, *new})), next_at, {"by_role": by_role})
        record(
            db,
            Tag.ITEM_ESCALATED,
            session=item.session_id,
            turn=item.turn_id,
            action=item.action_id,
            item=item.id,
            to=sorted(new),
        )

    # -- questions, unknown outcomes, stopped work ---------------------------------------------------------------

    def _answer_question(self, db: Db, item: InboxItem, decider: Decider, value: Any) -> None:
        schema = item.detail.get("schema") or {}
        error = next(Draft202012Validator(schema).iter_errors(value), None)
        if error is not None:
            raise InvalidInput(f"that is not an answer to this question: {error.message}")
        decision = {"verdict": "answered", "by": decider.person, "simulated": decider.simulated}
        actions.answer(db, item.action_id or "", value, decision)
        inbox.close(db, item.id, ItemStatus.DECIDED, {**decision, "value": canonical.plain(value)})
        self._resume(db, item.turn_id or "")

    def _reconcile(self, db: Db, item: InboxItem, decider: Decider, value: Any, reason: str) -> None:
        if value not in {"happened", "did-not-happen"}:
            raise InvalidInput("say `happened` or `did-not-happen`; look it up in the other system first")
        happened = value == "happened"
        decision = {"verdict": value, "by": decider.person, "reason": reason, "simulated": decider.simulated}
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
        self._resume(db, item.turn_id or "")

    def _attend(self, db: Db, item: InboxItem, decider: Decider, value: Any, reason: str) -> None:
        if value not in {"continue", "cancel"}:
            raise InvalidInput("say `continue` or `cancel`")
        decision = {"verdict": value, "by": decider.person, "reason": reason, "simulated": decider.simulated}
        record(
            db,
            Tag.ITEM_ANSWERED,
            session=item.session_id,
            turn=item.turn_id,
            action=item.action_id,
            item=item.id,
            by=decider.person,
            verdict=value,
        )
        inbox.close(db, item.id, ItemStatus.DECIDED, decision)
        if value == "cancel":
            sessions.cancel(db, item.session_id, by=decider.person, reason=reason or "cancelled by its owner")
            return
        sessions.unblock(db, item.turn_id or "", tuple(item.detail.get("budgets", ())), by=decider.person)
        self._resume(db, item.turn_id or "")


def _given(db: Db, item: InboxItem, args_digest: str) -> list[Approval]:
    """What counts towards this item: these arguments, the policies that it names, not by whom it excludes."""
    said = inbox.approvals_of(db, item.action_id or "")
    fitting = (a for a in said if a.args_digest == args_digest and a.determining == item.detail["determining"])
    return [a for a in fitting if a.person not in item.detail["excluded"]]


def _must_be_open(item: InboxItem) -> None:
    if item.status is not ItemStatus.OPEN:
        by = (item.decision or {}).get("by") or "the clock"
        raise Conflict(f"{item.id} is {item.status} already, by {by}")


def _names(entitled: dict[str, list[str]]) -> str:
    return "; ".join(f"{role}: {', '.join(people) or 'nobody'}" for role, people in entitled.items()) or "nobody"
