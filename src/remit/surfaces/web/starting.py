"""Starting a session: which agent, and what it is given."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from remit.domain import canonical
from remit.domain.access import Viewer
from remit.domain.agents import AgentVersion
from remit.errors import NotFound, RemitError
from remit.governance.state import Governance
from remit.runtime.sessions import Start
from remit.storage.sessions import Db
from remit.surfaces.http.guard import Ours, Working
from remit.surfaces.web import fields, once
from remit.surfaces.web.looking import Text, addressable
from remit.surfaces.web.rendering import back, page

router = APIRouter()
_MOST_FIELDS, _MOST_TEXT = 100, 256 * 1024


async def sent(request: Request) -> dict[str, str]:
    """What came in the form, whose fields are the agent's own."""
    form = await request.form(max_fields=_MOST_FIELDS)
    return {name: value[:_MOST_TEXT] for name, value in form.items() if isinstance(value, str)}


@router.get("/sessions/new")
def show(request: Request, viewer: Working, services: Ours, agent: Text = "") -> Response:
    """Choose an agent, then fill in what it wants."""
    return _page(request, viewer, services, agent)


@router.post("/sessions/new")
def start(
    request: Request, viewer: Working, services: Ours, given: Annotated[dict[str, str], Depends(sent)]
) -> Response:
    """Start it."""
    name = given.get("agent", "")
    value, sent_once = given.pop(once.NAME, ""), {"start": name, **given}

    def work(db: Db) -> once.Done:
        version = _version(services.deployments.load(), viewer, name)
        request_id, title = given.get("request_id", "").strip(), given.get("title", "").strip()
        new = Start(
            agent=name,
            input=_input(version, given),
            principal=f"person:{viewer.person}",
            request_id=request_id[:200] or None,
            title=title[:200],
            simulated=viewer.simulated,
        )
        return once.Done(f"/sessions/{services.sessions.within(db).start(new)}", "Started.")

    try:
        done = once.do(services, viewer, value, sent_once, work)
    except RemitError as error:
        return _page(request, viewer, services, name, given=given, refused=error)
    return back(request, done.to, said=done.said)


def _input(version: AgentVersion, given: dict[str, str]) -> Any:
    if given.get("as") != "json":
        return fields.read(fields.drawn(version.spec.input), given)
    return canonical.parse(given.get("input", "").strip() or "{}", what="input")


def _version(governance: Governance, viewer: Viewer, name: str) -> AgentVersion:
    """The agent, if the viewer may give it work. Raises NotFound, the same for what is hidden and what is not."""
    if name not in addressable(governance, viewer):
        raise NotFound("there is no such agent that you could start", advice="Choose one from the list.")
    return governance.project.agents[name]


def _page(
    request: Request,
    viewer: Viewer,
    services: Ours,
    name: str,
    *,
    given: dict[str, str] | None = None,
    refused: RemitError | None = None,
) -> Response:
    governance = services.deployments.load()
    agents = addressable(governance, viewer)
    version = governance.project.agents[name] if name in agents else None
    with services.sessions.transaction() as db:
        return page(
            request,
            "start.html",
            viewer,
            db,
            status=refused.http_status if refused is not None else 200,
            agents=agents,
            agent=name if version is not None else "",
            spec=version.spec if version is not None else None,
            fields=fields.drawn(version.spec.input) if version is not None else (),
            prefix=fields.PREFIX,
            schema=version.spec.input if version is not None else {},
            given=given or {},
            refused=refused,
            unknown=bool(name) and version is None,
        )
