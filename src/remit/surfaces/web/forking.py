"""Forking a session: what would be history, what would be new, and then doing it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from remit.domain.access import Permission, Viewer
from remit.domain.builtins import DELEGATE
from remit.errors import InvalidInput, NotFound, RemitError
from remit.runtime import messages
from remit.runtime.forks import Plan
from remit.storage import cockpit_sessions
from remit.storage.sessions import Db
from remit.surfaces.http.guard import Ours, Seeing, Working, must
from remit.surfaces.web import once
from remit.surfaces.web.looking import Text, visible_session
from remit.surfaces.web.rendering import back, page
from remit.surfaces.web.session_page import frame

router = APIRouter()
_TURNS, _SHOWN = 50, 100


@router.get("/sessions/{session_id}/fork")
def show(request: Request, viewer: Seeing, services: Ours, session_id: str, at: Text = "", how: Text = "") -> Response:
    """What a fork at some point would give. Nothing is done. Before anything is chosen, the likeliest point is."""
    if not {"at", "how"} & request.query_params.keys():
        at = _likeliest(viewer, services, session_id)
    return _page(request, viewer, services, session_id, at, how)


@router.post("/sessions/{session_id}/fork")
def fork(
    request: Request,
    viewer: Working,
    services: Ours,
    session_id: str,
    at: Annotated[str, Form(max_length=200)] = "",
    how: Annotated[str, Form(max_length=20)] = "",
    text: Annotated[str, Form(max_length=256 * 1024)] = "",
    value: Annotated[once.Value, Form(alias=once.NAME)] = "",
) -> Response:
    """Go on from there in a new session."""
    said = text.replace("\r\n", "\n")

    def work(db: Db) -> once.Done:
        made, plan = services.sessions.within(db).fork(
            session_id,
            f"person:{viewer.person}",
            at=at or None,
            message=messages.typed(said) if how == "message" else None,
            simulated=viewer.simulated,
        )
        told = f"Forked: {len(plan.turns)} turns and {len(plan.history)} actions are its history."
        return once.Done(f"/sessions/{made}", told)

    try:
        with services.sessions.transaction() as db:
            session = visible_session(viewer, db, session_id)
        must(viewer, Permission.WORK, session.workspace, "fork a session")
        if how == "message" and not said.strip():
            raise InvalidInput("there is nothing to say")
        done = once.do(services, viewer, value, ["fork", session_id, at, how, said], work)
    except RemitError as error:
        if isinstance(error, NotFound) and not at:
            raise
        return _page(request, viewer, services, session_id, at, how, refused=error, text=said)
    return back(request, done.to, said=done.said)


def _page(
    request: Request,
    viewer: Viewer,
    services: Ours,
    session_id: str,
    at: str,
    how: str,
    *,
    refused: RemitError | None = None,
    text: str = "",
) -> Response:
    governance = services.deployments.load()
    with services.sessions.transaction() as db:
        shared = frame(viewer, governance, db, session_id, "fork")
        turns = cockpit_sessions.bare_turns(db, session_id, [], newest=True, limit=_TURNS)
    plan, impossible = _plan(services, session_id, at, how)
    with services.sessions.transaction() as db:
        return page(
            request,
            "fork.html",
            viewer,
            db,
            status=refused.http_status if refused is not None else 200,
            **shared,
            at=at,
            how=how,
            turns=turns,
            plan=plan,
            delegated=[e for e in plan.anew if e.action == DELEGATE] if plan is not None else [],
            shown=_SHOWN,
            impossible=impossible,
            refused=refused,
            text=text,
        )


def _likeliest(viewer: Viewer, services: Ours, session_id: str) -> str:
    """Where a session stands, as nothing; of one that has nothing left to do, its last turn of an agent."""
    with services.sessions.transaction() as db:
        visible_session(viewer, db, session_id)
        turns = cockpit_sessions.bare_turns(db, session_id, [], newest=True, limit=_TURNS)
    if turns and turns[-1]["kind"] == "agent" and turns[-1]["status"] != "finished":
        return ""
    return next((turn["id"] for turn in reversed(turns) if turn["kind"] == "agent"), "")


def _plan(services: Ours, session_id: str, at: str, how: str) -> tuple[Plan | None, Any]:
    """The plan, or why there can be none."""
    try:
        return services.sessions.plan_fork(session_id, at or None, said=how == "message"), None
    except RemitError as error:
        return None, error
