"""The red button: what a stop would cover, setting it, and releasing it."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from remit.domain.access import Permission, Viewer
from remit.domain.project import Project
from remit.domain.stops import StopScope
from remit.errors import InvalidInput, NotEntitled, RemitError
from remit.storage import cockpit, stops
from remit.surfaces.http.guard import Ours, Releasing, Seeing, Stopping, must
from remit.surfaces.web.rendering import back, page

router = APIRouter()


@router.get("/stop")
def show(request: Request, viewer: Seeing, services: Ours, scope: str = "all", target: str = "") -> Response:
    """What is stopped, and what a stop of this scope would cover."""
    return _page(request, viewer, services, scope, target)


@router.post("/stop")
def stop(
    request: Request,
    viewer: Stopping,
    services: Ours,
    scope: Annotated[str, Form()],
    target: Annotated[str, Form()] = "",
    reason: Annotated[str, Form(max_length=2_000)] = "",
    word: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Set a stop, once its name was typed."""
    try:
        _must_reach(viewer, services.deployments.load().project, scope, target, Permission.STOP)
        if not reason.strip():
            raise InvalidInput("say why: whoever looks next has to know")
        if word.strip() != _word(scope, target):
            raise InvalidInput(f"type {_word(scope, target)} to confirm; nothing was stopped")
        services.sessions.stop(_scope(scope), target, reason.strip(), viewer.person)
    except RemitError as error:
        given = {"reason": reason}
        return _page(
            request, viewer, services, scope, target, note=error.message, status=error.http_status, given=given
        )
    return back(request, "/stop", said=f"Stopped: {_covered(scope, target)}.")


@router.post("/release")
def release(
    request: Request,
    viewer: Releasing,
    services: Ours,
    scope: Annotated[str, Form()],
    target: Annotated[str, Form()] = "",
    reason: Annotated[str, Form(max_length=2_000)] = "",
) -> Response:
    """Release a stop; what it had ended goes on."""
    _must_reach(viewer, services.deployments.load().project, scope, target, Permission.RELEASE)
    if not reason.strip():
        raise InvalidInput("say why it can go on")
    _, turns = services.sessions.release(_scope(scope), target, viewer.person, reason.strip())
    return back(request, "/stop", said=f"Released: {_covered(scope, target)}; {turns} turns go on.")


def _page(
    request: Request,
    viewer: Viewer,
    services: Ours,
    scope: str,
    target: str,
    *,
    note: str = "",
    status: int = 200,
    given: dict[str, str] | None = None,
) -> Response:
    project = services.deployments.load().project
    targets = _targets(project, viewer, scope)
    ready = scope == "all" or target in targets
    with services.sessions.transaction() as db:
        return page(
            request,
            "stop.html",
            viewer,
            db,
            status=status,
            scope=scope,
            target=target if ready else "",
            targets=targets,
            ready=ready,
            allowed=viewer.may(Permission.STOP, _workspace(project, scope, target)),
            covered=_covered(scope, target),
            word=_word(scope, target),
            reach=cockpit.reach(db, scope, target) if ready else None,
            releasable={s.id for s in stops.in_force(db) if _may(viewer, project, s.scope, s.target)},
            note=note,
            given=given or {},
        )


def _targets(project: Project, viewer: Viewer, scope: str) -> list[str]:
    """What of this scope the viewer may name."""
    match scope:
        case "workspace":
            return [w.id for w in project.directory.workspaces if viewer.may(Permission.SEE, w.id)]
        case "agent":
            return sorted(a for a, v in project.agents.items() if viewer.may(Permission.SEE, v.spec.workspace))
        case "action":
            return sorted([*project.actions, "model.request"])
        case _:
            return []


def _workspace(project: Project, scope: str, target: str) -> str | None:
    """The workspace that something belongs to; None: the whole company. An action type is used by all of it."""
    if scope == "workspace":
        return target
    agent = project.agents.get(target) if scope == "agent" else None
    return agent.spec.workspace if agent is not None else None


def _may(viewer: Viewer, project: Project, scope: str, target: str) -> bool:
    return viewer.may(Permission.RELEASE, _workspace(project, scope, target))


def _must_reach(viewer: Viewer, project: Project, scope: str, target: str, permission: Permission) -> None:
    """Raise NotEntitled unless the viewer may do this to all that it covers."""
    if scope != "all" and target not in _targets(project, viewer, scope):
        raise NotEntitled(f"there is no {scope} {target!r} that you could name", advice="Choose one from the list.")
    must(viewer, permission, _workspace(project, scope, target), f"{permission} {_covered(scope, target)}")


def _scope(scope: str) -> StopScope:
    if scope not in {"all", "workspace", "agent", "action"}:
        raise InvalidInput(f"{scope!r} is no scope of a stop")
    return cast(StopScope, scope)


def _covered(scope: str, target: str) -> str:
    names = {"workspace": "the workspace", "agent": "the agent", "action": "the action type"}
    return f"{names[scope]} {target}" if scope in names and target else "everything"


def _word(scope: str, target: str) -> str:
    return target if scope != "all" and target else "stop"
