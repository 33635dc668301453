"""What every module of rows needs: the handle of a transaction, audit records, and contents apart from rows."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from remit.domain import canonical
from remit.domain.records import Tag
from remit.storage.database import safe_json

Db = Connection[dict[str, Any]]
"""A synchronous connection whose rows are dicts, inside a transaction."""


def record(
    db: Db, tag: Tag, *, session: str | None = None, turn: str | None = None, action: str | None = None, **body: Any
) -> None:
    """Append an audit record in the transaction of what it describes."""
    db.execute(
        "select remit.append_record(%s, %s, %s, %s, %s)", (tag.value, session, turn, action, Jsonb(safe_json(body)))
    )


def put_payload(db: Db, payload: str, session: str | None, kind: str, value: Any) -> str:
    """Store contents and return their salted digest, in hexadecimal, for a record."""
    salt, body = os.urandom(16), canonical.dumps(canonical.normalise(value))
    db.execute("select remit.put_payload(%s, %s, %s, %s, %s)", (payload, session, kind, salt, body))
    return canonical.digest_bytes(salt + body)


def get_payload(db: Db, payload: str) -> Any:
    """Contents by id; None where there are none or they were erased."""
    row = db.execute("select body from remit.payloads where id = %s", (payload,)).fetchone()
    return canonical.parse(bytes(row["body"])) if row and row["body"] is not None else None


def get_payloads(db: Db, payloads: Iterable[str]) -> dict[str, Any]:
    """Contents by id, in one query; those that there are none of, or that were erased, are missing."""
    rows = db.execute(
        "select id, body from remit.payloads where id = any(%s) and body is not null", (sorted(set(payloads)),)
    )
    return {row["id"]: canonical.parse(bytes(row["body"])) for row in rows}
