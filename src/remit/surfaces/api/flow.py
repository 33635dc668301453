"""Ideas and outputs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from remit.domain import canonical
from remit.domain.access import Permission, Viewer
from remit.domain.builtins import OutputKind
from remit.evidence.shaping import flow as shaping
from remit.governance import ideas as deciding
from remit.governance import reviews
from remit.storage import ideas, outputs
from remit.storage.sessions import Db
from remit.surfaces.api import models
from remit.surfaces.api.once import Once, Writer
from remit.surfaces.api.parts import After, Because, Body, Limit, Said, agent_of, new_router, session_of
from remit.surfaces.api.replies import paged, render
from remit.surfaces.http.guard import Ours, Seeing, must_see

router = new_router("ideas")


class NewIdea(Body):
    """What somebody would like to see."""

    words: Said = Field(max_length=deciding.MAX_WORDS, description="What you would like to see.")
    agent: str | None = Field(None, description="The agent that it is about; with a session, that session's.")
    session_id: str | None = Field(None, description="The session in which it came up.")


class Maybe(Body):
    """Why, if there is something to say."""

    reason: str = Field("", max_length=2_000, description="Why; kept with it.")


class Shipped(Maybe):
    """Where an idea is to be found now."""

    shipped_in: Said = Field(max_length=500, description="The version, output or release that has it.")


class Version(Maybe):
    """A reader's own version of an output."""

    body: Any = Field(description="Text for an output that is text, JSON for every other one.")


@router.get("/ideas", response_model=models.page_of(models.Idea))
def listing(
    viewer: Seeing,
    services: Ours,
    status: Literal["open", "accepted", "shipped", "declined"] | None = None,
    undecided: Annotated[bool, Query(description="Only what is neither shipped nor declined.")] = False,
    agent: str | None = None,
    person: str | None = None,
    session_id: str | None = None,
    after: After = None,
    limit: Limit = 50,
) -> Response:
    """Ideas about agents that you see, newest first."""
    with services.sessions.transaction() as db:
        found = ideas.listing(
            db,
            status=status,
            undecided=undecided,
            agent=agent,
            requester=f"person:{person}" if person is not None else None,
            session_id=session_id,
            workspaces=viewer.workspaces(),
            before=after,
            limit=limit + 1,
        )
    return paged(found, limit, shaping.idea, lambda row: row["id"])


@router.post("/ideas", status_code=201, response_model=models.Idea)
def submit(viewer: Seeing, once: Once, body: NewIdea) -> Response:
    """Say what you would like to see; it goes to the agent's owner, and you are told what becomes of it."""

    def work(db: Db) -> dict[str, Any]:
        governance = once.services.deployments.load()
        if body.session_id is not None:
            session_of(viewer, db, body.session_id, Permission.SEE)
        if body.agent is not None:
            agent_of(viewer, governance, body.agent)
        new = deciding.NewIdea(body.agent, f"person:{once.who.person}", body.words, body.session_id)
        return shaping.idea(deciding.submit(db, governance, new))

    return once.do(work, 201)


@router.get("/ideas/{idea_id}", response_model=models.Idea)
def show(viewer: Seeing, services: Ours, idea_id: str) -> Response:
    """One idea."""
    with services.sessions.transaction() as db:
        return render(shaping.idea(_idea(viewer, db, idea_id)))


@router.post("/ideas/{idea_id}/accept", response_model=models.Idea)
def accept(viewer: Seeing, once: Once, idea_id: str, body: Maybe) -> Response:
    """Take an idea up."""
    return _decide(viewer, once, idea_id, "accept", body.reason)


@router.post("/ideas/{idea_id}/ship", response_model=models.Idea)
def ship(viewer: Seeing, once: Once, idea_id: str, body: Shipped) -> Response:
    """Say that an idea is there now, and where."""
    return _decide(viewer, once, idea_id, "ship", body.shipped_in, body.reason)


@router.post("/ideas/{idea_id}/decline", response_model=models.Idea)
def decline(viewer: Seeing, once: Once, idea_id: str, body: Because) -> Response:
    """Decline an idea; whoever had it is told why."""
    return _decide(viewer, once, idea_id, "decline", body.reason)


@router.get("/outputs", tags=["outputs"], response_model=models.page_of(models.Output))
def all_outputs(
    viewer: Seeing,
    services: Ours,
    status: Literal["open", "accepted", "edited", "rejected", "disputed"] | None = None,
    agent: str | None = None,
    workspace: str | None = None,
    session_id: str | None = None,
    kind: OutputKind | None = None,
    every_version: bool = False,
    after: After = None,
    limit: Limit = 50,
) -> Response:
    """Outputs that you see, newest first; of each its newest version."""
    with services.sessions.transaction() as db:
        found = outputs.listing(
            db,
            status=status,
            agent=agent,
            workspace=workspace,
            session_id=session_id,
            kind=kind,
            every_version=every_version,
            workspaces=viewer.workspaces(),
            before=after,
            limit=limit + 1,
        )
    return paged(found, limit, shaping.output, lambda row: row["id"])


@router.get("/outputs/{output_id}", tags=["outputs"], response_model=models.OutputInFull)
def output(viewer: Seeing, services: Ours, output_id: str) -> Response:
    """An output with what it says and all its versions."""
    with services.sessions.transaction() as db:
        must_see(viewer, outputs.get(db, output_id)["workspace"], f"output {output_id}")
        return render(shaping.output_in_full(db, output_id))


@router.post("/outputs/{output_id}/accept", tags=["outputs"], response_model=models.Output)
def accept_output(viewer: Seeing, once: Once, output_id: str, body: Maybe) -> Response:
    """Accept an output as it is."""
    return _review(viewer, once, output_id, "accepted", body.reason)


@router.post("/outputs/{output_id}/reject", tags=["outputs"], response_model=models.Output)
def reject_output(viewer: Seeing, once: Once, output_id: str, body: Because) -> Response:
    """Reject an output, with a reason."""
    return _review(viewer, once, output_id, "rejected", body.reason)


@router.post("/outputs/{output_id}/dispute", tags=["outputs"], response_model=models.Output)
def dispute_output(viewer: Seeing, once: Once, output_id: str, body: Because) -> Response:
    """Dispute an output, also one that was accepted: its agent's owner is asked to look."""
    return _review(viewer, once, output_id, "disputed", body.reason)


@router.post("/outputs/{output_id}/edit", tags=["outputs"], response_model=models.Output)
def edit_output(viewer: Seeing, once: Once, output_id: str, body: Version) -> Response:
    """Replace an output by your own version of it. Answers the new version."""
    return _review(viewer, once, output_id, "edited", body.reason, canonical.normalise(body.body, what="output"))


def _idea(viewer: Viewer, db: Db, idea_id: str) -> dict[str, Any]:
    found = ideas.get(db, idea_id)
    if found["requester"] != f"person:{viewer.person}":
        must_see(viewer, found["workspace"], f"idea {idea_id}")
    return found


def _decide(viewer: Viewer, once: Writer, idea_id: str, verb: str, *words: str) -> Response:
    def work(db: Db) -> dict[str, Any]:
        _idea(viewer, db, idea_id)
        decide = getattr(deciding, verb)
        return shaping.idea(decide(db, once.services.deployments.load(), idea_id, once.who, *words))

    return once.do(work)


def _review(
    viewer: Viewer, once: Writer, output_id: str, verdict: reviews.Verdict, reason: str, body: Any = None
) -> Response:
    def work(db: Db) -> dict[str, Any]:
        must_see(viewer, outputs.get(db, output_id)["workspace"], f"output {output_id}")
        governance = once.services.deployments.load()
        return shaping.output(reviews.review(db, governance, output_id, verdict, once.who, reason, body=body))

    return once.do(work)
