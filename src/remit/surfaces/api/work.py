"""Sessions and actions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from remit.domain.access import Permission
from remit.evidence.shaping import policies
from remit.evidence.shaping import work as shaping
from remit.runtime.sessions import Start
from remit.runtime.undoing import MOST
from remit.storage import cockpit, session_search
from remit.storage.sessions import Db
from remit.surfaces.api import models, own_models
from remit.surfaces.api.decide import Words, comment_shape
from remit.surfaces.api.once import Once, Writer
from remit.surfaces.api.parts import (
    After,
    Because,
    Body,
    Limit,
    action_of,
    agent_of,
    new_router,
    session_of,
)
from remit.surfaces.api.replies import paged, render
from remit.surfaces.http.guard import Ours, Seeing, Working, must

router = new_router("sessions")
_WORK = Permission.WORK


class NewSession(Body):
    """What a session starts with."""

    agent: str = Field(description="The agent.")
    input: Any = Field({}, description="What it gets, as its card's `input` says.")
    request_id: str | None = Field(None, max_length=200, description="Your own id of the request, such as a ticket.")
    title: str = Field("", max_length=500, description="A few words for lists.")


class Message(Body):
    """Something said in a session."""

    contents: Any = Field(description="Text, or JSON where the agent takes it; `@AGENT …` addresses another agent.")
    to: str | None = Field(None, description="The agent that answers, where the text does not begin with `@AGENT`.")


class NewFork(Body):
    """From where on a session is gone on from."""

    at: str | None = Field(None, description="`TURN`, or `TURN:KEY`, the first thing that is done anew.")
    message: Any = Field(None, description="Begin with this instead, after all that was said before.")
    dry_run: bool = Field(False, description="Only say what would be history and what would be new.")


@router.get("/sessions", response_model=models.page_of(models.Session))
def listing(
    viewer: Seeing,
    services: Ours,
    text: Annotated[str | None, Query(max_length=500, description="Words in title, messages or outputs.")] = None,
    status: Literal["running", "waiting", "paused", "finished", "failed", "cancelled"] | None = None,
    agent: str | None = None,
    person: str | None = None,
    label: Literal["untrusted", "private"] | None = None,
    trigger: str | None = None,
    workspace: str | None = None,
    after: After = None,
    limit: Limit = 50,
) -> Response:
    """Sessions that you see, newest first."""
    wanted = session_search.Wanted(text, agent, person, status, label, trigger, workspace)
    with services.sessions.transaction() as db:
        found = session_search.find(db, wanted, workspaces=viewer.workspaces(), before=after, limit=limit + 1)
    return paged(found, limit, shaping.summary, lambda session: session.id)


@router.post("/sessions", status_code=201, response_model=own_models.Made)
def start(viewer: Working, once: Once, body: NewSession) -> Response:
    """Start a session."""

    def work(db: Db) -> dict[str, Any]:
        must(viewer, _WORK, agent_of(viewer, once.services.deployments.load(), body.agent), "start sessions")
        begun = Start(
            body.agent,
            body.input,
            f"person:{once.who.person}",
            request_id=body.request_id,
            title=body.title,
            simulated=once.who.simulated,
        )
        return {"id": once.services.sessions.within(db).start(begun)}

    return once.do(work, 201)


@router.get("/sessions/{session_id}", response_model=models.SessionInFull)
def show(viewer: Seeing, services: Ours, session_id: str) -> Response:
    """A session with its newest turns and actions, each with its decision, what waits, and what all of it cost."""
    with services.sessions.transaction() as db:
        session_of(viewer, db, session_id, Permission.SEE)
        return render(shaping.session(db, session_id, most=models.MOST_SHOWN, workspaces=viewer.workspaces()))


@router.post("/sessions/{session_id}/messages", status_code=201, response_model=own_models.Made)
def message(viewer: Working, once: Once, session_id: str, body: Message) -> Response:
    """Say something in a session. Answers the turn that answers it."""

    def work(db: Db) -> dict[str, Any]:
        session_of(viewer, db, session_id, _WORK, "write in sessions")
        verbs = once.services.sessions.within(db)
        return {"id": verbs.message(session_id, f"person:{once.who.person}", body.contents, to=body.to)}

    return once.do(work, 201)


@router.post("/sessions/{session_id}/pause", response_model=models.Session)
def pause(viewer: Working, once: Once, session_id: str, body: Because) -> Response:
    """Set a session aside: it ends between two actions, and what is under way settles."""
    return _move(viewer, once, session_id, "pause", body.reason)


@router.post("/sessions/{session_id}/resume", response_model=models.Session)
def resume(viewer: Working, once: Once, session_id: str, body: Because) -> Response:
    """Take a paused session up again."""
    return _move(viewer, once, session_id, "resume", body.reason)


@router.post("/sessions/{session_id}/cancel", response_model=models.Session)
def cancel(viewer: Working, once: Once, session_id: str, body: Because) -> Response:
    """End a session for good."""
    return _move(viewer, once, session_id, "cancel", body.reason)


@router.post("/sessions/{session_id}/fork", status_code=201, response_model=models.Fork)
def fork(viewer: Working, once: Once, session_id: str, body: NewFork) -> Response:
    """Go on from some point of a session in a new one; the old one stays as it is."""

    def work(db: Db) -> dict[str, Any]:
        session_of(viewer, db, session_id, _WORK, "fork sessions")
        verbs = once.services.sessions.within(db)
        if body.dry_run:
            return shaping.fork(None, verbs.plan_fork(session_id, body.at, said=body.message is not None))
        author = f"person:{once.who.person}"
        made, plan = verbs.fork(session_id, author, at=body.at, message=body.message, simulated=once.who.simulated)
        return shaping.fork(made, plan)

    return once.do(work, 201)


@router.post("/sessions/{session_id}/undo", status_code=202, response_model=list[models.Undone])  # type: ignore[valid-type]
def undo_all(viewer: Working, once: Once, session_id: str, body: Because) -> Response:
    """Ask for everything that a session did to be taken back, newest first; answers what cannot be, and why.

    Each undo is an action of its own, judged and approved like any other. At most 500 are asked for at once: send it
    again for the rest. What was asked for before is answered with the turn that does it, and not asked for twice. Of
    that, and of what cannot be taken back, the newest 500 are answered.
    """

    def work(db: Db) -> list[dict[str, Any]]:
        session_of(viewer, db, session_id, _WORK, "take sessions back")
        verbs, author = once.services.sessions.within(db), f"person:{once.who.person}"
        return shaping.taken_back(*verbs.undo_session(session_id, author, body.reason, most=MOST), most=MOST)

    return once.do(work, 202)


@router.get("/sessions/{session_id}/comments", response_model=models.page_of(own_models.Comment))
def comments(viewer: Seeing, services: Ours, session_id: str, after: After = None, limit: Limit = 50) -> Response:
    """What people said about a session, oldest first."""
    with services.sessions.transaction() as db:
        session_of(viewer, db, session_id, Permission.SEE)
        found = cockpit.comments(db, session_id, after=after, limit=limit + 1)
    return paged(found, limit, comment_shape, lambda row: row["id"])


@router.post("/sessions/{session_id}/comments", status_code=201, response_model=own_models.Made)
def comment(viewer: Seeing, once: Once, session_id: str, body: Words) -> Response:
    """Say something about a session to whoever looks next. The agent does not get it."""

    def work(db: Db) -> dict[str, Any]:
        session_of(viewer, db, session_id, Permission.SEE)
        return {"id": cockpit.comment(db, session_id, None, viewer.person, body.text)}

    return once.do(work, 201)


@router.get("/actions/{action_id}", tags=["actions"], response_model=models.Action)
def action(viewer: Seeing, services: Ours, action_id: str) -> Response:
    """An action with its decision and its outcome."""
    with services.sessions.transaction() as db:
        row, _ = action_of(viewer, db, action_id)
        return render(shaping.action(row))


@router.get("/actions/{action_id}/explanation", tags=["actions"], response_model=models.Explained)
def explanation(viewer: Seeing, services: Ours, action_id: str) -> Response:
    """Why an action was decided as it was, by which policy on which line, and how it would be decided now."""
    with services.sessions.transaction() as db:
        action_of(viewer, db, action_id)
        return render(policies.explained(services.deployments.load(), db, action_id))


@router.post("/actions/{action_id}/undo", tags=["actions"], status_code=202, response_model=models.Undone)
def undo(viewer: Working, once: Once, action_id: str, body: Because) -> Response:
    """Ask for an action to be taken back. That is an action of its own, judged and approved like any other."""

    def work(db: Db) -> dict[str, Any]:
        row, workspace = action_of(viewer, db, action_id)
        must(viewer, _WORK, workspace, "take actions back")
        turn = once.services.sessions.within(db).undo(action_id, f"person:{once.who.person}", body.reason)
        return shaping.undone(row, "asked", turn)

    return once.do(work, 202)


def _move(viewer: Working, once: Writer, session_id: str, verb: str, reason: str) -> Response:
    def work(db: Db) -> dict[str, Any]:
        session_of(viewer, db, session_id, _WORK, f"{verb} sessions")
        getattr(once.services.sessions.within(db), verb)(session_id, once.who.person, reason)
        return shaping.summary(session_of(viewer, db, session_id, _WORK))

    return once.do(work)
