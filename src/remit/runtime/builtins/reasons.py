"""`remit.reasons`: "why is X first?", answered from what the program recorded when it put the row out."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from remit.domain.rows import ExplainedRow, find
from remit.storage import rows

if TYPE_CHECKING:
    from remit.runtime.builtins.registry import Invocation

_LIMIT = 10


def reasons(call: Invocation) -> dict[str, Any]:
    """Rows of the call's own session, with their reasons and where their parts came from; newest turn first."""
    with call.sessions.transaction() as db:
        known = rows.of_session(db, call.run.session_id)
    named = call.args.get("list")
    wanted = call.args.get("row")
    listed = [row for row in known if named is None or row.name == named]
    found = listed if wanted is None else find(listed, wanted)
    most = call.args.get("limit", _LIMIT)
    return {"rows": [_told(row) for row in found[:most]], "found": len(found), "lists": sorted({r.name for r in known})}


def _told(row: ExplainedRow) -> dict[str, Any]:
    return {
        "list": row.name,
        "key": row.key,
        "rank": row.rank,
        "title": row.title,
        "row": row.row,
        "reasons": [{"code": reason.code, "text": reason.text} for reason in row.reasons],
        "from": [asdict(origin) for origin in row.origins],
        "at": row.at,
    }
