"""What the demo has to show for itself: the other side's books, the exported record, and the summary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from demo_parts.cases import Case
from remit.bootstrap import Services
from remit.evidence.export import ExportRequest, write_export
from remit.evidence.verify import Verification, verify_file
from remit.governance.sealer import ensure_sealer_key
from remit.storage.database import connect


@dataclass
class Finding:
    """One thing that was checked."""

    what: str
    ok: bool
    seen: str


@dataclass
class Findings:
    """Everything that was checked."""

    made: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True if all of it is as it should be."""
        return all(f.ok for f in self.made)

    def add(self, what: str, *, ok: bool, seen: Any) -> None:
        """Add one."""
        self.made.append(Finding(what, bool(ok), str(seen)))


def read_books(folder: Path) -> dict[str, Any]:
    """The payments server's own books, asked from the server itself and not from Remit."""
    data = folder / ".remit" / "connections" / "payments"
    command = [sys.executable, str(folder / "servers" / "payments.py"), "--data", str(data), "--books"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    books: dict[str, Any] = json.loads(answer.stdout)
    return books


def totals(entries: Iterator[tuple[str, Decimal]]) -> dict[str, str]:
    """Sums by currency."""
    sums: dict[str, Decimal] = {}
    for currency, amount in entries:
        sums[currency] = sums.get(currency, Decimal(0)) + amount
    return {currency: f"{amount:.2f}" for currency, amount in sorted(sums.items())}


def compare_books(books: dict[str, Any], cases: list[Case], findings: Findings) -> dict[str, str]:
    """Hold what Remit says against the books. Returns the totals by currency, as Remit has them."""
    made = [a for c in cases for a in c.refunds()]
    ours = totals((a["args"]["currency"], Decimal(str(a["args"]["amount"]))) for a in made)
    told = totals(
        (o["currency"], Decimal(o["amount"])) for c in cases for o in [c.outcome()] if o["outcome"] == "refunded"
    )
    findings.add("the ledger's refunds add up to the books' totals", ok=ours == books["totals"], seen=books["totals"])
    findings.add("so do the outcomes that the desks reported", ok=told == books["totals"], seen=told)
    keys = Counter(refund["idempotency_key"] for refund in books["refunds"])
    same = keys == Counter(a["id"] for a in made)
    findings.add("every refund in the books is one action in the ledger", ok=same, seen=f"{len(keys)} refunds")
    once = books["executions"] == len(made) == len(keys)
    findings.add("every refund was executed exactly once", ok=once, seen=f"{books['executions']} executions")
    return ours


def answered_again(books: dict[str, Any]) -> int:
    """How often the books were asked for a refund that they had made already, and answered with that one."""
    return sum(entry["answered_again"] for entry in books["by_charge"].values())


def cost(cases: list[Case]) -> dict[str, Any]:
    """What it took."""
    made = [a for c in cases for a in c.actions]
    micros = sum(a["usd_micros"] for a in made)
    return {
        "usd": f"{Decimal(micros) / 1_000_000:f}",
        "calls": sum(a["mode"] != "model" for a in made),
        "model_requests": sum(a["mode"] == "model" for a in made),
        "tokens": sum(a["input_tokens"] + a["output_tokens"] for a in made),
    }


def export(services: Services, file: Path, by: str) -> Verification:
    """Export the whole record and verify it, held against the key and a checkpoint from outside the database."""
    key = ensure_sealer_key(services.state).verifier
    declared = services.deployments.load().project.actions
    redact = {name: kind.redact for name, kind in declared.items() if kind.redact}
    sealer = services.sealer()
    try:
        with (
            os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out,
            connect(services.url, autocommit=True) as db,
        ):
            write_export(db, out, key, ExportRequest(by=by, redact=redact), sealer.seal_once)
    finally:
        sealer.close()
    outside = services.state / "checkpoints" / "latest.checkpoint"
    return verify_file(file, key=key, outside=[outside.read_text("utf-8")])


def read_run(file: Path, ticket: str, agent: str) -> dict[str, Any]:
    """The line of one ticket in an export. Raises KeyError if there is none."""
    with file.open(encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            if line["kind"] == "run" and (line["request_id"], line["agent_id"]) == (ticket, agent):
                found: dict[str, Any] = line
                return found
    raise KeyError(f"{file} holds no run of {agent} on {ticket}")


def missing_in_record(run: dict[str, Any], *, reason: str, person: str) -> list[str]:
    """What a run's line should say of a refund that a person approved and does not; empty where all of it is there."""
    calls = {call["tool"]: call for call in run["tool_calls"]}
    refund = calls.get("payments.refund", {})
    approved = [(a["person"], a["used_at"] is not None) for a in refund.get("approved_by", ())]
    decided = [(d.get("verdict"), d.get("by")) for d in run["human_override"] or ()]
    said = {
        "who acted": bool(run["agent_id"] and run["agent_version"]),
        "in which workflow": run["workflow"] == "refunds",
        "the ticket": run["inputs"] == {"ticket_id": run["request_id"]},
        "that the ticket was read": calls.get("helpdesk.get_ticket", {}).get("status") == "succeeded",
        "that one refund was made": [c["tool"] for c in run["tool_calls"]].count("payments.refund") == 1
        and refund["status"] == "succeeded",
        "why it was held up": refund.get("reason") == reason,
        "by which policy": bool(refund.get("policy_ids")),
        "under which version of the policies": bool(run["policy_version"]),
        "who approved it, once": approved == [(person, True)],
        "what people decided": decided == [("approved", person)],
        "that the customer was answered": calls.get("helpdesk.reply", {}).get("status") == "succeeded",
        "the output": bool(run["output"]),
    }
    return [what for what, there in said.items() if not there]
