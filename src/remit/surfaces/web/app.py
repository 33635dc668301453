"""The cockpit as an application: its pages, its files, the live stream, and what is said when a page fails."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import BaseRoute

from remit.bootstrap import Services
from remit.domain.access import Viewer
from remit.errors import ConfigurationError, NotFound, RemitError
from remit.surfaces.http.guard import LoginNeeded, Open, Seeing, entered
from remit.surfaces.http.live import Live
from remit.surfaces.web import (
    actions,
    agents,
    audit,
    forking,
    inbox,
    insights,
    item_verbs,
    login,
    oidc,
    outputs,
    people,
    policies,
    results,
    search,
    session_page,
    session_parts,
    sessions,
    starting,
    stops,
    triggers,
    undoing,
    workflows,
)
from remit.surfaces.web.login import login_page
from remit.surfaces.web.rendering import FOLDER, HEADERS, note_position, page, render

log = logging.getLogger(__name__)

own = APIRouter()
_OURS = 500  # from this status on the fault is the server's, and the database may be what is away
_STATIC = FOLDER / "static"
_DECIDE = tuple(m.router for m in (oidc, login, inbox, item_verbs, stops))
# `/sessions/new` stands before `/sessions/{session_id}`.
_EXECUTE = tuple(
    m.router for m in (starting, sessions, session_page, session_parts, results, forking, undoing, actions, search)
) + tuple(m.router for m in (agents, outputs, triggers, workflows))
_RECORD = tuple(m.router for m in (audit, insights, policies, people))
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}


def application(services: Services, live: Live) -> FastAPI:
    """The cockpit of one project. Raises ConfigurationError if its assets were not built."""
    if not (_STATIC / "vendor" / "tabler.css").is_file():
        raise ConfigurationError(
            "the cockpit's assets are missing from this installation",
            advice="Install Remit anew where a package registry for npm can be reached, or from a finished wheel.",
        )
    cockpit = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, routes=_pages())
    cockpit.state.services, cockpit.state.live = services, live
    cockpit.add_exception_handler(LoginNeeded, _login)
    cockpit.add_exception_handler(RemitError, _problem)
    cockpit.add_exception_handler(RequestValidationError, _unreadable)
    cockpit.add_exception_handler(HTTPException, _http)
    cockpit.add_exception_handler(Exception, _defect)
    return cockpit


@cache
def _pages() -> list[BaseRoute]:
    """All pages, put together once for a process: FastAPI works out at the first request what each of them takes."""
    pages = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, dependencies=[Depends(note_position)])
    for part in (own, *_DECIDE, *_EXECUTE, *_RECORD):
        pages.include_router(part)
    return pages.routes


@own.get("/static/{path:path}")
def static(
    path: str,
    _: Annotated[None, Depends(Open("what the pages are drawn with; the same for everybody"))],
    accept_encoding: Annotated[str, Header()] = "",
) -> Response:
    """The pages' own files and what was built into the package; compressed where the browser takes it."""
    file = (_STATIC / path).resolve()
    if not file.is_relative_to(_STATIC) or not file.is_file() or file.suffix not in _TYPES:
        raise HTTPException(404)
    headers = {**HEADERS, "Cache-Control": "public, max-age=86400", "Vary": "Accept-Encoding"}
    packed = Path(f"{file}.gz")
    if "gzip" in accept_encoding and packed.is_file():
        return FileResponse(packed, media_type=_TYPES[file.suffix], headers={**headers, "Content-Encoding": "gzip"})
    return FileResponse(file, media_type=_TYPES[file.suffix], headers=headers)


@own.get("/live")
async def live(
    request: Request, viewer: Seeing, after: str, last_event_id: Annotated[str, Header()] = ""
) -> StreamingResponse:
    """Server-sent events: the names of what has changed, from a position in the record on."""
    stream = request.app.state.live.listen(viewer, last_event_id or after)
    return StreamingResponse(stream, media_type="text/event-stream", headers=HEADERS)


@own.get("/help")
def help_(request: Request, viewer: Seeing) -> Response:
    """Keys, and where to read on."""
    services = request.app.state.services
    with services.sessions.transaction() as db:
        return page(request, "help.html", viewer, db)


def _login(request: Request, error: Exception) -> Response:
    assert isinstance(error, LoginNeeded), "registered for it alone"
    return login_page(request, error)


def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, RemitError), "registered for it alone"
    heading = {403: "That is not open to you", 404: "There is nothing here", 409: "Too late"}.get(
        error.http_status, "This did not work"
    )
    return _apology(request, error.http_status, heading, error.message, error.advice)


def _unreadable(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for it alone"
    wrong = "; ".join(map(_wrong, error.errors()[:5]))
    advice = "Nothing was changed. Go back in your browser, which keeps what you typed, and correct what is named."
    return _apology(request, 422, "This did not work", wrong, advice)


def _wrong(error: dict[str, Any]) -> str:
    """What is wrong with one field, in words."""
    name = ".".join(map(str, error["loc"][1:]))
    if error["type"] == "string_too_long" and isinstance(error["input"], str):
        most = error["ctx"]["max_length"]
        return f"{name} has {len(error['input']):,} characters; at most {most:,} are taken"
    return f"{name}: {error['msg']}"


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for it alone"
    missing = NotFound("there is no such page", advice="Choose one from the menu.")
    said = missing.message if error.status_code == 404 else str(error.detail)
    return _apology(request, error.status_code, "There is nothing here", said, missing.advice)


def _defect(request: Request, error: Exception) -> Response:
    log.error("a page failed: %s %s", request.method, request.url.path, exc_info=error)
    return _apology(request, 500, "This did not work", "Something went wrong here.", "Nothing was changed. Try again.")


def _apology(request: Request, status: int, heading: str, message: str, advice: str) -> Response:
    came = request.headers.get("referer", "")
    here = f"{request.url.scheme}://{request.headers.get('host', '')}/"
    back = "/" + came.removeprefix(here) if came.startswith(here) else "/inbox"
    said = {"heading": heading, "message": message, "advice": advice, "back": back}
    if status < _OURS and (viewer := _known(request)) is not None:
        with request.app.state.services.sessions.transaction() as db:
            return page(request, "problem.html", viewer, db, status=status, **said)
    return render(request, "problem.html", status=status, **said)


def _known(request: Request) -> Viewer | None:
    """Whoever is logged in, so that also a page that says no has the menu, and the red button."""
    try:
        found = entered(request)
    except RemitError:
        return None
    return found.viewer if found is not None else None
