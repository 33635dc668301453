"""One day of Acme's sellers, driven from outside: sessions are started, followed, and people's answers are played."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from demo_parts.evidence import Findings
from demo_parts.sales_books import Books
from demo_parts.screen import PlainScreen
from demo_parts.workers import Workers
from remit.bootstrap import Services
from remit.domain.inbox import InboxItem
from remit.governance.desk import Decider
from remit.runtime.sessions import Start
from remit.storage import actions, inbox, sessions

LEAD = "ingrid.solberg"
SELLERS = (LEAD, "nora.quist", "mateus.alves", "priya.raman", "jack.doyle", "hana.sato")
_ENDED = {"finished", "failed", "cancelled"}
_PATIENCE = 90.0


def as_person(person: str) -> Decider:
    """Somebody of Acme, played."""
    return Decider(person, simulated=True)


@dataclass
class Day:
    """What the parts of the story share."""

    services: Services
    screen: PlainScreen
    workers: Workers
    books: Books
    findings: Findings = field(default_factory=Findings)
    started: list[str] = field(default_factory=list)

    def fire(self, trigger: str, person: str | None = None) -> dict[str, str]:
        """Have a trigger start now what it would start by itself. Returns the sessions by person."""
        fired = self.services.triggers.fire(trigger, "kofi.mensah", person=person, simulated=True)
        wrong = [one.reason for one in fired if one.session_id is None]
        if wrong:
            raise RuntimeError(f"the trigger {trigger} started nothing: {wrong[0]}")
        found = [one.session_id for one in fired if one.session_id is not None]
        self.started += found
        with self.services.sessions.transaction() as db:
            return {sessions.get(db, one).on_behalf_of or "": one for one in found}

    def clocks(self, trigger: str) -> dict[str, datetime] | None:
        """When a schedule is due next, by person; None until a worker has set its clocks."""
        with self.services.sessions.transaction() as db:
            asked = "select person, next_at from remit.trigger_clocks where trigger = %s"
            return {row["person"]: row["next_at"] for row in db.execute(asked, (trigger,)).fetchall()} or None

    def start(self, agent: str, given: dict[str, Any], person: str, *, on_behalf_of: str | None = None) -> str:
        """A person starts a session."""
        asked = Start(agent, given, f"person:{person}", on_behalf_of=on_behalf_of, simulated=True)
        session_id = self.services.sessions.start(asked)
        self.started.append(session_id)
        return session_id

    def finish(self, session_ids: Iterable[str]) -> dict[str, Any]:
        """Wait until sessions have ended. Returns the last outputs by session."""
        wanted = list(session_ids)

        def outputs() -> dict[str, Any] | None:
            with self.services.sessions.transaction() as db:
                if any(sessions.get(db, one).status.value not in _ENDED for one in wanted):
                    return None
                return {one: sessions.turns(db, one)[-1]["output"] for one in wanted}

        return self.until(outputs, f"{len(wanted)} sessions have ended")

    def question(self, session_id: str) -> InboxItem:
        """Wait until a session asks somebody."""

        def asked() -> InboxItem | None:
            with self.services.sessions.transaction() as db:
                return next(iter(inbox.listing(db, session_id=session_id)), None)

        return self.until(asked, f"{session_id} asks")

    def waiting(self, session_ids: Iterable[str]) -> list[InboxItem] | None:
        """What open sessions among these ask; None while one of them is still at work."""
        items: list[InboxItem] = []
        with self.services.sessions.transaction() as db:
            for one in session_ids:
                if sessions.get(db, one).status.value in _ENDED:
                    continue
                found = inbox.listing(db, session_id=one)
                if not found:
                    return None
                items += found
        return items

    def log(self, person: str, text: str) -> dict[str, Any]:
        """A person says what they did. Returns what came of it."""
        session_id = self.start("call-log", {"text": text}, person)
        output: dict[str, Any] = self.finish([session_id])[session_id] or {}
        return output

    def newest(self, agent: str, person: str) -> str:
        """Wait until a session of an agent has been started by a person from outside, and take it in."""

        def found() -> str | None:
            with self.services.sessions.transaction() as db:
                among = (s for s in sessions.listing(db, limit=50) if s.id not in self.started)
                return next((s.id for s in among if (s.agent, s.principal) == (agent, f"person:{person}")), None)

        session_id: str = self.until(found, f"{person} has started {agent}")
        self.started.append(session_id)
        return session_id

    def undo_last(self, person: str) -> None:
        """A person takes back what was logged last."""
        session_id = self.started[-1]
        (made,) = [a for a in self.actions(session_id) if a["action"] == "crm.log_activity"]
        self.services.sessions.undo(made["id"], f"person:{person}", "It was another company.")
        self.finish([session_id])

    def answer(self, item: InboxItem, person: str, value: Any, **more: Any) -> None:
        """A person answers."""
        self.services.sessions.answer(item.id, as_person(person), value, **more)

    def children(self, parents: Iterable[str]) -> list[str]:
        """Sessions that these have delegated."""
        found = set(parents)
        with self.services.sessions.transaction() as db:
            return [s.id for s in sessions.listing(db, limit=1000) if s.parent_id in found]

    def actions(self, session_id: str) -> list[dict[str, Any]]:
        """What a session did."""
        with self.services.sessions.transaction() as db:
            return actions.of_session(db, session_id)

    def until(self, look: Callable[[], Any], what: str) -> Any:
        """Look until there is something to see. Raises RuntimeError when that takes too long."""
        until = time.monotonic() + _PATIENCE
        while (found := look()) is None:
            if time.monotonic() > until:
                raise RuntimeError(f"waited {_PATIENCE:.0f} s in vain until {what}; see {self.workers.log}")
            _ = self.workers.ready  # raises if the worker has ended
            time.sleep(0.1)
        return found

    def check(self, what: str, *, ok: bool, seen: Any) -> None:
        """Keep and show one thing that was checked."""
        self.findings.add(what, ok=ok, seen=seen)
        self.screen.line("checked" if ok else "wrong", "", f"{what}: {seen}")
