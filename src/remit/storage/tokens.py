"""Tokens of people and agents as rows; only digests are kept. Functions take an open transaction and never commit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from remit.domain import ids
from remit.domain.records import Tag
from remit.errors import NotFound
from remit.storage.sessions import Db, record


def issue(db: Db, subject: str, digest: str, by: str, lifetime: timedelta) -> str:
    """Keep a new token of `person:ID` or `agent:ID` by its SHA-256. Returns the token's id."""
    token_id = ids.new_id("tok")
    db.execute(
        "insert into remit.tokens (id, subject, digest, issued_by, expires_at) "
        "values (%s, %s, %s, %s, clock_timestamp() + %s)",
        (token_id, subject, digest, by, lifetime),
    )
    record(db, Tag.TOKEN_ISSUED, token=token_id, subject=subject, by=by)
    return token_id


def subject(db: Db, digest: str) -> str | None:
    """Whose token this is, if it is valid now."""
    row = db.execute(
        "select subject from remit.tokens where digest = %s and revoked_at is null and expires_at > clock_timestamp()",
        (digest,),
    ).fetchone()
    return row["subject"] if row is not None else None


def revoke(db: Db, token_id: str, by: str) -> None:
    """End a token at once. Raises NotFound."""
    row = db.execute(
        "update remit.tokens set revoked_at = clock_timestamp() where id = %s and revoked_at is null returning subject",
        (token_id,),
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no valid token {token_id}", advice="`remit token --list` shows them.")
    record(db, Tag.TOKEN_REVOKED, token=token_id, subject=row["subject"], by=by)


def listing(
    db: Db, *, subject: str | None = None, before: str | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """All tokens, or those of `person:ID` or `agent:ID`, newest first, without anything that could be used."""
    return db.execute(
        """select id, subject, issued_by, issued_at, expires_at, revoked_at from remit.tokens
           where (%(subject)s::text is null or subject = %(subject)s) and (%(before)s::text is null or id < %(before)s)
           order by id desc limit %(limit)s""",
        {"subject": subject, "before": before, "limit": limit},
    ).fetchall()
