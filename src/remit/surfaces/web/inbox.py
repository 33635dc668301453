"""Decide: what waits for people, one item with everything that is needed, and the decision."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from remit.domain import canonical
from remit.domain.access import Permission, Viewer
from remit.domain.directory import Person, PersonStatus
from remit.domain.inbox import InboxItem, ItemKind, ItemStatus
from remit.errors import InvalidInput, NotFound, RemitError
from remit.governance import visibility
from remit.governance.cases import Case, case
from remit.governance.desk import Decider
from remit.governance.state import Governance
from remit.storage import cockpit, ideas, inbox
from remit.storage.sessions import Db
from remit.surfaces.http import forms, words
from remit.surfaces.http.forms import Sent
from remit.surfaces.http.guard import Ours, Seeing
from remit.surfaces.web import once
from remit.surfaces.web.rendering import back, page, refreshes, refusal

router = APIRouter()
_PAGE = 50
_TABS = (("mine", "Needs me"), ("open", "All open"), ("decided", "Decided"), ("all", "Everything"))
_RISKS = {"high": 0, "medium": 1, None: 2, "low": 3}
_GOES_ON = "Done. The work goes on by itself."
_ASKED = {
    ItemKind.APPROVAL: "Approval",
    ItemKind.QUESTION: "Question",
    ItemKind.RECONCILIATION: "Did this happen?",
    ItemKind.ATTENTION: "Work has stopped",
    ItemKind.IDEA: "Idea",
}


@router.get("/")
@router.get("/inbox")
def listing(
    request: Request,
    viewer: Seeing,
    services: Ours,
    tab: str = "mine",
    kind: str = "",
    workspace: str = "",
    after: str = "",
) -> Response:
    """What waits, the oldest of the highest risk first."""
    wanted = cockpit.WantedItems(
        status={"decided": "decided", "all": None}.get(tab, "open"),
        assignee=viewer.person if tab == "mine" else None,
        kind=kind or None,
        workspace=workspace or None,
    )
    governance = services.deployments.load()
    with services.sessions.transaction() as db:
        found = cockpit.items(db, wanted, viewer.person, viewer.workspaces(), after=after or None, limit=_PAGE + 1)
        rows = [_row(governance, item) for item in found[:_PAGE]]
        if wanted.status == "open":
            rows.sort(key=lambda row: (_RISKS[row["risk"]], row["item"].id))
        return page(
            request,
            "inbox.html",
            viewer,
            db,
            tab=tab,
            tabs=_TABS,
            given={"kind": kind, "workspace": workspace},
            rows=rows,
            next=found[_PAGE - 1].id if len(found) > _PAGE else None,
            workspaces=visibility.workspaces(viewer, governance.project),
        )


@router.get("/inbox/{item_id}")
def show(request: Request, viewer: Seeing, services: Ours, item_id: str) -> Response:
    """One item."""
    with services.sessions.transaction() as db:
        return _item_page(request, viewer, services.deployments.load(), db, item_id)


@router.post("/inbox/{item_id}/opened")
def opened(viewer: Seeing, services: Ours, item_id: str) -> Response:
    """Note that somebody has opened the details of an item."""
    with services.sessions.transaction() as db:
        visible(viewer, inbox.get(db, item_id))
        cockpit.look(db, item_id, viewer.person, details=True)
    return Response(status_code=204)


@router.post("/inbox/{item_id}/comment")
def comment(
    request: Request,
    viewer: Seeing,
    services: Ours,
    item_id: str,
    text: Annotated[str, Form(max_length=forms.MAX_BODY)] = "",
    sent: Annotated[once.Value, Form(alias=once.NAME)] = "",
) -> Response:
    """Keep a comment for whoever looks next."""

    def work(db: Db) -> once.Done:
        item = visible(viewer, inbox.get(db, item_id))
        if not item.session_id:
            raise InvalidInput("this item belongs to no session, so there is nowhere to keep a comment")
        cockpit.comment(db, item.session_id, item_id, viewer.person, forms.comment(text))
        return once.Done(f"/inbox/{item_id}#comments", "")

    try:
        done = once.do(services, viewer, sent, ["comment", item_id, text], work)
    except NotFound:
        raise
    except RemitError as error:
        return _again(request, viewer, services, item_id, error, {"comment": text})
    return back(request, done.to)


@router.post("/inbox/{item_id}")
def decide(
    request: Request,
    viewer: Seeing,
    services: Ours,
    item_id: str,
    verdict: Annotated[str, Form()],
    seen: Annotated[str, Form()] = "",
    reason: Annotated[str, Form(max_length=8_000)] = "",
    value: Annotated[str | None, Form(max_length=forms.MAX_BODY)] = None,
    edited: Annotated[str | None, Form(max_length=forms.MAX_BODY)] = None,
    remember: Annotated[str, Form()] = "",
) -> Response:
    """Do what was decided, if the item is still what its page had shown."""
    given = {"reason": reason, "edited": edited if verdict == "edit" else None, "value": value, "remember": remember}
    kept = {name: text.replace("\r\n", "\n") for name, text in given.items() if text is not None}
    sent = Sent("", verdict, reason.strip()[:4_000], kept, remember == "yes")
    governance = services.deployments.load()
    try:
        with services.sessions.transaction() as db:
            item = visible(viewer, inbox.get(db, item_id))
            if item.status is ItemStatus.OPEN and seen != seal(item):
                raise InvalidInput("the request has changed since this page was shown; look at it again")
        _do(services.sessions, item, Decider(viewer.person, simulated=viewer.simulated), sent)
    except NotFound:
        raise
    except RemitError as error:
        return _again(request, viewer, services, item_id, error, kept)
    with services.sessions.transaction() as db:
        item = inbox.get(db, item_id)
    said = f"Done. It now waits for {_missing(governance, item)}." if item.status is ItemStatus.OPEN else _GOES_ON
    return back(request, f"/inbox/{item_id}", said=said)


def _again(
    request: Request, viewer: Viewer, services: Ours, item_id: str, error: RemitError, given: dict[str, str]
) -> Response:
    """The item as it is now, with what was not taken and why."""
    with services.sessions.transaction() as db:
        return _item_page(
            request,
            viewer,
            services.deployments.load(),
            db,
            item_id,
            given=given,
            note=f"This was not taken: {refusal(error)}",
            status=error.http_status,
        )


def _missing(governance: Governance, item: InboxItem) -> str:
    """The roles that have not agreed yet, with the people who may for each of them."""
    given = item.detail.get("given") or ()
    by_role, directory = item.detail.get("by_role") or {}, governance.project.directory
    found = []
    for role in (r for r in item.roles if r not in given):
        asked = [directory.person(person) for person in by_role.get(role, ()) if person in item.assignees]
        names = ", ".join(person.name for person in asked if person is not None)
        found.append(f"{role.replace('_', ' ')}: {names or 'nobody who is still active'}")
    return "; ".join(found) or "somebody else"


def _do(sessions: Any, item: InboxItem, who: Decider, sent: Sent) -> None:
    if item.kind is not ItemKind.APPROVAL:
        answer = forms.answer(item, sent)
        sessions.answer(item.id, who, answer, sent.reason, remember=sent.remember, via="cockpit")
    elif sent.verdict == "approve":
        sessions.approve(item.id, who, sent.reason or "approved in the cockpit", via="cockpit")
    elif sent.verdict == "edit":
        changed = canonical.parse(sent.given.get("edited", ""), what="text of the changed values")
        if not isinstance(changed, dict):
            raise InvalidInput("the changed values are one JSON object, with a name for every value")
        sessions.approve(
            item.id, who, sent.reason or "approved as changed in the cockpit", edited=changed, via="cockpit"
        )
    elif sent.verdict == "deny":
        if not sent.reason:
            raise InvalidInput("say why you deny it: the agent is told")
        sessions.deny(item.id, who, sent.reason, via="cockpit")
    else:
        raise InvalidInput("nothing was decided: choose Approve or Deny")


def _item_page(
    request: Request,
    viewer: Viewer,
    governance: Governance,
    db: Db,
    item_id: str,
    *,
    given: dict[str, str] | None = None,
    note: str = "",
    status: int = 200,
) -> Response:
    item = visible(viewer, inbox.get(db, item_id))
    found = case(governance, db, item_id)
    person = governance.project.directory.person(viewer.person)
    entitled = viewer.person in item.assignees
    decider = _decider_name(governance, item)
    if item.status is ItemStatus.OPEN and entitled:
        cockpit.look(db, item_id, viewer.person)
    return page(
        request,
        "item.html",
        viewer,
        db,
        status=status,
        case=found,
        asked=_ASKED[item.kind],
        sentence=sentence(item),
        entitled=entitled,
        outcome=words.outcome(item, person.time_zone if person is not None else "UTC", name=decider),
        # Only a page that was open while somebody else was faster fetches an item that is settled anew.
        overtaken=decider if item.status is not ItemStatus.OPEN and refreshes(request) else None,
        unsent=_unsent(item, given or {}, entitled=entitled),
        if_yes=_if_yes(found),
        decide_fields=forms.fields_of(item, given or {}),
        seen=seal(item),
        receivers=_receivers(governance, item, viewer),
        missing=_missing(governance, item) if item.kind is ItemKind.APPROVAL else "",
        idea=ideas.get(db, ideas.of_item(db, item_id)) if item.kind is ItemKind.IDEA else None,
        note=note,
        comment=(given or {}).get("comment", ""),
        consents=cockpit.consents(db, item) if item.kind is ItemKind.APPROVAL else [],
        comments=cockpit.comments(db, item.session_id, item_id) if item.session_id else [],
        looked=cockpit.views(db, item_id),
    )


def _decider_name(governance: Governance, item: InboxItem) -> str:
    by = str((item.decision or {}).get("by") or "")
    found = governance.project.directory.person(by.removeprefix("person:"))
    return found.name if found is not None else by


def _receivers(governance: Governance, item: InboxItem, viewer: Viewer) -> list[Person]:
    """To whom the viewer can hand an item: an approval to others who may decide it, anything else to anybody."""
    others = (p for p in governance.project.directory.people if p.id != viewer.person)
    active = (p for p in others if p.status is PersonStatus.ACTIVE)
    return [p for p in active if item.kind is not ItemKind.APPROVAL or p.id in item.assignees]


def _unsent(item: InboxItem, given: dict[str, str], *, entitled: bool) -> list[str]:
    """What somebody wrote who came too late: the form that would have kept it is not there any more."""
    if item.status is ItemStatus.OPEN and entitled:
        return []
    return [text for name, text in given.items() if name in {"reason", "value", "edited"} and text.strip()]


def visible(viewer: Viewer, item: InboxItem) -> InboxItem:
    """The item, if the viewer sees its workspace or is asked. Raises NotFound, as for one that does not exist."""
    if viewer.person not in item.assignees and not viewer.may(Permission.SEE, item.workspace):
        raise NotFound(f"there is no inbox item {item.id}", advice=inbox.MISSING)
    return item


def _row(governance: Governance, item: InboxItem) -> dict[str, Any]:
    kind = governance.action_type(item.detail.get("action") or "")
    reasons = item.detail.get("reasons") or [{}]
    decision = item.decision or {}
    said = decision.get("verdict") or ("answered" if "value" in decision else "")
    return {
        "item": item,
        "sentence": sentence(item),
        "risk": kind.risk.value if kind is not None and item.kind is ItemKind.APPROVAL else None,
        "reason": reasons[0].get("text") or "",
        "outcome": f"{said} by {_decider_name(governance, item)}" if decision else "",
        "together": kind is not None and item.kind is ItemKind.APPROVAL and kind.approval.together,
        "seal": seal(item),
    }


def sentence(item: InboxItem) -> str:
    """The request in a sentence; of a question, the question."""
    question = item.detail.get("question")
    return words.text(question, 2_000) if isinstance(question, str) and question else words.line(item.summary, 500)


def _if_yes(found: Case) -> str:
    """What happens if the answer is yes, in a sentence or two."""
    item, kind = found.item, found.action_type
    title = kind.title if kind is not None else found.action
    missing = len(item.roles) - len(item.detail.get("given") or ())
    parts = [f"If you approve: {title}, once, with exactly the values shown."]
    if missing > 1:
        parts = [f"{missing} approvals are missing, each by another person; then: {title}, once."]
    if found.reversible is not None:
        parts.append("It can be taken back." if found.reversible else "It cannot be taken back.")
    parts.append("Then the agent goes on.")
    return " ".join(parts)


def seal(item: InboxItem) -> str:
    """Stands for the request as a page has shown it, so that nobody decides another one by it."""
    shown = (item.id, item.detail.get("args_digest"), item.detail.get("determining"), item.detail.get("question"))
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:32]
