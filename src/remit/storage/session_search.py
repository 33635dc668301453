"""Finding sessions by the words in them, by who takes part, and by what they are. Never commits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
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


_FEW = 2_000
_AMONG = 10_000
"""How many sessions are looked at for one whose id ends in some way, the newest."""
_CONDITIONS = {
    "text": ("s.search @@ websearch_to_tsquery('simple', %(text)s)",),
    "ids": ("s.id = any(%(ids)s)",),
    "status": ("s.status = %(status)s",),
    "workspace": ("s.workspace = %(workspace)s",),
    "trigger": ("s.trigger = %(trigger)s",),
    "label": ("s.labels <> '{}' and %(label)s = any(s.labels)",),
    "agent": (
        "s.agent = %(agent)s",
        "s.id in (select session_id from remit.turns where guest and agent = %(agent)s)",
    ),
    "person": (
        "s.principal = 'person:' || %(person)s",
        "s.on_behalf_of = %(person)s",
        "s.id in (select session_id from remit.messages where guest and author = 'person:' || %(person)s)",
    ),
    "before": ("s.id < %(before)s",),
}
"""What each filter means. Alternatives are looked for one by one, because each has an index of its own."""


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
    given: dict[str, Any] = {name: getattr(wanted, name) for name in _CONDITIONS if name not in {"before", "ids"}}
    given |= {"before": before, "text": safe_text(wanted.text) if wanted.text is not None else None}
    given["ids"] = _with_words(db, given["text"]) if given["text"] is not None else None
    if given["ids"] is not None:
        given["text"] = None
    asked = [said for name, said in _CONDITIONS.items() if given[name] is not None]
    found = " union ".join(f"(select s.id from {_source(said, workspaces)})" for said in product(*asked))  # noqa: S608
    query = f"""select s.* from remit.sessions s
                where s.id in (select id from ({found}) as found order by id desc limit %(limit)s)
                order by s.id desc"""  # noqa: S608 - conditions are ours; what somebody gave goes in as parameters
    return [as_session(row) for row in db.execute(query, {**given, "workspaces": workspaces, "limit": limit})]


def ending(db: Db, end: str, workspaces: list[str] | None, *, limit: int) -> list[Session]:
    """Sessions whose ids end like this, newest first, among the newest of each workspace that somebody sees."""
    newest = "select s.id from remit.sessions s{where} order by s.id desc limit %(among)s"
    source = newest.format(where="")
    if workspaces is not None:
        one = newest.format(where=" where s.workspace = seen.workspace")
        source = f"""select x.id from unnest(%(workspaces)s::text[]) as seen (workspace)
                     cross join lateral ({one}) x order by x.id desc limit %(among)s"""  # noqa: S608 - constants
    query = f"""select s.* from remit.sessions s
                where s.id in (select id from ({source}) as newest where right(id, %(length)s) = %(end)s
                               order by id desc limit %(limit)s)
                order by s.id desc"""  # noqa: S608 - constants
    asked = {"end": end, "length": len(end), "workspaces": workspaces, "among": _AMONG, "limit": limit}
    return [as_session(row) for row in db.execute(query, asked)]


def _with_words(db: Db, text: str) -> list[str] | None:
    """The sessions with these words, if they are few; None if they are so many that the newest are found by looking.

    The planner would have to guess which it is, and a wrong guess reads every session that there is.
    """
    found = db.execute(
        "select id from remit.sessions where search @@ websearch_to_tsquery('simple', %s) limit %s", (text, _FEW + 1)
    ).fetchall()
    return [row["id"] for row in found] if len(found) <= _FEW else None


def _source(conditions: tuple[str, ...], workspaces: list[str] | None) -> str:
    """The newest sessions of all, or those of each workspace in the order of its index: none is sorted whole."""
    if workspaces is None:
        return f"({_newest(conditions)}) s"
    one = _newest((*conditions, "s.workspace = seen.workspace"))
    return f"unnest(%(workspaces)s::text[]) as seen (workspace) cross join lateral ({one}) s"


def _newest(conditions: tuple[str, ...]) -> str:
    where = " and ".join(f"({condition})" for condition in conditions) or "true"
    return f"select s.id from remit.sessions s where {where} order by s.id desc limit %(limit)s"  # noqa: S608


def count(db: Db, status: str, workspaces: list[str] | None, most: int) -> int:
    """How many sessions that somebody sees have a status, counted up to `most`."""
    one = "select 1 from remit.sessions s where s.status = %(status)s{more} order by s.id desc limit %(most)s"
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
