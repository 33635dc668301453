"""What `remit check` and the gates ask of the policy engine: its problems, what it bounds, and whom it asks."""

from __future__ import annotations

from remit.config.check import PolicyReport, Where
from remit.domain.actions import MODEL_REQUEST, ActionType
from remit.domain.gates import Bounded
from remit.domain.project import Project
from remit.errors import ProjectInvalid
from remit.governance.policy import PolicyEngine
from remit.governance.policy.reading import Policy


def policy_report(project: Project, where: Where) -> PolicyReport:
    """Check a project's policies; hand this to `check_project` as its `policy_check`."""
    try:
        engine = PolicyEngine.load(
            project.policies,
            project.actions,
            project.tool,
            project.directory,
            {name: agent.spec for name, agent in project.agents.items()},
            where=where,
        )
    except ProjectInvalid as invalid:
        return PolicyReport(tuple(invalid.problems), bounded=lambda _: False)
    policies = tuple(engine.policies.values())
    return PolicyReport(
        tuple(engine.problems),
        bounded=bounded_by(policies, project),
        approvers=lambda action: frozenset(
            role
            for policy in policies
            if _speaks_about(policy, action, project.actions.get(action))
            for role in policy.roles
        ),
    )


def bounded_by(policies: tuple[Policy, ...], project: Project) -> Bounded:
    """Whether a policy names an action type, or a group that the type declares.

    The built-in groups do not count: a policy for all writes says nothing about what this one may do.
    """

    def bounded(action: str) -> bool:
        declared = project.actions.get(action)
        names = {action, *(declared.groups if declared is not None else ())}
        return any(names & set(policy.scope.names) for policy in policies)

    return bounded


def _speaks_about(policy: Policy, name: str, action: ActionType | None) -> bool:
    if policy.scope.operator == "all":
        return True
    names = {name, "any", *(action.groups if action is not None else ())}
    if action is not None and name != MODEL_REQUEST:
        names.add(action.effect.value)
    return bool(names & set(policy.scope.names))
