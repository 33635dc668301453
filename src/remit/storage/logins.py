"""Logins of people as rows; only digests of tokens are kept. Functions take an open transaction and never commit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from remit.domain import ids
from remit.domain.records import Tag
from remit.errors import NotFound
from remit.storage.database import safe_text
from remit.storage.sessions import Db, record


@dataclass(frozen=True, slots=True)
class LoginLink:
    """A one-time link that is valid now."""

    digest: str
    person: str | None
    """Whom it is for; None: whoever opens it says who they are."""


@dataclass(frozen=True, slots=True)
class Login:
    """A login that is valid now."""

    id: str
    person: str
    via: str
    simulated: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login at the identity provider that has begun."""

    nonce: str
    verifier: str
    next: str
    """The page to go to afterwards."""


def put_attempt(db: Db, state: str, attempt: Attempt, lifetime: timedelta) -> None:
    """Keep an attempt by the SHA-256 of its state."""
    db.execute("delete from remit.login_attempts where expires_at < clock_timestamp()")
    db.execute(
        "insert into remit.login_attempts (state, nonce, verifier, next, expires_at) "
        "values (%s, %s, %s, %s, clock_timestamp() + %s)",
        (state, attempt.nonce, attempt.verifier, safe_text(attempt.next, 2_000), lifetime),
    )


def take_attempt(db: Db, state: str) -> Attempt | None:
    """The attempt of this state, which is used up by it."""
    row = db.execute(
        """delete from remit.login_attempts where state = %s
           returning nonce, verifier, next, expires_at > clock_timestamp() as valid""",
        (state,),
    ).fetchone()
    return Attempt(row["nonce"], row["verifier"], row["next"]) if row is not None and row["valid"] else None


def put_link(db: Db, digest: str, person: str | None, by: str, lifetime: timedelta) -> None:
    """Keep a one-time link by its token's SHA-256."""
    db.execute("delete from remit.login_links where expires_at < clock_timestamp() - interval '1 day'")
    db.execute(
        "insert into remit.login_links (digest, person, issued_by, expires_at) "
        "values (%s, %s, %s, clock_timestamp() + %s)",
        (digest, person, by, lifetime),
    )
    record(db, Tag.LOGIN_OFFERED, person=person, by=by)


def link(db: Db, digest: str) -> LoginLink | None:
    """The unused link with this digest, if it is valid now; locked, so that it is used once."""
    row = db.execute(
        """select digest, person from remit.login_links
           where digest = %s and used_at is null and expires_at > clock_timestamp() for update""",
        (digest,),
    ).fetchone()
    return LoginLink(**row) if row is not None else None


def use_link(db: Db, digest: str) -> None:
    """The link does not work again."""
    db.execute("update remit.login_links set used_at = clock_timestamp() where digest = %s", (digest,))


def begin(db: Db, digest: str, person: str, *, via: str, simulated: bool, browser: str, lifetime: timedelta) -> str:
    """Write a login by the SHA-256 of its cookie's token. Returns its id."""
    login_id = ids.new_id("log")
    db.execute(
        """insert into remit.logins (id, digest, person, via, simulated, browser, expires_at)
           values (%s, %s, %s, %s, %s, %s, clock_timestamp() + %s)""",
        (login_id, digest, person, via, simulated, safe_text(browser, 200), lifetime),
    )
    record(db, Tag.LOGIN_BEGUN, login=login_id, person=person, via=via, simulated=simulated)
    return login_id


def find(db: Db, digest: str, idle: timedelta) -> Login | None:
    """The login of a cookie's token, if it has neither ended nor been idle for too long; noted as seen."""
    row = db.execute(
        """select id, person, via, simulated, created_at, seen_at < clock_timestamp() - interval '1 minute' as stale
           from remit.logins
           where digest = %s and ended_at is null and expires_at > clock_timestamp()
             and seen_at > clock_timestamp() - %s""",
        (digest, idle),
    ).fetchone()
    if row is None:
        return None
    if row.pop("stale"):
        db.execute("update remit.logins set seen_at = clock_timestamp() where id = %s", (row["id"],))
    return Login(**row)


def end(db: Db, login_id: str, by: str) -> str:
    """End a login at once. Returns whose it was. Raises NotFound."""
    row = db.execute(
        """update remit.logins set ended_at = clock_timestamp(), ended_by = %s
           where id = %s and ended_at is null returning person""",
        (by, login_id),
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no login {login_id} that could be ended", advice="It has ended already.")
    record(db, Tag.LOGIN_ENDED, login=login_id, person=row["person"], by=by)
    return str(row["person"])


def listing(
    db: Db, person: str | None = None, *, before: str | None = None, limit: int = 1_000
) -> list[dict[str, Any]]:
    """Logins that have not ended, newest first, without anything that could be used."""
    return db.execute(
        """select id, person, via, simulated, browser, created_at, seen_at, expires_at from remit.logins
           where ended_at is null and expires_at > clock_timestamp()
             and (%(person)s::text is null or person = %(person)s)
             and (%(before)s::text is null or id < %(before)s)
           order by id desc limit %(limit)s""",
        {"person": person, "before": before, "limit": limit},
    ).fetchall()


def refused(db: Db, why: str, **more: Any) -> None:
    """Record that somebody was not let in, or that something was not open to them. `why` is a code."""
    record(db, Tag.LOGIN_REFUSED, why=why, **more)
