"""Inbox items and approvals as rows. Functions take an open transaction and never commit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from remit.domain import ids
from remit.domain.inbox import Approval, InboxItem, ItemKind, ItemStatus
from remit.domain.records import Tag
from remit.errors import NotFound
from remit.storage.database import safe_json, safe_text
from remit.storage.sessions import Db, record

MISSING = "`remit inbox` and the cockpit's inbox list the open ones."
"""What to do where there is no such item, or none for whoever asks: nobody can tell the two apart."""


def listing(
    db: Db,
    *,
    status: str | None = "open",
    person: str | None = None,
    session_id: str | None = None,
    kind: str | None = None,
    limit: int = 100,
) -> list[InboxItem]:
    """Items, oldest first; `person` keeps those that this person may answer now."""
    rows = db.execute(
        """select * from remit.inbox_items
           where (%(status)s::text is null or status = %(status)s)
             and (%(person)s::text is null or %(person)s = any(assignees))
             and (%(session)s::text is null or session_id = %(session)s)
             and (%(kind)s::text is null or kind = %(kind)s)
           order by id limit %(limit)s""",
        {"status": status, "person": person, "session": session_id, "kind": kind, "limit": limit},
    ).fetchall()
    return [as_item(row) for row in rows]


def get(db: Db, item_id: str, *, lock: bool = False) -> InboxItem:
    """One item, locked for a decision if asked. Raises NotFound."""
    if lock:  # the session first, as everything does that ends or stops it
        db.execute(
            """select 1 from remit.sessions where id = (select session_id from remit.inbox_items where id = %s)
               for no key update""",
            (item_id,),
        )
    row = db.execute(
        f"select * from remit.inbox_items where id = %s {'for update' if lock else ''}",  # noqa: S608 - two constants
        (item_id,),
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no inbox item {item_id}", advice=MISSING)
    return as_item(row)


def close(db: Db, item_id: str, status: ItemStatus, decision: dict[str, Any]) -> None:
    """Close an item with what was decided."""
    db.execute(
        "update remit.inbox_items set status = %s, decision = %s, decided_at = clock_timestamp() where id = %s",
        (status.value, Jsonb(safe_json(decision)), item_id),
    )


def open_attention(
    db: Db,
    session_id: str,
    turn_id: str,
    summary: str,
    assignees: tuple[str, ...],
    detail: dict[str, Any],
    *,
    dedup: str,
) -> str | None:
    """Ask somebody to look. None if the same thing is being asked already."""
    item_id = ids.new_id("itm")
    row = db.execute(
        """insert into remit.inbox_items
               (id, kind, session_id, turn_id, workspace, summary, assignees, detail, dedup_key)
           select %s, 'attention', s.id, %s, s.workspace, %s, %s, %s, %s from remit.sessions s where s.id = %s
           on conflict do nothing returning id""",
        (item_id, turn_id, safe_text(summary, 500), list(assignees), Jsonb(safe_json(detail)), dedup, session_id),
    ).fetchone()
    if row is None:
        return None
    record(db, Tag.ITEM_OPENED, session=session_id, turn=turn_id, item=item_id, kind="attention", why=detail.get("why"))
    return item_id


def open_by_dedup(db: Db, dedup: str) -> str | None:
    """Id of the open item that asks exactly this, locked, or None."""
    row = db.execute(
        "select id from remit.inbox_items where dedup_key = %s and status = 'open' for update", (dedup,)
    ).fetchone()
    return None if row is None else str(row["id"])


def add_approval(db: Db, approval: Approval, item_id: str) -> None:
    """Write down one person's yes."""
    db.execute(
        """insert into remit.approvals (action_id, role, item_id, person, args_digest, determining, expires_at)
           values (%s, %s, %s, %s, %s, %s, %s)
           on conflict (action_id, role, args_digest) do update
           set item_id = excluded.item_id, person = excluded.person, determining = excluded.determining,
               expires_at = excluded.expires_at, at = clock_timestamp(), used_at = null""",
        (
            approval.action_id,
            approval.role,
            item_id,
            approval.person,
            approval.args_digest,
            approval.determining,
            approval.expires_at,
        ),
    )


def approvals(db: Db, turn_id: str) -> dict[str, list[Approval]]:
    """Everything that people have said to the actions of a turn, by action id."""
    rows = db.execute(
        """select p.*, a.id from remit.approvals p join remit.actions a on a.id = p.action_id where a.turn_id = %s
           order by p.at""",
        (turn_id,),
    ).fetchall()
    found: dict[str, list[Approval]] = {}
    for row in rows:
        found.setdefault(row["action_id"], []).append(_approval(row))
    return found


def approvals_of(db: Db, action_id: str) -> list[Approval]:
    """Everything that people have said to one action."""
    rows = db.execute("select * from remit.approvals where action_id = %s order by at", (action_id,)).fetchall()
    return [_approval(row) for row in rows]


def due(db: Db) -> list[InboxItem]:
    """Open items that have expired or are to be escalated, locked; another process's are left to it."""
    rows = db.execute(
        """select i.* from remit.inbox_items i join remit.sessions s on s.id = i.session_id
           where i.status = 'open' and least(i.escalate_at, i.expires_at) <= clock_timestamp()
           order by i.id limit 100 for no key update of s, i skip locked"""
    ).fetchall()
    return [as_item(row) for row in rows]


def abandoned(db: Db, active: list[str]) -> list[InboxItem]:
    """Open items none of whose people is active, locked; another process's are left to it."""
    rows = db.execute(
        """select i.* from remit.inbox_items i join remit.sessions s on s.id = i.session_id
           where i.status = 'open' and not i.assignees && %s::text[]
           order by i.id limit 100 for no key update of s, i skip locked""",
        (active,),
    ).fetchall()
    return [as_item(row) for row in rows]


def escalate(
    db: Db,
    item_id: str,
    assignees: tuple[str, ...],
    next_at: datetime | None,
    detail: dict[str, Any],
    *,
    step: int | None = None,
) -> None:
    """Open an item to more people. `step` is how many steps were taken with this one; None: one more."""
    db.execute(
        """update remit.inbox_items set assignees = %s, escalations = coalesce(%s, escalations + 1), escalate_at = %s,
                                        detail = detail || %s where id = %s""",
        (list(assignees), step, next_at, Jsonb(safe_json(detail)), item_id),
    )


def amend(db: Db, item_id: str, detail: dict[str, Any], assignees: tuple[str, ...] | None = None) -> None:
    """Add to what an item shows, and narrow who may answer."""
    db.execute(
        """update remit.inbox_items set detail = detail || %s, assignees = coalesce(%s, assignees) where id = %s""",
        (Jsonb(safe_json(detail)), list(assignees) if assignees is not None else None, item_id),
    )


def tell(db: Db, person: str, item: InboxItem, text: str) -> None:
    """Tell a person something about an item."""
    db.execute(
        """insert into remit.notices (person, kind, session_id, action_id, item_id, text)
           values (%s, 'handed', %s, %s, %s, %s)""",
        (person, item.session_id or None, item.action_id, item.id, safe_text(text)),
    )


def notices(db: Db, person: str, *, unseen_only: bool = True, limit: int = 50) -> list[dict[str, Any]]:
    """What a person was told, newest first."""
    return db.execute(
        """select id, kind, session_id, action_id, item_id, text, at, seen_at from remit.notices
           where person = %s and (seen_at is null or not %s) order by id desc limit %s""",
        (person, unseen_only, limit),
    ).fetchall()


def seen(db: Db, person: str, up_to: int) -> None:
    """Mark what a person was told as seen, up to an id."""
    db.execute(
        "update remit.notices set seen_at = clock_timestamp() where person = %s and id <= %s and seen_at is null",
        (person, up_to),
    )


def _approval(row: dict[str, Any]) -> Approval:
    return Approval(
        action_id=row["action_id"],
        role=row["role"],
        person=row["person"],
        args_digest=row["args_digest"],
        determining=row["determining"],
        expires_at=row["expires_at"],
        used=row["used_at"] is not None,
    )


def as_item(row: dict[str, Any]) -> InboxItem:
    """An item from its row."""
    return InboxItem(
        id=row["id"],
        kind=ItemKind(row["kind"]),
        status=ItemStatus(row["status"]),
        session_id=row["session_id"] or "",
        turn_id=row["turn_id"],
        action_id=row["action_id"],
        workspace=row["workspace"],
        summary=row["summary"],
        roles=tuple(row["roles"]),
        assignees=tuple(row["assignees"]),
        created_at=row["created_at"],
        escalate_at=row["escalate_at"],
        expires_at=row["expires_at"],
        escalations=row["escalations"],
        detail=row["detail"],
        decision=row["decision"],
    )
