"""Agents in the shapes of the reference: in a list, and as the card that says what one may see, touch and never do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from remit.config.skills import skills_of
from remit.domain.agents import AgentVersion
from remit.domain.gates import GateResult, judge_gates
from remit.evidence.shaping.policies import place
from remit.governance.policy_report import bounded_by
from remit.governance.state import Governance
from remit.storage import bundles, knowledge
from remit.storage.sessions import Db


def listed(governance: Governance, name: str) -> dict[str, Any]:
    """An agent that is deployed, as lists have it."""
    version = governance.project.agents[name]
    return {
        "agent": name,
        "title": version.spec.title,
        "kind": "program" if version.is_program else "model",
        "model": version.spec.model,
        "layer": version.spec.layer,
        "owner": version.spec.owner,
        "workspace": version.spec.workspace,
        "version": version.digest,
        "suspended": name in governance.suspended,
    }


def in_full(governance: Governance, db: Db, version: AgentVersion, *, bundle: str | None = None) -> dict[str, Any]:
    """A version's card with who deployed it and all versions; `bundle` is the one that held it, else today's."""
    stored = bundles.load(db, bundle or governance.bundle_digest)
    return {
        **card(governance, version),
        "granted_by": stored.deployed_by if stored is not None else None,
        "signed_with": stored.key_id if stored is not None else None,
        "versions": bundles.versions(db, version.agent),
    }


def card(governance: Governance, version: AgentVersion) -> dict[str, Any]:
    """A version's card, without what the database knows.

    What it may do is said by the policies of today, which also judge sessions that began with an older version.
    """
    agent, spec = version.agent, version.spec
    deployed = governance.project.agents.get(agent)
    in_force = deployed is not None and deployed.digest == version.digest
    tools = {name: governance.action_type(name) for name in spec.tools}
    return {
        "agent": agent,
        "title": spec.title,
        "purpose": spec.purpose,
        "kind": "program" if version.is_program else "model",
        "model": spec.model,
        "reasoning": spec.reasoning,
        "layer": spec.layer,
        "owner": spec.owner,
        "escalation": spec.escalation,
        "workspace": spec.workspace,
        "workflow": spec.workflow,
        "autonomy": spec.autonomy,
        "version": version.digest,
        "in_force": in_force,
        "suspended": agent in governance.suspended,
        "tools": spec.tools,
        **_contents(version),
        "may_see": {n: t.title for n, t in tools.items() if t is not None and t.effect == "read"},
        "may_touch": {n: t.title for n, t in tools.items() if t is not None and t.effect == "write"},
        "never": spec.never,
        "needs_approval": list(_approvals(governance, spec.tools)),
        "budget": spec.budget.model_dump(mode="json", exclude_none=True),
        "gates": [
            {"gate": r.gate, "passed": r.passed, "findings": [f.text for f in r.findings]}
            for r in (_gates(governance, agent) if in_force else ())
        ],
        "input": spec.input,
    }


def _contents(version: AgentVersion) -> dict[str, Any]:
    """Skills and knowledge of a version."""
    files, passages = knowledge.count(version)
    return {
        "skills": [
            {"name": s.name, "description": s.description, "files": list(s.files), "allowed_tools": s.allowed_tools}
            for _, s in sorted(skills_of(version).items())
        ],
        "knowledge": {"files": files, "passages": passages, "language": version.spec.language},
    }


def _approvals(governance: Governance, tools: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for name in tools:
        for policy in governance.policy.speaking_about(name):
            if policy.roles:
                says = policy.sentence("asks for approval")
                yield {
                    "action": name,
                    "roles": policy.roles,
                    "policy": policy.id,
                    "where": place(policy),
                    "says": says,
                }


def _gates(governance: Governance, agent: str) -> list[GateResult]:
    bounded = bounded_by(tuple(governance.policy.policies.values()), governance.project)
    return judge_gates(governance.project, agent, bounded=bounded)
