"""Budgets: money, tokens and calls, reserved before they are spent.

Money inside Remit is an integer number of micro-dollars, so that sums are exact and fit a bigint.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from pydantic import Field

from remit.domain.declared import Amount, Declared

MICRO = 1_000_000


def micros(amount: Decimal) -> int:
    """Micro-units of an amount, rounded up: a limit is never overspent by rounding."""
    return int((amount * MICRO).to_integral_value(rounding=ROUND_CEILING))


def from_micros(value: int) -> Decimal:
    """The amount behind a number of micro-units."""
    return Decimal(value) / MICRO


class Limit(Declared):
    """An upper limit on what may be used; None is no limit of that kind."""

    usd: Amount | None = None
    """Money, in USD."""
    tokens: int | None = Field(default=None, ge=0)
    """Tokens of models, sent and answered together."""
    calls: int | None = Field(default=None, ge=0)
    """Calls of tools and requests to models."""


class DayBudget(Declared):
    """Limits for one day (UTC) of everything that the budget covers."""

    day: Limit | None = None
    """What may be used from midnight to midnight, UTC."""

    @property
    def limits_money(self) -> bool:
        """True if some limit is on money."""
        return self.day is not None and self.day.usd is not None


class BudgetSpec(DayBudget):
    """Limits of an agent: for one day of all its sessions, and for each session."""

    session: Limit | None = None
    """What one session may use, from its first turn to its last."""

    @property
    def limits_money(self) -> bool:
        """True if some limit is on money."""
        return super().limits_money or (self.session is not None and self.session.usd is not None)


@dataclass(frozen=True, slots=True)
class Usage:
    """What an action reserves or has cost."""

    usd_micros: int = 0
    tokens: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class BudgetKey:
    """One row that an action reserves in: its id, and its limits as of the snapshot (None: unlimited).

    Ids read `session:ID`, `agent:NAME:2026-11-21`, `workflow:NAME:2026-11-21`, `project:2026-11-21` and, for caps,
    `cap:payments.refund:USD:2026-11-21`, where money is in the cap's own currency.
    """

    id: str
    usd_micros: int | None = None
    tokens: int | None = None
    calls: int | None = None
