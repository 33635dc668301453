"""How the demo ends: what came out, held against the books and the record, told and written down."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from demo_parts import evidence
from demo_parts.cases import Case, Desk
from demo_parts.crash import Crash
from demo_parts.people import People
from demo_parts.screen import PlainScreen
from demo_parts.workers import Stopwatch, Workers
from remit.bootstrap import Services
from remit.evidence.verification import Verification

SHOWN = "CS-19422"
"""The ticket whose record is looked at closely: 120 USD, over the desk's limit, approved by Dana Kim."""
_KNOWN = {"succeeded", "failed", "refused"}


@dataclass
class Ending:
    """Everything that is looked at when all tickets have ended."""

    services: Services
    place: Path
    screen: PlainScreen
    watch: Stopwatch
    desk: Desk
    people: People
    crash: Crash
    workers: Workers
    findings: evidence.Findings = field(default_factory=evidence.Findings)

    def conclude(self) -> bool:
        """Check, tell, and write `audit.jsonl` and `summary.json`. True if everything came out right."""
        cases, file = self.desk.cases, self.place / "audit.jsonl"
        wrong = [c for c in cases if not c.came_out_right()]
        right = f"{len(cases) - len(wrong)} of {len(cases)}"
        self.findings.add("every ticket came out as it should", ok=not wrong, seen=right)
        books = evidence.read_books(self.services.folder)
        sums = evidence.compare_books(books, cases, self.findings)
        settled = self.crash.became()
        known = [e for e in settled if e["status"] in _KNOWN]
        killed = self.workers.kills == 1
        self.findings.add(
            "a worker was killed with signal 9 on the way", ok=killed, seen=f"{self.workers.kills} killed"
        )
        self.findings.add(
            "what was under way then is known now",
            ok=len(known) == len(settled),
            seen=f"{len(known)} of {len(settled)} calls",
        )
        verified = evidence.export(self.services, file, "person:dana.kim")
        first = verified.facts[0] if verified.ok else verified.findings[0]
        self.findings.add("the exported record is whole", ok=verified.ok, seen=first)
        self._look_at_record(file)
        self.watch.phase("evidence")
        self._show_tickets()
        self._show_books(books, settled)
        self._show_findings(file)
        summary = self._summary(books, sums, settled, verified)
        text = json.dumps(summary, indent=1, ensure_ascii=False)
        (self.place / "summary.json").write_text(text + "\n", "utf-8")
        return self.findings.ok

    def _look_at_record(self, file: Path) -> None:
        for case in self.desk.cases:
            if case.ticket == SHOWN and not case.decided_otherwise:
                run = evidence.read_run(file, SHOWN, case.agent)
                missing = evidence.missing_in_record(run, reason="needs_human_approval_over_100", person="dana.kim")
                seen = f"missing: {', '.join(missing)}" if missing else "who, why held up, who approved, paid once"
                self.findings.add(f"the record of {SHOWN} shows all of it", ok=not missing, seen=seen)

    def _show_tickets(self) -> None:
        self.screen.heading("How each ticket came out")
        rows = []
        for case in self.desk.cases:
            outcome = case.outcome()
            money = f"{outcome['amount']:>8} {outcome['currency']}" if "amount" in outcome else ""
            verdict = "ok" if case.came_out_right() else " ".join(["WRONG", *case.wrong])
            ticket = case.ticket if case.agent == self.desk.cases[0].agent else f"{case.ticket}, by the model"
            people = self.desk.names(dict.fromkeys(case.decided_by), " and ")
            rows.append((ticket, outcome["outcome"], money, outcome.get("reason", ""), people, verdict))
        self.screen.table(("ticket", "outcome", "refund", "reason", "decided by", ""), rows)

    def _show_books(self, books: dict[str, Any], settled: list[dict[str, Any]]) -> None:
        self.screen.heading("What the payments server's own books say")
        for currency, amount in books["totals"].items():
            self.screen.say(f"  {amount:>10} {currency}")
        again = evidence.answered_again(books)
        said = f"{books['executions']} refunds in {books['attempts']} requests"
        self.screen.say(f"  {said}; {again} asked for again under its key, and not paid again")
        for entry in settled:
            what = f"{entry['what']} ({entry['ticket']})"
            self.screen.say(
                f"  under way when the worker died: {what}, {entry['status']} at attempt {entry['attempts']}"
            )

    def _show_findings(self, file: Path) -> None:
        self.screen.heading("What was checked")
        for finding in self.findings.made:
            self.screen.say(f"  {'yes' if finding.ok else 'NO '}  {finding.what}: {finding.seen}")
        spent = evidence.cost(self.desk.cases)
        self.screen.heading("What it took")
        self.screen.say(f"  {spent['calls']} calls of tools, {self.people.decided} decisions of people")
        self.screen.say(f"  {spent['model_requests']} model requests, {spent['tokens']} tokens, {spent['usd']} USD")
        near, folder = os.path.relpath(file), os.path.relpath(self.place)
        self.screen.say(f"  {self.watch.seconds:.0f} s; the record is {near}, a summary is in {folder}")

    def _summary(
        self, books: dict[str, Any], sums: dict[str, str], settled: list[dict[str, Any]], verified: Verification
    ) -> dict[str, Any]:
        agent = self.desk.cases[0].agent
        return {
            "ok": self.findings.ok,
            "decisions": "scripted" if self.people.scripted else "terminal",
            "tickets": {c.ticket: _entry(c) for c in self.desk.cases if c.agent == agent},
            "model_desk": {c.ticket: _entry(c) for c in self.desk.cases if c.agent != agent},
            "totals": sums,
            "books": {
                "totals": books["totals"],
                "refunds": len(books["refunds"]),
                "executions": books["executions"],
                "attempts": books["attempts"],
                "answered_again": evidence.answered_again(books),
            },
            "cost": evidence.cost(self.desk.cases),
            "worker_kills": self.workers.kills,
            "in_flight_at_kill": settled,
            "verify": verified.to_json(),
            "checks": [asdict(f) for f in self.findings.made],
            "duration_seconds": round(self.watch.seconds, 2),
            "phases_seconds": self.watch.phases,
        }


def _entry(case: Case) -> dict[str, Any]:
    expected = {k: case.expected[k] for k in ("outcome", "amount", "currency", "reason") if k in case.expected}
    blank = dict.fromkeys(("outcome", "amount", "currency", "reason"))
    return {
        "session": case.session,
        "agent": case.agent,
        **blank,
        **case.outcome(),
        "expected": expected,
        "decided_by": case.decided_by,
        "ok": case.came_out_right(),
        "wrong": case.wrong,
    }
