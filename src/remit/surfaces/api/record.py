"""The record, people, and who is in: logins and tokens."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO

from fastapi import Query
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from remit.domain.access import Permission, Viewer
from remit.errors import NotEntitled, NotFound
from remit.evidence.export import ExportRequest, write_export
from remit.evidence.shaping import flow
from remit.governance.sealer import ensure_sealer_key
from remit.storage import logins, records, tokens
from remit.storage.database import connect
from remit.surfaces.api import models, own_models
from remit.surfaces.api.once import Once
from remit.surfaces.api.parts import After, Body, Limit, new_router, session_of
from remit.surfaces.api.replies import HEADERS, paged, render
from remit.surfaces.http.guard import Auditing, Ours, Seeing, must

router = new_router("record")
_CHUNK = 256 * 1024
Everybody = Annotated[bool, Query(description="Everybody's, for who may administer the whole company.")]


class Export(Body):
    """What to export."""

    session_id: str | None = Field(None, description="Only this session, as an excerpt with proofs.")
    contents: bool = Field(True, description="false: leave out inputs, arguments, results, outputs and decisions.")


@router.get("/me", tags=["people"], response_model=own_models.Me)
def me(viewer: Seeing) -> Response:
    """Who you are, and what is open to you."""
    return render(
        {
            "person": viewer.person,
            "name": viewer.name,
            "simulated": viewer.simulated,
            "everywhere": sorted(viewer.everywhere),
            "workspaces": {workspace: sorted(open_) for workspace, open_ in sorted(viewer.inside.items())},
        }
    )


@router.get("/people", tags=["people"], response_model=list[models.Person])  # type: ignore[valid-type]
def people(_: Seeing, services: Ours) -> Response:
    """The directory as deployed. It is the whole company's: everybody may know who answers for what."""
    directory = services.deployments.load().project.directory
    return render([flow.person(directory, person) for person in directory.people])


@router.get("/audit/records", response_model=models.page_of(models.Record))
def listing(
    viewer: Auditing,
    services: Ours,
    session_id: str | None = None,
    action_id: str | None = None,
    tag: Annotated[str | None, Query(description="A tag, or all that begin so: `person:`.")] = None,
    after: Annotated[int | None, Query(ge=1, lt=2**63, description="`next` of the page before.")] = None,
    limit: Limit = 100,
) -> Response:
    """Records, newest first. What belongs to no session is for who may audit the whole company."""
    with services.sessions.transaction() as db:
        found = records.listing(
            db,
            session_id=session_id,
            action_id=action_id,
            tag=tag,
            workspaces=viewer.workspaces(Permission.AUDIT),
            before=after,
            limit=limit + 1,
        )
    return paged(found[::-1], limit, dict, lambda row: row["id"])


@router.post(
    "/audit/exports",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/jsonl": {"schema": {"type": "string"}}}}},
)
def export(viewer: Auditing, services: Ours, body: Export) -> StreamingResponse:
    """The record as JSON lines, for `remit audit verify`. It is itself recorded, each time: no key makes it once."""
    workspace = None
    if body.session_id is not None:
        with services.sessions.transaction() as db:
            workspace = session_of(viewer, db, body.session_id, Permission.SEE).workspace
    must(viewer, Permission.AUDIT, workspace, "export the record")
    project = services.deployments.load().project
    request = ExportRequest(
        by=f"person:{viewer.person}",
        session_id=body.session_id,
        contents=body.contents,
        redact={name: action.redact for name, action in project.actions.items() if action.redact},
    )
    file, sealer = tempfile.TemporaryFile(), services.sealer()  # noqa: SIM115 - closed when it was sent
    try:
        with connect(services.url, autocommit=True) as db:
            write_export(db, file, ensure_sealer_key(services.state).verifier, request, sealer.seal_once)
    except BaseException:
        file.close()
        raise
    finally:
        sealer.close()
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="record.jsonl"'}
    return StreamingResponse(_lines(file), headers=headers, media_type="application/jsonl")


@router.get("/tokens", tags=["people"], response_model=models.page_of(models.Token))
def all_tokens(
    viewer: Seeing, services: Ours, everybody: Everybody = False, after: After = None, limit: Limit = 50
) -> Response:
    """Your tokens, newest first. None can be read back; `remit token` issues them to who may deploy."""
    subject = None if _administers(viewer, everybody) else f"person:{viewer.person}"
    with services.sessions.transaction() as db:
        found = tokens.listing(db, subject=subject, before=after, limit=limit + 1)
    return paged(found, limit, dict, lambda row: row["id"])


@router.delete("/tokens/{token_id}", tags=["people"], response_model=own_models.Made)
def revoke(viewer: Seeing, once: Once, token_id: str) -> Response:
    """End a token at once: your own, or as an administrator anybody's."""

    def work(db: Any) -> dict[str, Any]:
        own = viewer.may(Permission.ADMIN) or any(
            row["id"] == token_id for row in tokens.listing(db, subject=f"person:{viewer.person}")
        )
        if not own:
            raise NotFound(f"there is no valid token {token_id}", advice="Look at the list of tokens.")
        tokens.revoke(db, token_id, f"person:{viewer.person}")
        return {"id": token_id}

    return once.do(work)


@router.get("/logins", tags=["people"], response_model=models.page_of(own_models.Login))
def all_logins(
    viewer: Seeing, services: Ours, everybody: Everybody = False, after: After = None, limit: Limit = 50
) -> Response:
    """Your logins that have not ended, newest first."""
    person = None if _administers(viewer, everybody) else viewer.person
    with services.sessions.transaction() as db:
        found = logins.listing(db, person, before=after, limit=limit + 1)
    return paged(found, limit, dict, lambda row: row["id"])


@router.delete("/logins/{login_id}", tags=["people"], response_model=own_models.Made)
def end(viewer: Seeing, once: Once, login_id: str) -> Response:
    """End a login at once: your own, or as an administrator anybody's."""

    def work(db: Any) -> dict[str, Any]:
        own = viewer.may(Permission.ADMIN) or any(row["id"] == login_id for row in logins.listing(db, viewer.person))
        if not own:
            raise NotFound(f"there is no login {login_id} that could be ended", advice="Look at the list of logins.")
        logins.end(db, login_id, f"person:{viewer.person}")
        return {"id": login_id}

    return once.do(work)


def _administers(viewer: Viewer, everybody: bool) -> bool:
    if everybody and not viewer.may(Permission.ADMIN):
        raise NotEntitled(f"{viewer.name} may see only their own", advice="It takes the permission `admin`.")
    return everybody


def _lines(file: BinaryIO) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while part := file.read(_CHUNK):
            yield part
