"""Taking back a whole session: what would be taken back and what cannot be, then, confirmed by a word, doing it."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from remit.domain.access import Permission, Viewer
from remit.errors import Conflict, InvalidInput, NotFound, RemitError
from remit.runtime.undoing import MOST, Effect, Takeback
from remit.storage import cockpit_sessions
from remit.storage.ledger import payload_id
from remit.storage.sessions import Db
from remit.surfaces.http import words
from remit.surfaces.http.guard import Ours, Seeing, Working, must
from remit.surfaces.web import once
from remit.surfaces.web.looking import visible_session
from remit.surfaces.web.rendering import back, page
from remit.surfaces.web.session_page import frame

router = APIRouter()
_SHOWN = 100
_BYTES = 2_000  # of an action's values; what is longer is on its own page


@router.get("/sessions/{session_id}/undo")
def show(request: Request, viewer: Seeing, services: Ours, session_id: str) -> Response:
    """What there is to take back. Nothing is done."""
    return _page(request, viewer, services, session_id)


@router.post("/sessions/{session_id}/undo")
def undo(
    request: Request,
    viewer: Working,
    services: Ours,
    session_id: str,
    reason: Annotated[str, Form(max_length=2_000)] = "",
    word: Annotated[str, Form(max_length=200)] = "",
    seen: Annotated[str, Form(max_length=64)] = "",
    value: Annotated[once.Value, Form(alias=once.NAME)] = "",
) -> Response:
    """Ask for exactly what the page had shown to be taken back, newest first."""

    def work(db: Db) -> once.Done:
        verbs = services.sessions.within(db)
        wanted = _first(verbs.plan_undo(session_id))
        if seen != _seal(wanted):
            raise Conflict("what can be taken back has changed since this page was shown", advice="Look at it again.")
        if not wanted:
            raise Conflict("there is nothing that can be taken back")
        if not reason.strip():
            raise InvalidInput("say why: whoever looks next has to know")
        if word.strip() != _word(wanted):
            raise InvalidInput(f"type “{_word(wanted)}” to confirm; nothing was taken back")
        only = {effect.id for effect in wanted}
        _, asked = verbs.undo_session(session_id, f"person:{viewer.person}", reason.strip(), only=only)
        said = f"Asked for: {len(asked)} action{'s' if len(asked) != 1 else ''} to be taken back."
        return once.Done(f"/sessions/{session_id}/undo", said)

    try:
        with services.sessions.transaction() as db:
            session = visible_session(viewer, db, session_id)
        must(viewer, Permission.WORK, session.workspace, "take a session back")
        done = once.do(services, viewer, value, ["undo", session_id, reason, word, seen], work)
    except NotFound:
        raise
    except RemitError as error:
        return _page(request, viewer, services, session_id, refused=error, reason=reason)
    return back(request, done.to, said=done.said)


def _page(
    request: Request,
    viewer: Viewer,
    services: Ours,
    session_id: str,
    *,
    refused: RemitError | None = None,
    reason: str = "",
) -> Response:
    with services.sessions.transaction() as db:
        shared = frame(viewer, services.deployments.load(), db, session_id, "undo")
        found = services.sessions.within(db).plan_undo(session_id)
        wanted = _first(found)
        return page(
            request,
            "session_undo.html",
            viewer,
            db,
            status=refused.http_status if refused is not None else 200,
            **shared,
            found=found,
            wanted=wanted,
            shown=_SHOWN,
            values=_values(db, found, wanted),
            word=_word(wanted),
            seen=_seal(wanted),
            refused=refused,
            reason=reason,
        )


def _values(db: Db, found: Takeback, wanted: tuple[Effect, ...]) -> dict[str, str]:
    """With which values each action was done, in a line."""
    lists = (wanted, found.impossible, found.under_way, found.done)
    listed = [effect.id for effects in lists for effect in effects[:_SHOWN]]
    contents = cockpit_sessions.contents(db, [payload_id(one, letter) for one in listed for letter in "ae"], _BYTES)
    values = {}
    for one in listed:
        told = contents.get(payload_id(one, "e")) or contents.get(payload_id(one, "a"))
        if told is not None and isinstance(told.value, dict):
            values[one] = ", ".join(f"{name} {words.shown(value, 60)}" for name, value in told.value.items())
    return values


def _first(found: Takeback) -> tuple[Effect, ...]:
    """As much as is taken back at once."""
    return found.possible[:MOST]


def _word(wanted: tuple[Effect, ...]) -> str:
    """What is typed to confirm: it names how many, so that nobody takes back more than they have read."""
    return f"take back {len(wanted)}"


def _seal(wanted: tuple[Effect, ...]) -> str:
    """Stands for what the page has shown."""
    return hashlib.sha256(" ".join(effect.id for effect in wanted).encode()).hexdigest()
