"""One session: what was said and done in it, where it stands, and moving it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from remit.domain.access import Permission, Viewer
from remit.domain.sessions import Session, SessionStatus
from remit.errors import Conflict, InvalidInput, NotEntitled, NotFound, RemitError
from remit.governance.state import Governance
from remit.runtime import messages
from remit.storage import cockpit, cockpit_sessions, inbox, sessions
from remit.storage.sessions import Db
from remit.surfaces.http import forms
from remit.surfaces.http.guard import Ours, Seeing, Working, must
from remit.surfaces.web import once
from remit.surfaces.web.headings import headings
from remit.surfaces.web.looking import WAITS_FOR, Text, addressable, titles, visible_session
from remit.surfaces.web.rendering import back, page, refusal

router = APIRouter()
_TURNS = 20
_MOVES = {
    SessionStatus.RUNNING: ("pause", "cancel"),
    SessionStatus.WAITING: ("pause", "cancel"),
    SessionStatus.PAUSED: ("resume", "cancel"),
    SessionStatus.FAILED: ("cancel",),
}
"""What can be done with a session, by its status."""
_DONE = {"pause": "Paused.", "resume": "It goes on.", "cancel": "Cancelled, for good."}


@router.get("/sessions/{session_id}")
def show(request: Request, viewer: Seeing, services: Ours, session_id: str, before: Text = "") -> Response:
    """What was said and done, the newest turns."""
    with services.sessions.transaction() as db:
        return _page(request, viewer, services.deployments.load(), db, session_id, before)


@router.post("/sessions/{session_id}/message")
def say(
    request: Request,
    viewer: Working,
    services: Ours,
    session_id: str,
    text: Annotated[str, Form(max_length=256 * 1024)] = "",
    to: Annotated[str, Form(max_length=100)] = "",
    value: Annotated[once.Value, Form(alias=once.NAME)] = "",
) -> Response:
    """Say something; an agent answers in a new turn."""
    given = {"text": text.replace("\r\n", "\n"), "to": to}

    def work(db: Db) -> once.Done:
        said = messages.typed(given["text"])
        done = services.sessions.say(db, session_id, f"person:{viewer.person}", said, to=to or None)
        told = "Said." if done.startswith("turn_") else "Kept as an idea; the agent's owner takes it up or declines it."
        return once.Done(f"/sessions/{session_id}#say", told)

    try:
        _workable(viewer, services, session_id, "write")
        if not given["text"].strip():
            raise InvalidInput("there is nothing to say")
        done = once.do(services, viewer, value, ["say", session_id, given], work)
    except NotFound:
        raise
    except RemitError as error:
        return _again(request, viewer, services, session_id, error, given)
    return back(request, done.to, said=done.said)


@router.post("/sessions/{session_id}/comment")
def comment(
    request: Request,
    viewer: Seeing,
    services: Ours,
    session_id: str,
    text: Annotated[str, Form(max_length=256 * 1024)],
    value: Annotated[once.Value, Form(alias=once.NAME)] = "",
) -> Response:
    """Keep a comment for whoever looks next; agents are not told."""

    def work(db: Db) -> once.Done:
        visible_session(viewer, db, session_id)
        cockpit.comment(db, session_id, None, viewer.person, forms.comment(text))
        return once.Done(f"/sessions/{session_id}#comments", "")

    try:
        done = once.do(services, viewer, value, ["comment", session_id, text], work)
    except NotFound:
        raise
    except RemitError as error:
        return _again(request, viewer, services, session_id, error, {"comment": text})
    return back(request, done.to)


@router.post("/sessions/{session_id}/move")
def move(
    request: Request,
    viewer: Working,
    services: Ours,
    session_id: str,
    verb: Annotated[str, Form(max_length=20)],
    reason: Annotated[str, Form(max_length=2_000)] = "",
) -> Response:
    """Pause it, take it up again, or end it for good."""
    try:
        _workable(viewer, services, session_id, verb if verb in _DONE else "move")
        if verb not in _DONE:
            raise InvalidInput("choose what is to be done")
        if not reason.strip():
            raise InvalidInput("say why: whoever looks next has to know")
        getattr(services.sessions, verb)(session_id, viewer.person, reason.strip())
    except NotFound:
        raise
    except RemitError as error:
        return _again(request, viewer, services, session_id, error, {"verb": verb, "reason": reason})
    return back(request, f"/sessions/{session_id}", said=_DONE[verb])


def frame(viewer: Viewer, governance: Governance, db: Db, session_id: str, tab: str) -> dict[str, Any]:
    """What every page of a session shows."""
    session = visible_session(viewer, db, session_id)
    return {
        "session": session,
        "heading": headings(db, [session])[session.id],
        "tab": tab,
        "totals": cockpit_sessions.totals(db, session_id),
        "title": titles(governance),
        "may_work": viewer.may(Permission.WORK, session.workspace),
        "inherited": cockpit_sessions.inherited(db, session_id),
    }


def _page(
    request: Request,
    viewer: Viewer,
    governance: Governance,
    db: Db,
    session_id: str,
    before: str,
    *,
    given: dict[str, str] | None = None,
    note: str = "",
    status: int = 200,
) -> Response:
    shared = frame(viewer, governance, db, session_id, "")
    session: Session = shared["session"]
    turns = cockpit_sessions.turns(db, session_id, before=before or None, limit=_TURNS + 1)
    parent = _seen(viewer, db, session.parent_id)
    return page(
        request,
        "session.html",
        viewer,
        db,
        status=status,
        **shared,
        turns=turns[-_TURNS:],
        earlier=turns[1]["id"] if len(turns) > _TURNS else None,
        newest=not before,
        stands=_stands(session),
        items=inbox.listing(db, session_id=session_id, limit=20),
        moves=_MOVES.get(session.status, ()) if shared["may_work"] else (),
        silent=_silent(viewer, governance, session),
        agents=addressable(governance, viewer, session.workspace),
        related=cockpit_sessions.related(db, session_id, viewer.workspaces()),
        parent=parent,
        origin=_seen(viewer, db, session.forked_from),
        comments=cockpit.comments(db, session_id),
        given=given or {},
        note=note,
    )


def _again(
    request: Request, viewer: Viewer, services: Ours, session_id: str, error: RemitError, given: dict[str, str]
) -> Response:
    """The page as it is now, with what was not taken and why."""
    with services.sessions.transaction() as db:
        return _page(
            request,
            viewer,
            services.deployments.load(),
            db,
            session_id,
            "",
            given=given,
            note=f"This was not done: {refusal(error)}",
            status=error.http_status,
        )


def _workable(viewer: Viewer, services: Ours, session_id: str, what: str) -> None:
    """Raise NotFound or NotEntitled unless the viewer may work in a session's workspace."""
    with services.sessions.transaction() as db:
        must(viewer, Permission.WORK, visible_session(viewer, db, session_id).workspace, what)


def _stands(session: Session) -> str:
    """Where a session stands, in a sentence."""
    match session.status:
        case SessionStatus.RUNNING:
            return "Its agent is at work, or about to be."
        case SessionStatus.WAITING:
            return WAITS_FOR.get(session.reason, "It waits.")
        case SessionStatus.PAUSED:
            return "Somebody has set it aside. Nothing goes on until it is resumed."
        case SessionStatus.FINISHED:
            return "It is done. A message makes it go on."
        case SessionStatus.FAILED:
            return "It has failed. A message makes it go on; a fork tries again from some point."
        case SessionStatus.CANCELLED:
            return "It was ended for good. A fork goes on from it in a new session."


def _silent(viewer: Viewer, governance: Governance, session: Session) -> str:
    """Why the viewer can say nothing in a session now; empty if they can."""
    if not viewer.may(Permission.WORK, session.workspace):
        return "You may look here, and not write."
    try:
        messages.check_author(governance, session, f"person:{viewer.person}")
        messages.check_open(session)
    except NotEntitled:
        return "Only people of this workspace, and who started the session, write in it."
    except Conflict:
        if session.status is SessionStatus.PAUSED:
            return "It is paused: resume it first."
        return "It is cancelled, for good. Fork it to go on from it."
    return ""


def _seen(viewer: Viewer, db: Db, session_id: str | None) -> Session | None:
    """Another session, if there is one and the viewer sees it."""
    if session_id is None:
        return None
    found = sessions.get(db, session_id)
    return found if viewer.may(Permission.SEE, found.workspace) else None
