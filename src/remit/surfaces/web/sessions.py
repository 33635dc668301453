"""Sessions: the list of those that somebody sees, found by what they are."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from remit.domain.access import Permission, Viewer
from remit.domain.project import Project
from remit.governance import visibility
from remit.storage import session_search
from remit.surfaces.http.guard import Ours, Seeing
from remit.surfaces.web.headings import headings
from remit.surfaces.web.looking import Text
from remit.surfaces.web.rendering import MOST, capped, page

router = APIRouter()
_PAGE = 50
_TABS = ("", "running", "waiting", "paused", "failed", "finished", "cancelled")
_COUNTED = ("running", "waiting", "paused", "failed")
_TRIGGERS = ("person", "agent", "fork")
"""What starts sessions beside the triggers that files declare."""
_LABELS = ("untrusted", "private")
_FILTERS = ("text", "agent", "person", "label", "trigger", "workspace")


@router.get("/sessions")
def listing(
    request: Request,
    viewer: Seeing,
    services: Ours,
    text: Text = "",
    agent: Text = "",
    person: Text = "",
    status: Text = "",
    label: Text = "",
    trigger: Text = "",
    workspace: Text = "",
    before: Text = "",
) -> Response:
    """The newest first."""
    asked = (text, agent, person, label, trigger, workspace)
    given = dict(zip(_FILTERS, asked, strict=True))
    wanted = session_search.Wanted(status=status or None, **{name: value or None for name, value in given.items()})
    project = services.deployments.load().project
    seen = viewer.workspaces()
    with services.sessions.transaction() as db:
        found = session_search.find(db, wanted, before=before or None, limit=_PAGE + 1, workspaces=seen)
        counts = {s: capped(session_search.count(db, s, seen, MOST + 1)) for s in _COUNTED}
        return page(
            request,
            "sessions.html",
            viewer,
            db,
            tabs=[(name, name.capitalize() or "All", counts.get(name, "")) for name in _TABS],
            chosen=status,
            given=given,
            filtered=any(given.values()),
            rows=found[:_PAGE],
            heading=headings(db, found[:_PAGE]),
            next=found[_PAGE - 1].id if len(found) > _PAGE else None,
            first=not before,
            choices=_choices(project, viewer),
            may_start=viewer.may_somewhere(Permission.WORK),
        )


def _choices(project: Project, viewer: Viewer) -> dict[str, list[str]]:
    """What the filters offer: only what the viewer sees."""
    agents = visibility.agents(viewer, project)
    triggers = [name for name, found in project.triggers.items() if found.agent in agents]
    return {
        "agent": agents,
        "label": list(_LABELS),
        "trigger": [*_TRIGGERS, *sorted(triggers)],
        "workspace": visibility.workspaces(viewer, project),
    }
