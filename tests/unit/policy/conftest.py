"""A small project to judge: a refund desk, a helpdesk, a file share, and the language model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from remit.domain.actions import ActionType, Cap, Caps, Effect, Idempotency, Label, Money, Raci, Risk
from remit.domain.agents import AgentSpec
from remit.domain.connections import ToolDefinition
from remit.domain.decisions import Verdict
from remit.domain.directory import Directory, Person, RoleSpec
from remit.errors import Problem
from remit.governance.policy import PolicyEngine, PolicyQuestion

REFUNDS = """\
// Refunds: small ones alone, larger ones with a person, none above 500.
@id("refunds")
permit (principal, action == Action::"payments.refund", resource)
when { context.args.currency == "USD" };

@id("refund_over_100")
@approval("accountable")
@reason("needs_human_approval_over_100")
@advice("Refunds over 100 USD are decided by a person.")
forbid (principal, action == Action::"payments.refund", resource)
when { context.args.amount.greaterThan(decimal("100.00")) }
unless { context.approved_by.contains("accountable") };

@id("refund_cap")
@reason("over_policy_cap")
forbid (principal, action in Action::"money-out", resource)
when { context.money.amount.greaterThan(decimal("500.00")) };
"""


def tool(name: str, required: list[str], **properties: Any) -> ToolDefinition:
    return ToolDefinition(name=name, input_schema={"type": "object", "properties": properties, "required": required})


RACI = Raci(accountable="mara.lind", system_owner="role:finance", risk_owner="ines.roy")
NULLABLE_NUMBER = {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None}

ACTIONS = {
    "payments.refund": ActionType(
        title="Refund a charge",
        effect=Effect.WRITE,
        raci=RACI,
        risk=Risk.HIGH,
        resource="Charge::{charge_id}",
        require=("amount",),
        defaults={"currency": "USD"},
        money=Money(amount="amount", currency="currency"),
        caps=Caps(
            each=(Cap(amount=Decimal(800), currency="USD"),), per_day=(Cap(amount=Decimal(5000), currency="USD"),)
        ),
        idempotency=Idempotency(argument="idempotency_key"),
        sends=frozenset({Label.EXTERNAL}),
        groups=("money-out",),
    ),
    "helpdesk.read": ActionType(title="Read a ticket", effect=Effect.READ, resource="Ticket::{ticket.id}"),
    "files.write": ActionType(title="Write a file", effect=Effect.WRITE, raci=RACI, resource="File::{path}"),
    "files.move": ActionType(title="Move a page", effect=Effect.WRITE, raci=RACI, resource="Page::{space}/{page}"),
}

TOOLS = {
    "payments.refund": tool(
        "refund",
        ["charge_id"],
        charge_id={"type": "string"},
        amount=NULLABLE_NUMBER,
        currency={"type": "string", "default": "USD"},
        note={"type": "string"},
        score={"type": "number"},
        idempotency_key={"type": "string"},
    ),
    "helpdesk.read": ToolDefinition(
        name="read",
        input_schema={
            "type": "object",
            "$defs": {"queue": {"enum": ["billing", "other"]}},
            "properties": {
                "ticket": {
                    "type": "object",
                    "properties": {
                        "id": {"type": "integer"},
                        "queue": {"$ref": "#/$defs/queue"},
                        "seen": {"type": "boolean"},
                    },
                    "required": ["id", "queue"],
                },
                "tags": {"type": "array", "items": {"type": "string"}},
                "count": {"type": "integer"},
                "urgent": {"type": ["boolean", "null"]},
                "price": {"anyOf": [{"type": "number"}, {"type": "string"}]},
                "anything": {},
                "rows": {"type": "array", "items": {"type": "object"}},
            },
            "required": ["ticket", "tags", "count", "urgent", "price", "anything", "rows"],
        },
    ),
    "files.write": tool("write", ["path"], path={"type": "string"}, text={"type": "string"}),
    "files.move": tool("move", ["space", "page"], space={"type": "string"}, page={"type": "string"}),
}

DIRECTORY = Directory(
    people=(
        Person(id="mara.lind", name="Mara Lind", roles=("finance",), workspaces=("support",)),
        Person(id="ines.roy", name="Ines Roy", roles=("risk",)),
    ),
    roles=(RoleSpec(id="finance", title="Finance"), RoleSpec(id="risk", title="Risk")),
)

DESK = AgentSpec(
    title="Refund desk",
    purpose="Refunds what was charged wrongly.",
    owner="mara.lind",
    escalation="mara.lind",
    workspace="support",
    workflow="refunds",
)

USUAL: dict[str, dict[str, Any]] = {
    "payments.refund": {"charge_id": "ch_1", "amount": 50, "currency": "USD"},
    "helpdesk.read": {
        "ticket": {"id": 7, "queue": "billing"},
        "tags": ["a"],
        "count": 3,
        "urgent": False,
        "price": 1,
        "anything": 1,
        "rows": [],
    },
    "files.write": {"path": "reports/a.txt"},
    "files.move": {"space": "hr", "page": "pay"},
    "model.request": {"model": "test:scripted"},
}


@dataclass
class Desk:
    """The project with other policies or action types, and short ways to ask it."""

    refunds: str = REFUNDS
    directory: Directory = DIRECTORY
    agent: AgentSpec = DESK
    actions: dict[str, ActionType] = field(default_factory=lambda: dict(ACTIONS))
    tools: dict[str, ToolDefinition] = field(default_factory=lambda: dict(TOOLS))

    def engine(self, text: str = REFUNDS, **files: str) -> PolicyEngine:
        return PolicyEngine.load(self.files(text, files), self.actions, self.tools.get, DIRECTORY, {"desk": DESK})

    def check(self, text: str = REFUNDS, **files: str) -> list[Problem]:
        return PolicyEngine.check(self.files(text, files), self.actions, self.tools.get, DIRECTORY)

    @staticmethod
    def files(text: str, files: dict[str, str]) -> dict[str, str]:
        return {"policies/main.cedar": text, **{f"policies/{name}.cedar": t for name, t in files.items()}}

    @staticmethod
    def question(
        action: str = "payments.refund", *, facts: dict[str, Any] | None = None, **args: Any
    ) -> PolicyQuestion:
        given = {**USUAL.get(action, {}), **args}
        values: dict[str, Any] = {
            "agent": "desk",
            "person": None,
            "assisted": False,
            "action": action,
            "args": {k: v for k, v in given.items() if v is not ...},
            "autonomy": "supervised",
            "labels": frozenset(),
            "usd_micros": 0,
            "tokens": 0,
            "calls": 0,
            "workspace": "support",
            "workflow": "refunds",
            "trigger": "api",
            **(facts or {}),
        }
        return PolicyQuestion(**values)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture(scope="session")
def desk_engine() -> PolicyEngine:
    """The refund policies, loaded once: nothing that is judged changes an engine."""
    return Desk().engine()


@pytest.fixture
def codes() -> Callable[[Verdict], tuple[str, ...]]:
    return lambda verdict: tuple(str(r.code) for r in verdict.reasons)
