"""Kills the worker at the worst moment: the money is paid, and Remit has not heard of it yet."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import Any

from demo_parts.cases import Case, Desk, describe
from demo_parts.screen import PlainScreen
from demo_parts.workers import Workers
from remit.bootstrap import Services
from remit.storage import actions

_MANY = 20  # tickets; with fewer the first refund is the one
_AFTER = 5  # refunds that come before it
_SILENCE = 0.3  # seconds without an answer, so that it is not just slow
_IDLE = 5.0  # seconds without any work: everything waits for somebody, and for that
_DOUBT = 90.0  # seconds: longer than any clearance of the desk lasts


class Crash:
    """Makes the payments server pay once without ever answering, and kills the worker that waits for the answer."""

    def __init__(self, services: Services, desk: Desk, workers: Workers, screen: PlainScreen) -> None:
        self.done = False
        self.in_flight: list[dict[str, Any]] = []
        """What was cleared and not settled when the worker died."""
        self._services = services
        self._desk = desk
        self._workers = workers
        self._screen = screen
        self._data = services.folder / ".remit" / "connections" / "payments"
        self._idle_since: float | None = None
        self._arm(_AFTER if len(desk.cases) >= _MANY else 0)
        self._seen: dict[str, float] = {}

    def step(self) -> None:
        """Do what is due."""
        if self.done:
            return
        if self._paid_in_silence() or all(c.ended for c in self._desk.cases) or self._idle():
            self._kill()

    def _arm(self, after: int) -> None:
        """One refund, after so many others, will be paid and never answered."""
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        rule = {"tool": "refund", "fault": "hang_after_work", "times": 1, "after": after}
        (self._data / "faults.json").write_text(json.dumps({"rules": [rule]}), "utf-8")

    def _idle(self) -> bool:
        """True if for a while nothing has been at work."""
        if any(c.status == "running" for c in self._desk.cases) or not any(c.session for c in self._desk.cases):
            self._idle_since = None
            return False
        self._idle_since = self._idle_since or time.monotonic()
        return time.monotonic() - self._idle_since > _IDLE

    def _paid_in_silence(self) -> bool:
        """True if the books hold a refund that the ledger still has as sent and unanswered."""
        keys = self._keys_in_books()
        with self._services.sessions.transaction() as db:
            # The idempotency key that the server was given is the action's id.
            silent = [key for key in keys if actions.get(db, key)["status"] == "cleared"]
        now = time.monotonic()
        self._seen = {key: self._seen.get(key, now) for key in silent}
        return any(now - since > _SILENCE for since in self._seen.values())

    def _keys_in_books(self) -> list[str]:
        try:
            with closing(sqlite3.connect(f"file:{self._data / 'payments.sqlite'}?mode=ro", uri=True)) as db:
                return [key for (key,) in db.execute("SELECT key FROM refunds WHERE NOT seeded ORDER BY number")]
        except sqlite3.OperationalError:  # the server has not made its books yet
            return []

    def _kill(self) -> None:
        self.done = True
        killed = self._workers.kill()
        self.in_flight = self._unsettled()
        what = "while it waited for answers" if self.in_flight else "while all its work waited for somebody"
        self._screen.line("crash", "", f"worker {killed} was killed with signal 9 {what}")
        for entry in self.in_flight:
            self._screen.line("crash", entry["ticket"], f"in flight: {entry['what']}; nobody here knows if it happened")
        (self._data / "faults.json").unlink(missing_ok=True)
        started = self._workers.start()
        self._screen.line("recovery", "", f"worker {started} is started; it takes over when the dead one's lease ends")

    def _unsettled(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        with self._services.sessions.transaction() as db:
            for case in self._desk.cases:
                if case.session is not None and not case.ended:
                    found += [_entry(case, a) for a in actions.of_session(db, case.session) if a["status"] == "cleared"]
        return found

    def wait_until_known(self) -> None:
        """Wait for what nobody asked for again, such as a look at a charge for an approval: the clock settles that."""
        until = time.monotonic() + _DOUBT
        while any(entry["status"] == "cleared" for entry in self.became()) and time.monotonic() < until:
            time.sleep(0.2)

    def became(self) -> list[dict[str, Any]]:
        """What became of everything that was in flight, as the ledger has it now."""
        with self._services.sessions.transaction() as db:
            rows = [actions.get(db, entry["action_id"]) for entry in self.in_flight]
        return [
            {**entry, "status": row["status"], "attempts": row["attempt"]}
            for entry, row in zip(self.in_flight, rows, strict=True)
        ]


def _entry(case: Case, action: dict[str, Any]) -> dict[str, Any]:
    return {"ticket": case.ticket, "action_id": action["id"], "action": action["action"], "what": describe(action)}
