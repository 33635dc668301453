"""What else is done with items: taken, handed over, ideas decided, and several decided together."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from remit.domain.access import Viewer
from remit.domain.inbox import ItemKind, ItemStatus
from remit.errors import InvalidInput, RemitError
from remit.governance import ideas, taking
from remit.governance.desk import Decider
from remit.storage import inbox
from remit.surfaces.http.guard import Ours, Seeing
from remit.surfaces.web.inbox import seal, visible
from remit.surfaces.web.rendering import back

router = APIRouter()
_MOST = 50


@router.post("/inbox/{item_id}/take")
def take(
    request: Request, viewer: Seeing, services: Ours, item_id: str, back_again: Annotated[str, Form()] = ""
) -> Response:
    """Say that one looks at it, or that one does not any more."""
    with services.sessions.transaction() as db:
        visible(viewer, inbox.get(db, item_id))
        (taking.put_back if back_again else taking.take)(db, item_id, _decider(viewer))
    return back(request, f"/inbox/{item_id}")


@router.post("/inbox/{item_id}/hand")
def hand(
    request: Request,
    viewer: Seeing,
    services: Ours,
    item_id: str,
    to: Annotated[str, Form()],
    reason: Annotated[str, Form(max_length=2_000)] = "",
) -> Response:
    """Hand it to somebody else, who is told why."""
    governance = services.deployments.load()
    found = governance.project.directory.person(to)
    with services.sessions.transaction() as db:
        visible(viewer, inbox.get(db, item_id))
        taking.hand_over(db, governance, item_id, _decider(viewer), to, reason)
    return back(request, f"/inbox/{item_id}", said=f"Handed to {found.name if found is not None else to}.")


@router.post("/inbox/{item_id}/idea")
def idea(
    request: Request,
    viewer: Seeing,
    services: Ours,
    item_id: str,
    verdict: Annotated[str, Form()],
    where: Annotated[str, Form(max_length=200)] = "",
    reason: Annotated[str, Form(max_length=4_000)] = "",
) -> Response:
    """Take an idea up, say where it has shipped, or decline it."""
    governance, who = services.deployments.load(), _decider(viewer)
    with services.sessions.transaction() as db:
        visible(viewer, inbox.get(db, item_id))
        match verdict:
            case "accept":
                ideas.accept(db, governance, item_id, who, reason.strip())
            case "ship":
                ideas.ship(db, governance, item_id, who, where, reason.strip())
            case "decline":
                ideas.decline(db, governance, item_id, who, reason)
            case _:
                raise InvalidInput("nothing was decided: choose Take it up, Shipped or Decline")
    return back(request, f"/inbox/{item_id}", said="Done. Whoever had the idea is told.")


@router.post("/inbox")
def together(
    request: Request,
    viewer: Seeing,
    services: Ours,
    verdict: Annotated[str, Form()] = "",
    reason: Annotated[str, Form(max_length=4_000)] = "",
    item: Annotated[tuple[str, ...], Form()] = (),
) -> Response:
    """Decide several approvals whose action types allow it, each on its own and as it was shown."""
    if not item or len(item) > _MOST:
        raise InvalidInput(f"choose between one and {_MOST} items")
    if verdict not in {"approve", "deny"} or not reason.strip():
        raise InvalidInput("say why, and choose Approve or Deny: the reason is kept with each of them")
    done, wrong = 0, []
    for one in item:
        item_id, _, seen = one.partition(":")
        try:
            _decide(services, viewer, item_id, seen, verdict, reason.strip())
            done += 1
        except RemitError as error:
            wrong.append(f"{item_id[-6:]}: {error.message}")
    said = f"{done} decided." + (f" Not taken: {'; '.join(wrong)}" if wrong else "")
    return back(request, "/inbox", said=said)


def _decide(services: Ours, viewer: Viewer, item_id: str, seen: str, verdict: str, reason: str) -> None:
    governance = services.deployments.load()
    with services.sessions.transaction() as db:
        found = visible(viewer, inbox.get(db, item_id))
    kind = governance.action_type(found.detail.get("action") or "")
    if found.kind is not ItemKind.APPROVAL or kind is None or not kind.approval.together:
        raise InvalidInput("this has to be looked at on its own")
    if found.status is ItemStatus.OPEN and seal(found) != seen:
        raise InvalidInput("the request has changed since it was shown")
    decide = services.sessions.approve if verdict == "approve" else services.sessions.deny
    decide(item_id, _decider(viewer), reason, via="cockpit")


def _decider(viewer: Viewer) -> Decider:
    return Decider(viewer.person, simulated=viewer.simulated)
