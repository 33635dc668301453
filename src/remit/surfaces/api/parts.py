"""What the endpoints share: words that have to be said, pages, and what somebody may look at."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from remit.domain.access import Permission, Viewer
from remit.domain.inbox import InboxItem
from remit.domain.sessions import Session
from remit.errors import NotFound
from remit.governance.state import Governance
from remit.storage import actions, inbox, sessions
from remit.storage.sessions import Db
from remit.surfaces.api.doorway import Route
from remit.surfaces.http.guard import must, must_see

_ID = re.compile("[a-z]{2,8}_[0-9a-z]{26}")


def new_router(tag: str) -> APIRouter:
    """A router whose endpoints get exact numbers."""
    return APIRouter(route_class=Route, tags=[tag])


def _something(text: str) -> str:
    if not text.strip():
        raise ValueError("say something")
    return text.strip()


def _place(after: str | None) -> str | None:
    if after is not None and _ID.fullmatch(after) is None:
        raise ValueError("this is no place in the list; give the `next` of the page before, or nothing")
    return after


Said = Annotated[str, AfterValidator(_something)]
Reason = Annotated[Said, Field(max_length=4_000, description="Why; kept with it.")]
Limit = Annotated[int, Query(ge=1, le=200, description="Most entries of this page.")]
After = Annotated[str | None, Query(max_length=200, description="`next` of the page before."), AfterValidator(_place)]
"""The id of the last entry of the page before. Anything else would give an empty page, which looks like the end."""


class Body(BaseModel):
    """A body; what it does not know is refused, so that a misspelt name is not lost in silence."""

    model_config = ConfigDict(extra="forbid")


class Because(Body):
    """Why something is done."""

    reason: Reason


def item_of(viewer: Viewer, db: Db, item_id: str) -> InboxItem:
    """An item whose workspace the viewer sees, or for which they are asked. Raises NotFound."""
    item = inbox.get(db, item_id)
    if viewer.person not in item.assignees:
        must_see(viewer, item.workspace, f"inbox item {item_id}")
    return item


def session_of(viewer: Viewer, db: Db, session_id: str, permission: Permission, what: str = "") -> Session:
    """A session, of a workspace that the viewer sees and where they may do this. Raises NotFound, NotEntitled."""
    session = sessions.get(db, session_id)
    must_see(viewer, session.workspace, f"session {session_id}")
    if what:
        must(viewer, permission, session.workspace, what)
    return session


def action_of(viewer: Viewer, db: Db, action_id: str) -> tuple[dict[str, Any], str]:
    """An action with the workspace of its session, which the viewer sees. Raises NotFound."""
    row = actions.get(db, action_id)
    workspace = sessions.get(db, row["session_id"]).workspace
    must_see(viewer, workspace, f"action {action_id}")
    return row, workspace


def agent_of(viewer: Viewer, governance: Governance, name: str) -> str:
    """The workspace of an agent, which the viewer sees. Raises NotFound."""
    version = governance.project.agents.get(name)
    if version is None:
        raise NotFound(
            f"there is no agent {name}", advice="Look at the list; what is in other workspaces is not shown."
        )
    must_see(viewer, version.spec.workspace, f"agent {name}")
    return version.spec.workspace
