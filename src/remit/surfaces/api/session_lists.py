"""What belongs to a session, page by page. The session itself shows the end of each list."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from starlette.responses import Response

from remit.domain.access import Permission
from remit.evidence.shaping import work as shaping
from remit.storage import session_lists
from remit.surfaces.api import models
from remit.surfaces.api.parts import After, Limit, new_router, session_of
from remit.surfaces.api.replies import paged
from remit.surfaces.http.guard import Ours, Seeing

router = new_router("sessions")


@router.get("/sessions/{session_id}/turns", response_model=models.page_of(models.Turn))
def turns(viewer: Seeing, services: Ours, session_id: str, after: After = None, limit: Limit = 50) -> Response:
    """The turns of a session, oldest first."""
    with services.sessions.transaction() as db:
        session_of(viewer, db, session_id, Permission.SEE)
        found = session_lists.turns(db, session_id, after=after, limit=limit + 1)
    return paged(found, limit, shaping.turn, lambda row: row["id"])


@router.get("/sessions/{session_id}/actions", response_model=models.page_of(models.Action))
def actions(
    viewer: Seeing,
    services: Ours,
    session_id: str,
    turn: Annotated[str | None, Query(description="Only those of this turn.")] = None,
    status: Literal["waiting", "limited", "cleared", "succeeded", "failed", "refused", "unknown", "cancelled"]
    | None = None,
    after: After = None,
    limit: Limit = 50,
) -> Response:
    """The actions of a session, in the order in which they were asked for."""
    with services.sessions.transaction() as db:
        session_of(viewer, db, session_id, Permission.SEE)
        found = session_lists.actions(db, session_id, turn=turn, status=status, after=after, limit=limit + 1)
    return paged(found, limit, shaping.action, lambda row: row["id"])


@router.get("/sessions/{session_id}/items", response_model=models.page_of(models.Item))
def items(viewer: Seeing, services: Ours, session_id: str, after: After = None, limit: Limit = 50) -> Response:
    """What a session has asked people, oldest first, whatever became of it."""
    with services.sessions.transaction() as db:
        session_of(viewer, db, session_id, Permission.SEE)
        found = session_lists.items(db, session_id, after=after, limit=limit + 1)
    return paged(found, limit, shaping.item, lambda item: item.id)


@router.get("/sessions/{session_id}/children", response_model=models.page_of(models.Child))
def children(viewer: Seeing, services: Ours, session_id: str, after: After = None, limit: Limit = 50) -> Response:
    """The sessions that a session has delegated and that you see, oldest first."""
    with services.sessions.transaction() as db:
        session_of(viewer, db, session_id, Permission.SEE)
        seen = viewer.workspaces()
        found = session_lists.children(db, session_id, workspaces=seen, after=after, limit=limit + 1)
    return paged(found, limit, shaping.child, lambda row: row["id"])


@router.get("/sessions/{session_id}/forks", response_model=models.page_of(models.Session))
def forks(viewer: Seeing, services: Ours, session_id: str, after: After = None, limit: Limit = 50) -> Response:
    """The sessions that were forked from a session and that you see, oldest first."""
    with services.sessions.transaction() as db:
        session_of(viewer, db, session_id, Permission.SEE)
        seen = viewer.workspaces()
        found = session_lists.forks(db, session_id, workspaces=seen, after=after, limit=limit + 1)
    return paged(found, limit, shaping.summary, lambda session: session.id)
