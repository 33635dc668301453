"""A small governed world for measurements: one agent, one no-op tool, everything that the road checks switched on."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import mkdtemp

from remit.config.loader import parse_project
from remit.domain.connections import ToolDefinition
from remit.domain.project import Project
from remit.runtime.connections import tool_digest

AGENT = "bencher"
ACTION = "bench.touch"

FILES = {
    "remit.toml": """
[project]
name = "bench"
[budget.day]
usd = "1000000"
tokens = 1000000000
calls = 100000000
""",
    "directory.yaml": """
people:
  - {id: ada, name: Ada, roles: [risk], workspaces: [lab]}
  - {id: bo, name: Bo, manager: ada, workspaces: [lab]}
roles:
  - {id: risk, title: Risk}
workspaces:
  - {id: lab, title: Lab}
""",
    "connections.yaml": """
connections:
  bench: {transport: stdio, command: [python, server.py], trusted: false}
""",
    "actions.yaml": """
actions:
  bench.touch:
    title: Touch a thing
    effect: write
    raci: {accountable: bo, system_owner: ada, risk_owner: "role:risk", informed: []}
    resource: "Thing::{thing}"
    require: [thing, amount, currency]
    money: {amount: amount, currency: currency}
    caps:
      each: [{amount: 500, currency: USD}]
    reads: [private]
    idempotency: {argument: key}
""",
    "policies/base.cedar": """
@id("small_amounts")
permit (principal == Agent::"bencher", action == Action::"bench.touch", resource)
when { context.args.amount.lessThanOrEqual(decimal("100.0000")) };

@id("over_100")
@reason("needs_human_approval_over_100")
@approval("accountable")
forbid (principal, action == Action::"bench.touch", resource)
when { context.args.amount.greaterThan(decimal("100.0000")) }
unless { context.approved_by.contains("accountable") };

@id("no_secrets_out")
@reason("private_and_external")
forbid (principal, action == Action::"bench.touch", resource)
when { context.labels.contains("private") && context.autonomy == "observe" };
""",
    "agents/bencher/agent.yaml": """
title: Bencher
purpose: Does nothing, often.
owner: bo
escalation: ada
workspace: lab
persistent: It measures.
tools: [bench.touch]
concurrency: null
repeat_limit: 1000
turn_action_limit: 100000
budget:
  session: {usd: 100, tokens: 1000000, calls: 100000}
""",
    "agents/bencher/program.py": "async def run(session):\n    return None\n",
    "server.py": "# never started: the tool's work is done in the process that measures\n",
    "tools.lock.json": """
{"version": 1, "connections": {"bench": {"touch": {
  "name": "touch", "description": "Touch a thing",
  "input_schema": {"type": "object", "properties": {
      "thing": {"type": "string"}, "amount": {"type": "number"}, "currency": {"type": "string"},
      "key": {"type": "string"}}, "required": ["thing", "amount", "currency", "key"]},
  "output_schema": null, "digest": "%s"}}}}
""",
}


def project() -> Project:
    """The world's project, from its files."""
    raw = json.loads(FILES["tools.lock.json"])
    definition = ToolDefinition(**{**raw["connections"]["bench"]["touch"], "digest": ""})
    files = {**FILES, "tools.lock.json": FILES["tools.lock.json"] % tool_digest(definition)}
    return parse_project({path: text.strip().encode() + b"\n" for path, text in files.items()})


def folder() -> Path:
    """A new folder for a database."""
    return Path(mkdtemp(prefix="remit-bench-"))
