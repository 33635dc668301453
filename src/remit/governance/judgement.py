"""Steps 1 to 5 of the way: everything about an action that can be judged without a lock.

Identity, scope, RACI, arguments, policy, approval, caps. Nothing here reads a clock or a database: a judgement is a
function of the request and of one immutable snapshot, and an error inside a check is a refusal.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from remit.domain import canonical
from remit.domain.actions import ActionType
from remit.domain.agents import AgentSpec
from remit.domain.budgets import Usage
from remit.domain.decisions import Actor, Call, Reason, ReasonCode, Verdict
from remit.domain.inbox import Approval
from remit.governance import approvals as approving
from remit.governance import checks, limits
from remit.governance.policy import PolicyQuestion
from remit.governance.state import Governance

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Run:
    """One run of a turn, as the gate sees it. Labels and totals move as the run goes on."""

    session_id: str
    turn_id: str
    epoch: int
    actor: Actor
    workspace: str
    workflow: str | None
    trigger: str
    principal: str
    labels: frozenset[str]
    usd_micros: int = 0
    tokens: int = 0
    calls: int = 0
    today: Usage | None = None
    """What the agent has used today; None where no day budget counts it."""
    moved_today: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    """Action type and currency to the money moved today, where a day cap counts it."""

    def book(self, usage: Usage) -> None:
        """Count what an action has used."""
        self.usd_micros += usage.usd_micros
        self.tokens += usage.tokens
        self.calls += usage.calls
        if self.today is not None:
            self.today = Usage(
                self.today.usd_micros + usage.usd_micros,
                self.today.tokens + usage.tokens,
                self.today.calls + usage.calls,
            )

    def move(self, action: str, moved: limits.MoneyMoved | None) -> None:
        """Count money that an action was cleared to move."""
        if moved is not None and (action, moved.currency) in self.moved_today:
            self.moved_today[action, moved.currency] += moved.amount


@dataclass(frozen=True, slots=True)
class Request:
    """What the gate is asked: may this call be made now?"""

    run: Run
    call: Call
    usage: Usage
    """What it reserves: an upper bound."""
    approvals: tuple[Approval, ...] = ()
    """What people have said to this very action."""
    edited: dict[str, Any] | None = None
    """The arguments as an approver changed them, if one did."""
    editors: tuple[str, ...] = ()
    repeat: bool = False
    """True: the last clearance ran out, and the call may safely be made again."""
    duplicate_of: str = ""
    """The action that already had this business effect, once admission has found one."""
    nonce: str = ""
    """Of the permit that this repeats, if this process holds it; empty otherwise."""
    park: bool = False
    """True: over a limit, the turn ends instead of waiting in place."""

    @property
    def args(self) -> dict[str, Any]:
        """The one canonical value that is judged, digested, shown and executed."""
        return self.call.args if self.edited is None else self.edited

    @property
    def digest(self) -> str:
        """SHA-256 of that value's canonical bytes."""
        return self.call.digest if self.edited is None else canonical.digest(self.edited)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the checks have found."""

    verdict: Verdict
    action_type: ActionType | None
    agent: AgentSpec | None
    approved_roles: tuple[str, ...] = ()
    moved: limits.MoneyMoved | None = None


def judge(governance: Governance, request: Request, *, changed: bool, now: datetime) -> Judgement:
    """Judge a request on one snapshot. `changed` says that the tool is no longer what was pinned."""
    action_type = governance.action_type(request.call.action)
    version = governance.agent(request.run.actor.agent)
    agent = version.spec if version is not None else None
    try:
        reason = (
            checks.identity(governance, request.run.actor)
            or checks.scope(governance, agent, request.call, action_type, changed=changed)
            or checks.raci(governance, action_type, request.call)
            or checks.arguments(governance, request.call, request.args, action_type)
        )
        if reason is not None or action_type is None or agent is None:
            return Judgement(_refused(reason or _UNCLASSIFIED), action_type, agent)
        moved = limits.money_moved(action_type, request.args)
        if isinstance(moved, Reason):
            return Judgement(_refused(moved), action_type, agent)
        over = limits.over_each_cap(action_type, moved) if moved is not None else None
        if over is not None:
            return Judgement(_refused(over), action_type, agent)
        return _by_policy(governance, request, action_type, agent, moved, now)
    except Exception:
        log.exception("a check of %s failed, so it is refused", request.call.action)
        return Judgement(_refused(_CHECK_FAILED), action_type, agent)


def _by_policy(
    governance: Governance,
    request: Request,
    action_type: ActionType,
    agent: AgentSpec,
    moved: limits.MoneyMoved | None,
    now: datetime,
) -> Judgement:
    """4 policy and 5 approval: judged without approvals first, and with those that still hold if some are needed."""
    question = _question(request, agent, moved)
    verdict = _with_duplicate(governance.policy.judge(question), request.duplicate_of)
    if verdict.kind != "needs_approval":
        return Judgement(verdict, action_type, agent, moved=moved)
    approved = _approved(governance, request, action_type, agent, verdict, now)
    if not approved.issuperset(verdict.roles):
        return Judgement(verdict, action_type, agent, moved=moved)
    permit = governance.policy.judge(question, approved=approved)
    if permit.kind != "permit":
        return Judgement(permit, action_type, agent, moved=moved)
    permit = replace(permit, determining_digest=verdict.determining_digest)
    return Judgement(permit, action_type, agent, approved_roles=tuple(sorted(verdict.roles)), moved=moved)


def _approved(
    governance: Governance,
    request: Request,
    action_type: ActionType,
    agent: AgentSpec,
    verdict: Verdict,
    now: datetime,
) -> frozenset[str]:
    """Roles whose yes is bound to these arguments and these policies, by people who may still say it."""
    if not request.approvals:
        return frozenset()
    roles = approving.usable(
        request.approvals,
        args_digest=request.digest,
        determining=verdict.determining_digest,
        roles=verdict.roles,
        now=now,
    )
    excluded = approving.excluded_people(request.run.principal, request.editors, action_type)
    still: dict[str, set[str]] = {}
    for role in roles:
        people = approving.entitled(
            governance.project.directory, role, action_type, agent, excluded=excluded, escalations=approving.MAX_CLIMB
        )
        still[role] = {p.id for p in people}
    return frozenset(a.role for a in request.approvals if a.role in roles and a.person in still[a.role])


def _question(request: Request, agent: AgentSpec, moved: limits.MoneyMoved | None) -> PolicyQuestion:
    run = request.run
    return PolicyQuestion(
        agent=run.actor.agent,
        person=run.actor.on_behalf_of,
        assisted=run.actor.assisted,
        action=request.call.action,
        args=request.args,
        autonomy=agent.autonomy,
        labels=run.labels,
        usd_micros=run.usd_micros,
        tokens=run.tokens,
        calls=run.calls,
        workflow=run.workflow or "",
        workspace=run.workspace,
        trigger=run.trigger,
        today=run.today,
        moved_today=run.moved_today.get((request.call.action, moved.currency)) if moved is not None else None,
    )


def _with_duplicate(verdict: Verdict, duplicate_of: str) -> Verdict:
    """A second effect under one business key needs the accountable human, whatever policy says."""
    if not duplicate_of or verdict.kind == "forbid":
        return verdict
    reason = Reason(ReasonCode.DUPLICATE_EFFECT, f"action {duplicate_of} already did this and was not undone")
    return Verdict(
        "needs_approval",
        (*verdict.reasons, reason),
        verdict.policy_ids,
        tuple(sorted({*verdict.roles, "accountable"})),
        canonical.digest([verdict.determining_digest, ReasonCode.DUPLICATE_EFFECT, duplicate_of]),
    )


def _refused(reason: Reason) -> Verdict:
    return Verdict("forbid", (reason,), ())


_UNCLASSIFIED = Reason(ReasonCode.ACTION_UNCLASSIFIED, "no file says what this does, so it is forbidden")
_CHECK_FAILED = Reason(ReasonCode.CHECK_FAILED, "a check could not be made, so the action is refused; see the log")
