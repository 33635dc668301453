"""The API as an application: its endpoints, its own description, and its form of errors."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response
from starlette.routing import BaseRoute

from remit import __version__
from remit.bootstrap import Services
from remit.surfaces.api import control, decide, flow, problems, record, session_lists, work
from remit.surfaces.api.doorway import Doorway
from remit.surfaces.api.own_models import Problem
from remit.surfaces.api.parts import new_router
from remit.surfaces.api.replies import render
from remit.surfaces.http.guard import COOKIE, Open

PATH = "/api/v1"
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_ABOUT = """\
All that the cockpit does, for programs. Send a token of `remit token` as `Authorization: Bearer …`, or the cookie of a
login from a page of the same origin. What you do not see answers 404, what is not open to you 403, and nobody at all
401. Lists are in pages: give `next` as `after`. Send an `Idempotency-Key` with a write, and the same request within 24
hours is answered the same and done once."""

own = new_router("description")


def application(services: Services) -> FastAPI:
    """The API of one project."""
    api = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, routes=_endpoints())
    api.state.services = services
    api.add_middleware(Doorway)
    problems.add_to(api)
    return api


@cache
def _endpoints() -> list[BaseRoute]:
    """All endpoints, put together once for a process: FastAPI works out at the first request what each takes."""
    api = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    for part in (own, decide.router, work.router, session_lists.router, control.router, flow.router, record.router):
        api.include_router(part, responses={"default": _default()})
    return api.routes


@own.get("/openapi.json")
def openapi(
    _: Annotated[None, Depends(Open("says what every installation of this release offers, and nothing of this one"))],
) -> Response:
    """This description. It is the same for every installation of a release, so it is open to everybody."""
    return render(description())


@cache
def description() -> dict[str, Any]:
    """The API as OpenAPI has it: the same for every project. It is not to be changed."""
    found = get_openapi(
        title="Remit",
        version=__version__,
        summary="A self-hosted control plane for managed AI agents.",
        description=_ABOUT,
        routes=_endpoints(),
        servers=[{"url": PATH}],
    )
    components = found.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "A token of `remit token`."},
        "login": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "A login of the cockpit."},
    }
    found["security"] = [{"token": []}, {"login": []}]
    found["paths"]["/openapi.json"]["get"]["security"] = []
    return found


def _default() -> dict[str, Any]:
    said = "What went wrong, and what to do next."
    return {"description": said, "content": {"application/problem+json": {"schema": _PROBLEM}}}
