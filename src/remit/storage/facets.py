"""The sealed record, chosen by facets: in pages, newest first, for the workspaces of whoever asks.

`workspaces` is where somebody may read the record: a list, or None for the whole company, whose own records (logins,
deployments, stops of everything) belong to no workspace. Functions take an open transaction and change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from remit.domain.records import Tag
from remit.storage.sessions import Db


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which records; what is empty chooses nothing."""

    tag: str = ""
    """With a colon at the end all that begin so: `person:`."""
    who: str = ""
    agent: str = ""
    action: str = ""
    """The action type."""
    outcome: str = ""
    """Several with commas between them."""
    road: str = ""
    """`auto`, `asked` or `model`; `acted`: anything but requests to models; `first`: first ends of sessions."""
    pace: str = ""
    """How a decision was looked at; `any`: all decisions."""
    waited: int | None = None
    workspace: str = ""
    session: str = ""
    action_id: str = ""
    since: datetime | None = None
    until: datetime | None = None
    """Exclusive."""


def listing(
    db: Db,
    chosen: Chosen,
    workspaces: list[str] | None,
    *,
    before: int | None = None,
    after: int | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """Records with their text, newest first; with `after`, the oldest of those behind that leaf, oldest first."""
    where, params = _where(db, chosen, workspaces)
    where += ["f.leaf_index < %(before)s"] if before is not None else []
    where += ["f.leaf_index > %(after)s"] if after is not None else []
    order = "desc" if after is None else "asc"
    return db.execute(
        f"""with page as materialized (
                select f.leaf_index from remit.record_facets f where {" and ".join(where)}
                order by f.leaf_index {order} limit %(limit)s)
            select p.*, r.body, l.leaf_hash from page join remit.record_facets p using (leaf_index)
            left join remit.records r on r.id = p.record_id and r.at = p.at
            left join remit.leaves l on l.leaf_index = p.leaf_index order by p.leaf_index {order}""",  # noqa: S608 - ours
        {**params, "before": before, "after": after, "limit": limit},
    ).fetchall()


def count(
    db: Db,
    chosen: Chosen,
    workspaces: list[str] | None,
    most: int,
    *,
    after: int | None = None,
    up_to: int | None = None,
) -> int:
    """How many records there are, counted up to `most`; of those behind one leaf and up to another."""
    where, params = _where(db, chosen, workspaces)
    where += ["f.leaf_index > %(after)s"] if after is not None else []
    where += ["f.leaf_index <= %(up_to)s"] if up_to is not None else []
    row = db.execute(
        f"""select count(*) as n from (
                select 1 from remit.record_facets f where {" and ".join(where)} limit %(most)s) as found""",  # noqa: S608
        {**params, "after": after, "up_to": up_to, "most": most},
    ).fetchone()
    assert row is not None, "a count returns a row"
    return int(row["n"])


def stretch(
    db: Db, chosen: Chosen, workspaces: list[str] | None, up_to: int, *, after: int = -1, batch: int = 1_000
) -> Iterator[dict[str, Any]]:
    """Records behind one leaf and up to another, oldest first, at most `batch` of them."""
    for row in listing(db, chosen, workspaces, after=after, limit=batch):
        if row["leaf_index"] > up_to:
            return
        yield row


def newest_leaf(db: Db) -> int:
    """The newest leaf that can be chosen; -1 if there is none."""
    row = db.execute("select max(leaf_index) as leaf from remit.record_facets").fetchone()
    return -1 if row is None or row["leaf"] is None else int(row["leaf"])


def workspaces_between(db: Db, first: int, until: int) -> list[str | None]:
    """To which workspaces the leaves from one on and before another belong; None: there are some of the company."""
    rows = db.execute(
        "select distinct workspace from remit.record_facets where leaf_index >= %s and leaf_index < %s", (first, until)
    ).fetchall()
    return [row["workspace"] for row in rows]


def any_between(db: Db, workspaces: list[str] | None, first: int, until: int) -> bool:
    """Whether any of these leaves belongs to these workspaces; None: to anything."""
    if first >= until or workspaces is None:
        return first < until
    row = db.execute(
        """select exists (select 1 from unnest(%s::text[]) as w(name), lateral (
               select 1 from remit.record_facets f
               where f.workspace = w.name and f.leaf_index >= %s and f.leaf_index < %s limit 1) x) as found""",
        (workspaces, first, until),
    ).fetchone()
    return row is not None and bool(row["found"])


def signed_at(db: Db, tree_size: int) -> datetime | None:
    """When the checkpoint of this size was stored."""
    row = db.execute("select at from remit.checkpoints where tree_size = %s", (tree_size,)).fetchone()
    return None if row is None else row["at"]


def _where(db: Db, chosen: Chosen, workspaces: list[str] | None) -> tuple[list[str], dict[str, Any]]:
    """Conditions, each only where something is chosen, so that the plan fits what is asked."""
    found: dict[str, str] = {
        "tags": "f.tag = any(%(tags)s)" if chosen.tag.endswith(":") else "f.tag = %(tags)s",
        "who": "f.who = %(who)s",
        "agent": "f.agent = %(agent)s",
        "action": "f.action = %(action)s",
        "outcome": "f.outcome = any(%(outcome)s)",
        "pace": "f.pace <> ''" if chosen.pace == "any" else "f.pace = %(pace)s and f.pace <> ''",
        "road": "f.road in ('auto', 'asked')" if chosen.road == "acted" else "f.road = %(road)s",
        "workspace": "f.workspace = %(workspace)s",
        "workspaces": "f.workspace = any(%(workspaces)s)",
        "waited": "f.waited = %(waited)s and f.pace <> ''",
        "since": "f.at >= %(since)s",
        "until": "f.at < %(until)s",
        "first": "f.leaf_index >= %(first)s",
        "last": "f.leaf_index <= %(last)s",
        "leaves": "f.leaf_index = any(%(leaves)s)",
    }
    first, last = _bounds(db, chosen.since, chosen.until)
    params = {
        "tags": _tags(chosen.tag) if chosen.tag else None,
        "who": chosen.who or None,
        "agent": chosen.agent or None,
        "action": chosen.action or None,
        "outcome": chosen.outcome.split(",") if chosen.outcome else None,
        "pace": chosen.pace or None,
        "road": chosen.road or None,
        "workspace": chosen.workspace or None,
        "workspaces": workspaces,
        "waited": chosen.waited,
        "since": chosen.since,
        "until": chosen.until,
        "first": first,
        "last": last,
        "leaves": _leaves(db, chosen) if chosen.session or chosen.action_id else None,
    }
    return [sql for name, sql in found.items() if params[name] is not None] or ["true"], params


def _tags(tag: str) -> list[str] | str:
    return [known.value for known in Tag if known.value.startswith(tag)] if tag.endswith(":") else tag


def _bounds(db: Db, since: datetime | None, until: datetime | None) -> tuple[int | None, int | None]:
    """Leaves between which everything of this time lies; the times of leaves are not quite in order."""
    if since is None and until is None:
        return None, None
    row = db.execute(
        """select (select min(first_leaf) from remit.rollup_hours
                   where hour >= date_trunc('hour', %(since)s::timestamptz, 'UTC')) as first,
                  (select max(last_leaf) from remit.rollup_hours where hour < %(until)s::timestamptz) as last""",
        {"since": since or datetime.min.replace(tzinfo=UTC), "until": until or datetime.max.replace(tzinfo=UTC)},
    ).fetchone()
    assert row is not None, "a select without a table returns a row"
    nothing = -1  # no hour is in it, so no record is
    return (
        None if since is None else row["first"] if row["first"] is not None else 2**62,
        None if until is None else row["last"] if row["last"] is not None else nothing,
    )


def _leaves(db: Db, chosen: Chosen) -> list[int]:
    """The leaves of one session or of one action."""
    rows = db.execute(
        """select l.leaf_index from remit.records r join remit.leaves l on l.record_id = r.id
           where r.session_id = coalesce(%(session)s, (select session_id from remit.actions where id = %(action)s))
             and (%(action)s::text is null or r.action_id = %(action)s) order by l.leaf_index desc limit 100000""",
        {"session": chosen.session or None, "action": chosen.action_id or None},
    ).fetchall()
    return [row["leaf_index"] for row in rows]
