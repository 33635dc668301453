"""What belongs to a session, in pages: its turns, actions, items, and the sessions that came of it. Reads only.

Every list is in the order in which it grew; `after` is the id of the last entry of the page before. With `newest` it is
the end of the list. Whoever sees a session need not see those that came of it: `workspaces` is what somebody sees, a
list, or None for everything.
"""

from __future__ import annotations

from typing import Any, TypeVar

from remit.domain.inbox import InboxItem
from remit.domain.sessions import Session
from remit.storage.actions import COLUMNS, with_contents_of_all
from remit.storage.contents import get_payloads
from remit.storage.inbox import as_item
from remit.storage.sessions import Db, as_session

_T = TypeVar("_T")


def turns(
    db: Db, session_id: str, *, after: str | None = None, limit: int | None = None, newest: bool = False
) -> list[dict[str, Any]]:
    """Turns with their messages as `input` and their outputs."""
    rows = db.execute(
        f"""select t.*, m.author, m.created_at as said_at, m.payload
            from remit.turns t join remit.messages m on m.id = t.message_id
            where t.session_id = %(session)s and (%(after)s::text is null or t.id > %(after)s)
            order by t.id {_direction(newest)} limit %(limit)s""",  # noqa: S608 - a constant
        {"session": session_id, "after": after, "limit": limit},
    ).fetchall()
    found = get_payloads(db, [p for row in rows for p in (row["payload"], row["output"]) if p])
    for row in rows:
        row["input"], row["output"] = found.get(row.pop("payload")), found.get(row["output"])
    return _in_order(rows, newest)


def actions(
    db: Db,
    session_id: str,
    *,
    turn: str | None = None,
    status: str | None = None,
    after: str | None = None,
    limit: int | None = None,
    newest: bool = False,
) -> list[dict[str, Any]]:
    """Actions with their contents, in the order in which they were asked for."""
    way = _direction(newest)
    rows = db.execute(
        f"""select {COLUMNS} from remit.actions
            where turn_id in (select id from remit.turns
                              where session_id = %(session)s and (%(turn)s::text is null or id = %(turn)s))
              and (%(status)s::text is null or status = %(status)s)
              and (%(after)s::text is null or (created_at, id) >
                   (select b.created_at, b.id from remit.actions b where b.id = %(after)s))
            order by created_at {way}, id {way} limit %(limit)s""",  # noqa: S608 - constants
        {"session": session_id, "turn": turn, "status": status, "after": after, "limit": limit},
    ).fetchall()
    return _in_order(with_contents_of_all(db, rows), newest)


def items(
    db: Db, session_id: str, *, after: str | None = None, limit: int | None = None, newest: bool = False
) -> list[InboxItem]:
    """Inbox items, whatever became of them."""
    rows = db.execute(
        f"""select * from remit.inbox_items
            where session_id = %(session)s and (%(after)s::text is null or id > %(after)s)
            order by id {_direction(newest)} limit %(limit)s""",  # noqa: S608 - a constant
        {"session": session_id, "after": after, "limit": limit},
    ).fetchall()
    return _in_order([as_item(row) for row in rows], newest)


def children(
    db: Db,
    session_id: str,
    *,
    workspaces: list[str] | None = None,
    after: str | None = None,
    limit: int | None = None,
    newest: bool = False,
) -> list[dict[str, Any]]:
    """The sessions that a session has delegated, each with the place that asked for it."""
    rows = db.execute(
        f"""select s.id, s.agent, s.status, s.title, s.origin_turn as turn_id, a.key
            from remit.sessions s left join remit.actions a on a.id = s.origin_action
            where s.parent_id = %(session)s and (%(after)s::text is null or s.id > %(after)s)
              and (%(seen)s::text[] is null or s.workspace = any(%(seen)s))
            order by s.id {_direction(newest)} limit %(limit)s""",  # noqa: S608 - a constant
        {"session": session_id, "seen": workspaces, "after": after, "limit": limit},
    ).fetchall()
    return _in_order(rows, newest)


def forks(
    db: Db,
    session_id: str,
    *,
    workspaces: list[str] | None = None,
    after: str | None = None,
    limit: int | None = None,
    newest: bool = False,
) -> list[Session]:
    """The sessions that were forked from one."""
    rows = db.execute(
        f"""select * from remit.sessions
            where forked_from = %(session)s and (%(after)s::text is null or id > %(after)s)
              and (%(seen)s::text[] is null or workspace = any(%(seen)s))
            order by id {_direction(newest)} limit %(limit)s""",  # noqa: S608 - a constant
        {"session": session_id, "seen": workspaces, "after": after, "limit": limit},
    ).fetchall()
    return _in_order([as_session(row) for row in rows], newest)


def _direction(newest: bool) -> str:
    return "desc" if newest else "asc"


def _in_order(rows: list[_T], newest: bool) -> list[_T]:
    return rows[::-1] if newest else rows
