"""Stops as people set them: what of which scope somebody may name, and whether they may stop all that it covers."""

from __future__ import annotations

from typing import cast

from remit.domain.access import Permission, Viewer
from remit.domain.project import Project
from remit.domain.stops import StopScope
from remit.errors import InvalidInput, NotEntitled
from remit.governance import visibility
from remit.surfaces.http.guard import must


def targets(project: Project, viewer: Viewer, scope: str) -> list[str]:
    """What of this scope the viewer may name."""
    match scope:
        case "workspace":
            return visibility.workspaces(viewer, project)
        case "agent":
            return visibility.agents(viewer, project)
        case "action":
            return sorted([*project.actions, "model.request"])
        case _:
            return []


def workspace(project: Project, scope: str, target: str) -> str | None:
    """The workspace that something belongs to; None: the whole company. An action type is used by all of it."""
    if scope == "workspace":
        return target
    agent = project.agents.get(target) if scope == "agent" else None
    return agent.spec.workspace if agent is not None else None


def must_reach(viewer: Viewer, project: Project, scope: str, target: str, permission: Permission) -> None:
    """Raise NotEntitled unless the viewer may do this to all that it covers."""
    if scope != "all" and target not in targets(project, viewer, scope):
        raise NotEntitled(f"there is no {scope} {target!r} that you could name", advice="Choose one from the list.")
    must(viewer, permission, workspace(project, scope, target), f"{permission} {covered(scope, target)}")


def scope(name: str) -> StopScope:
    """The scope of this name. Raises InvalidInput."""
    if name not in {"all", "workspace", "agent", "action"}:
        raise InvalidInput(f"{name!r} is no scope of a stop")
    return cast(StopScope, name)


def covered(scope: str, target: str) -> str:
    """What a stop covers, in words."""
    names = {"workspace": "the workspace", "agent": "the agent", "action": "the action type"}
    return f"{names[scope]} {target}" if scope in names and target else "everything"
