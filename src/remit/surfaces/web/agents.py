"""Agents: who they are, what they may do, who answers for it, what they use, and taking them out of service."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from remit.domain.access import Permission, Viewer
from remit.domain.agents import AgentVersion
from remit.domain.stops import Stop
from remit.errors import InvalidInput
from remit.governance import visibility
from remit.governance.explaining import actions_of, responsible
from remit.governance.memory import may_see
from remit.governance.remits import gates_of, remit_of
from remit.governance.rooms import Room, rooms_today
from remit.governance.state import Governance
from remit.governance.suspending import set_suspended
from remit.governance.versions import differences, previous, resolve
from remit.storage import bundles, cockpit_agents, memory_care, stops
from remit.storage.sessions import Db
from remit.surfaces.http.guard import Ours, Releasing, Seeing, must
from remit.surfaces.web.headings import headings
from remit.surfaces.web.rendering import MOST, back, page

router = APIRouter()
_MEMORIES = 20
_OWNERS = ("accountable", "system_owner", "risk_owner")
_TOLD = ("consulted", "informed")


@router.get("/agents")
def listing(request: Request, viewer: Seeing, services: Ours, workspace: str = "") -> Response:
    """A card for every agent; those that need a look first."""
    governance = services.deployments.load()
    project = governance.project
    names = [
        name
        for name in visibility.agents(viewer, project)
        if not workspace or project.agents[name].spec.workspace == workspace
    ]
    with services.sessions.transaction() as db:
        in_force, said = stops.in_force(db), cockpit_agents.suspensions(db, names)
        standing = cockpit_agents.standing(db, names, viewer.workspaces(), MOST)
        rooms = rooms_today(governance, db, names)
        cards: list[dict[str, Any]] = [
            {
                "name": name,
                "spec": project.agents[name].spec,
                "thinks": _thinks(project.agents[name]),
                "suspended": name in governance.suspended,
                "suspension": said.get(name),
                "stop": _stop(in_force, project.agents[name].spec.workspace, name),
                "standing": standing[name],
                "room": _tightest([r for r in rooms[name] if r.id.startswith("agent:")]),
            }
            for name in names
        ]
        cards.sort(
            key=lambda c: (not c["suspended"], c["stop"] is None, -c["standing"].failed, -c["standing"].open, c["name"])
        )
        return page(
            request,
            "agents.html",
            viewer,
            db,
            cards=cards,
            workspace=workspace,
            workspaces=visibility.workspaces(viewer, project),
        )


@router.get("/agents/{name}")
def show(request: Request, viewer: Seeing, services: Ours, name: str) -> Response:
    """One agent."""
    governance = services.deployments.load()
    version = visibility.agent(viewer, governance.project, name)
    with services.sessions.transaction() as db:
        rooms = rooms_today(governance, db, [name], caps=True)[name]
        newest = cockpit_agents.newest_sessions(db, name, viewer.workspaces())
        return page(
            request,
            "agent.html",
            viewer,
            db,
            name=name,
            in_force=version,
            spec=version.spec,
            thinks=_thinks(version),
            suspended=name in governance.suspended,
            stop=_stop(stops.in_force(db), version.spec.workspace, name),
            suspension=cockpit_agents.suspensions(db, [name]).get(name),
            may_suspend=viewer.may(Permission.RELEASE, version.spec.workspace),
            may_stop=viewer.may(Permission.STOP, version.spec.workspace),
            standing=cockpit_agents.standing(db, [name], viewer.workspaces(), MOST)[name],
            remit=remit_of(governance, name),
            raci=_raci(governance, name),
            owners=_OWNERS,
            gates=gates_of(governance, name),
            rooms=[r for r in rooms if visibility.may_see_room(viewer, governance.project, r)],
            versions=bundles.versions(db, name)[:10],
            files=[(path, _text(content)) for path, content in sorted(version.files.items())[:12]],
            memories=_memories(governance, db, viewer, name),
            sessions=newest,
            heading=headings(db, newest),
            triggers=sorted(t for t, trigger in governance.project.triggers.items() if trigger.agent == name),
        )


@router.get("/agents/{name}/diff")
def diff(request: Request, viewer: Seeing, services: Ours, name: str, old: str = "", new: str = "") -> Response:
    """How two versions of an agent differ; by default the one before and the one in force."""
    version = visibility.agent(viewer, services.deployments.load().project, name)
    with services.sessions.transaction() as db:
        versions = bundles.versions(db, name)
        known = [str(v["digest"]) for v in versions]
        after = resolve(known, new, name) if new else version.digest
        before = resolve(known, old, name) if old else previous(known, after, name)
    found = differences(services.deployments.version(name, before), services.deployments.version(name, after))
    with services.sessions.transaction() as db:
        return page(
            request, "agent_diff.html", viewer, db, name=name, spec=version.spec, versions=versions, found=found
        )


@router.post("/agents/{name}/suspend")
def suspend(
    request: Request, viewer: Releasing, services: Ours, name: str, reason: Annotated[str, Form(max_length=2_000)] = ""
) -> Response:
    """From now on an agent can do nothing, until it is resumed."""
    _set(viewer, services, name, reason, suspended=True)
    return back(request, f"/agents/{name}", said=f"{name} is suspended. Its sessions keep what they have done.")


@router.post("/agents/{name}/resume")
def resume(
    request: Request, viewer: Releasing, services: Ours, name: str, reason: Annotated[str, Form(max_length=2_000)] = ""
) -> Response:
    """Take a suspended agent back into service."""
    _set(viewer, services, name, reason, suspended=False)
    return back(request, f"/agents/{name}", said=f"{name} is in service again.")


def _set(viewer: Viewer, services: Any, name: str, reason: str, *, suspended: bool) -> None:
    version = visibility.agent(viewer, services.deployments.load().project, name)
    verb = "suspend agents" if suspended else "take agents back into service"
    must(viewer, Permission.RELEASE, version.spec.workspace, verb)
    if not reason.strip():
        raise InvalidInput("say why: whoever looks next has to know", advice="Go back and give a reason.")
    with services.sessions.transaction() as db:
        set_suspended(db, name, suspended=suspended, by=viewer.person, reason=reason.strip())


def _stop(in_force: list[Stop], workspace: str, name: str) -> Stop | None:
    """The oldest stop that covers all that an agent does; whoever sees the agent sees its workspace."""
    ours = {"all": "", "workspace": workspace, "agent": name}
    return next((stop for stop in in_force if ours.get(stop.scope) == stop.target), None)


def _thinks(version: AgentVersion) -> str:
    spec = version.spec
    if spec.external:
        return "external code"
    if version.is_program:
        return "program" + (f" with {spec.model}" if spec.model else "")
    return f"model {spec.model}" + ("" if spec.reasoning == "none" else f", {spec.reasoning} reasoning")


def _tightest(rooms: list[Room]) -> Room | None:
    """The limit that is nearest to being reached."""
    return max(rooms, key=lambda r: r.used / r.limit if r.limit else 1, default=None)


def _raci(governance: Governance, name: str) -> list[dict[str, Any]]:
    rows = []
    for action in actions_of(governance, name):
        kind = governance.action_type(action)
        holders = responsible(governance, name, action)
        rows.append(
            {
                "action": action,
                "title": kind.title if kind is not None else "",
                "effect": kind.effect.value if kind is not None else None,
                "risk": kind.risk.value if kind is not None else None,
                **{role: next((p.id for p in holders[role]), None) for role in _OWNERS},
                **{role: [p.id for p in holders[role]] for role in _TOLD},
            }
        )
    return rows


def _memories(governance: Governance, db: Db, viewer: Viewer, name: str) -> list[dict[str, Any]]:
    """What it remembers, newest first; what is remembered for a person is shown to those whom it concerns."""
    workspace = governance.project.agents[name].spec.workspace
    rows = memory_care.listing(db, agent=name, workspace=workspace, limit=_MEMORIES + 1)
    found = []
    for row in rows:
        readable = may_see(governance, row, viewer.person)
        if readable or row["scope"] != "person":
            value = memory_care.get(db, row["id"])["value"] if readable else None
            found.append({**row, "readable": readable, "value": value})
    return found


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None
