"""Audit records as people read them. Functions take an open transaction and never commit."""

from __future__ import annotations

import json
from typing import Any

from remit.storage.sessions import Db


def listing(
    db: Db,
    *,
    session_id: str | None = None,
    action_id: str | None = None,
    tag: str | None = None,
    workspaces: list[str] | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """The newest records, oldest of them first; `before` is the id of the first one of the page after.

    `tag` may end with `:`, which takes everything under it: `person:`. `leaf` is None until a record is sealed.
    With `workspaces` only records of their sessions: what belongs to no session is the whole company's.
    """
    rows = db.execute(
        """select r.id, r.at, r.tag, r.session_id, r.turn_id, r.action_id, r.body, l.leaf_index as leaf
           from remit.records r left join remit.leaves l on l.record_id = r.id
           where (%(session)s::text is null or r.session_id = %(session)s)
             and (%(action)s::text is null or r.action_id = %(action)s)
             and (%(tag)s::text is null or r.tag = %(tag)s or (%(tag)s like '%%:' and starts_with(r.tag, %(tag)s)))
             and (%(workspaces)s::text[] is null or exists (
                 select 1 from remit.sessions s where s.id = r.session_id and s.workspace = any(%(workspaces)s)))
             and (%(before)s::bigint is null or r.id < %(before)s)
           order by r.id desc limit %(limit)s""",
        {
            "session": session_id,
            "action": action_id,
            "tag": tag,
            "workspaces": workspaces,
            "before": before,
            "limit": limit,
        },
    ).fetchall()
    return [{**row, "body": json.loads(row["body"])} for row in reversed(rows)]
