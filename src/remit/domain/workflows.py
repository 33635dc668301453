"""Workflows: who owns a piece of work, which layer each step stands in, and what counts as its outcome."""

from __future__ import annotations

from typing import Literal

from remit.domain.budgets import BudgetSpec
from remit.domain.declared import Declared, PersonOrRole, ToolName


class Step(Declared):
    """One step of a workflow."""

    title: str
    layer: Literal["decide", "execute", "record"]
    """`decide` is a human, `execute` an agent, `record` a system."""
    action: ToolName | None = None


class Workflow(Declared):
    """A piece of the company's work."""

    title: str
    owner: PersonOrRole
    steps: tuple[Step, ...] = ()
    outcome: str = ""
    """What is counted as done, in words."""
    budget: BudgetSpec = BudgetSpec()
