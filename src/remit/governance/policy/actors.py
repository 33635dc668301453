"""The acting agent, and the person behind it, as Cedar entities."""

from __future__ import annotations

from typing import Any

from remit.domain.agents import AgentSpec
from remit.domain.directory import Person


def uid(kind: str, name: str) -> dict[str, str]:
    """An entity's id in the engine's JSON, which needs no escaping."""
    return {"type": kind, "id": name}


def entities(agent: str, spec: AgentSpec, person: Person | None) -> list[dict[str, Any]]:
    """The agent, the person, and what they belong to. Their remit is the present one, not that of an older version."""
    workspace = ("Workspace", spec.workspace)
    attrs: dict[str, Any] = {
        "owner": spec.owner,
        "layer": spec.layer,
        "workspace": {"__entity": uid(*workspace)},
    }
    groups = {workspace}
    if spec.workflow is not None:
        groups.add(("Workflow", spec.workflow))
        attrs["workflow"] = {"__entity": uid("Workflow", spec.workflow)}
    made = [_entity("Agent", agent, attrs, groups)]
    if person is not None:
        belongs = {("Role", r) for r in person.roles} | {("Workspace", w) for w in person.workspaces}
        made.append(_entity("Person", person.id, {"id": person.id}, belongs))
        groups |= belongs
    return made + [_entity(kind, name, {}, set()) for kind, name in sorted(groups)]


def _entity(kind: str, name: str, attrs: dict[str, Any], parents: set[tuple[str, str]]) -> dict[str, Any]:
    return {"uid": uid(kind, name), "attrs": attrs, "parents": [uid(*p) for p in sorted(parents)]}
