"""Agents, triggers, stops and policies."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from remit.domain.access import Permission, Viewer
from remit.errors import Conflict, InvalidInput, NotFound
from remit.evidence.shaping import agents as cards
from remit.evidence.shaping import flow, policies
from remit.evidence.shaping.values import plain
from remit.governance.explaining import rehearse, supposed_question
from remit.governance.state import Governance
from remit.storage import bundles, cockpit_agents, stops
from remit.storage.sessions import Db
from remit.storage.triggers import Firing as FiringRow
from remit.surfaces.api import models, own_models
from remit.surfaces.api.once import Once, Writer
from remit.surfaces.api.parts import Because, Body, Limit, agent_of, new_router
from remit.surfaces.api.replies import paged, render
from remit.surfaces.http import stopping
from remit.surfaces.http.guard import Ours, Releasing, Seeing, Stopping, Working, must, must_see

router = new_router("agents")


class Firing(Body):
    """What a trigger is fired with."""

    input: Any = Field(None, description="What the session starts with, in place of what the trigger declares.")
    person: str | None = Field(None, description="Of a schedule for several people: only this one's session.")


class What(Because):
    """What a stop covers, and why."""

    scope: Literal["all", "workspace", "agent", "action"]
    target: str = Field("", max_length=200, description="The workspace, agent or action type; empty for `all`.")


class Wish(Body):
    """An action that nobody asks for, to see what would be decided."""

    agent: str
    action: str = Field(description="The action type.")
    args: dict[str, Any] = Field({}, description="Its arguments.")
    labels: list[Literal["untrusted", "private"]] = Field([], description="What the session has touched so far.")
    approved: list[str] = Field([], max_length=20, description="Roles whose approval is supposed.")
    person: str | None = Field(None, description="For an assisted agent: the person it acts through.")


@router.get("/agents", response_model=list[models.Agent])  # type: ignore[valid-type]
def agents(viewer: Seeing, services: Ours) -> Response:
    """The deployed agents of the workspaces that you see."""
    governance = services.deployments.load()
    seen = [
        name
        for name, version in governance.project.agents.items()
        if viewer.may(Permission.SEE, version.spec.workspace)
    ]
    return render([cards.listed(governance, name) for name in seen])


@router.get("/agents/{agent}", response_model=models.AgentCard)
def agent_card(viewer: Seeing, services: Ours, agent: str) -> Response:
    """What an agent may see, touch and never do, what needs approval, and who answers for it."""
    governance = services.deployments.load()
    agent_of(viewer, governance, agent)
    with services.sessions.transaction() as db:
        return render(cards.in_full(governance, db, governance.project.agents[agent]))


@router.post("/agents/{agent}/suspend", response_model=models.Agent)
def suspend(viewer: Stopping, once: Once, agent: str, body: Because) -> Response:
    """Suspend an agent: from now on it can do nothing. Its sessions keep what they have done."""
    return _suspend(viewer, once, agent, body.reason, suspended=True)


@router.post("/agents/{agent}/resume", response_model=models.Agent)
def resume(viewer: Releasing, once: Once, agent: str, body: Because) -> Response:
    """Take a suspended agent back into service."""
    return _suspend(viewer, once, agent, body.reason, suspended=False)


@router.get("/triggers", tags=["triggers"], response_model=list[models.Trigger])  # type: ignore[valid-type]
def triggers(viewer: Seeing, services: Ours) -> Response:
    """The triggers of agents that you see, with what they did last and when they are due next."""
    governance = services.deployments.load()
    seen = [one for one in services.triggers.listing() if _sees(viewer, governance, one.trigger.agent)]
    return render([flow.trigger(one) for one in seen])


@router.get("/triggers/{name}/firings", tags=["triggers"], response_model=models.page_of(models.Firing))
def firings(
    viewer: Seeing,
    services: Ours,
    name: str,
    status: Literal["started", "skipped", "refused"] | None = None,
    after: Annotated[str | None, Query(max_length=2_000, description="`next` of the page before.")] = None,
    limit: Limit = 50,
) -> Response:
    """What a trigger started, left out and could not start, newest first."""
    _trigger(viewer, services.deployments.load(), name)
    before = _place(after) if after is not None else None
    with services.sessions.transaction() as db:
        found = cockpit_agents.firings(db, name, status=status, before=before, limit=limit + 1)
    return paged(found, limit, asdict, _cursor)


@router.post("/triggers/{name}/fire", tags=["triggers"], response_model=list[models.Fired])  # type: ignore[valid-type]
def fire(viewer: Working, once: Once, name: str, body: Firing) -> Response:
    """Start now what a trigger would start. You have asked for it, so you can approve nothing in it."""

    def work(db: Db) -> list[dict[str, Any]]:
        _must_work(viewer, once, name, "fire triggers")
        verbs, who = once.services.triggers.within(db), once.who
        found = verbs.fire(name, who.person, body.input, person=body.person, simulated=who.simulated)
        return [flow.fired(one) for one in found]

    return once.do(work)


@router.post("/triggers/{name}/pause", tags=["triggers"], response_model=models.Trigger)
def pause_trigger(viewer: Working, once: Once, name: str, body: Because) -> Response:
    """Let a trigger fire no more until it is resumed."""
    return _pause(viewer, once, name, "pause", body.reason)


@router.post("/triggers/{name}/resume", tags=["triggers"], response_model=models.Trigger)
def resume_trigger(viewer: Working, once: Once, name: str, body: Because) -> Response:
    """Let a paused trigger fire again; what was due meanwhile was missed."""
    return _pause(viewer, once, name, "resume", body.reason)


@router.get("/stops", tags=["stops"], response_model=list[models.Stop])  # type: ignore[valid-type]
def stops_in_force(viewer: Seeing, services: Ours) -> Response:
    """The stops in force; one of a workspace or agent is shown to those who see it."""
    project = services.deployments.load().project
    with services.sessions.transaction() as db:
        found = stops.in_force(db)
    return render(
        [s for s in found if s.scope in {"all", "action"} or s.target in stopping.targets(project, viewer, s.scope)]
    )


@router.post("/stops", tags=["stops"], status_code=201, response_model=models.Stop)
def stop(viewer: Stopping, once: Once, body: What) -> Response:
    """Stop everything, a workspace, an agent or an action type. Once answered, nothing of it is cleared any more."""

    def work(db: Db) -> Any:
        project = once.services.deployments.load().project
        stopping.must_reach(viewer, project, body.scope, body.target, Permission.STOP)
        return once.services.sessions.within(db).stop(body.scope, body.target, body.reason, once.who.person)

    return once.do(work, 201)


@router.post("/stops/release", tags=["stops"], response_model=own_models.Released)
def release(viewer: Releasing, once: Once, body: What) -> Response:
    """Release a stop; work that it had ended goes on from where it was."""

    def work(db: Db) -> dict[str, Any]:
        project = once.services.deployments.load().project
        stopping.must_reach(viewer, project, body.scope, body.target, Permission.RELEASE)
        verbs = once.services.sessions.within(db)
        released, turns = verbs.release(body.scope, body.target, once.who.person, body.reason)
        return {"released": plain(released), "turns": turns}

    return once.do(work)


@router.get("/policies", tags=["policies"], response_model=list[models.Policy])  # type: ignore[valid-type]
def all_policies(_: Seeing, services: Ours) -> Response:
    """The policies in force. They are the whole company's: everybody may know the rules."""
    engine = services.deployments.load().policy
    return render([policies.policy(engine, found) for found in engine.policies])


@router.post("/policies/try", tags=["policies"], response_model=models.Tried)
def try_(viewer: Seeing, services: Ours, body: Wish) -> Response:
    """Say what would be decided if an agent asked for this in a new session today. Nothing is started or recorded."""
    governance = services.deployments.load()
    agent_of(viewer, governance, body.agent)
    question = supposed_question(governance, body.agent, body.action, body.args, person=body.person, labels=body.labels)
    found = rehearse(governance, question, body.approved)
    rehearsed = policies.rehearsal(governance.policy, found)
    return render({"agent": body.agent, "action": body.action, "args": question.args, **rehearsed})


def _suspend(viewer: Viewer, once: Writer, agent: str, reason: str, *, suspended: bool) -> Response:
    def work(db: Db) -> dict[str, Any]:
        governance = once.services.deployments.load()
        workspace = agent_of(viewer, governance, agent)
        permission = Permission.STOP if suspended else Permission.RELEASE
        must(viewer, permission, workspace, "suspend agents" if suspended else "take agents back into service")
        stops.lock_governance(db)
        if (agent in bundles.governance(db).suspended) == suspended:
            raise Conflict(f"{agent} is {'suspended already' if suspended else 'not suspended'}")
        bundles.suspend(db, agent, suspended=suspended, by=once.who.person, reason=reason)
        return {**cards.listed(governance, agent), "suspended": suspended}

    return once.do(work)


def _pause(viewer: Viewer, once: Writer, name: str, verb: str, reason: str) -> Response:
    def work(db: Db) -> dict[str, Any]:
        _must_work(viewer, once, name, f"{verb} triggers")
        verbs = once.services.triggers.within(db)
        getattr(verbs, verb)(name, f"person:{once.who.person}", reason)
        return flow.trigger(next(one for one in verbs.listing() if one.name == name))

    return once.do(work)


def _must_work(viewer: Viewer, once: Writer, name: str, what: str) -> None:
    workspace = _trigger(viewer, once.services.deployments.load(), name)
    must(viewer, Permission.WORK, workspace, what)


def _cursor(firing: FiringRow) -> str:
    """A firing's place in the list, of letters that an address takes as they are."""
    return urlsafe_b64encode(f"{firing.at.isoformat()} {firing.key}".encode()).decode()


def _place(after: str) -> tuple[datetime, str]:
    """Time and key of the last firing of the page before. Raises InvalidInput."""
    try:
        at, _, key = urlsafe_b64decode(after).decode().partition(" ")
        moment = datetime.fromisoformat(at)
    except ValueError:
        moment, key = None, ""
    if moment is None or moment.tzinfo is None or "\0" in key:
        raise InvalidInput("`after` is no place in this list", advice="Give the `next` of the page before.")
    return moment, key


def _sees(viewer: Viewer, governance: Governance, agent: str) -> bool:
    version = governance.project.agents.get(agent)
    return version is not None and viewer.may(Permission.SEE, version.spec.workspace)


def _trigger(viewer: Viewer, governance: Governance, name: str) -> str:
    """The workspace of a trigger's agent, which the viewer sees. Raises NotFound."""
    found = governance.project.triggers.get(name)
    version = governance.project.agents.get(found.agent) if found is not None else None
    if version is None:
        raise NotFound(f"there is no trigger {name}", advice="Look at the list of triggers.")
    must_see(viewer, version.spec.workspace, f"trigger {name}")
    return version.spec.workspace
