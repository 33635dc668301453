"""More of one session: its time, and the source that it ran."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from remit.evidence import programs
from remit.storage import cockpit_sessions, sessions
from remit.surfaces.http.guard import Ours, Seeing
from remit.surfaces.web.looking import Text
from remit.surfaces.web.rendering import page
from remit.surfaces.web.session_page import frame
from remit.surfaces.web.timeline import draw

router = APIRouter()
_ACTIONS = 100


@router.get("/sessions/{session_id}/timeline")
def timeline(
    request: Request,
    viewer: Seeing,
    services: Ours,
    session_id: str,
    which: Text = "",
    turn: Text = "",
    before: Text = "",
) -> Response:
    """When everything happened: the newest hundred actions, or those with a problem."""
    governance = services.deployments.load()
    with services.sessions.transaction() as db:
        shared = frame(viewer, governance, db, session_id, "timeline")
        found = cockpit_sessions.actions(
            db, session_id, which=which, turn=turn or None, before=before or None, limit=_ACTIONS + 1
        )
        actions = found[-_ACTIONS:]
        own = {action["turn_id"] for action in actions}
        turns = cockpit_sessions.bare_turns(db, session_id, sorted(own), newest=not which and not turn and not before)
        waits = cockpit_sessions.waits(db, session_id, [t["id"] for t in turns])
        seen = viewer.workspaces()
        return page(
            request,
            "session_timeline.html",
            viewer,
            db,
            **shared,
            which=which,
            turn=turn,
            before=before,
            drawing=draw(turns, waits, actions, sessions.now(db), lambda w: seen is None or w in seen),
            older=actions[0]["id"] if len(found) > _ACTIONS else None,
        )


@router.get("/sessions/{session_id}/source")
def source(request: Request, viewer: Seeing, services: Ours, session_id: str, file: Text = "") -> Response:
    """The files that it ran, exactly as it began with them."""
    with services.sessions.transaction() as db:
        shared = frame(viewer, services.deployments.load(), db, session_id, "source")
        return page(
            request,
            "session_source.html",
            viewer,
            db,
            **shared,
            versions=programs.sources(db, services.deployments.version, session_id),
            file=file,
        )
