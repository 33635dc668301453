"""More of one session: its time, what it put out and why, and the source that it ran."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from remit.errors import NotFound
from remit.evidence import programs
from remit.storage import cockpit_sessions, outputs, rows, sessions
from remit.storage.ledger import payload_id
from remit.surfaces.http.guard import Ours, Seeing
from remit.surfaces.web.looking import Text
from remit.surfaces.web.rendering import page
from remit.surfaces.web.session_page import frame
from remit.surfaces.web.timeline import draw

router = APIRouter()
_ACTIONS, _TURNS, _ROWS = 100, 50, 200


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


@router.get("/sessions/{session_id}/results")
def results(
    request: Request, viewer: Seeing, services: Ours, session_id: str, row: Text = "", name: Text = ""
) -> Response:
    """What it put out, and why each row is where it is."""
    with services.sessions.transaction() as db:
        shared = frame(viewer, services.deployments.load(), db, session_id, "results")
        found = rows.of_session(db, session_id)
        published = outputs.listing(db, session_id=session_id, every_version=True, limit=50)
        bodies = cockpit_sessions.contents(db, [payload_id(o["id"], "b") for o in published])
        return page(
            request,
            "session_results.html",
            viewer,
            db,
            **shared,
            lists=_lists(found),
            more=max(len(found) - _ROWS, 0),
            row=row,
            whys=_whys(services, db, session_id, row, name) if row else [],
            outputs=[(o, bodies.get(payload_id(o["id"], "b"), cockpit_sessions.NOTHING)) for o in published],
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


def _lists(found: list[Any]) -> dict[str, list[Any]]:
    """The rows by the list that they belong to, as many as a page takes."""
    lists: dict[str, list[Any]] = {}
    for row in found[:_ROWS]:
        lists.setdefault(row.name, []).append(row)
    return lists


def _whys(services: Ours, db: Any, session_id: str, row: str, name: str) -> list[dict[str, Any]]:
    try:
        return programs.why(db, services.deployments.version, session_id, row, name=name or None)[:20]
    except NotFound:
        return []
