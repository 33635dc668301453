"""Links in mails as rows: for whom, to which item, until when. Functions take an open transaction and never commit.

Of a link's token only its SHA-256 is kept. `nonce` is random; the token is made of it and of a key that is never in
the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from remit.domain.records import Tag
from remit.storage.sessions import Db, record


@dataclass(frozen=True, slots=True)
class LinkRow:
    """One link, without what could be used."""

    digest: str
    """SHA-256 of the token, in hexadecimal."""
    item_id: str
    person: str
    nonce: bytes
    expires_at: datetime
    """To the second."""
    used: bool
    """True once its person has decided or answered by it."""
    live: bool
    """False once it has expired, by the database's clock."""


def lock_item(db: Db, item_id: str) -> None:
    """Let no other process make a link to this item until the transaction ends."""
    db.execute("select 1 from remit.inbox_items where id = %s for no key update", (item_id,))


def of_person(db: Db, item_id: str, person: str) -> LinkRow | None:
    """The one link of a person to an item."""
    row = db.execute(f"{_SELECT} where item_id = %s and person = %s", (item_id, person)).fetchone()
    return _row(row) if row is not None else None


def by_digest(db: Db, digest: str, *, lock: bool = False) -> LinkRow | None:
    """The link whose token has this digest, locked for its use if asked."""
    row = db.execute(f"{_SELECT} where digest = %s {'for update' if lock else ''}", (digest,)).fetchone()
    return _row(row) if row is not None else None


def expiry(db: Db, item_id: str, lifetime: timedelta) -> datetime:
    """When a link that is made now ends: after `lifetime`, and not later than its item; to the second."""
    row = db.execute(
        """select date_trunc('second', least(clock_timestamp() + %s, expires_at)) as at
           from remit.inbox_items where id = %s""",
        (lifetime, item_id),
    ).fetchone()
    assert row is not None, "an item that somebody is asked for is never deleted"
    at: datetime = row["at"]
    return at


def put(db: Db, digest: str, item_id: str, person: str, nonce: bytes, expires_at: datetime) -> None:
    """Write a person's link to an item, in place of one that they could not use any more."""
    db.execute(
        """insert into remit.links (digest, item_id, person, nonce, expires_at) values (%s, %s, %s, %s, %s)
           on conflict (item_id, person) do update set digest = excluded.digest, nonce = excluded.nonce,
               created_at = clock_timestamp(), expires_at = excluded.expires_at, used_at = null""",
        (digest, item_id, person, nonce, expires_at),
    )
    _record(db, Tag.LINK_MADE, item_id, person, until=expires_at.isoformat())


def use(db: Db, link: LinkRow) -> None:
    """Mark a link as used, for good."""
    db.execute("update remit.links set used_at = clock_timestamp() where digest = %s", (link.digest,))
    _record(db, Tag.LINK_USED, link.item_id, link.person)


def refused(db: Db, link: LinkRow, why: str) -> None:
    """Record that what somebody wanted to do by a link was refused. `why` is a code, never what was sent."""
    _record(db, Tag.LINK_REFUSED, link.item_id, link.person, why=why)


_SELECT = """select digest, item_id, person, nonce, expires_at, used_at is not null as used,
                    expires_at > clock_timestamp() as live from remit.links"""


def _row(row: dict[str, Any]) -> LinkRow:
    return LinkRow(**row)


def _record(db: Db, tag: Tag, item_id: str, person: str, **more: Any) -> None:
    row = db.execute(
        "select session_id, turn_id, action_id from remit.inbox_items where id = %s", (item_id,)
    ).fetchone()
    assert row is not None, "a link refers to its item"
    record(
        db,
        tag,
        session=row["session_id"],
        turn=row["turn_id"],
        action=row["action_id"],
        item=item_id,
        person=person,
        **more,
    )
