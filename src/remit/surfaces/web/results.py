"""What a session put out and why, and what its readers make of it: accept, edit, reject, dispute."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from remit.domain import canonical
from remit.domain.access import Viewer
from remit.errors import InvalidInput, NotFound, RemitError
from remit.evidence import programs
from remit.governance import reviews
from remit.governance.desk import Decider
from remit.governance.state import Governance
from remit.storage import cockpit_sessions, outputs, rows
from remit.storage.ledger import payload_id
from remit.storage.sessions import Db
from remit.surfaces.http import words
from remit.surfaces.http.guard import Ours, Seeing
from remit.surfaces.web import once
from remit.surfaces.web.looking import Text, is_id, visible_session
from remit.surfaces.web.rendering import back, page
from remit.surfaces.web.session_page import frame

router = APIRouter()
_ROWS, _OUTPUTS, _WHYS = 200, 50, 20
_LONGEST = 256 * 1024
"""Most characters of a version that is written in the cockpit."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a reader has written, and why it was not taken."""

    output: str
    verdict: str
    reason: str
    body: str
    refused: RemitError


@dataclass(frozen=True, slots=True)
class Editor:
    """The box in which an output is edited."""

    output: str
    text: str
    is_text: bool
    """False: JSON is wanted."""
    too_long: bool = False
    strange: bool = False
    """True: it has characters that change how others are shown, or that cannot be shown."""


@router.get("/sessions/{session_id}/results")
def results(
    request: Request,
    viewer: Seeing,
    services: Ours,
    session_id: str,
    row: Text = "",
    name: Text = "",
    edit: Text = "",
    before: Text = "",
) -> Response:
    """What it put out, and why each row is where it is; of `edit`, the box to write another version."""
    return _page(request, viewer, services, session_id, row=row, name=name, edit=edit, before=before)


@router.post("/sessions/{session_id}/outputs/{output_id}")
def review(
    request: Request,
    viewer: Seeing,
    services: Ours,
    session_id: str,
    output_id: str,
    verdict: Annotated[str, Form(max_length=20)] = "",
    reason: Annotated[str, Form(max_length=4_000)] = "",
    body: Annotated[str, Form(max_length=_LONGEST)] = "",
    value: Annotated[once.Value, Form(alias=once.NAME)] = "",
) -> Response:
    """Keep what a reader makes of an output; who may is for the output's own rules to say."""
    text = body.replace("\r\n", "\n")

    def work(db: Db) -> once.Done:
        chosen = next((one for one in get_args(reviews.Verdict) if one == verdict), None)
        if chosen is None:
            raise InvalidInput("choose what is to be made of it: accept, edit, reject or dispute")
        contents = reviews.read_body(outputs.body(db, output_id), text) if verdict == "edited" else None
        who = Decider(viewer.person, simulated=viewer.simulated).over("cockpit")
        done = reviews.review(db, services.deployments.load(), output_id, chosen, who, reason.strip(), body=contents)
        said = f"It is {verdict}." if verdict != "edited" else f"It is replaced by your version {done['version']}."
        return once.Done(f"/sessions/{session_id}/results#{done['id']}", said)

    with services.sessions.transaction() as db:
        visible_session(viewer, db, session_id)
        _of_session(db, session_id, output_id)
    try:
        done = once.do(services, viewer, value, ["review", output_id, verdict, reason, text], work)
    except RemitError as error:
        written = Written(output_id, verdict, reason, text, error)
        return _page(request, viewer, services, session_id, written=written)
    return back(request, done.to, said=done.said)


def _page(
    request: Request,
    viewer: Viewer,
    services: Ours,
    session_id: str,
    *,
    row: str = "",
    name: str = "",
    edit: str = "",
    before: str = "",
    written: Written | None = None,
) -> Response:
    governance = services.deployments.load()
    with services.sessions.transaction() as db:
        shared = frame(viewer, governance, db, session_id, "results")
        found = rows.of_session(db, session_id)
        published = outputs.listing(
            db, session_id=session_id, every_version=True, before=before or None, limit=_OUTPUTS + 1
        )
        return page(
            request,
            "session_results.html",
            viewer,
            db,
            status=written.refused.http_status if written is not None else 200,
            **shared,
            lists=_lists(found),
            more=max(len(found) - _ROWS, 0),
            row=row,
            whys=_whys(services, db, session_id, row, name) if row else [],
            outputs=_shown(db, governance, viewer, session_id, published[:_OUTPUTS]),
            older=published[_OUTPUTS - 1]["id"] if len(published) > _OUTPUTS else None,
            editor=_editor(db, session_id, edit, written),
            written=written,
        )


def _shown(
    db: Db, governance: Governance, viewer: Viewer, session_id: str, published: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Outputs, each with what it says and what the viewer may make of it."""
    bodies = cockpit_sessions.contents(db, [payload_id(o["id"], "b") for o in published])
    newest = outputs.newest(db, session_id)
    return [
        {
            **output,
            "body": bodies.get(payload_id(output["id"], "b"), cockpit_sessions.NOTHING),
            "may": reviews.open_to(governance, output, viewer.person) if output["id"] in newest else (),
            "newest": output["id"] in newest,
        }
        for output in published
    ]


def _editor(db: Db, session_id: str, edit: str, written: Written | None) -> Editor | None:
    """The box to edit an output in: with what was written, or with what it says now."""
    if written is not None and written.verdict == "edited":
        return Editor(written.output, written.body, isinstance(outputs.body(db, written.output), str))
    if not edit:
        return None
    _of_session(db, session_id, edit)
    body = outputs.exact_body(db, edit)
    text = body if isinstance(body, str) else _json(body)
    text = text.encode("utf-8", "replace").decode()  # halves of characters
    if len(text) > _LONGEST:
        return Editor(edit, "", isinstance(body, str), too_long=True)
    return Editor(edit, text, isinstance(body, str), strange=words.text(text, len(text)) != text.replace("\t", " "))


def _json(value: Any) -> str:
    """JSON on several lines, unless that would not read back as the same numbers."""
    exact = canonical.dumps(value)
    text = json.dumps(canonical.plain(value), indent=2, ensure_ascii=False)
    return text if canonical.dumps(canonical.parse(text)) == exact else exact.decode("utf-8", "replace")


def _of_session(db: Db, session_id: str, output_id: str) -> None:
    """Raise NotFound unless the output is one of this session, which the viewer sees."""
    if not is_id(output_id) or outputs.get(db, output_id)["session_id"] != session_id:
        raise NotFound("there is no such output", advice="The results of its session list it.")


def _lists(found: list[Any]) -> dict[str, list[Any]]:
    """The rows by the list that they belong to, as many as a page takes."""
    lists: dict[str, list[Any]] = {}
    for row in found[:_ROWS]:
        lists.setdefault(row.name, []).append(row)
    return lists


def _whys(services: Ours, db: Db, session_id: str, row: str, name: str) -> list[dict[str, Any]]:
    try:
        return programs.why(db, services.deployments.version, session_id, row, name=name or None)[:_WHYS]
    except NotFound:
        return []
