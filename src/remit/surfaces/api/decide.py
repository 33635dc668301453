"""The inbox: what waits for people, and their answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from remit.domain import canonical
from remit.domain.access import Viewer
from remit.domain.inbox import ItemStatus
from remit.errors import Conflict, InvalidInput
from remit.evidence.shaping import work as shaping
from remit.governance import taking
from remit.storage import cockpit
from remit.storage.sessions import Db
from remit.surfaces.api import models, own_models
from remit.surfaces.api.once import Once, Writer
from remit.surfaces.api.parts import After, Because, Body, Limit, Said, item_of, new_router
from remit.surfaces.api.replies import paged, render
from remit.surfaces.http.guard import Ours, Seeing

router = new_router("inbox")
Shown = Annotated[
    str | None,
    Field(description="`detail.args_digest` of the item as you have seen it: nothing is decided if it differs by now."),
]


class Decision(Because):
    """A decision about what was asked."""

    args_digest: Shown = None


class Edit(Decision):
    """An approval of other arguments, which are judged anew."""

    args: dict[str, Any] = Field(description="All arguments, as you want them.")


class Answer(Body):
    """An answer to a question, an unknown outcome, or work that has stopped."""

    value: Any = Field(description="As the item's form says; text is read as people type it.")
    reason: str = Field("", max_length=4_000, description="Why; kept with the answer.")
    remember: bool = Field(False, description="Remember the answer, so that this is not asked again.")


class Handing(Because):
    """To whom an item is handed."""

    to: str = Field(max_length=200, description="The person.")


class Words(Body):
    """Something said."""

    text: Said = Field(max_length=4_000, description="What to say.")


@router.get("/inbox", response_model=models.page_of(models.Item))
def listing(
    viewer: Seeing,
    services: Ours,
    status: Literal["open", "decided", "expired", "withdrawn", "all"] = "open",
    kind: Literal["approval", "question", "reconciliation", "attention", "idea"] | None = None,
    workspace: str | None = None,
    mine: Annotated[bool, Query(description="Only what you may answer.")] = False,
    after: After = None,
    limit: Limit = 50,
) -> Response:
    """Items that you see or are asked for: open ones oldest first, others newest first."""
    wanted = cockpit.WantedItems(None if status == "all" else status, viewer.person if mine else None, kind, workspace)
    with services.sessions.transaction() as db:
        found = cockpit.items(db, wanted, viewer.person, viewer.workspaces(), after=after, limit=limit + 1)
    return paged(found, limit, shaping.item, lambda item: item.id)


@router.get("/inbox/{item_id}", response_model=models.ItemInFull)
def show(viewer: Seeing, services: Ours, item_id: str) -> Response:
    """One item with everything that is needed to decide."""
    with services.sessions.transaction() as db:
        item = item_of(viewer, db, item_id)
        if item.status is ItemStatus.OPEN and viewer.person in item.assignees:
            cockpit.look(db, item_id, viewer.person, details=True)  # the answer has all of them
        return render(shaping.item_in_full(services.deployments.load(), db, item_id))


@router.post("/inbox/{item_id}/approve", response_model=models.Item)
def approve(viewer: Seeing, once: Once, item_id: str, body: Decision) -> Response:
    """Approve what is asked, with exactly the arguments shown."""
    return _decide(viewer, once, item_id, body, edited=None)


@router.post("/inbox/{item_id}/edit", response_model=models.Item)
def edit(viewer: Seeing, once: Once, item_id: str, body: Edit) -> Response:
    """Approve with other arguments; where they still need approval, it has to be somebody else's."""
    return _decide(viewer, once, item_id, body, edited=body.args)


@router.post("/inbox/{item_id}/deny", response_model=models.Item)
def deny(viewer: Seeing, once: Once, item_id: str, body: Decision) -> Response:
    """Deny what is asked; the agent is told why."""

    def work(db: Db) -> dict[str, Any]:
        _must_be_as_seen(viewer, db, item_id, body)
        return shaping.item(once.services.sessions.within(db).deny(item_id, once.who, body.reason))

    return once.do(work)


@router.post("/inbox/{item_id}/answer", response_model=models.Item)
def answer(viewer: Seeing, once: Once, item_id: str, body: Answer) -> Response:
    """Answer a question; `happened` or `did-not-happen` to an unknown outcome; `continue` or `cancel` stopped work."""

    def work(db: Db) -> dict[str, Any]:
        item_of(viewer, db, item_id)
        value = body.value if isinstance(body.value, str) else canonical.normalise(body.value, what="answer")
        verbs = once.services.sessions.within(db)
        return shaping.item(verbs.answer(item_id, once.who, value, body.reason, remember=body.remember))

    return once.do(work)


@router.post("/inbox/{item_id}/take", response_model=models.Item)
def take(viewer: Seeing, once: Once, item_id: str) -> Response:
    """Tell the others who are asked that you look at it."""

    def work(db: Db) -> dict[str, Any]:
        item_of(viewer, db, item_id)
        return shaping.item(taking.take(db, item_id, once.who))

    return once.do(work)


@router.post("/inbox/{item_id}/put-back", response_model=models.Item)
def put_back(viewer: Seeing, once: Once, item_id: str) -> Response:
    """Tell them that you do not look at it any more."""

    def work(db: Db) -> dict[str, Any]:
        item_of(viewer, db, item_id)
        return shaping.item(taking.put_back(db, item_id, once.who))

    return once.do(work)


@router.post("/inbox/{item_id}/hand", response_model=models.Item)
def hand(viewer: Seeing, once: Once, item_id: str, body: Handing) -> Response:
    """Hand it to somebody else, who is told why."""

    def work(db: Db) -> dict[str, Any]:
        item_of(viewer, db, item_id)
        governance = once.services.deployments.load()
        return shaping.item(taking.hand_over(db, governance, item_id, once.who, body.to, body.reason))

    return once.do(work)


@router.get("/inbox/{item_id}/comments", response_model=models.page_of(own_models.Comment))
def comments(viewer: Seeing, services: Ours, item_id: str, after: After = None, limit: Limit = 50) -> Response:
    """What people said about an item, oldest first."""
    with services.sessions.transaction() as db:
        item = item_of(viewer, db, item_id)
        found = cockpit.comments(db, item.session_id, item_id, after=after, limit=limit + 1)
    return paged(found, limit, comment_shape, lambda row: row["id"])


@router.post("/inbox/{item_id}/comments", status_code=201, response_model=own_models.Made)
def comment(viewer: Seeing, once: Once, item_id: str, body: Words) -> Response:
    """Say something about an item to whoever looks next."""

    def work(db: Db) -> dict[str, Any]:
        item = item_of(viewer, db, item_id)
        if not item.session_id:
            raise InvalidInput("this item belongs to no session, so there is nowhere to keep a comment")
        return {"id": cockpit.comment(db, item.session_id, item_id, viewer.person, body.text)}

    return once.do(work, 201)


def comment_shape(row: dict[str, Any]) -> dict[str, Any]:
    """A comment as it is answered."""
    return {name: row[name] for name in own_models.Comment.model_fields}


def _decide(viewer: Viewer, once: Writer, item_id: str, body: Decision, edited: dict[str, Any] | None) -> Response:
    def work(db: Db) -> dict[str, Any]:
        _must_be_as_seen(viewer, db, item_id, body)
        return shaping.item(once.services.sessions.within(db).approve(item_id, once.who, body.reason, edited=edited))

    return once.do(work)


def _must_be_as_seen(viewer: Viewer, db: Db, item_id: str, body: Decision) -> None:
    item = item_of(viewer, db, item_id)
    if body.args_digest is not None and body.args_digest != item.detail.get("args_digest"):
        raise Conflict("the request is not the one that you have seen", advice="Look at the item again.")
