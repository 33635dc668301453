"""People: who works here, who reports to whom, who may approve what; and one's own logins and tokens."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from remit.domain.access import Permission, Viewer
from remit.domain.directory import Directory, Person, PersonStatus
from remit.errors import NotFound
from remit.governance import visibility
from remit.governance.remits import may_approve
from remit.governance.state import Governance
from remit.storage import cockpit_agents, logins, tokens
from remit.storage.sessions import Db
from remit.surfaces.http.guard import Ours, Seeing, entered
from remit.surfaces.web.rendering import back, page

router = APIRouter()


@router.get("/directory")
def show(request: Request, viewer: Seeing, services: Ours) -> Response:
    """People in their reporting lines, and the agents beside them; only of workspaces that somebody sees."""
    governance = services.deployments.load()
    directory = governance.project.directory
    known = visibility.people(viewer, governance)
    seen = visibility.agents(viewer, governance.project)
    approves = may_approve(governance, seen)
    spaces = [w for w in directory.workspaces if viewer.may(Permission.SEE, w.id)]
    active = [p for p in directory.people if p.id in known and p.status is PersonStatus.ACTIVE]
    cards = {p.id: _card(governance, viewer, p, seen, approves.get(p.id, {})) for p in active}
    with services.sessions.transaction() as db:
        return page(
            request,
            "directory.html",
            viewer,
            db,
            tree=_tree(directory, cards),
            left=[p for p in directory.people if p.id in known and p.status is PersonStatus.LEFT],
            spaces=[(w, sorted(p.id for p in directory.resolve(w.manager) if p.id in known)) for w in spaces],
            roles=[(r, [p.id for p in active if r.id in p.roles]) for r in directory.roles],
            agents=[(name, governance.project.agents[name].spec) for name in seen],
        )


@router.get("/me")
def me(request: Request, viewer: Seeing, services: Ours) -> Response:
    """One's own logins and tokens; whoever administers sees everybody's."""
    directory = services.deployments.load().project.directory
    found = entered(request)
    with services.sessions.transaction() as db:
        others = _administered(viewer, directory)
        mine_logins = logins.listing(db, viewer.person)
        return page(
            request,
            "me.html",
            viewer,
            db,
            here_login=found.login if found is not None else None,
            own={"logins": mine_logins, "tokens": cockpit_agents.tokens(db, [f"person:{viewer.person}"])},
            others=None if others == set() else _of_others(db, viewer, others),
            open_to=_open_to(viewer),
        )


@router.post("/me/logins/{login_id}/end")
def end_login(request: Request, viewer: Seeing, services: Ours, login_id: str) -> Response:
    """End a login at once: one's own, or that of somebody whom one administers."""
    directory = services.deployments.load().project.directory
    with services.sessions.transaction() as db:
        row = next((one for one in _logins(db, viewer, directory) if one["id"] == login_id), None)
    if row is None:
        raise NotFound(f"there is no login {login_id}", advice="It may have ended already; look at the list.")
    services.logins.leave(login_id, f"person:{viewer.person}")
    found = entered(request)
    if found is not None and found.login == login_id:
        return RedirectResponse("/login", status_code=303)
    return back(request, "/me", said="That login has ended.")


@router.post("/me/tokens/{token_id}/revoke")
def revoke_token(request: Request, viewer: Seeing, services: Ours, token_id: str) -> Response:
    """Revoke a token at once: one's own, or that of somebody whom one administers."""
    directory = services.deployments.load().project.directory
    with services.sessions.transaction() as db:
        others = _administered(viewer, directory)
        subjects = None if others is None else [f"person:{p}" for p in {viewer.person, *others}]
        if not any(one["id"] == token_id for one in cockpit_agents.tokens(db, subjects)):
            raise NotFound(
                f"there is no token {token_id}", advice="It may have been revoked already; look at the list."
            )
        tokens.revoke(db, token_id, f"person:{viewer.person}")
    return back(request, "/me", said="That token does not work any more.")


def _administered(viewer: Viewer, directory: Directory) -> set[str] | None:
    """Whose logins and tokens somebody may see and end besides their own; None: everybody's.

    Who administers a workspace administers the people who are in that one alone: a login opens all that one may see.
    """
    if viewer.may(Permission.ADMIN):
        return None
    places = set(viewer.workspaces(Permission.ADMIN) or ())
    found = set()
    for person in directory.people:
        theirs = {*person.workspaces, *(g.workspace for g in person.access)}
        if person.id != viewer.person and theirs and theirs <= places:
            found.add(person.id)
    return found


def _logins(db: Db, viewer: Viewer, directory: Directory) -> list[dict[str, Any]]:
    others = _administered(viewer, directory)
    found = logins.listing(db) if others is None else []
    for person in (viewer.person, *sorted(others or ())):
        found += logins.listing(db, person) if others is not None else []
    return found


def _of_others(db: Db, viewer: Viewer, others: set[str] | None) -> dict[str, Any]:
    every = logins.listing(db) if others is None else [row for p in sorted(others) for row in logins.listing(db, p)]
    held = cockpit_agents.tokens(db, None if others is None else [f"person:{p}" for p in sorted(others)])
    return {
        "logins": [row for row in every if row["person"] != viewer.person],
        "tokens": [row for row in held if row["subject"] != f"person:{viewer.person}"],
    }


def _open_to(viewer: Viewer) -> list[tuple[str, list[str]]]:
    """What is open to somebody, by place."""
    found = [("everywhere", [p.value for p in sorted(viewer.everywhere)])] if viewer.everywhere else []
    return found + [(place, [p.value for p in sorted(allowed)]) for place, allowed in sorted(viewer.inside.items())]


def _card(
    governance: Governance, viewer: Viewer, person: Person, seen: list[str], approves: dict[str, set[str]]
) -> dict[str, Any]:
    directory = governance.project.directory
    places = {*person.workspaces, *(g.workspace for g in person.access if g.workspace is not None)}
    owns = [a for a in seen if person in directory.resolve(governance.project.agents[a].spec.owner)]
    return {
        "person": person,
        "workspaces": [w for w in sorted(places) if viewer.may(Permission.SEE, w)],
        "titles": {r.id: r.title for r in directory.roles},
        "owns": owns,
        "approves": {action: sorted(roles) for action, roles in sorted(approves.items())},
    }


def _tree(directory: Directory, cards: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Everybody below the nearest manager who is shown. A loop in the lines is shown from one of its people."""
    above: dict[str, str | None] = {p: next((m.id for m in directory.chain(p) if m.id in cards), None) for p in cards}
    below: dict[str | None, list[str]] = {}
    for person, manager in above.items():
        below.setdefault(manager, []).append(person)
    placed: set[str] = set()

    def node(person: str) -> dict[str, Any]:
        placed.add(person)
        reports = [node(p) for p in below.get(person, ()) if p not in placed]
        return {**cards[person], "reports": reports}

    tree = [node(p) for p in below.get(None, ())]
    return tree + [node(p) for p in cards if p not in placed]
