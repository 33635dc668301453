"""Budgets as people and policies see them. Functions take an open transaction and never commit."""

from __future__ import annotations

from typing import Any

from remit.domain.budgets import Usage
from remit.storage.sessions import Db


def used(db: Db, ids: list[str]) -> dict[str, Usage]:
    """Reserved and spent, by budget id. A budget that nothing has drawn on yet is zero."""
    rows = db.execute(
        """select id, usd_reserved + usd_spent as usd, tokens_reserved + tokens_spent as tokens,
                  calls_reserved + calls_spent as calls from remit.budgets where id = any(%s)""",
        (ids,),
    ).fetchall()
    found = {row["id"]: Usage(row["usd"], row["tokens"], row["calls"]) for row in rows}
    return {budget_id: found.get(budget_id, Usage()) for budget_id in ids}


def listing(db: Db, prefix: str = "", limit: int = 100) -> list[dict[str, Any]]:
    """Budgets whose id begins with `prefix`, newest first."""
    return db.execute(
        "select * from remit.budgets where starts_with(id, %s) order by created_at desc, id limit %s", (prefix, limit)
    ).fetchall()
