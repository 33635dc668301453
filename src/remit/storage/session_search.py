"""Finding sessions by the words in them, by who takes part, and by what they are. Never commits."""

from __future__ import annotations

from dataclasses import dataclass

from remit.domain.sessions import Session
from remit.storage.database import safe_text
from remit.storage.sessions import Db, as_session


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sessions; None asks for nothing."""

    text: str | None = None
    """Words as people type them: all of them, `"in this order"`, `or`, `-without`."""
    agent: str | None = None
    """Its own, or one that answered in it."""
    person: str | None = None
    """Who started it, wrote in it, or is acted for."""
    status: str | None = None
    label: str | None = None
    trigger: str | None = None
    workspace: str | None = None


def find(
    db: Db, wanted: Wanted, *, workspaces: list[str] | None = None, before: str | None = None, limit: int = 50
) -> list[Session]:
    """Sessions of these workspaces (None: all), newest first, in pages: `before` is the last id of the page before."""
    rows = db.execute(
        """select s.* from remit.sessions s
           where (%(text)s::text is null or s.search @@ websearch_to_tsquery('simple', %(text)s))
             and (%(status)s::text is null or s.status = %(status)s)
             and (%(workspace)s::text is null or s.workspace = %(workspace)s)
             and (%(workspaces)s::text[] is null or s.workspace = any(%(workspaces)s))
             and (%(trigger)s::text is null or s.trigger = %(trigger)s)
             and (%(label)s::text is null or %(label)s = any(s.labels))
             and (%(agent)s::text is null or s.agent = %(agent)s
                  or exists (select 1 from remit.turns t where t.session_id = s.id and t.agent = %(agent)s))
             and (%(person)s::text is null or s.principal = 'person:' || %(person)s or s.on_behalf_of = %(person)s
                  or exists (select 1 from remit.messages m
                             where m.session_id = s.id and m.author = 'person:' || %(person)s))
             and (%(before)s::text is null or s.id < %(before)s)
           order by s.id desc limit %(limit)s""",
        {
            "text": safe_text(wanted.text) if wanted.text is not None else None,
            "status": wanted.status,
            "workspace": wanted.workspace,
            "workspaces": workspaces,
            "trigger": wanted.trigger,
            "label": wanted.label,
            "agent": wanted.agent,
            "person": wanted.person,
            "before": before,
            "limit": limit,
        },
    ).fetchall()
    return [as_session(row) for row in rows]
