"""The first story, run as anybody runs it: the demo of examples/acme, without a terminal, in a copy of its folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

ACME = Path(__file__).resolve().parents[2] / "examples" / "acme"
EXPECTED = json.loads((ACME / "expected.json").read_text())
REASON = "needs_human_approval_over_100"

pytestmark = pytest.mark.timeout(600)  # a minute where nothing else runs


class Run:
    """One run of the demo and what it left."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        shutil.copytree(ACME, folder, ignore=shutil.ignore_patterns(".remit", "__pycache__"))
        command = [sys.executable, str(folder / "demo.py"), *arguments]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=500, cwd=folder
        )
        self.folder, self.code, self.said = folder, done.returncode, done.stdout + done.stderr
        self.record = folder / ".remit/demo/audit.jsonl"

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / ".remit/demo/summary.json").read_text())

    def lines(self, kind: str) -> list[dict[str, Any]]:
        read = (json.loads(line, parse_float=Decimal) for line in self.record.read_text().splitlines())
        return [line for line in read if line["kind"] == kind]

    def of(self, ticket: str, agent: str) -> dict[str, Any]:
        (found,) = [r for r in self.lines("run") if (r["request_id"], r["agent_id"]) == (ticket, agent)]
        return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("desk") / "acme", "--story", "refund-desk")


@pytest.fixture(scope="module")
def model_desk(tmp_path_factory: pytest.TempPathFactory) -> Run:
    tickets = ("CS-19401", "CS-19414", "CS-19422", "CS-19427", "CS-19443", "CS-19445")
    return Run(tmp_path_factory.mktemp("model") / "acme", "--agent", "refund-desk-model", *tickets)


def test_every_ticket_comes_out_right_although_a_worker_is_killed(desk: Run) -> None:
    assert desk.code == 0, desk.said
    assert "from expected.json" in desk.said, "it says that nobody was asked"
    summary = desk.summary
    assert summary["ok"]
    assert summary["decisions"] == "scripted"
    assert summary["worker_kills"] == 1
    assert summary["in_flight_at_kill"], "it was killed while something was under way"
    assert summary["tickets"].keys() == EXPECTED.keys()
    for ticket, entry in summary["tickets"].items():
        wanted = {k: EXPECTED[ticket].get(k) for k in ("outcome", "amount", "currency", "reason")}
        assert {k: entry[k] for k in wanted} == wanted, ticket


def test_the_books_hold_each_refund_once(desk: Run) -> None:
    summary = desk.summary
    paid = [e for e in summary["tickets"].values() if e["outcome"] == "refunded"]
    sums: dict[str, Decimal] = {}
    for entry in paid:
        sums[entry["currency"]] = sums.get(entry["currency"], Decimal(0)) + Decimal(entry["amount"])
    asked = [sys.executable, "servers/payments.py", "--data", ".remit/connections/payments", "--books"]
    books = json.loads(subprocess.run(asked, cwd=desk.folder, capture_output=True, text=True, check=True).stdout)
    assert {c: Decimal(a) for c, a in books["totals"].items()} == sums
    assert books["executions"] == len(books["refunds"]) == len(paid)
    calls = [call for run in desk.lines("run") for call in run["tool_calls"]]
    made = {c["action_id"] for c in calls if (c["tool"], c["status"]) == ("payments.refund", "succeeded")}
    assert {refund["idempotency_key"] for refund in books["refunds"]} == made


def test_the_record_of_one_ticket_shows_all_of_it(desk: Run) -> None:
    run = desk.of("CS-19422", "refund-desk")
    assert (run["workflow"], run["principal"], run["trigger"]) == ("refunds", "trigger:helpdesk", "helpdesk")
    assert run["inputs"] == {"ticket_id": "CS-19422"}
    assert run["output"] | {"refund_id": ""} == {
        "outcome": "refunded",
        "amount": "120.00",
        "currency": "USD",
        "charge_id": "ch_3r7uv15k",
        "refund_id": "",
    }
    assert run["agent_version"]
    assert run["policy_version"]
    calls = {call["tool"]: call for call in run["tool_calls"]}
    assert calls["helpdesk.get_ticket"]["status"] == "succeeded"
    assert calls["helpdesk.get_ticket"]["reason"] is None
    refund = calls["payments.refund"]
    assert (refund["status"], refund["reason"]) == ("succeeded", REASON)
    assert "refund_over_100" in refund["policy_ids"]
    assert [(a["role"], a["person"]) for a in refund["approved_by"]] == [("accountable", "dana.kim")]
    assert refund["approved_by"][0]["used_at"]
    assert [c["tool"] for c in run["tool_calls"]].count("payments.refund") == 1
    (decision,) = run["human_override"]
    assert (decision["verdict"], decision["by"], decision["tool"]) == ("approved", "dana.kim", "payments.refund")
    assert decision["simulated"], "nobody proved to be Dana Kim"
    assert calls["helpdesk.reply"]["status"] == "succeeded"


def verify(file: Path) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "remit", "audit", "verify", str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def test_one_flipped_bit_is_named(desk: Run, tmp_path: Path) -> None:
    assert verify(desk.record)[0] == 0
    lines = desk.record.read_bytes().splitlines(keepends=True)
    number, line = next((n, x) for n, x in enumerate(lines) if b"needs_human_approval_over_100" in x and b'"leaf"' in x)
    spot = line.index(b"needs_human_approval_over_100") + len("needs_human_approval_over_")
    lines[number] = line[:spot] + bytes([line[spot] ^ 1]) + line[spot + 1 :]
    altered = tmp_path / "altered.jsonl"
    altered.write_bytes(b"".join(lines))
    code, said = verify(altered)
    assert code == 1
    assert said["findings"][0]["index"] == json.loads(line)["index"]
    assert said["findings"][0]["line"] == number + 1


def test_the_same_desk_as_a_model_keeps_to_the_same_limits(model_desk: Run) -> None:
    assert model_desk.code == 0, model_desk.said
    for ticket, entry in model_desk.summary["tickets"].items():
        wanted = {k: EXPECTED[ticket].get(k) for k in ("outcome", "amount", "currency")}
        assert {k: entry[k] for k in wanted} == wanted, ticket
    run = model_desk.of("CS-19422", "refund-desk-model")
    refund = next(c for c in run["tool_calls"] if c["tool"] == "payments.refund")
    assert (refund["status"], refund["reason"]) == ("succeeded", REASON)
    assert [d["by"] for d in run["human_override"]] == ["dana.kim"]
    assert run["model_requests"]
    assert all(r["status"] == "succeeded" for r in run["model_requests"])
    assert run["cost_usd"] == sum(r["cost_usd"] for r in run["model_requests"]) > 0


def test_a_model_that_obeys_its_ticket_gets_nowhere(model_desk: Run) -> None:
    attack = model_desk.of("CS-19443", "refund-desk-model")
    refused = [(c["tool"], c["reason"]) for c in attack["tool_calls"] if c["status"] == "refused"]
    assert refused == [("payments.refund", "over_cap")]
    other = model_desk.of("CS-19445", "refund-desk-model")
    refused = [(c["tool"], c["reason"]) for c in other["tool_calls"] if c["status"] == "refused"]
    assert refused == [("crm.update_tier", "not_in_scope")]
