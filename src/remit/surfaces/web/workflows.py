"""Workflows: the map of their steps by layer, with how much is where now, and where it went wrong."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from remit.domain.access import Viewer
from remit.domain.project import Project
from remit.domain.workflows import Step, Workflow
from remit.errors import NotFound
from remit.governance import visibility
from remit.governance.explaining import actions_of
from remit.governance.state import Governance
from remit.storage import cockpit_agents, tallies
from remit.storage.cockpit_agents import Standing
from remit.storage.rollups import Window
from remit.surfaces.http.guard import Ours, Seeing
from remit.surfaces.web import spans
from remit.surfaces.web.rendering import MOST, page

router = APIRouter()
_PAGE = 50
_SPANS, _USUAL = ("24h", "7d", "30d"), "24h"


@router.get("/workflows")
def show(request: Request, viewer: Seeing, services: Ours, span: str = "") -> Response:
    """The map of every workflow in which somebody sees an agent."""
    back = spans.span(span, _SPANS, _USUAL)
    governance = services.deployments.load()
    project, seen = governance.project, visibility.agents(viewer, governance.project)
    names = visibility.workflows(viewer, project)
    crew = {name: [a for a in seen if project.agents[a].spec.workflow == name] for name in names}
    everybody = sorted({a for agents in crew.values() for a in agents})
    with services.sessions.transaction() as db:
        standing = cockpit_agents.standing(db, everybody, viewer.workspaces(), MOST)
        waiting = cockpit_agents.waiting_actions(db, everybody, viewer.workspaces(), MOST)
        trouble = tallies.troubles(db, everybody, _window(viewer, back))
        maps = [
            {
                "name": name,
                "flow": project.workflows[name],
                "agents": [(a, project.agents[a].spec.title, standing[a]) for a in crew[name]],
                "total": _total(standing[a] for a in crew[name]),
                "steps": _steps(governance, project.workflows[name], crew[name], waiting, trouble),
                "failed": cockpit_agents.failed_lately(db, crew[name], viewer.workspaces()),
            }
            for name in names
        ]
        return page(
            request,
            "workflows.html",
            viewer,
            db,
            maps=maps,
            trouble=tallies.TROUBLES,
            span=back.name,
            spans=spans.texts(_SPANS),
            newest=tallies.newest(db),
        )


@router.get("/workflows/actions")
def actions(
    request: Request,
    viewer: Seeing,
    services: Ours,
    agent: str,
    action: str,
    outcome: str,
    span: str = "",
    before: int | None = None,
) -> Response:
    """The actions of one step that went wrong in one way, newest first."""
    back = spans.span(span, _SPANS, _USUAL)
    version = visibility.agent(viewer, services.deployments.load().project, agent)
    if outcome not in tallies.TROUBLES:
        raise NotFound(f"there is no list of actions that became {outcome!r}", advice="Follow a count on the map.")
    with services.sessions.transaction() as db:
        rows = tallies.troubled(db, action, outcome, _window(viewer, back, agent), before=before, limit=_PAGE + 1)
        return page(
            request,
            "workflow_actions.html",
            viewer,
            db,
            given={"agent": agent, "action": action, "outcome": outcome, "span": back.name},
            title=version.spec.title,
            flow=version.spec.workflow,
            span=back,
            rows=rows[:_PAGE],
            more=rows[_PAGE - 1]["leaf_index"] if len(rows) > _PAGE else None,
        )


def _window(viewer: Viewer, back: spans.Span, agent: str = "") -> Window:
    return Window(back.grain, back.since, back.until, viewer.workspaces(), agent)


def _steps(
    governance: Governance,
    flow: Workflow,
    agents: list[str],
    waiting: dict[tuple[str, str], int],
    trouble: dict[tuple[str, str], dict[str, int]],
) -> list[dict[str, Any]]:
    """Every step with who does it, what waits for a person there, and what went wrong there."""
    steps = []
    deciding = next((step for step in flow.steps if step.layer == "decide" and step.action is None), None)
    for step in flow.steps:
        if step.action is not None:
            doers = [a for a in agents if step.action in actions_of(governance, a)]
            held = {a: waiting.get((a, step.action), 0) for a in doers}
        else:
            doers = agents if step.layer == "execute" else []
            # What waits at no step of its own, a question or an approval, waits where people first decide.
            own = {other.action for other in flow.steps if other.action is not None}
            held = {a: sum(n for (b, action), n in waiting.items() if b == a and action not in own) for a in agents}
            held = held if step is deciding else {}
        steps.append(
            {
                "step": step,
                "doers": doers,
                "system": _system(governance.project, step),
                "waiting": {a: n for a, n in held.items() if n},
                "trouble": {a: trouble[a, step.action] for a in doers if step.action and (a, step.action) in trouble},
            }
        )
    return steps


def _system(project: Project, step: Step) -> str:
    """The connection that records or does it."""
    connection = (step.action or "").partition(".")[0]
    return connection if connection in project.connections else ""


def _total(standings: Any) -> Standing:
    found = list(standings)
    return Standing(
        sum(s.running for s in found),
        sum(s.waiting for s in found),
        sum(s.paused for s in found),
        sum(s.failed for s in found),
    )
