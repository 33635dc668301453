"""What people are asked: the inbox items that the gate opens, and the sentence that says what is asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from remit.domain import canonical, ids
from remit.domain.actions import MODEL_REQUEST, ActionType
from remit.domain.agents import AgentSpec
from remit.domain.decisions import Actor, Call, Verdict
from remit.domain.inbox import ItemKind
from remit.domain.intents import NewItem
from remit.governance import approvals
from remit.governance.judgement import Request
from remit.governance.state import Governance


def approval(
    governance: Governance,
    request: Request,
    verdict: Verdict,
    action_type: ActionType,
    agent: AgentSpec,
    *,
    now: datetime,
) -> NewItem:
    """The item that asks for approval, with everything that a person needs to decide."""
    rules = action_type.approval
    excluded = approvals.excluded_people(request.run.principal, request.editors, action_type)
    directory = governance.project.directory
    by_role = {
        role: [p.id for p in approvals.entitled(directory, role, action_type, agent, excluded=excluded)]
        for role in verdict.roles
    }
    return NewItem(
        id=ids.new_id("itm"),
        kind=ItemKind.APPROVAL,
        summary=summary(action_type, request.call.action, request.args, request.run.actor.agent),
        roles=verdict.roles,
        assignees=tuple(sorted({p for holders in by_role.values() for p in holders})),
        escalate_at=now + rules.escalate_after,
        expires_at=now + rules.expires,
        detail={
            "action": request.call.action,
            "by_role": by_role,
            "excluded": sorted(excluded),
            "why": request.call.reason,
            "reasons": [{"code": r.code, "text": r.text, "policy_id": r.policy_id} for r in verdict.reasons],
            "policy_ids": list(verdict.policy_ids),
            "policy_version": governance.policy.version,
            "args_digest": request.digest,
            "determining": verdict.determining_digest,
        },
    )


def reconciliation(governance: Governance, call: Call, actor: Actor, action_type: ActionType | None) -> NewItem:
    """Asks the system's owner what became of an action; failing one, whoever is accountable or owns the agent."""
    version = governance.agent(actor.agent)
    holders = action_type.raci.holders() if action_type is not None and action_type.raci is not None else {}
    references = (*holders.get("system_owner", ()), *holders.get("accountable", ()))
    assignees = people(governance, references) or (people(governance, (version.spec.owner,)) if version else ())
    return NewItem(
        id=ids.new_id("itm"),
        kind=ItemKind.RECONCILIATION,
        summary=f"Did this happen? {summary(action_type, call.action, call.args, actor.agent)}",
        roles=("system_owner",),
        assignees=assignees,
        detail={"action": call.action},
    )


def people(governance: Governance, references: tuple[str, ...]) -> tuple[str, ...]:
    """Ids of the active people behind references, each once."""
    found = (p.id for ref in references for p in governance.project.directory.resolve(ref))
    return tuple(dict.fromkeys(found))


def summary(action_type: ActionType | None, action: str, args: dict[str, Any], agent: str) -> str:
    """The request in a sentence, for people."""
    title = action_type.title if action_type is not None and action != MODEL_REQUEST else action
    money = action_type.effective_money(args) if action_type is not None else None
    amount = f" of {money[0]} {money[1]}" if money is not None and money[0] is not None else ""
    rest = ", ".join(
        f"{k} {canonical.dumps(v).decode()[:60]}"
        for k, v in args.items()
        if isinstance(v, str | int) and (money is None or v not in money)
    )
    return f"{agent}: {title}{amount}" + (f" ({rest[:200]})" if rest else "")
