"""Tickets on their way through the desk: started, watched, and told about on the screen."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from demo_parts.screen import PlainScreen
from remit.bootstrap import Services
from remit.domain.inbox import InboxItem
from remit.runtime.sessions import Start
from remit.storage import actions, inbox, sessions

HELPDESK = "trigger:helpdesk"
"""Who starts the sessions: the helpdesk, not a person, so that every person may decide about them."""
_ENDED = {"finished", "failed", "cancelled"}


@dataclass
class Case:
    """One ticket in one session."""

    ticket: str
    agent: str
    subject: str
    expected: dict[str, Any]
    after: str | None = None
    """Ticket whose session has to end first."""
    session: str | None = None
    status: str = "new"
    output: Any = None
    actions: list[dict[str, Any]] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    """Actions and items that were shown already."""
    decided_otherwise: bool = False
    """A person at the terminal decided something else than is expected here."""
    decided_by: list[str] = field(default_factory=list)
    """People who decided something about it, in order."""
    wrong: list[str] = field(default_factory=list)
    """What should not have been."""

    @property
    def ended(self) -> bool:
        """True once nothing more happens."""
        return self.status in _ENDED

    def refunds(self) -> list[dict[str, Any]]:
        """The refunds that it made."""
        return [a for a in self.actions if a["action"] == "payments.refund" and a["status"] == "succeeded"]

    def outcome(self) -> dict[str, Any]:
        """`refunded` with amount and currency, or `declined` with the reason."""
        if isinstance(self.output, dict) and "outcome" in self.output:
            return {k: self.output[k] for k in ("outcome", "amount", "currency", "reason") if k in self.output}
        if self.status != "finished":
            return {"outcome": self.status}
        # A language model says what it did in a sentence; what it really did stands in the ledger.
        paid = self.refunds()
        if paid:
            amount = sum(Decimal(str(a["args"]["amount"])) for a in paid)
            return {"outcome": "refunded", "amount": f"{amount:.2f}", "currency": paid[0]["args"]["currency"]}
        stopped = [a for a in self.actions if a["action"] == "payments.refund" and a["reasons"]]
        return {"outcome": "declined", "reason": stopped[-1]["reasons"][-1]["code"] if stopped else "no_refund"}

    def came_out_right(self) -> bool:
        """True if the outcome is the expected one, or the one that a person chose instead."""
        if self.wrong or self.status != "finished":
            return False
        if self.decided_otherwise:
            return True
        names = ["outcome", "amount", "currency"]
        names += ["reason"] if isinstance(self.output, dict) else []
        outcome = self.outcome()
        return all(outcome.get(name) == self.expected.get(name) for name in names)


def read_cases(folder: Path, agent: str, only: Iterable[str] = ()) -> list[Case]:
    """The tickets of the seed with what is expected of each, in the order in which they came."""
    tickets = json.loads((folder / "seed" / "tickets.json").read_text("utf-8"))
    expected = json.loads((folder / "expected.json").read_text("utf-8"))
    wanted = set(only) or {t["ticket_id"] for t in tickets}
    missing = wanted - {t["ticket_id"] for t in tickets}
    if missing:
        raise KeyError(f"there is no ticket {', '.join(sorted(missing))}")
    found = []
    for ticket in tickets:
        name = ticket["ticket_id"]
        if name in wanted:
            after = expected[name].get("after")
            case = Case(name, agent, ticket["subject"], expected[name], after if after in wanted else None)
            found.append(case)
    return found


class Desk:
    """Starts the cases and follows them."""

    def __init__(self, services: Services, screen: PlainScreen, cases: list[Case]) -> None:
        self.cases = cases
        self._services = services
        self._screen = screen
        self._names = {p.id: p.name for p in services.deployments.load().project.directory.people}

    @property
    def done(self) -> list[Case]:
        """Cases that have ended."""
        return [c for c in self.cases if c.ended]

    def start_ready(self) -> None:
        """Start every case that waits for no other."""
        ended = {c.ticket for c in self.done if c.agent == self.cases[0].agent}
        for case in self.cases:
            if case.session is None and (case.after is None or case.after in ended):
                asked = Start(
                    agent=case.agent,
                    input={"ticket_id": case.ticket},
                    principal=HELPDESK,
                    trigger="helpdesk",
                    request_id=case.ticket,
                    title=case.subject,
                )
                case.session = self._services.sessions.start(asked)
                case.status = "running"

    def look(self) -> list[tuple[Case, InboxItem]]:
        """See what has become of the cases, tell it, and return what waits for somebody."""
        by_session = {c.session: c for c in self.cases if c.session is not None}
        with self._services.sessions.transaction() as db:
            found = {s.id: s.status.value for s in sessions.listing(db, limit=1000)}
            changed = [c for s, c in by_session.items() if s in found and found[s] != c.status]
            for case in changed:
                assert case.session is not None, "it was found by its session"
                case.status = found[case.session]
                case.actions = actions.of_session(db, case.session)
                case.output = sessions.turns(db, case.session)[-1]["output"]
            items = [(by_session[i.session_id], i) for i in inbox.listing(db, limit=1000) if i.session_id in by_session]
        for case in changed:
            self._tell_refusals(case)
            if case.ended:
                self._tell_end(case)
        for case, item in items:
            self._tell_item(case, item)
        self._screen.progress(len(self.done), len(self.cases), len(items))
        return items

    def names(self, people: Iterable[str], between: str = " or ") -> str:
        """People as they are called."""
        return between.join(self._names.get(p, p) for p in people)

    def _tell_refusals(self, case: Case) -> None:
        for action in case.actions:
            if action["status"] == "refused" and action["id"] not in case.told:
                case.told.add(action["id"])
                reason = action["reasons"][-1]
                self._screen.line("refused", case.ticket, f"{describe(action)}: {reason['code']}")

    def _tell_end(self, case: Case) -> None:
        outcome = case.outcome()
        said = f"{outcome['amount']} {outcome['currency']}" if "amount" in outcome else outcome.get("reason", "")
        kind = outcome["outcome"] if case.came_out_right() else "wrong"
        made = [a for a in case.actions if a["status"] == "succeeded"]
        repeated = [a["action"] for a in case.actions if a["attempt"] > 1]
        again = f"; made again under the same key: {', '.join(repeated)}" if repeated else ""
        by = "" if case.agent == "refund-desk" else f" by {case.agent}"
        self._screen.line(kind, case.ticket, f"{said}{by}  ({len(made)} of {len(case.actions)} calls{again})")

    def _tell_item(self, case: Case, item: InboxItem) -> None:
        if item.id in case.told:
            return
        case.told.add(item.id)
        reasons = ", ".join(r["code"] for r in item.detail.get("reasons") or ())
        why = f": {reasons}" if reasons else ""
        self._screen.line("waits", case.ticket, f"{item.summary}{why}; asks {self.names(item.assignees)}")


def describe(action: dict[str, Any]) -> str:
    """An action in a few words."""
    args = action["args"] or {}
    money = (
        f" of {Decimal(str(args['amount'])):.2f} {args['currency']}" if {"amount", "currency"} <= args.keys() else ""
    )
    return f"{action['action']}{money}"
