"""What Acme's sales systems say themselves, read from their own database files and not through Remit."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

TOP = 10
QUIET_DAYS = 14
LARGE_USD, WAITS_DAYS = 250_000, 10


class Books:
    """The files of the CRM, the helpdesk and the revenue books."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / ".remit" / "connections"

    def read(self, system: str, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of one system; none where it has not started yet."""
        try:
            file = self._folder / system / f"{system}.sqlite"
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
                db.row_factory = sqlite3.Row
                return [dict(row) for row in db.execute(statement, values).fetchall()]
        except sqlite3.OperationalError:
            return []

    def accounts(self) -> dict[str, dict[str, Any]]:
        """Every account by id."""
        return {row["account_id"]: row for row in self.read("crm", "SELECT * FROM accounts")}

    def owned(self, person: str) -> set[str]:
        """The accounts that carry a person's name."""
        return {a for a, row in self.accounts().items() if row["owner"] == person}

    def worth(self, usd: dict[str, float]) -> dict[str, float]:
        """USD a year by account."""
        found: dict[str, float] = {}
        for row in self.read("revenue", "SELECT * FROM revenue"):
            found[row["account_id"]] = found.get(row["account_id"], 0) + row["amount"] * usd[row["currency"]]
        return found

    def must_go_up(self, today: date, usd: dict[str, float]) -> set[str]:
        """Urgent tickets of large accounts that have had no answer for ten days, by the books alone."""
        worth, accounts = self.worth(usd), self.accounts()
        waiting = self.read(
            "helpdesk",
            "SELECT * FROM account_tickets WHERE priority = 'urgent' AND answered_on IS NULL AND opened_on <= ?",
            (today - timedelta(days=WAITS_DAYS)).isoformat(),
        )
        return {
            t["ticket_id"]
            for t in waiting
            if worth.get(t["account_id"], 0) >= LARGE_USD - 1 and accounts[t["account_id"]]["stage"] != "closed"
        }

    def quiet(self, person: str, today: date, usd: dict[str, float]) -> list[str]:
        """A person's ten largest accounts without contact in two weeks, by the books alone."""
        worth = self.worth(usd)
        since = (today - timedelta(days=QUIET_DAYS)).isoformat()
        recent = "SELECT DISTINCT account_id FROM activities WHERE on_date > ? AND NOT removed"
        touched = {row["account_id"] for row in self.read("crm", recent, since)}
        accounts = self.accounts()
        mine = [a for a in self.owned(person) - touched if accounts[a]["stage"] != "closed" and worth.get(a, 0) >= 1]
        return sorted(mine, key=lambda a: (-round(worth[a]), a))[:TOP]

    def flagged(self) -> set[str]:
        """Accounts whose agreement is marked as stalled."""
        return {row["account_id"] for row in self.read("crm", "SELECT account_id FROM flags WHERE NOT cleared")}

    def logged(self) -> list[dict[str, Any]]:
        """What was entered since the beginning, and not taken back."""
        return self.read("crm", "SELECT * FROM activities WHERE NOT seeded AND NOT removed ORDER BY number")

    def escalations(self) -> list[dict[str, Any]]:
        """Tickets that were handed up."""
        return self.read("crm", "SELECT * FROM escalations WHERE NOT withdrawn ORDER BY ticket_id")
