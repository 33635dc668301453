"""Triggers: what starts work by itself, when it did and will, and doing it, or not doing it, by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from remit.domain import canonical
from remit.domain.access import Permission, Viewer
from remit.domain.triggers import ScheduleTrigger, Trigger
from remit.errors import InvalidInput, NotFound, RemitError
from remit.governance.state import Governance
from remit.runtime.triggers import Fired, Listed
from remit.storage import cockpit_agents
from remit.storage.sessions import Db
from remit.storage.triggers import Firing
from remit.surfaces.http.guard import Ours, Seeing, Working, must
from remit.surfaces.web import once
from remit.surfaces.web.rendering import back, page, refusal

router = APIRouter()
_PAGE = 50
_STATUSES = ("started", "skipped", "refused")


@router.get("/triggers")
def listing(request: Request, viewer: Seeing, services: Ours) -> Response:
    """All triggers whose agent somebody sees: those that are paused or could not start something first."""
    governance = services.deployments.load()
    found = [one for one in services.triggers.listing() if _visible(viewer, governance, one.trigger)]
    found.sort(key=lambda one: (not one.paused, one.last is None or one.last.status != "refused", one.name))
    with services.sessions.transaction() as db:
        rows = [{"one": one, "when": when(one.name, one.trigger)} for one in found]
        return page(request, "triggers.html", viewer, db, rows=rows)


@router.get("/triggers/{name}")
def show(
    request: Request, viewer: Seeing, services: Ours, name: str, status: str = "", at: str = "", key: str = ""
) -> Response:
    """One trigger with what it did and left out."""
    return _page(request, viewer, services, name, status=status, before=_place(at, key))


@router.post("/triggers/{name}/fire")
def fire(
    request: Request,
    viewer: Working,
    services: Ours,
    name: str,
    given: Annotated[str, Form(max_length=262_144)] = "",
    person: Annotated[str, Form(max_length=200)] = "",
    value: Annotated[once.Value, Form(alias=once.NAME)] = "",
) -> Response:
    """Start now what a trigger would start, for whoever asks."""
    _must_work(viewer, services, name, "fire triggers")

    def work(db: Db) -> once.Done:
        wanted = canonical.parse(given, what="input") if given.strip() else None
        verbs = services.triggers.within(db)
        return _fired(name, verbs.fire(name, viewer.person, wanted, person=person or None, simulated=viewer.simulated))

    try:
        done = once.do(services, viewer, value, ["fire", name, given, person], work)
    except RemitError as error:
        note = f"Nothing was started: {refusal(error)}"
        return _page(request, viewer, services, name, note=note, code=error.http_status, given=given)
    if not done.to:
        return _page(request, viewer, services, name, note=done.said, code=409, given=given)
    return back(request, done.to, said=done.said)


@router.post("/triggers/{name}/pause")
def pause(
    request: Request, viewer: Working, services: Ours, name: str, reason: Annotated[str, Form(max_length=2_000)] = ""
) -> Response:
    """Let a trigger fire no more until it is resumed."""
    _must_work(viewer, services, name, "pause triggers")
    services.triggers.pause(name, f"person:{viewer.person}", _why(reason))
    return back(request, f"/triggers/{quote(name)}", said=f"{name} is paused. It starts nothing until it is resumed.")


@router.post("/triggers/{name}/resume")
def resume(
    request: Request, viewer: Working, services: Ours, name: str, reason: Annotated[str, Form(max_length=2_000)] = ""
) -> Response:
    """Let a paused trigger fire again."""
    _must_work(viewer, services, name, "resume triggers")
    services.triggers.resume(name, f"person:{viewer.person}", _why(reason))
    return back(request, f"/triggers/{quote(name)}", said=f"{name} fires again.")


def _page(
    request: Request,
    viewer: Viewer,
    services: Any,
    name: str,
    *,
    status: str = "",
    before: tuple[datetime, str] | None = None,
    note: str = "",
    code: int = 200,
    given: str = "",
) -> Response:
    governance = services.deployments.load()
    listed = _find(viewer, governance, services, name)
    directory = governance.project.directory
    schedule = listed.trigger if isinstance(listed.trigger, ScheduleTrigger) else None
    people = [p for reference in (schedule.people if schedule else ()) for p in directory.resolve(reference)]
    with services.sessions.transaction() as db:
        wanted = status if status in _STATUSES else None
        found = cockpit_agents.firings(db, name, status=wanted, before=before, limit=_PAGE + 1)
        return page(
            request,
            "trigger.html",
            viewer,
            db,
            status=code,
            one=listed,
            name=name,
            when=when(name, listed.trigger),
            people=list(dict.fromkeys(people)),
            asks_input=schedule is None,
            declared=listed.trigger.model_dump(mode="json", exclude_defaults=True, exclude={"verify"}),
            may_work=viewer.may(Permission.WORK, _workspace(governance, listed.trigger)),
            firings=found[:_PAGE],
            more=_after(found[_PAGE - 1]) if len(found) > _PAGE else None,
            chosen=status,
            statuses=_STATUSES,
            note=note,
            given=given,
        )


def _fired(name: str, fired: list[Fired]) -> once.Done:
    """What a firing came to: the one session that it has started, or the trigger's page where there are several."""
    started = [one for one in fired if one.status == "started"]
    refused = next((one for one in fired if one.status != "started"), None)
    if not started and refused is not None:
        return once.Done("", f"Nothing was started: {refused.reason or refused.code}.")
    if len(started) == 1:
        return once.Done(f"/sessions/{started[0].session_id}", f"Fired {name}.")
    return once.Done(f"/triggers/{quote(name)}", f"Started {len(started)} session(s).")


def when(name: str, trigger: Trigger) -> str:
    """What makes a trigger fire, in words."""
    match trigger.kind:
        case "schedule":
            zone = "in each person's own time zone" if trigger.time_zone == "person" else f"in {trigger.time_zone}"
            return f"by the clock, {trigger.cron} {zone}"
        case "webhook":
            return f"when a signed request comes to /hooks/{name}"
        case "event":
            what = {"outcome": "a turn has ended", "emit": "a program says", "message": "somebody writes by"}[
                trigger.on
            ]
            named = "" if trigger.name == "*" else f" {trigger.name}"
            return f"when {what}{named}" + (f", of {trigger.source}" if trigger.source is not None else "")


def _find(viewer: Viewer, governance: Governance, services: Any, name: str) -> Listed:
    found: Listed | None = next((one for one in services.triggers.listing() if one.name == name), None)
    if found is None or not _visible(viewer, governance, found.trigger):
        raise NotFound(f"there is no trigger {name}", advice="Look at the list of triggers.")
    return found


def _workspace(governance: Governance, trigger: Trigger) -> str | None:
    version = governance.project.agents.get(trigger.agent)
    return version.spec.workspace if version is not None else None


def _visible(viewer: Viewer, governance: Governance, trigger: Trigger) -> bool:
    return viewer.may(Permission.SEE, _workspace(governance, trigger))


def _must_work(viewer: Viewer, services: Any, name: str, what: str) -> None:
    governance = services.deployments.load()
    listed = _find(viewer, governance, services, name)
    must(viewer, Permission.WORK, _workspace(governance, listed.trigger), what)


def _why(reason: str) -> str:
    if not reason.strip():
        raise InvalidInput("say why: whoever looks next has to know", advice="Go back and give a reason.")
    return reason.strip()


def _place(at: str, key: str) -> tuple[datetime, str] | None:
    """Where a page of firings begins. Raises InvalidInput."""
    if not at:
        return None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise InvalidInput("this is no page of the list", advice="Begin at its top again.") from None
    if moment.tzinfo is None:
        raise InvalidInput("this is no page of the list", advice="Begin at its top again.")
    return moment, key


def _after(firing: Firing) -> dict[str, str]:
    return {"at": firing.at.isoformat(), "key": firing.key}
