"""Workflows: who owns a piece of work, which layer each step stands in, and what counts as its outcome."""

from __future__ import annotations

from typing import Literal

from remit.domain.budgets import DayBudget
from remit.domain.declared import Declared, PersonOrRole, ToolName


class Step(Declared):
    """One step of a workflow."""

    title: str
    """What is done."""
    layer: Literal["decide", "execute", "record"]
    """`decide` is a human, `execute` an agent, `record` a system."""
    action: ToolName | None = None
    """The action type that does it, where one does."""


class Workflow(Declared):
    """A piece of the company's work."""

    title: str
    """What people call it."""
    owner: PersonOrRole
    """Who answers for it."""
    steps: tuple[Step, ...] = ()
    """What is done, in order."""
    outcome: str = ""
    """What is counted as done, in words."""
    budget: DayBudget = DayBudget()
    """What all its agents together may use in one day; a limit for sessions has no effect here."""
