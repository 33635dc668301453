"""Policies, and what they decide, in the shapes of the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remit.domain.decisions import Verdict
    from remit.governance.explaining import Rehearsal
    from remit.governance.policy import PolicyEngine
    from remit.governance.policy.reading import Policy
    from remit.governance.state import Governance
    from remit.storage.sessions import Db


def place(found: Policy) -> str:
    """Where a policy stands: `policies/refunds.cedar:12`."""
    return found.where


def policy(engine: PolicyEngine, policy_id: str) -> dict[str, Any]:
    """A policy; without text if it is not in force any more."""
    found = engine.policies.get(policy_id)
    if found is None:
        return {"id": policy_id, "effect": None, "where": None, "roles": [], "actions": [], "text": None}
    return {
        "id": found.id,
        "effect": found.effect,
        "where": place(found),
        "roles": found.roles,
        "actions": found.scope.names,
        "text": found.statement.text,
    }


def verdict(found: Verdict) -> dict[str, Any]:
    """What was decided, why, and by which policies."""
    return {
        "verdict": found.kind,
        "reasons": [{"code": r.code, "text": r.text, "policy_id": r.policy_id} for r in found.reasons],
        "roles": found.roles,
        "policy_ids": found.policy_ids,
    }


def rehearsal(engine: PolicyEngine, found: Rehearsal) -> dict[str, Any]:
    """What would be decided, with every policy that spoke."""
    return {
        **verdict(found.verdict),
        "policies": [policy(engine, p) for p in found.verdict.policy_ids],
        "spoke": [
            {"policy": s.policy.id, "where": place(s.policy), "principal": s.principal, "determining": s.determining}
            for s in found.explanation.spoken
        ],
        "considered": found.explanation.considered,
    }


def explained(governance: Governance, db: Db, action_id: str) -> dict[str, Any]:
    """Why an action was decided as it was, and how it would be decided now. Raises NotFound."""
    from remit.governance.explaining import rehearse_recorded  # noqa: PLC0415 - heavy
    from remit.storage import actions  # noqa: PLC0415

    row, engine = actions.get(db, action_id), governance.policy
    judged = row["mode"] in {"tool", "model"}
    now = rehearse_recorded(governance, db, action_id) if judged else None
    return {
        "id": row["id"],
        "action": row["action"],
        "agent": row["agent"],
        "session_id": row["session_id"],
        "args": row["args"],
        "recorded": {
            "status": row["status"],
            "reasons": row["reasons"],
            "roles": row["roles"],
            "override": row["override"],
            "policy_version": row["policy_version"],
            "policies": [policy(engine, p) for p in row["policy_ids"]],
        },
        "now": {"policy_version": engine.version, **rehearsal(engine, now)} if now is not None else None,
        "policies_changed": bool(row["policy_version"]) and row["policy_version"] != engine.version,
    }
