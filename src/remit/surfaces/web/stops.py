"""The red button: what a stop would cover, setting it, and releasing it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from remit.domain.access import Permission, Viewer
from remit.domain.project import Project
from remit.errors import InvalidInput, RemitError
from remit.storage import cockpit, stops
from remit.surfaces.http import stopping
from remit.surfaces.http.guard import Ours, Releasing, Seeing, Stopping
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
        stopping.must_reach(viewer, services.deployments.load().project, scope, target, Permission.STOP)
        if not reason.strip():
            raise InvalidInput("say why: whoever looks next has to know")
        if word.strip() != _word(scope, target):
            raise InvalidInput(f"type {_word(scope, target)} to confirm; nothing was stopped")
        services.sessions.stop(stopping.scope(scope), target, reason.strip(), viewer.person)
    except RemitError as error:
        given = {"reason": reason}
        return _page(
            request, viewer, services, scope, target, note=error.message, status=error.http_status, given=given
        )
    return back(request, "/stop", said=f"Stopped: {stopping.covered(scope, target)}.")


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
    stopping.must_reach(viewer, services.deployments.load().project, scope, target, Permission.RELEASE)
    if not reason.strip():
        raise InvalidInput("say why it can go on")
    _, turns = services.sessions.release(stopping.scope(scope), target, viewer.person, reason.strip())
    return back(
        request,
        "/stop",
        said=f"Released: {stopping.covered(scope, target)}; {turns:,} turn{'s go' if turns != 1 else ' goes'} on.",
    )


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
    targets = stopping.targets(project, viewer, scope)
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
            allowed=viewer.may(Permission.STOP, stopping.workspace(project, scope, target)),
            covered=stopping.covered(scope, target),
            word=_word(scope, target),
            reach=cockpit.reach(db, scope, target) if ready else None,
            releasable={s.id for s in stops.in_force(db) if _may(viewer, project, s.scope, s.target)},
            note=note,
            given=given or {},
        )


def _may(viewer: Viewer, project: Project, scope: str, target: str) -> bool:
    return viewer.may(Permission.RELEASE, stopping.workspace(project, scope, target))


def _word(scope: str, target: str) -> str:
    return target if scope != "all" and target else "stop"
