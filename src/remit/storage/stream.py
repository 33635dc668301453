"""The live stream: records in the order in which they became visible, each once, after a position."""

from __future__ import annotations

from typing import Any

from remit.errors import InvalidInput
from remit.storage.sessions import Db

BEGINNING = "0.0"
"""The position before the first record."""


def after(
    db: Db, position: str, *, session_id: str | None = None, limit: int = 500, settled: bool = True
) -> tuple[list[dict[str, Any]], str]:
    """Records after a position, oldest first, and the position behind the last of them.

    Ordered by transaction, as the sealer takes them: identity values commit out of order, but below the oldest running
    transaction nothing can be added any more. What a long transaction has written comes once it is over. Not `settled`:
    everything that is visible now, also above a transaction that still runs, from which more may come in between.
    Raises InvalidInput if the position is none.
    """
    xid, number = _read(position)
    rows = db.execute(
        """select xid::text as xid, id, tag, at, session_id, turn_id, action_id, body::jsonb as body
           from remit.records
           where (xid, id) > (%s::text::xid8, %s) and (not %s or xid < pg_snapshot_xmin(pg_current_snapshot()))
             and (%s::text is null or session_id = %s)
           order by xid, id limit %s""",
        (str(xid), number, settled, session_id, session_id, limit),
    ).fetchall()
    if rows:
        position = f"{rows[-1]['xid']}.{rows[-1]['id']}"
    return [
        {**{k: v for k, v in row.items() if k != "xid"}, "position": f"{row['xid']}.{row['id']}"} for row in rows
    ], position


def early(db: Db, number: int, *, limit: int = 500) -> list[dict[str, Any]]:
    """Records with a higher number, as soon as they are visible.

    `after` waits for every transaction of the server, in whatever database. Whoever only wants to know soon that
    something has happened looks here first, and there for what was committed out of order.
    """
    return db.execute(
        """select id, tag, at, session_id, turn_id, action_id, body::jsonb as body, xid::text || '.' || id as position
           from remit.records where id > %s order by id limit %s""",
        (number, limit),
    ).fetchall()


def highest(db: Db) -> int:
    """The highest number of a record that is visible now; 0 where there is none."""
    row = db.execute("select coalesce(max(id), 0) as id from remit.records").fetchone()
    assert row is not None, "an aggregate returns a row"
    return int(row["id"])


def now(db: Db) -> str:
    """The position behind everything that is visible already."""
    row = db.execute("select (pg_snapshot_xmin(pg_current_snapshot())::text::numeric - 1)::text as xid").fetchone()
    assert row is not None, "a select of a function returns a row"
    return f"{row['xid']}.{2**62}"


def counts(db: Db) -> tuple[int, int]:
    """How many leaves storage/rollups.py has counted, and how many storage/tallies.py."""
    found = {
        row["name"]: int(row["position"])
        for row in db.execute("select name, position from remit.cursors where name in ('rollups', 'tallies')")
    }
    return found.get("rollups", 0), found.get("tallies", 0)


def mark(db: Db) -> str:
    """`now` and `counts` in one word, for a page that listens to both from there on."""
    counted, tallied = counts(db)
    return f"{now(db)}~{counted}~{tallied}"


def marked(mark: str) -> tuple[str, tuple[int, int] | None]:
    """What `mark` wrote, apart; without counts where it is a position alone. Raises InvalidInput if it is neither."""
    position, *numbers = mark.split("~")
    _read(position)
    if not numbers:
        return position, None
    if len(numbers) != 2 or not all(n.isascii() and n.isdigit() and len(n) < 19 for n in numbers):
        raise InvalidInput(f"{mark!r} is no place in the stream", advice="Take the one that came with the page.")
    return position, (int(numbers[0]), int(numbers[1]))


def _read(position: str) -> tuple[int, int]:
    xid, dot, number = position.partition(".")
    if not (dot and xid.isascii() and xid.isdigit() and number.isascii() and number.isdigit()):
        raise InvalidInput(f"{position!r} is no position in the stream", advice="Take the one that came with a record.")
    return int(xid), int(number)
