"""Search over what somebody sees: sessions, inbox items, agents, people, actions, and whatever an id names."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from remit.domain.access import Permission, Viewer
from remit.domain.directory import PersonStatus
from remit.errors import NotFound
from remit.governance.state import Governance
from remit.storage import cockpit_sessions, inbox, item_search, session_search
from remit.storage.sessions import Db
from remit.surfaces.http.guard import Ours, Seeing
from remit.surfaces.web.headings import headings
from remit.surfaces.web.looking import Text, is_id, titles
from remit.surfaces.web.rendering import back, page

router = APIRouter()
_MOST = 10
_END = re.compile("[0-9a-hjkmnp-tv-z]{6,26}")
"""What the end of an id may be: pages show the last six or eight characters."""


@router.get("/search")
def search(request: Request, viewer: Seeing, services: Ours, q: Text = "") -> Response:
    """What fits; an id that names something visible leads straight to it."""
    governance = services.deployments.load()
    with services.sessions.transaction() as db:
        place = _named(viewer, db, q.lower()) if is_id(q.lower()) else None
        if place is not None:
            return back(request, place)
        found = _found(governance, viewer, db, q) if q else {}
        return page(request, "search.html", viewer, db, q=q, found=found, most=_MOST, title=titles(governance))


def _named(viewer: Viewer, db: Db, identifier: str) -> str | None:
    """The page of what an id names, if the viewer sees it."""
    found = cockpit_sessions.whereabouts(db, identifier)
    if found is None:
        return None
    page, workspace = found
    if viewer.may(Permission.SEE, workspace) or _asked(viewer, db, identifier):
        return page
    return None


def _asked(viewer: Viewer, db: Db, identifier: str) -> bool:
    """True if this is an inbox item that asks the viewer."""
    try:
        return identifier.startswith("itm_") and viewer.person in inbox.get(db, identifier).assignees
    except NotFound:
        return False


def _found(governance: Governance, viewer: Viewer, db: Db, q: str) -> dict[str, Any]:
    words, seen = q.lower(), viewer.workspaces()
    agents = [
        (name, version.spec.title, version.spec.purpose)
        for name, version in sorted(governance.project.agents.items())
        if viewer.may(Permission.SEE, version.spec.workspace)
        and (words in name.lower() or words in version.spec.title.lower())
    ]
    people = [
        person
        for person in governance.project.directory.people
        if words in person.id.lower() or words in person.name.lower()
    ]
    types = [
        name
        for name, kind in sorted(governance.project.actions.items())
        if words in name.lower() or words in kind.title.lower()
    ]
    ending = session_search.ending(db, words, seen, limit=_MOST) if _END.fullmatch(words) else []
    with_words = session_search.find(db, session_search.Wanted(text=q), limit=_MOST + 1, workspaces=seen)
    found = list({session.id: session for session in (*ending, *with_words)}.values())[: _MOST + 1]
    return {
        "sessions": found,
        "heading": headings(db, found),
        "items": item_search.find(db, q, viewer.person, seen, limit=_MOST),
        "agents": agents[: _MOST + 1],
        "people": people[: _MOST + 1],
        "left": {person.id for person in people if person.status is not PersonStatus.ACTIVE},
        "actions": cockpit_sessions.actions_of_type(db, types[:_MOST], seen, limit=_MOST) if types else [],
    }
