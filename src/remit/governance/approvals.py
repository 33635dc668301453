"""Who may say yes: from the roles that a policy names to people, and back up the reporting line."""

from __future__ import annotations

from datetime import datetime

from remit.domain.actions import ActionType
from remit.domain.agents import AgentSpec
from remit.domain.directory import Directory, Person
from remit.domain.inbox import Approval

MAX_CLIMB = 20
"""Most steps up the reporting line."""


def role_reference(role: str, action_type: ActionType | None, agent: AgentSpec) -> tuple[str, ...]:
    """The people or roles of the directory behind a role that a policy names.

    `accountable`, `system_owner`, `risk_owner` and `consulted` are the action type's own; where it has none (a read),
    the agent's owner answers. Any other name is a role of the directory.
    """
    holders = action_type.raci.holders() if action_type is not None and action_type.raci is not None else {}
    if role in holders:
        return holders[role]
    if role in {"accountable", "system_owner", "risk_owner"}:
        return (agent.owner,)
    return (f"role:{role}",)


def entitled(
    directory: Directory,
    role: str,
    action_type: ActionType | None,
    agent: AgentSpec,
    *,
    excluded: frozenset[str] = frozenset(),
    escalations: int = 0,
) -> tuple[Person, ...]:
    """The active people who may answer for a role, nearest first.

    `excluded` are people who may not: whoever asked for the work, and whoever edited the arguments. If nobody else
    holds the role, the next one up the reporting line may; every escalation opens it one step further.
    """
    holders = [p for ref in role_reference(role, action_type, agent) for p in directory.resolve(ref)]
    named = list(dict.fromkeys(holders))
    people = [p for p in named if p.id not in excluded]
    start = named or _departed(directory, role_reference(role, action_type, agent))
    steps = escalations if people else escalations + 1
    for person in start:
        climbed = 0
        for manager in directory.chain(person.id):
            if climbed >= steps:
                break
            if manager.id not in excluded:
                climbed += 1
                if manager not in people:
                    people.append(manager)
    return tuple(people)


def excluded_people(principal: str, editors: tuple[str, ...], action_type: ActionType | None) -> frozenset[str]:
    """Separation of duties: the requester and the editors are not the approver, unless the action type says so."""
    requester = principal.removeprefix("person:") if principal.startswith("person:") else None
    if action_type is not None and action_type.approval.requester_may_approve:
        requester = None
    if action_type is not None and action_type.approval.editor_may_approve:
        editors = ()
    return frozenset({*editors, *([requester] if requester else [])})


def usable(
    approvals: tuple[Approval, ...], *, args_digest: str, determining: str, roles: tuple[str, ...], now: datetime
) -> frozenset[str]:
    """The roles whose approval holds for exactly these arguments and policies; none if one person fills two."""
    fitting = [
        a for a in approvals if a.args_digest == args_digest and a.determining == determining and a.role in roles
    ]
    live = [a for a in fitting if a.used or a.expires_at > now]
    if len({a.person for a in live}) < len({a.role for a in live}):
        return frozenset()
    return frozenset(a.role for a in live)


def _departed(directory: Directory, references: tuple[str, ...]) -> list[Person]:
    """People named by id who have left: their managers are asked instead."""
    return [p for ref in references if (p := directory.person(ref)) is not None]
