"""What of the directory, the agents and the policies somebody may know of: that of the workspaces that they see."""

from __future__ import annotations

from collections.abc import Iterable

from remit.domain.access import Permission, Viewer
from remit.domain.agents import AgentVersion
from remit.domain.project import Project
from remit.errors import NotFound
from remit.governance.explaining import actions_of, responsible
from remit.governance.policy.reading import Policy
from remit.governance.remits import may_approve
from remit.governance.rooms import Room
from remit.governance.state import Governance

NOT_SHOWN = '"(not shown)"'
"""Stands in a policy's text for the name of what somebody may not know of."""


def workspaces(viewer: Viewer, project: Project, permission: Permission = Permission.SEE) -> list[str]:
    """Ids of the directory's workspaces where somebody may do something, in the directory's order."""
    return [w.id for w in project.directory.workspaces if viewer.may(permission, w.id)]


def agents(viewer: Viewer, project: Project, permission: Permission = Permission.SEE) -> list[str]:
    """Names of the deployed agents of the workspaces where somebody may do something, in order."""
    return sorted(a for a, version in project.agents.items() if viewer.may(permission, version.spec.workspace))


def agent(viewer: Viewer, project: Project, name: str) -> AgentVersion:
    """A deployed agent. Raises NotFound, also for one that the viewer does not see."""
    version = project.agents.get(name)
    if version is None or not viewer.may(Permission.SEE, version.spec.workspace):
        raise NotFound(f"there is no agent {name}", advice="Look at the list of agents.")
    return version


def people(viewer: Viewer, governance: Governance) -> set[str]:
    """Ids of the people whom somebody may know of.

    Those of the workspaces that they see, themselves, and whoever answers for an agent or an action there.
    """
    directory = governance.project.directory
    if viewer.workspaces() is None:
        return {p.id for p in directory.people}
    found = {viewer.person}
    for person in directory.people:
        places = {*person.workspaces, *(g.workspace for g in person.access if g.workspace is not None)}
        if any(viewer.may(Permission.SEE, place) for place in places):
            found.add(person.id)
    for workspace in directory.workspaces:
        if viewer.may(Permission.SEE, workspace.id):
            found |= {p.id for p in directory.resolve(workspace.manager)}
    seen = agents(viewer, governance.project)
    for name in seen:
        spec = governance.project.agents[name].spec
        found |= {p.id for reference in (spec.owner, spec.escalation) for p in directory.resolve(reference)}
        for action in actions_of(governance, name):
            found |= {p.id for holders in responsible(governance, name, action).values() for p in holders}
    return found | set(may_approve(governance, seen))


def hidden_names(viewer: Viewer, governance: Governance) -> frozenset[str]:
    """Names of agents, workspaces and people that somebody may not know of."""
    if viewer.workspaces() is None:
        return frozenset()
    project = governance.project
    known = people(viewer, governance)
    names = {a for a in project.agents if a not in agents(viewer, project)}
    names |= {w.id for w in project.directory.workspaces if not viewer.may(Permission.SEE, w.id)}
    for person in project.directory.people:
        if person.id not in known:
            names |= {person.id, person.email or person.id}
    return frozenset(names)


def policies(viewer: Viewer, governance: Governance) -> list[Policy]:
    """The policies that may speak about what somebody sees: not those for an agent, workspace or person elsewhere."""
    hidden = hidden_names(viewer, governance)
    flows = workflows(viewer, governance.project)
    found = []
    for policy in governance.policy.policies.values():
        kind, name = policy.principal.entity or ("", "")
        elsewhere = name in hidden if kind in {"Agent", "Workspace", "Person"} else kind == "Workflow"
        if not elsewhere or name in flows:
            found.append(policy)
    return found


def text_of(policy: Policy, hidden: Iterable[str]) -> str:
    """A policy's own text, without the names that are hidden."""
    quoted = {f'"{name}"' for name in hidden}
    parts, done = [], 0
    text = policy.statement.text
    for token in policy.statement.tokens() if quoted else ():
        if token.text in quoted:
            parts += [text[done : token.offset], NOT_SHOWN]
            done = token.offset + len(token.text)
    return "".join([*parts, text[done:]])


def workflows(viewer: Viewer, project: Project) -> list[str]:
    """Names of the workflows in which an agent works that somebody sees; one without agents is for who sees all."""
    seen = {project.agents[a].spec.workflow for a in agents(viewer, project)}
    return [name for name in project.workflows if name in seen or viewer.workspaces() is None]


def may_see_room(viewer: Viewer, project: Project, room: Room) -> bool:
    """True if all agents that draw on a budget are seen: what is used of it would tell of the others."""
    kind, _, rest = room.id.partition(":")
    name = rest.partition(":")[0]
    seen = set(agents(viewer, project))
    match kind:
        case "agent" | "session":
            return True
        case "workflow":
            return {a for a, v in project.agents.items() if v.spec.workflow == name} <= seen
        case "cap":
            return {a for a, v in project.agents.items() if name in v.spec.tools} <= seen
        case _:
            return viewer.workspaces() is None
