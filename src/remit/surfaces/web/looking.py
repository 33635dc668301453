"""What the pages of sessions and actions share: reading what an address says, and what somebody may see and do."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import Query
from pydantic import AfterValidator

from remit.domain.access import Permission, Viewer
from remit.domain.sessions import Session
from remit.errors import NotFound
from remit.governance.state import Governance
from remit.storage import sessions
from remit.storage.sessions import Db

Text = Annotated[str, Query(max_length=200), AfterValidator(lambda value: value.replace("\0", "").strip())]
"""What a filter or a cursor says."""
_ID = re.compile(r"[a-z]{2,8}_[0-9a-z]{1,60}")

WAITS_FOR = {
    "approval": "It waits for an approval.",
    "question": "It waits for an answer.",
    "reconciliation": "It waits for somebody to say whether something happened.",
    "attention": "It has stopped until its owner has looked at it.",
    "limit": "It waits for its turn: a limit of calls is reached. It goes on by itself.",
    "stop": "It is stopped, and goes on once the stop is released.",
    "delegation": "It waits for work that it has given to other agents.",
    "owner": "It waits for the process that runs its agent.",
}
"""Why a session waits, in words, by what it says it waits for."""


def is_id(text: str) -> bool:
    """True if this could be an id."""
    return _ID.fullmatch(text) is not None


def visible_session(viewer: Viewer, db: Db, session_id: str) -> Session:
    """The session, if the viewer sees its workspace. Raises NotFound, the same for what is hidden and what is not."""
    try:
        found = sessions.get(db, session_id) if is_id(session_id) else None
    except NotFound:
        found = None
    if found is None or not viewer.may(Permission.SEE, found.workspace):
        raise NotFound(
            "there is no such session", advice="Look at the list; what belongs to other workspaces is not shown."
        )
    return found


def titles(governance: Governance) -> Any:
    """What action types are called, for templates."""

    def title(action: str) -> str:
        found = governance.action_type(action)
        return found.title if found is not None else action

    return title


def addressable(governance: Governance, viewer: Viewer, workspace: str | None = None) -> dict[str, str]:
    """Agents that somebody can give work to, of one workspace or of all that they work in: name to title."""
    return {
        name: version.spec.title
        for name, version in sorted(governance.project.agents.items())
        if not version.spec.external
        and name not in governance.suspended
        and workspace in {None, version.spec.workspace}
        and viewer.may(Permission.WORK, version.spec.workspace)
    }
