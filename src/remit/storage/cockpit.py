"""The cockpit's lists: in pages, with counts that stop at a thousand, for the workspaces of whoever asks.

`workspaces` is what somebody sees: a list, or None for all there are and ever were. Functions take an open transaction
and change nothing but what somebody has looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from remit.domain import ids
from remit.domain.inbox import InboxItem
from remit.domain.records import Tag
from remit.storage.contents import get_payloads
from remit.storage.database import safe_text
from remit.storage.inbox import as_item
from remit.storage.ledger import payload_id
from remit.storage.sessions import Db, put_payload, record


@dataclass(frozen=True, slots=True)
class WantedItems:
    """Which inbox items; None asks for nothing."""

    status: str | None = "open"
    """`open`, `decided`, `expired`, `withdrawn`; None: all of them."""
    assignee: str | None = None
    kind: str | None = None
    workspace: str | None = None


def open_for(db: Db, person: str, most: int) -> int:
    """How many items wait for a person, counted up to `most`."""
    row = db.execute(
        """select count(*) as n from (
               select 1 from remit.inbox_items where status = 'open' and assignees @> array[%s] limit %s) as found""",
        (person, most),
    ).fetchone()
    assert row is not None, "a count returns a row"
    return int(row["n"])


def items(
    db: Db,
    wanted: WantedItems,
    person: str,
    workspaces: list[str] | None,
    *,
    after: str | None = None,
    limit: int = 50,
) -> list[InboxItem]:
    """Items of these workspaces, and whatever a person is asked for: open ones oldest first, others newest first.

    Each condition stands there only where something is asked, so that the indexes fit. Each workspace, and what the
    person is asked for, is read from an index of its own up to the page's end.
    """
    order, beyond = ("", ">") if wanted.status == "open" else ("desc", "<")
    conditions = {
        "status": "status = %(status)s",
        "assignee": "assignees @> array[%(assignee)s]",
        "kind": "kind = %(kind)s",
        "workspace": "workspace = %(workspace)s",
        "after": f"id {beyond} %(after)s",
    }
    params: dict[str, Any] = {
        "status": wanted.status,
        "assignee": wanted.assignee,
        "kind": wanted.kind,
        "workspace": wanted.workspace,
        "after": after,
    }
    where = " and ".join(sql for name, sql in conditions.items() if params[name] is not None) or "true"
    page = f"from remit.inbox_items where {where}"  # put together of what stands above alone
    end = f"order by id {order} limit %(limit)s"
    ids_ = f"(select id {page} {end})"
    if workspaces is not None and wanted.assignee != person:  # who is asked sees it, wherever it is
        ids_ = f"""(select i.id from unnest(%(workspaces)s::text[]) as w
                    cross join lateral (select id {page} and workspace = w {end}) as i)
                   union (select id {page} and assignees @> array[%(person)s] {end})"""  # noqa: S608
    rows = db.execute(
        f"select * from remit.inbox_items where id in ({ids_}) {end}",  # noqa: S608
        {**params, "workspaces": workspaces, "person": person, "limit": limit},
    ).fetchall()
    return [as_item(row) for row in rows]


def look(db: Db, item_id: str, person: str, *, details: bool = False) -> None:
    """Note that somebody has an item before them, and, if so, that they have opened its details."""
    db.execute(
        """insert into remit.item_views (item_id, person, details_at)
           values (%(item)s, %(person)s, case when %(details)s then clock_timestamp() end)
           on conflict (item_id, person) do update set details_at = coalesce(item_views.details_at, excluded.details_at)
           where item_views.details_at is null and excluded.details_at is not null""",
        {"item": item_id, "person": person, "details": details},
    )


def views(db: Db, item_id: str) -> list[dict[str, Any]]:
    """Who has had an item before them, from when on, and since when with its details."""
    return db.execute(
        "select person, opened_at, details_at from remit.item_views where item_id = %s order by opened_at", (item_id,)
    ).fetchall()


def consents(db: Db, item: InboxItem) -> list[dict[str, Any]]:
    """Who has said yes to what an approval asks, for which role, when and why; the first before the last.

    What was said to the very same request on an earlier item counts, and is among them.
    """
    rows = db.execute(
        """select role, person, at, item_id from remit.approvals
           where action_id = %(action)s and not person = any(%(excluded)s)
             and (item_id = %(item)s or (args_digest = %(args)s and determining = %(determining)s))
           order by at""",
        {
            "action": item.action_id,
            "item": item.id,
            "args": item.detail.get("args_digest"),
            "determining": item.detail.get("determining"),
            "excluded": list(item.detail.get("excluded") or ()),
        },
    ).fetchall()
    place = {row["person"]: payload_id(row["item_id"], f"d{row['person']}{Tag.APPROVAL_GIVEN.name}") for row in rows}
    found = get_payloads(db, place.values())
    return [{**row, "reason": str(found.get(place[row["person"]]) or "")} for row in rows]


def comment(db: Db, session_id: str, item_id: str | None, author: str, text: str) -> str:
    """Keep what a person says about a session or one of its items. Returns the comment's id."""
    comment_id = ids.new_id("cmt")
    payload = ids.new_id("pay")
    digest = put_payload(db, payload, session_id, "comment", safe_text(text))
    db.execute(
        "insert into remit.comments (id, session_id, item_id, author, payload) values (%s, %s, %s, %s, %s)",
        (comment_id, session_id, item_id, author, payload),
    )
    record(db, Tag.COMMENT_WRITTEN, session=session_id, comment=comment_id, item=item_id, by=author, digest=digest)
    return comment_id


def comments(
    db: Db, session_id: str, item_id: str | None = None, *, after: str | None = None, limit: int = 500
) -> list[dict[str, Any]]:
    """What people said, oldest first: of a session all, of an item its own. Text is null where it was erased."""
    rows = db.execute(
        """select id, item_id, author, payload, created_at from remit.comments
           where session_id = %(session)s and (%(item)s::text is null or item_id = %(item)s)
             and (%(after)s::text is null or id > %(after)s)
           order by id limit %(limit)s""",
        {"session": session_id, "item": item_id, "after": after, "limit": limit},
    ).fetchall()
    found = get_payloads(db, [row["payload"] for row in rows])
    return [{**row, "text": found.get(row["payload"])} for row in rows]


@dataclass(frozen=True, slots=True)
class Concerned:
    """Whom a session concerns."""

    workspace: str | None
    people: frozenset[str]
    """Who is asked for something in it."""


def concerned(db: Db, session_ids: list[str]) -> dict[str, Concerned]:
    """Whom sessions concern, by session id."""
    if not session_ids:
        return {}
    rows = db.execute(
        """select s.id, s.workspace,
                  (select array_agg(distinct person) from remit.inbox_items i, unnest(i.assignees) person
                   where i.session_id = s.id) as people
           from remit.sessions s where s.id = any(%s)""",
        (sorted(set(session_ids)),),
    ).fetchall()
    return {row["id"]: Concerned(row["workspace"], frozenset(row["people"] or ())) for row in rows}


@dataclass(frozen=True, slots=True)
class Reach:
    """What a stop would cover at this moment."""

    sessions: int
    """Sessions that run or wait."""
    working: int
    """Turns that are at work."""
    since: datetime


def reach(db: Db, scope: str, target: str) -> Reach:
    """How much a stop of this scope would cover now."""
    row = db.execute(
        """select clock_timestamp() as since,
                  count(*) filter (where s.status in ('running', 'waiting')) as sessions,
                  coalesce(sum((select count(*) from remit.turns t
                                where t.session_id = s.id and t.status = 'running')), 0) as working
           from remit.sessions s
           where s.status in ('running', 'waiting')
             and (%(scope)s in ('all', 'action') or (%(scope)s = 'workspace' and s.workspace = %(target)s)
                  or (%(scope)s = 'agent' and s.agent = %(target)s))""",
        {"scope": scope, "target": target},
    ).fetchone()
    assert row is not None, "a count returns a row"
    return Reach(int(row["sessions"]), int(row["working"]), row["since"])
