"""The desk: where people say yes, no, or what they know.

Every verb runs in the caller's transaction together with the enqueueing of the turn's next run, so that an answer,
its item's status and the work that goes on with it are committed as one. Entitlement is checked here, when somebody
decides, and again in the gate, when the action is let through.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from remit.domain import canonical
from remit.domain.actions import ActionType, Effect
from remit.domain.agents import AgentSpec, AgentVersion
from remit.domain.decisions import Actor, Call, Reason, ReasonCode
from remit.domain.inbox import Approval, InboxItem, ItemKind, ItemStatus
from remit.domain.intents import Settlement
from remit.domain.questions import parse_answer
from remit.domain.records import Tag
from remit.errors import Conflict, InvalidInput, NotEntitled
from remit.governance import answers, asking, items
from remit.governance import approvals as approving
from remit.governance.answers import Decider, Resume
from remit.governance.state import Governance
from remit.storage import actions, inbox, sessions
from remit.storage.sessions import Db, record

__all__ = ["Decider", "Desk", "Resume"]


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
        decision = decider.decision("edited" if edited is not None else "approved", reason=reason)
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
        decision = decider.decision("denied", reason=reason)
        actions.refuse(db, item.action_id or "", Reason(ReasonCode.APPROVAL_DENIED, f"denied: {reason}"), decision)
        self._close(db, item, decision, decider)
        return inbox.get(db, item.id)

    def answer(
        self, db: Db, item_id: str, decider: Decider, value: Any, reason: str = "", *, remember: bool = False
    ) -> InboxItem:
        """Answer a question, say what became of an unknown action, or say whether stopped work goes on.

        `value` is the answer, or text as somebody wrote it. With `remember` the answer to a question is kept as memory
        in the same transaction. Raises Conflict, which says who answered what, if somebody was faster; InvalidInput,
        which says what is wanted; NotEntitled.
        """
        item = inbox.get(db, item_id, lock=True)
        self._must_be_open(item)
        self._must_be_asked(item, decider)
        if remember and item.kind is not ItemKind.QUESTION:
            raise InvalidInput(f"{item_id} is a {item.kind}: only an answer to a question can be remembered")
        match item.kind:
            case ItemKind.QUESTION:
                answers.question(
                    db, self._governance, item, decider, value, reason, remember=remember, resume=self._resume
                )
            case ItemKind.RECONCILIATION:
                answers.reconcile(db, item, decider, parse_answer(item, value), reason, resume=self._resume)
            case ItemKind.ATTENTION:
                value = parse_answer(item, value)
                if not answers.attend(db, item, decider, value, reason, resume=self._resume):
                    why = reason or "cancelled by its owner"
                    sessions.cancel(db, item.session_id, by=decider.person, reason=why)
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

    def hand_over(self, db: Db) -> int:
        """Give open items whose people have all left to those above them, or to the agent's own people.

        A question for which nobody is left is refused. Returns how many items were touched.
        """
        directory = self._governance.project.directory
        active = [p.id for p in directory.people if directory.is_active(p.id)]
        touched = inbox.abandoned(db, active)
        for item in touched:
            agent = self._agent_of(db, item)
            if item.kind is ItemKind.APPROVAL and agent is not None:
                by_role, _ = self._entitled_now(db, item, item.escalations)
                people = tuple(sorted({p for holders in by_role.values() for p in holders}))
            else:
                people = asking.taken_over(directory, item, agent.spec if agent is not None else None)
            if people:
                inbox.amend(db, item.id, {"left": list(item.assignees), "climb": list(people)}, people)
                self._note_escalation(db, item, people)
            elif item.kind is ItemKind.QUESTION:
                name = agent.agent if agent is not None else "the agent"
                answers.refuse_unseen(db, item, asking.nobody(None, name), resume=self._resume)
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
        self._must_be_open(item)
        if item.kind is not ItemKind.APPROVAL:
            raise InvalidInput(f"{item_id} is a {item.kind}", advice=f"Use `remit answer {item_id} VALUE`.")
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
        requester = sessions.requester(db, item.turn_id, session.principal)
        excluded = approving.excluded_people(requester, (), action_type) | set(item.detail["excluded"])
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
        if decider.person in approving.excluded_people(requester, (), action_type):
            raise NotEntitled(
                f"{decider.person} asked for this work and may not approve it; ask {_names(entitled)}",
                advice="Another entitled person decides, or the action type sets `requester_may_approve`.",
            )
        raise NotEntitled(f"{decider.person} may not decide this; ask {_names(entitled)}")

    def _close(self, db: Db, item: InboxItem, decision: dict[str, Any], decider: Decider) -> None:
        inbox.close(db, item.id, ItemStatus.DECIDED, decision)
        if item.action_id is not None and decision["verdict"] != "denied":
            # Who edited the arguments may never be the one who approves them, whoever decides later.
            editor = {"edited_by": decider.person} if decision["verdict"] == "edited" else {}
            actions.override(db, item.action_id, decision | editor)
        self._resume(db, item.turn_id or "")

    def _record(self, db: Db, tag: Tag, item: InboxItem, decider: Decider, reason: str, **more: Any) -> None:
        # What a person wrote is contents: the record holds its digest only.
        record(
            db,
            tag,
            session=item.session_id,
            turn=item.turn_id,
            action=item.action_id,
            item=item.id,
            by=decider.person,
            simulated=decider.simulated,
            via=decider.via,
            reason=answers.words(db, item, decider, tag, reason),
            **more,
        )

    # -- the clock -----------------------------------------------------------------------------------------------

    def _expire(self, db: Db, item: InboxItem) -> None:
        if item.kind is ItemKind.QUESTION:
            answers.expire(db, item, resume=self._resume)
            return
        decision = {"verdict": "expired", "by": None, "reason": "nobody answered in time"}
        inbox.close(db, item.id, ItemStatus.EXPIRED, decision)
        if item.action_id is not None and item.kind is ItemKind.APPROVAL:
            reason = Reason(ReasonCode.APPROVAL_EXPIRED, "nobody answered in time")
            actions.refuse(db, item.action_id, reason, decision)
        record(
            db, Tag.APPROVAL_EXPIRED, session=item.session_id, turn=item.turn_id, action=item.action_id, item=item.id
        )
        if item.turn_id is not None:
            self._resume(db, item.turn_id)

    def _escalate(self, db: Db, item: InboxItem, now: datetime) -> None:
        """Open an item to more people: the next that it names, or the next in the reporting line."""
        if item.kind is ItemKind.APPROVAL:
            self._escalate_approval(db, item, now)
            return
        step = asking.escalated(self._governance.project.directory, item)
        next_at = now + step.after if step.after is not None else None
        inbox.escalate(db, item.id, step.people, next_at, {}, step=step.step)
        self._note_escalation(db, item, step.new)

    def _escalate_approval(self, db: Db, item: InboxItem, now: datetime) -> None:
        by_role, again = self._entitled_now(db, item, item.escalations + 1)
        new = {p for holders in by_role.values() for p in holders} - set(item.assignees)
        next_at = now + again if new and again is not None else None
        inbox.escalate(db, item.id, tuple(sorted({*item.assignees, *new})), next_at, {"by_role": by_role})
        self._note_escalation(db, item, tuple(sorted(new)))

    def _entitled_now(self, db: Db, item: InboxItem, escalations: int) -> tuple[dict[str, list[str]], timedelta | None]:
        """Role to the people who may fill it by now, and how long until the next step up."""
        action_type, agent = self._kind(actions.get(db, item.action_id or ""))
        directory, excluded = self._governance.project.directory, frozenset(item.detail.get("excluded", ()))
        by_role = {
            role: [
                p.id
                for p in approving.entitled(
                    directory, role, action_type, agent, excluded=excluded, escalations=escalations
                )
            ]
            for role in item.roles
        }
        return by_role, action_type.approval.escalate_after if action_type is not None else None

    def _note_escalation(self, db: Db, item: InboxItem, new: tuple[str, ...]) -> None:
        record(
            db,
            Tag.ITEM_ESCALATED,
            session=item.session_id or None,
            turn=item.turn_id,
            action=item.action_id,
            item=item.id,
            to=list(new),
        )

    def _agent_of(self, db: Db, item: InboxItem) -> AgentVersion | None:
        """The agent whose session an item is about, as deployed now."""
        name = sessions.get(db, item.session_id).agent if item.session_id else item.detail.get("agent")
        return self._governance.agent(str(name))

    @staticmethod
    def _must_be_open(item: InboxItem) -> None:
        if item.status is not ItemStatus.OPEN:
            raise Conflict(_how_it_ended(item), advice="The first answer counts; nothing was changed.")
        if item.expires_at is not None and item.expires_at <= datetime.now(UTC):
            raise Conflict(f"{item.id} expired at {item.expires_at:%Y-%m-%d %H:%M} UTC")

    def _must_be_asked(self, item: InboxItem, decider: Decider) -> None:
        active = self._governance.project.directory.is_active(decider.person)
        if decider.person not in item.assignees or not active:
            raise NotEntitled(
                f"{decider.person} is not among those asked: {', '.join(item.assignees) or 'nobody'}",
            )


def _given(db: Db, item: InboxItem, args_digest: str) -> list[Approval]:
    """What counts towards this item: these arguments, the policies that it names, not by whom it excludes."""
    said = inbox.approvals_of(db, item.action_id or "")
    fitting = (a for a in said if a.args_digest == args_digest and a.determining == item.detail["determining"])
    return [a for a in fitting if a.person not in item.detail["excluded"]]


def _how_it_ended(item: InboxItem) -> str:
    """Who said what and when, for somebody who comes too late."""
    decision = item.decision or {}
    text = f"{item.id} is {item.status} already, by {decision.get('by') or 'the clock'}"
    if decision.get("at"):
        text += f", {decision['at'][:16].replace('T', ' ')} UTC"
    if "value" in decision:
        text += f": {canonical.dumps(canonical.normalise(decision['value'])).decode()[:200]}"
    return text


def _names(entitled: dict[str, list[str]]) -> str:
    return "; ".join(f"{role}: {', '.join(people) or 'nobody'}" for role, people in entitled.items()) or "nobody"
