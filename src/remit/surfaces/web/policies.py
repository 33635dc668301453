"""Policies: what each says, where it stands, how often it was named; and trying what would happen."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import Response

from remit.domain import canonical
from remit.domain.access import Viewer
from remit.domain.actions import MODEL_REQUEST, visible_schema
from remit.domain.agents import AutonomyLevel
from remit.errors import InvalidInput, NotFound, RemitError
from remit.governance import visibility
from remit.governance.explaining import actions_of
from remit.governance.policy.reading import Policy
from remit.governance.state import Governance
from remit.governance.trying import Supposed, Trial, try_out
from remit.storage import tallies
from remit.storage.rollups import Window
from remit.storage.sessions import Db
from remit.surfaces.http.guard import Ours, Seeing
from remit.surfaces.web import spans
from remit.surfaces.web.rendering import page, refusal

router = APIRouter()
_PAGE = 50
_SPANS, _USUAL = ("7d", "30d", "90d"), "30d"
_LABELS = ("untrusted", "private")
_LEVELS: tuple[AutonomyLevel, ...] = get_args(AutonomyLevel)
_EXAMPLES: dict[str, Any] = {"number": 0, "integer": 0, "boolean": False, "array": [], "object": {}, "string": ""}


@router.get("/policies")
def listing(request: Request, viewer: Seeing, services: Ours, action: str = "", span: str = "") -> Response:
    """The policies in force, file by file in the order in which they stand there."""
    back = spans.span(span, _SPANS, _USUAL)
    governance = services.deployments.load()
    hidden = visibility.hidden_names(viewer, governance)
    about = {p.id for p in governance.policy.speaking_about(action)} if action else None
    files: dict[str, list[dict[str, Any]]] = {}
    with services.sessions.transaction() as db:
        named = tallies.policies(db, _window(viewer, back))
        for policy in visibility.policies(viewer, governance):
            if about is None or policy.id in about:
                files.setdefault(policy.statement.file, []).append(
                    {
                        "policy": policy,
                        "text": visibility.text_of(policy, hidden),
                        "about": _about(policy),
                        "named": named.get(policy.id, 0),
                    }
                )
        return page(
            request,
            "policies.html",
            viewer,
            db,
            files=files,
            action=action,
            span=back.name,
            spans=spans.texts(_SPANS),
            newest=tallies.newest(db),
            actions=_actions(viewer, governance),
            count=sum(map(len, files.values())),
        )


@router.get("/policies/decisions")
def decisions(
    request: Request, viewer: Seeing, services: Ours, policy: str, span: str = "", before: int | None = None
) -> Response:
    """The decisions that named a policy, newest first."""
    back = spans.span(span, _SPANS, _USUAL)
    governance = services.deployments.load()
    found = next((p for p in visibility.policies(viewer, governance) if p.id == policy), None)
    if found is None:
        raise NotFound(f"there is no policy {policy}", advice="Look at the list of policies.")
    with services.sessions.transaction() as db:
        rows = tallies.decisions(db, policy, _window(viewer, back), before=before, limit=_PAGE + 1)
        return page(
            request,
            "policy_decisions.html",
            viewer,
            db,
            policy=found,
            rows=rows[:_PAGE],
            more=rows[_PAGE - 1]["leaf_index"] if len(rows) > _PAGE else None,
            span=back,
        )


def _window(viewer: Viewer, back: spans.Span) -> Window:
    return Window(back.grain, back.since, back.until, viewer.workspaces())


@router.get("/policies/try")
def begin(
    request: Request,
    viewer: Seeing,
    services: Ours,
    agent: str = "",
    action: str = "",
    args: Annotated[str, Query(max_length=20_000)] = "",
) -> Response:
    """Say what is to be tried."""
    governance = services.deployments.load()
    given = {"agent": agent, "action": action, "args": args or _skeleton(governance, action)}
    with services.sessions.transaction() as db:
        return _try_page(request, viewer, governance, db, given)


@router.post("/policies/try")
def attempt(
    request: Request,
    viewer: Seeing,
    services: Ours,
    agent: Annotated[str, Form(max_length=200)],
    action: Annotated[str, Form(max_length=200)],
    args: Annotated[str, Form(max_length=262_144)] = "{}",
    person: Annotated[str, Form(max_length=200)] = "",
    autonomy: Annotated[str, Form(max_length=40)] = "",
    labels: Annotated[list[str] | None, Form()] = None,
    approved: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """Say what would happen. Nothing is executed, and nothing is written."""
    governance = services.deployments.load()
    given = {
        "agent": agent,
        "action": action,
        "args": args.replace("\r\n", "\n"),
        "person": person,
        "autonomy": autonomy,
        "labels": labels or [],
        "approved": approved or [],
    }
    with services.sessions.transaction() as db:
        try:
            supposed = _supposed(viewer, governance, given)
            trial = try_out(governance, db, supposed)
        except RemitError as error:
            note = refusal(error)
            return _try_page(request, viewer, governance, db, given, note=note, status=error.http_status)
        return _try_page(request, viewer, governance, db, given, trial=trial)


def _supposed(viewer: Viewer, governance: Governance, given: dict[str, Any]) -> Supposed:
    """What a form asks to be tried. Raises NotFound for an agent that is not seen, InvalidInput."""
    visibility.agent(viewer, governance.project, given["agent"])
    args = canonical.parse(given["args"].strip() or "{}", what="text of the arguments")
    if not isinstance(args, dict):
        raise InvalidInput("the arguments are one JSON object", advice='Give them as {"amount": 90}.')
    if given["action"] not in _actions(viewer, governance):
        raise InvalidInput(f"there is no action type {given['action']!r}", advice="Choose one from the list.")
    if given["person"] and given["person"] not in visibility.people(viewer, governance):
        raise InvalidInput("there is nobody of that name", advice="Choose somebody from the list.")
    return Supposed(
        given["agent"],
        given["action"],
        args,
        given["person"] or None,
        tuple(label for label in _LABELS if label in given["labels"]),
        tuple(given["approved"][:20]),
        next((level for level in _LEVELS if level == given["autonomy"]), None),
    )


def _try_page(
    request: Request,
    viewer: Viewer,
    governance: Governance,
    db: Db,
    given: dict[str, Any],
    *,
    trial: Trial | None = None,
    note: str = "",
    status: int = 200,
) -> Response:
    project = governance.project
    names = visibility.agents(viewer, project)
    agent = given["agent"] if given["agent"] in names else ""
    known, own = visibility.people(viewer, governance), actions_of(governance, agent) if agent else ()
    hidden = visibility.hidden_names(viewer, governance)
    seen = {p.id for p in visibility.policies(viewer, governance)}
    spoken = trial.rehearsal.explanation.spoken if trial is not None else ()
    return page(
        request,
        "try.html",
        viewer,
        db,
        status=status,
        given={"person": "", "autonomy": "", "labels": [], "approved": [], **given, "agent": agent},
        agents=[(name, project.agents[name].spec.title) for name in names],
        own=own,
        others=[a for a in _actions(viewer, governance) if a not in own],
        people=[p for p in project.directory.people if p.id in known and project.directory.is_active(p.id)],
        assisted=bool(agent) and project.agents[agent].spec.layer == "assisted",
        labels=_LABELS,
        levels=_LEVELS,
        trial=trial,
        titles=dict(_titles(governance)),
        spoken=[(s, visibility.text_of(s.policy, hidden)) for s in spoken if s.policy.id in seen],
        rooms=[r for r in trial.rooms if visibility.may_see_room(viewer, project, r)] if trial is not None else [],
        note=note,
    )


def _actions(viewer: Viewer, governance: Governance) -> list[str]:
    """Action types that somebody may know of: those that an agent they see can take; all, for who sees everything."""
    project = governance.project
    if viewer.workspaces() is None:
        return sorted([*project.actions, MODEL_REQUEST])
    return sorted({a for name in visibility.agents(viewer, project) for a in actions_of(governance, name)})


def _about(policy: Policy) -> str:
    """Which action types a policy speaks about, in words."""
    if policy.scope.operator == "all":
        return "every action"
    words = {"read": "all reads", "write": "all writes", "any": "every action"}
    return ", ".join(words.get(name, name) for name in policy.scope.names)


def _titles(governance: Governance) -> Iterable[tuple[str, str]]:
    for name in (*governance.project.actions, MODEL_REQUEST):
        kind = governance.action_type(name)
        if kind is not None:
            yield name, kind.title


def _skeleton(governance: Governance, action: str) -> str:
    """The arguments that a tool takes, with empty values, to be filled in."""
    definition = governance.project.tool(action) if action else None
    if definition is None:
        models = sorted(governance.project.settings.models)
        return json.dumps({"model": models[0]}, indent=2) if action == MODEL_REQUEST and models else "{}"
    schema = visible_schema(definition.input_schema, governance.project.actions.get(action))
    fields: dict[str, Any] = {}
    for name, field in (schema.get("properties") or {}).items():
        kind = field.get("type") if isinstance(field, dict) else None
        kind = kind[0] if isinstance(kind, list) and kind else kind
        choices = field.get("enum") if isinstance(field, dict) else None
        fields[name] = choices[0] if choices else _EXAMPLES.get(str(kind), "")
    return json.dumps(fields, indent=2, ensure_ascii=False)
