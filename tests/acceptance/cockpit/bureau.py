"""The shop with more in it: an agent of another workspace, triggers, a workflow, policies for this one and that one."""

from __future__ import annotations

from tests.acceptance.cockpit.office import DIRECTORY
from tests.acceptance.shop import FILES

HOSTILE = "<script>alert(1)</script> \u202eexe.gpj"
"""What an agent or an outsider may write: markup, and text that runs backwards."""

MORE = {
    "directory.yaml": DIRECTORY,
    "workflows.yaml": """
workflows:
  payments:
    title: Payments
    owner: bo
    outcome: Somebody is paid, or told why not
    steps:
      - {title: Look at the till, layer: record, action: till.peek}
      - {title: Decide what is unclear, layer: decide}
      - {title: Pay, layer: execute, action: till.pay}
      - {title: Tell the world, layer: execute}
    budget: {day: {calls: 90000}}
  secrets:
    title: Hidden work
    owner: otto
    steps: [{title: Guard, layer: execute}]
""",
    "triggers.yaml": """
triggers:
  nightly: {kind: schedule, agent: clerk, cron: "0 3 * * *", input: {steps: [{tool: peek}]}}
  bell: {kind: event, agent: clerk, on: emit, name: rung, input: {steps: []}}
  vault-watch: {kind: schedule, agent: keeper, cron: "0 4 * * *", input: {steps: []}}
""",
    "agents/clerk/agent.yaml": FILES["agents/clerk/agent.yaml"].replace(
        "concurrency: 40", "workflow: payments\nnever: [Pay anybody whom it does not know]\nconcurrency: 40"
    ),
    "agents/keeper/agent.yaml": """
title: Keeper
purpose: Watches the vault.
owner: otto
escalation: otto
workspace: vault
workflow: secrets
persistent: It never sleeps.
tools: [till.find]
""",
    "agents/keeper/program.py": FILES["agents/clerk/program.py"],
    "policies/vault.cedar": """
@id("keeper_finds")
permit (principal == Agent::"keeper", action == Action::"till.find", resource);

@id("wires_are_shut")
@description("nobody wires money, except where otto keeps watch")
forbid (principal, action == Action::"till.wire", resource)
when { !["keeper", "nobody"].contains(context.trigger) };
""",
}
"""Files by path; `__` stands for `/` where they are given by name."""


def named() -> dict[str, str]:
    """The files as `changed_shop` takes them."""
    return {path.replace("/", "__"): text for path, text in MORE.items()}
