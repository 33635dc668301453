"""Finding sessions by the words in them, by who takes part, and by what they are. Never commits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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


_CONDITIONS = {
    "text": "s.search @@ websearch_to_tsquery('simple', %(text)s)",
    "status": "s.status = %(status)s",
    "workspace": "s.workspace = %(workspace)s",
    "trigger": "s.trigger = %(trigger)s",
    "label": "%(label)s = any(s.labels)",
    # Ids are gathered from one index each: with `or`, every session that there is would be looked at.
    "agent": """s.id in (select id from remit.sessions where agent = %(agent)s
                         union all select session_id from remit.turns where agent = %(agent)s)""",
    "person": """s.id in (select id from remit.sessions where on_behalf_of = %(person)s
                          union all select session_id from remit.messages where author = 'person:' || %(person)s)""",
    "before": "s.id < %(before)s",
}


def find(
    db: Db,
    wanted: Wanted,
    *,
    before: str | None = None,
    limit: int = 50,
    workspaces: list[str] | None = None,
) -> list[Session]:
    """Sessions, newest first, in pages: `before` is the last id of the page before.

    `workspaces` is what somebody sees: a list, or None for all that there are and ever were.
    """
    given: dict[str, Any] = {name: getattr(wanted, name) for name in _CONDITIONS if name != "before"}
    given |= {"before": before, "text": safe_text(wanted.text) if wanted.text is not None else None}
    where = " and ".join(said for name, said in _CONDITIONS.items() if given[name] is not None) or "true"
    # Conditions are ours; what somebody gave goes in as parameters.
    newest = f"select s.* from remit.sessions s where {where}{{more}} order by s.id desc limit %(limit)s"  # noqa: S608
    if workspaces is None:
        query = newest.format(more="")
    else:  # of each workspace in the order of its index, so that none has to be sorted whole
        query = f"""select s.* from unnest(%(workspaces)s::text[]) as seen (workspace)
                    cross join lateral ({newest.format(more=" and s.workspace = seen.workspace")}) s
                    order by s.id desc limit %(limit)s"""  # noqa: S608
    return [as_session(row) for row in db.execute(query, {**given, "workspaces": workspaces, "limit": limit})]


def count(db: Db, status: str, workspaces: list[str] | None, most: int) -> int:
    """How many sessions that somebody sees have a status, counted up to `most`."""
    one = "select 1 from remit.sessions s where s.status = %(status)s{more} limit %(most)s"
    if workspaces is None:
        query = f"select count(*) as n from ({one.format(more='')}) as found"  # noqa: S608
    else:
        query = f"""select count(*) as n from (
                        select 1 from unnest(%(workspaces)s::text[]) as seen (workspace)
                        cross join lateral ({one.format(more=" and s.workspace = seen.workspace")}) as found
                        limit %(most)s) as counted"""  # noqa: S608
    row = db.execute(query, {"status": status, "workspaces": workspaces, "most": most}).fetchone()
    assert row is not None, "a count returns a row"
    return int(row["n"])
