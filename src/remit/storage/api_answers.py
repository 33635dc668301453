"""What the API answered under which key, so that a request that comes twice is done once. Never commits."""

from __future__ import annotations

from dataclasses import dataclass

from remit.storage.sessions import Db

_KEPT = "24 hours"
_SWEPT = 100  # rows that one request clears away


@dataclass(frozen=True, slots=True)
class Given:
    """An answer that was given before."""

    digest: str
    """Of the request that it answered."""
    status: int
    body: str


def claim(db: Db, person: str, key: str, digest: str) -> Given | None:
    """Take a key for this transaction; None if it is new. A key that another request holds is waited for.

    If that one commits, its answer is returned; if it comes to nothing, the key is this one's.
    """
    late = f"at < clock_timestamp() - interval '{_KEPT}'"
    db.execute(
        f"""delete from remit.api_answers where ctid = any(array(
                select ctid from remit.api_answers where {late} order by at limit {_SWEPT}
                for update skip locked))"""  # noqa: S608 - constants
    )
    db.execute(f"delete from remit.api_answers where person = %s and key = %s and {late}", (person, key))  # noqa: S608
    while True:
        new = db.execute(
            """insert into remit.api_answers (person, key, digest) values (%s, %s, %s)
               on conflict do nothing returning 1""",
            (person, key, digest),
        ).fetchone()
        if new is not None:
            return None
        row = db.execute(
            "select digest, status, body from remit.api_answers where person = %s and key = %s", (person, key)
        ).fetchone()
        if row is not None:  # else it was swept away between the two
            return Given(**row)


def keep(db: Db, person: str, key: str, status: int, body: str) -> None:
    """Keep the answer under a key that this transaction has taken."""
    db.execute(
        "update remit.api_answers set status = %s, body = %s where person = %s and key = %s",
        (status, body, person, key),
    )


def forget(db: Db, session_id: str) -> None:
    """Answers that speak of a session are not given again: its contents are erased."""
    db.execute("delete from remit.api_answers where position(%s in body) > 0", (session_id,))
