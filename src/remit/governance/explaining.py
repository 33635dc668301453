"""Why an action was decided as it was, and how it would be decided now. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from remit.domain import canonical
from remit.domain.actions import MODEL_REQUEST, ActionMode
from remit.domain.budgets import Usage, from_micros
from remit.domain.decisions import Actor, Call, Verdict
from remit.domain.directory import Person
from remit.errors import NotFound
from remit.governance import approvals as approving
from remit.governance import limits
from remit.governance.judgement import Request, Run, judge
from remit.governance.policy import PolicyQuestion
from remit.governance.policy.engine import Explanation
from remit.governance.state import Governance
from remit.storage import actions, budgets, inbox, sessions
from remit.storage.sessions import Db


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How an action would be decided, were it asked for now. Stops, rates and budgets are not looked at."""

    verdict: Verdict
    """Of all checks that need no lock: identity, scope, RACI, arguments, caps, policy, approvals."""
    explanation: Explanation
    """What the policies say, whether or not another check refuses first."""


def rehearse(governance: Governance, question: PolicyQuestion, approved: Iterable[str] = ()) -> Rehearsal:
    """Judge an action that nobody asks for. `approved` are roles of which the approval is supposed.

    Raises NotFound if there is no such agent.
    """
    agent = governance.agent(question.agent)
    if agent is None:
        known = ", ".join(sorted(governance.project.agents)) or "none"
        raise NotFound(f"there is no agent {question.agent!r}", advice=f"Agents: {known}.")
    judged = judge(governance, _request(governance, question), changed=False, now=datetime.now(UTC))
    explanation = governance.policy.explain(question, frozenset(approved))
    verdict = judged.verdict if judged.verdict.kind == "forbid" else explanation.verdict
    return Rehearsal(verdict, explanation)


def rehearse_recorded(governance: Governance, db: Db, action_id: str) -> Rehearsal:
    """Judge an action of the ledger anew: with what policy says now, and what its session has touched since.

    The approvals that were given for its arguments are supposed. Raises NotFound.
    """
    row = actions.get(db, action_id)
    question = question_of(governance, db, row)
    given = [a for a in inbox.approvals_of(db, action_id) if a.args_digest == row["args_digest"]]
    return rehearse(governance, question, {a.role for a in given})


def question_of(governance: Governance, db: Db, row: dict[str, Any]) -> PolicyQuestion:
    """What policy would be asked about an action of the ledger now. Totals of its session leave the action out."""
    session = sessions.get(db, row["session_id"])
    agent = governance.agent(row["agent"])
    before = actions.used(db, session.id, before=row["id"])
    action_type = governance.action_type(row["action"])
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    today, cap = f"agent:{row['agent']}:{day}", ""
    moved = limits.money_moved(action_type, row["args"] or {}) if action_type is not None else None
    if isinstance(moved, limits.MoneyMoved):
        cap = f"cap:{row['action']}:{moved.currency}:{day}"
    used = budgets.used(db, [today, cap])
    return PolicyQuestion(
        agent=row["agent"],
        person=row["on_behalf_of"],
        assisted=agent is not None and agent.spec.layer == "assisted",
        action=row["action"],
        args=row["args"] or {},
        autonomy=agent.spec.autonomy if agent is not None else "observe",
        labels=session.labels,
        usd_micros=before["usd_micros"],
        tokens=before["tokens"],
        calls=before["actions"],
        workspace=session.workspace,
        workflow=session.workflow or "",
        trigger=session.trigger,
        today=used[today],
        moved_today=from_micros(used[cap].usd_micros) if cap else None,
    )


def supposed_question(
    governance: Governance,
    agent: str,
    action: str,
    args: dict[str, Any],
    *,
    person: str | None = None,
    labels: Iterable[str] = (),
) -> PolicyQuestion:
    """What policy would be asked at the start of a session in which nothing was spent today."""
    found = governance.agent(agent)
    action_type = governance.action_type(action)
    spec = found.spec if found is not None else None
    defaults = action_type.defaults if action_type is not None else {}
    filled = args | {name: value for name, value in defaults.items() if args.get(name) is None}
    return PolicyQuestion(
        agent=agent,
        person=person,
        assisted=spec is not None and spec.layer == "assisted",
        action=action,
        args=canonical.normalise(filled, what="arguments"),
        autonomy=spec.autonomy if spec is not None else "observe",
        labels=frozenset(labels),
        usd_micros=0,
        tokens=0,
        calls=0,
        workspace=spec.workspace if spec is not None else "",
        workflow=(spec.workflow or "") if spec is not None else "",
        trigger="person",
        today=Usage(),
        moved_today=Decimal(0),
    )


def responsible(governance: Governance, agent: str, action: str) -> dict[str, tuple[Person, ...]]:
    """Who answers for an action type that an agent may take: role to the active people behind it, now.

    Where the type names nobody, as a read may, the agent's owner answers.
    """
    spec = governance.project.agents[agent].spec
    action_type = governance.action_type(action)
    directory = governance.project.directory
    roles = ("accountable", "system_owner", "risk_owner", "consulted", "informed")
    found: dict[str, tuple[Person, ...]] = {}
    for role in roles:
        named = action_type is not None and action_type.raci is not None
        references = approving.role_reference(role, action_type, spec) if named or role in roles[:3] else ()
        people = [person for reference in references for person in directory.resolve(reference)]
        found[role] = tuple(dict.fromkeys(people))
    return found


def actions_of(governance: Governance, agent: str) -> tuple[str, ...]:
    """Every action type that an agent can take: its tools, what those imply (lookup, undo, state), and its model."""
    spec = governance.project.agents[agent].spec
    names = list(spec.tools)
    for name in spec.tools:
        action_type = governance.action_type(name)
        implied = (action_type.lookup, action_type.undo, action_type.current) if action_type is not None else ()
        names += [i.tool for i in implied if i is not None]
    if spec.model is not None:
        names.append(MODEL_REQUEST)
    return tuple(dict.fromkeys(names))


def _request(governance: Governance, question: PolicyQuestion) -> Request:
    """The question as the gate would be asked, with nobody's approval."""
    agent = governance.project.agents[question.agent]
    actor = Actor(question.agent, agent.digest, question.person, question.assisted)
    action_type = governance.action_type(question.action)
    moved = limits.money_moved(action_type, question.args) if action_type is not None else None
    today = {}
    if isinstance(moved, limits.MoneyMoved) and question.moved_today is not None:
        today[question.action, moved.currency] = question.moved_today
    run = Run(
        session_id="",
        turn_id="",
        epoch=0,
        actor=actor,
        workspace=question.workspace,
        workflow=question.workflow or None,
        trigger=question.trigger,
        principal="",
        labels=question.labels,
        usd_micros=question.usd_micros,
        tokens=question.tokens,
        calls=question.calls,
        today=question.today,
        moved_today=today,
    )
    implied = None if question.action in agent.spec.tools else _implied_by(governance, question.agent, question.action)
    mode: ActionMode = "model" if question.action == MODEL_REQUEST else "tool"
    call = Call("", "", question.action, question.args, mode=mode, implied_by=implied)
    return Request(run, call, Usage(calls=1))


def _implied_by(governance: Governance, agent: str, action: str) -> str | None:
    """The tool of the agent that declares this action as its lookup, undo or current state."""
    for name in governance.project.agents[agent].spec.tools:
        action_type = governance.action_type(name)
        declared = (action_type.lookup, action_type.undo, action_type.current) if action_type is not None else ()
        if action in {d.tool for d in declared if d is not None}:
            return name
    return None
