"""One action's full story, and taking it back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from remit.domain.access import Permission, Viewer
from remit.errors import InvalidInput, NotFound, RemitError
from remit.governance.explaining import rehearse_recorded
from remit.governance.state import Governance
from remit.storage import cockpit_sessions, records
from remit.storage.cockpit_sessions import Story
from remit.storage.sessions import Db
from remit.surfaces.http.guard import Ours, Seeing, Working, must
from remit.surfaces.web import once
from remit.surfaces.web.looking import is_id, titles
from remit.surfaces.web.rendering import back, page

router = APIRouter()


@router.get("/actions/{action_id}")
def show(request: Request, viewer: Seeing, services: Ours, action_id: str) -> Response:
    """What was asked, how it was decided, who let it through, what came of it."""
    with services.sessions.transaction() as db:
        return _page(request, viewer, services.deployments.load(), db, action_id)


@router.post("/actions/{action_id}/undo")
def undo(
    request: Request,
    viewer: Working,
    services: Ours,
    action_id: str,
    reason: Annotated[str, Form(max_length=2_000)] = "",
    value: Annotated[once.Value, Form(alias=once.NAME)] = "",
) -> Response:
    """Take it back by the call that its type declares; that call is judged like any other."""

    def work(db: Db) -> once.Done:
        turn = services.sessions.within(db).undo(action_id, f"person:{viewer.person}", reason.strip())
        return once.Done(f"/sessions/{row['session_id']}#{turn}", "Taking it back was asked for.")

    with services.sessions.transaction() as db:
        row = _visible(viewer, db, action_id).row
    try:
        must(viewer, Permission.WORK, row["workspace"], "take an action back")
        if not reason.strip():
            raise InvalidInput("say why: whoever looks next has to know")
        done = once.do(services, viewer, value, ["undo", action_id, reason], work)
    except RemitError as error:
        with services.sessions.transaction() as db:
            return _page(request, viewer, services.deployments.load(), db, action_id, refused=error)
    return back(request, done.to, said=done.said)


def _page(
    request: Request,
    viewer: Viewer,
    governance: Governance,
    db: Db,
    action_id: str,
    *,
    refused: RemitError | None = None,
) -> Response:
    story = _visible(viewer, db, action_id)
    row = story.row
    kind = governance.action_type(row["action"])
    declared = kind is not None and kind.undo is not None
    undoable = declared and row["status"] == "succeeded" and row["undone_by"] is None and row["turn_kind"] != "undo"
    return page(
        request,
        "action.html",
        viewer,
        db,
        status=refused.http_status if refused is not None else 200,
        story=story,
        row=row,
        kind=kind,
        title=titles(governance),
        decided=[_policy(governance, policy) for policy in row["policy_ids"]],
        now=_now(governance, db, story),
        policies_changed=bool(row["policy_version"]) and row["policy_version"] != governance.policy.version,
        undoable=undoable,
        may_undo=undoable and viewer.may(Permission.WORK, row["workspace"]),
        irreversible=kind is not None and kind.effect == "write" and kind.undo is None,
        records=records.listing(db, session_id=row["session_id"], action_id=action_id, limit=50),
        refused=refused,
    )


def _visible(viewer: Viewer, db: Db, action_id: str) -> Story:
    """The action, if the viewer sees its workspace. Raises NotFound, the same for what is hidden and what is not."""
    try:
        found = cockpit_sessions.workspace_of(db, action_id) if is_id(action_id) else None
    except NotFound:
        found = None
    if found is None or not viewer.may(Permission.SEE, found):
        raise NotFound(
            "there is no such action", advice="The timeline of a session lists its actions; others are not shown."
        )
    return cockpit_sessions.story(db, action_id)


def _policy(governance: Governance, policy_id: str) -> dict[str, Any]:
    """A policy that determined a decision, as it is in force now; without text if it is not any more."""
    found = governance.policy.policies.get(policy_id)
    if found is None:
        return {"id": policy_id, "where": "not in force any more", "text": "", "effect": ""}
    statement = found.statement
    return {
        "id": policy_id,
        "where": f"{statement.file}:{statement.line}",
        "text": statement.text,
        "effect": found.effect,
    }


def _now(governance: Governance, db: Db, story: Story) -> dict[str, Any] | None:
    """How it would be decided today; None where no policy judges it, or it cannot be asked any more."""
    row = story.row
    if row["mode"] not in {"tool", "model"} or story.args.erased or row["agent"] not in governance.project.agents:
        return None
    found = rehearse_recorded(governance, db, row["id"])
    decided = {"permit": "it would be let through", "forbid": "it would be refused"}
    return {
        "kind": found.verdict.kind,
        "words": decided.get(found.verdict.kind, "a person would be asked"),
        "reasons": found.verdict.reasons,
        "policies": [_policy(governance, policy) for policy in found.verdict.policy_ids],
        "spoke": sorted({s.policy.id for s in found.explanation.spoken} - set(found.verdict.policy_ids)),
    }
