"""The people of Acme: asked at the terminal, or played from `expected.json` where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from demo_parts.cases import Case, Desk
from demo_parts.screen import PlainScreen, printable
from remit.bootstrap import Services
from remit.domain.inbox import InboxItem, ItemKind
from remit.governance.desk import Decider


@dataclass(frozen=True)
class Answer:
    """What somebody says: `approve`, `deny`, or the answer to a question."""

    value: str
    reason: str


class People:
    """Decides about what waits. Every decision is recorded as simulated, as `--as` on the command line is."""

    def __init__(self, services: Services, screen: PlainScreen, desk: Desk, *, scripted: bool) -> None:
        self.scripted = scripted
        self.decided = 0
        self._services = services
        self._screen = screen
        self._desk = desk

    def attend(self, case: Case, item: InboxItem) -> None:
        """Decide about one item, each role by another person. Raises EOFError if whoever is asked leaves."""
        planned = self._planned(case, item)
        if item.kind is not ItemKind.APPROVAL:
            person = item.assignees[0]
            said = self._say(case, item, person, planned)
            self._services.sessions.answer(item.id, Decider(person, simulated=True), said.value, said.reason)
            self._tell(case, person, f"answers {said.value}", said.reason)
            return
        deciding: set[str] = set()
        for role in item.roles:
            person = next(p for p in item.detail["by_role"][role] if p not in deciding)
            deciding.add(person)
            said = self._say(case, item, person, planned, role)
            verb = self._services.sessions.approve if said.value == "approve" else self._services.sessions.deny
            verb(item.id, Decider(person, simulated=True), said.reason)
            self._tell(case, person, f"{'approves' if said.value == 'approve' else 'denies'} it as {role}", said.reason)
            if said.value == "deny":
                return

    def _tell(self, case: Case, person: str, verb: str, reason: str) -> None:
        self.decided += 1
        case.decided_by.append(person)
        name = self._desk.names([person])
        self._screen.line("person", case.ticket, f"{name} {verb}{f': {reason}' if reason else ''}")

    # -- what the script says --------------------------------------------------------------------------------------

    def _planned(self, case: Case, item: InboxItem) -> Answer:
        match item.kind:
            case ItemKind.APPROVAL:
                return self._planned_approval(case, item)
            case ItemKind.QUESTION:
                given = case.expected["questions"]
                if given:
                    return Answer(given[0]["answer"], "")
                case.wrong.append(f"asked a question that was not expected: {item.summary}")
                return Answer("none", "not expected")
            case ItemKind.RECONCILIATION:
                return self._looked_up(item)
        case.wrong.append(f"stopped: {item.summary}")
        return Answer("cancel", "not expected")

    def _planned_approval(self, case: Case, item: InboxItem) -> Answer:
        codes = {r["code"] for r in item.detail["reasons"]}
        for planned in case.expected["approvals"]:
            if planned["action"] == item.detail["action"] and planned["reason"] in codes:
                if sorted(planned["roles"]) != sorted(item.roles):
                    case.wrong.append(f"asked {', '.join(item.roles)} instead of {', '.join(planned['roles'])}")
                return Answer(planned["decision"], planned.get("note", "The ticket and the charge bear it out."))
        case.wrong.append(f"asked for an approval that was not expected: {item.summary}")
        return Answer("deny", "This was not expected.")

    def _looked_up(self, item: InboxItem) -> Answer:
        """Nobody but the other system knows whether it happened: look there, as its owner would."""
        wanted = self._arguments(item)
        folder = self._services.folder
        command = [sys.executable, str(folder / "servers" / "crm.py"), "--data", str(folder / ".remit/connections/crm")]
        found = subprocess.run([*command, "--changes"], capture_output=True, text=True, check=True)  # noqa: S603
        there = any(n["text"] == wanted.get("text") for n in json.loads(found.stdout)["notes"])
        seen = "The note is in the CRM." if there else "There is no such note in the CRM."
        return Answer("happened" if there else "did-not-happen", seen)

    def _arguments(self, item: InboxItem) -> dict[str, Any]:
        from remit.storage import actions  # noqa: PLC0415 - only after a crash in an unlucky moment

        with self._services.sessions.transaction() as db:
            found: dict[str, Any] = actions.get(db, item.action_id or "")["args"]
        return found

    # -- whoever sits at the terminal ------------------------------------------------------------------------------

    def _say(self, case: Case, item: InboxItem, person: str, planned: Answer, role: str | None = None) -> Answer:
        if self.scripted:
            return planned
        said = self._screen.ask(lambda: self._prompt(item, person, planned, role))
        if said == "rest":
            self.scripted = True
            return planned
        if said in {"", planned.value}:
            return planned
        case.decided_otherwise = True
        reason = self._screen.ask(lambda: input("  Why? ").strip())
        return Answer(said, reason or "decided at the terminal")

    def _prompt(self, item: InboxItem, person: str, planned: Answer, role: str | None) -> str:
        self._describe(item, person, role)
        offered = self._offered(item)
        for number, value in enumerate(offered, 1):
            print(f"    {number}  {printable(value)}")
        print(f"  Enter: {printable(planned.value)}, as in expected.json   r: that for all the rest   Ctrl-C: leave")
        while True:
            typed = input("  > ").strip()
            if typed in {"r", "rest"}:
                return "rest"
            if typed == "" or typed in offered:
                return typed
            if typed.isdigit() and 1 <= int(typed) <= len(offered):
                return offered[int(typed) - 1]
            print(f"  Type a number from 1 to {len(offered)}, r, or just Enter.")

    def _describe(self, item: InboxItem, person: str, role: str | None) -> None:
        detail = item.detail
        self._screen.heading(f"You are {self._desk.names([person])}{f', {role}' if role else ''}.")
        said = [("question" if item.kind is ItemKind.QUESTION else "what", detail.get("question") or item.summary)]
        said += [("why", detail.get("why"))]
        said += [("because", f"{r['text']} ({r['code']})") for r in detail.get("reasons") or ()]
        policies = self._services.deployments.current().policy.policies
        for name in (name for name in detail.get("policy_ids") or () if name in policies):
            statement = policies[name].statement
            said.append(("policy", f"{name}, {statement.file}:{statement.line}"))
        for name, change in (detail.get("changes") or {}).items():
            said.append(("there now", f"{name}: {change['now']}, asked for: {change['then']}"))
        for label, value in said:
            if value:
                print(f"  {label:<10} {printable(str(value))}")
        print()

    @staticmethod
    def _offered(item: InboxItem) -> list[str]:
        match item.kind:
            case ItemKind.APPROVAL:
                return ["approve", "deny"]
            case ItemKind.RECONCILIATION:
                return ["happened", "did-not-happen"]
            case ItemKind.ATTENTION:
                return ["continue", "cancel"]
        return [str(value) for value in item.detail["schema"].get("enum", ())]
