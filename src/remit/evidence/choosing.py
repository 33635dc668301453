"""Chooses records by what somebody asks for, says how far they are sealed, and writes what was chosen to take away.

What is taken away is itself recorded, before its first line is sent: who, what was chosen, and up to which leaf.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from remit.domain import ids
from remit.domain.checkpoints import encode_base64
from remit.domain.insights import WAIT_NAMES
from remit.domain.records import Tag
from remit.errors import InvalidInput
from remit.evidence.lines import encode
from remit.storage import audit_log, facets, rollups
from remit.storage.facets import Chosen
from remit.storage.sessions import Db, record

NAMES = tuple(Chosen.__dataclass_fields__)
"""What can be chosen by, as it stands in an address."""
_LONGEST = 300
_BATCH = 1_000
_COLUMNS = (
    "leaf",
    "at",
    "tag",
    "who",
    "workspace",
    "agent",
    "action",
    "outcome",
    "road",
    "session",
    "action_id",
    "body",
)
_SPREADSHEET = ("=", "+", "-", "@", "\t", "\r")

Transaction = Callable[[], AbstractContextManager[Db]]


@dataclass(frozen=True, slots=True)
class SealState:
    """How far the record is sealed, and how far it can be chosen from."""

    size: int
    """Records that the newest checkpoint covers."""
    signed_at: datetime | None
    root: str
    unsealed: int
    """Records without a leaf, counted to 10,000."""
    oldest: datetime | None
    """When the oldest of those was written."""
    counted: int
    """Leaves that can be chosen."""


def chosen(given: Mapping[str, str]) -> Chosen:
    """Read what somebody chose. Raises InvalidInput that says what is wrong."""
    values: dict[str, Any] = {}
    for name in NAMES:
        text = given.get(name, "").strip()
        if not text:
            continue
        if len(text) > _LONGEST or "\x00" in text:
            raise InvalidInput(f"`{name}` is too long, or no text", advice="Choose one of the values that are offered.")
        if name in {"since", "until"}:
            values[name] = _moment(name, text)
        elif name == "waited":
            if not (text.isascii() and text.isdigit() and int(text) < len(WAIT_NAMES)):
                raise InvalidInput(f"`waited` is a number from 0 to {len(WAIT_NAMES) - 1}")
            values[name] = int(text)
        else:
            values[name] = text
    return Chosen(**values)


def _moment(name: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"`{name}` is no time: {text}", advice="Write it as 2026-11-21T14:00; it is UTC unless it says otherwise."
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def seal_state(db: Db) -> SealState:
    """How far the record is sealed."""
    checkpoint, lag = audit_log.latest_checkpoint(db), audit_log.lag(db)
    return SealState(
        size=checkpoint.size if checkpoint is not None else 0,
        signed_at=facets.signed_at(db, checkpoint.size) if checkpoint is not None else None,
        root=checkpoint.root.hex() if checkpoint is not None else "",
        unsealed=lag.records,
        oldest=lag.oldest,
        counted=rollups.counted(db),
    )


def take(
    transaction: Transaction, wanted: Chosen, workspaces: list[str] | None, *, by: str, form: str
) -> Iterator[bytes]:
    """Record that somebody takes records away, and give them, oldest first: `csv`, or `jsonl` with the exact texts.

    Each batch is a transaction of its own, so that a slow reader holds nothing up. Raises InvalidInput at once.
    """
    if form not in {"csv", "jsonl"}:
        raise InvalidInput(f"{form!r} is no form of an export", advice="Choose `csv` or `jsonl`.")
    with transaction() as db:
        up_to = facets.newest_leaf(db)
        said = {name: _plain(value) for name, value in asdict(wanted).items() if value not in {None, ""}}
        record(
            db,
            Tag.AUDIT_EXPORTED,
            session=wanted.session or None,
            export=ids.new_id("exp"),
            by=by,
            scope="records",
            form=form,
            chosen=said,
            workspaces=workspaces,
            up_to=up_to,
        )
    return _lines(transaction, wanted, workspaces, up_to, form)


def _lines(
    transaction: Transaction, wanted: Chosen, workspaces: list[str] | None, up_to: int, form: str
) -> Iterator[bytes]:
    after = -1
    if form == "csv":
        yield _csv([_COLUMNS])
    while True:
        with transaction() as db:
            rows = list(facets.stretch(db, wanted, workspaces, up_to, after=after, batch=_BATCH))
        if not rows:
            return
        if form == "csv":
            yield _csv([_cells(row) for row in rows])
        else:
            yield b"".join(encode(_line(row)) + b"\n" for row in rows)
        after = rows[-1]["leaf_index"]


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    """A record as it stands in an export of the log: its exact text, and the hash that the signed tree has of it."""
    leaf = encode_base64(bytes(row["leaf_hash"])) if row["leaf_hash"] is not None else None
    return {"kind": "record", "index": row["leaf_index"], "body": row["body"], "leaf": leaf}


def _cells(row: Mapping[str, Any]) -> list[Any]:
    values = [
        row["leaf_index"],
        row["at"].astimezone(UTC).isoformat(),
        row["tag"],
        row["who"],
        row["workspace"] or "",
        row["agent"],
        row["action"],
        row["outcome"],
        row["road"],
        row["session_id"] or "",
        row["action_id"] or "",
        row["body"] or "",
    ]
    return [_harmless(value) for value in values]


def _harmless(value: Any) -> Any:
    """A spreadsheet takes a cell that begins like this for a formula and would run it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_SPREADSHEET) else value


def _csv(rows: list[Any]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def parsed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A record's body as JSON; empty where the record itself is gone."""
    return json.loads(row["body"]) if row["body"] is not None else {}
