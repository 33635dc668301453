"""What agents have put out, over all sessions: what nobody has looked at yet comes first."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from remit.domain.builtins import OUTPUT_KINDS
from remit.governance import visibility
from remit.storage import cockpit_sessions, outputs
from remit.surfaces.http.guard import Ours, Seeing
from remit.surfaces.web.looking import Text
from remit.surfaces.web.rendering import page

router = APIRouter()
_PAGE = 50
_TABS = (
    ("open", "To review"),
    ("disputed", "Disputed"),
    ("accepted", "Accepted"),
    ("rejected", "Rejected"),
    ("all", "Everything"),
)
"""By status of the newest version. One that somebody has edited is accepted, in that person's version."""


@router.get("/outputs")
def listing(
    request: Request,
    viewer: Seeing,
    services: Ours,
    status: Text = "open",
    agent: Text = "",
    kind: Text = "",
    workspace: Text = "",
    before: Text = "",
) -> Response:
    """Outputs in the workspaces that somebody sees, each in its newest version, newest first."""
    chosen = status if status in dict(_TABS) else "open"
    project = services.deployments.load().project
    with services.sessions.transaction() as db:
        found = outputs.listing(
            db,
            status=None if chosen == "all" else chosen,
            agent=agent or None,
            kind=kind or None,
            workspace=workspace or None,
            workspaces=viewer.workspaces(),
            before=before or None,
            limit=_PAGE + 1,
        )
        return page(
            request,
            "outputs.html",
            viewer,
            db,
            tabs=_TABS,
            chosen=chosen,
            given={"agent": agent, "kind": kind, "workspace": workspace},
            choices={
                "agent": visibility.agents(viewer, project),
                "kind": OUTPUT_KINDS,
                "workspace": visibility.workspaces(viewer, project),
            },
            rows=found[:_PAGE],
            whom=cockpit_sessions.whom(db, [output["session_id"] for output in found[:_PAGE]]),
            first=not before,
            next=found[_PAGE - 1]["id"] if len(found) > _PAGE else None,
        )
