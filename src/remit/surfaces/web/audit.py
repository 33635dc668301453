"""Record: every sealed record, chosen by facets, with its proof; and what is chosen, to take away."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import Response, StreamingResponse

from remit.bootstrap import Services
from remit.domain.access import Permission, Viewer
from remit.domain.checkpoints import VerifierKey
from remit.domain.insights import PACES, WAIT_NAMES
from remit.domain.records import MEANINGS, Tag
from remit.errors import InvalidInput, NotFound
from remit.evidence import choosing
from remit.evidence.export import ExportRequest, write_export
from remit.governance import visibility
from remit.governance.sealer import KEY_FILE, ensure_sealer_key
from remit.storage import facets, sessions
from remit.storage.database import connect
from remit.storage.sessions import Db
from remit.surfaces.http.guard import Auditing, Ours, must, must_see
from remit.surfaces.web.looking import visible_session
from remit.surfaces.web.rendering import HEADERS, MOST, page, refusal, render

router = APIRouter()
_PAGE = 50
_OUTCOMES = (
    *("cleared", "waiting", "limited", "repeated", "succeeded", "answered"),
    *("refused", "denied", "expired", "failed", "unknown"),
)
_ROADS = {
    "acted": "all but requests to models",
    "auto": "without asking",
    "asked": "after asking a person",
    "model": "requests to models",
    "first": "first end of a session",
}
_SOURCES = sorted({tag.value.partition(":")[0] + ":" for tag in Tag})


@router.get("/audit")
def show(
    request: Request, viewer: Auditing, services: Ours, before: Annotated[int | None, Query(lt=2**62)] = None
) -> Response:
    """Records, newest first, by what is chosen."""
    given = {name: request.query_params.get(name, "") for name in choosing.NAMES}
    wanted, note = facets.Chosen(), ""
    try:
        wanted = choosing.chosen(given)
    except InvalidInput as error:
        note = refusal(error)
    where = viewer.workspaces(Permission.AUDIT)
    project = services.deployments.load().project
    with services.sessions.transaction() as db:
        newest = facets.newest_leaf(db)  # first: what is counted meanwhile is told as new, and not shown twice
        end = newest + 1 if before is None else before
        found = [] if note else facets.listing(db, wanted, where, before=end, limit=_PAGE + 1)
        return page(
            request,
            "audit.html",
            viewer,
            db,
            status=422 if note else 200,
            note=note,
            given=given,
            is_chosen=any(given.values()),
            rows=[_row(row) for row in found[:_PAGE]],
            next=found[_PAGE - 1]["leaf_index"] if len(found) > _PAGE else None,
            before=before,
            newest=newest,
            total=0 if note else facets.count(db, wanted, where, MOST + 1),
            seal=choosing.seal_state(db),
            verifier=_verifier(services),
            provable=_provable(viewer, db, given["session"]),
            meanings=MEANINGS,
            sources=_SOURCES,
            outcomes=_OUTCOMES,
            roads=_ROADS,
            paces=PACES,
            waits=WAIT_NAMES,
            workspaces=visibility.workspaces(viewer, project, Permission.AUDIT),
            agents=visibility.agents(viewer, project, Permission.AUDIT),
            actions=sorted([*project.actions, "model.request"]),
            people=[p.id for p in project.directory.people],
        )


@router.get("/audit/new")
def new(
    request: Request,
    viewer: Auditing,
    services: Ours,
    after: Annotated[int, Query(ge=-1, lt=2**62)],
    known: Annotated[int, Query(ge=0, le=MOST)] = 0,
) -> Response:
    """How many records of what is chosen came behind the leaf `after`, with those that are known already."""
    given = {name: request.query_params.get(name, "") for name in choosing.NAMES}
    wanted, where = choosing.chosen(given), viewer.workspaces(Permission.AUDIT)
    with services.sessions.transaction() as db:
        newest = max(after, facets.newest_leaf(db))
        found = facets.count(db, wanted, where, MOST + 1 - known, after=after, up_to=newest)
    return render(request, "audit_new.html", given=given, newest=newest, known=known + found, most=MOST)


@router.post("/audit/export")
def export(
    viewer: Auditing,
    services: Ours,
    form: Annotated[str, Form(max_length=10)],
    chosen: Annotated[str, Form(max_length=8_000)] = "",
    contents: Annotated[str, Form(max_length=5)] = "yes",
) -> Response:
    """What is chosen, as a file: records as CSV or JSON lines, or `proof`: an export that can be verified offline."""
    given = _parsed(chosen)
    wanted = choosing.chosen(given)
    if form == "proof":
        return _proof(viewer, services, wanted.session, contents=contents == "yes")
    lines = choosing.take(
        services.sessions.transaction,
        wanted,
        viewer.workspaces(Permission.AUDIT),
        by=f"person:{viewer.person}",
        form=form,
    )
    kind = "text/csv; charset=utf-8" if form == "csv" else "application/jsonl"
    return StreamingResponse(lines, media_type=kind, headers=_as_file(f"record.{form}"))


def _parsed(chosen: str) -> dict[str, str]:
    return dict(parse_qsl(chosen, max_num_fields=40))


def _proof(viewer: Viewer, services: Services, session: str, *, contents: bool) -> Response:
    """The export of `remit audit export`. It appears when it is whole: a proof that breaks off would prove nothing."""
    if session:
        with services.sessions.transaction() as db:
            workspace = sessions.get(db, session).workspace
        must_see(viewer, workspace, f"session {session}")
        must(viewer, Permission.AUDIT, workspace, "export the record")
    else:
        must(viewer, Permission.AUDIT, None, "export the whole record")
    project = services.deployments.load().project
    asked = ExportRequest(
        by=f"person:{viewer.person}",
        session_id=session or None,
        contents=contents,
        redact={name: action.redact for name, action in project.actions.items() if action.redact},
    )
    key = _verifier(services)
    if key is None:
        raise NotFound("there is no sealer's key here", advice="Export where a worker runs: `remit audit export`.")
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when its last byte is sent
    try:
        with connect(services.url, autocommit=True) as db:
            write_export(db, file, key, asked)
    except BaseException:
        file.close()
        raise
    name = f"{re.sub('[^a-z0-9_]', '', session) or 'record'}.remit.jsonl"
    return StreamingResponse(_read(file), media_type="application/jsonl", headers=_as_file(name))


def _provable(viewer: Viewer, db: Db, session: str) -> bool:
    """True if the viewer may take the proof of a session away, or without one that of everything."""
    if not session:
        return viewer.may(Permission.AUDIT)
    try:
        return viewer.may(Permission.AUDIT, visible_session(viewer, db, session).workspace)
    except NotFound:
        return False


def _verifier(services: Services) -> VerifierKey | None:
    """The public key of the sealer; None where no worker has made or been given one. To look must not make another."""
    if not (services.state / KEY_FILE).is_file():
        return None
    return ensure_sealer_key(services.state).verifier


def _read(file: Any) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while part := file.read(1 << 20):
            yield part


def _as_file(name: str) -> dict[str, str]:
    return {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}


def _row(row: dict[str, Any]) -> dict[str, Any]:
    tag = row["tag"]
    known = next((t for t in Tag if t.value == tag), None)
    return {**row, "said": choosing.parsed(row), "meaning": MEANINGS[known] if known is not None else tag}
