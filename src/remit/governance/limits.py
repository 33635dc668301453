"""What an action draws on: budgets, caps, rates and concurrency, from the files to rows of the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from remit.domain.actions import ActionType, Rate
from remit.domain.agents import AgentSpec
from remit.domain.budgets import Limit, Usage, micros
from remit.domain.decisions import Reason, ReasonCode
from remit.domain.declared import parse_amount
from remit.domain.intents import BudgetDraw, LimiterDraw
from remit.domain.project import Project


@dataclass(frozen=True, slots=True)
class MoneyMoved:
    """The money an action moves, as its arguments say."""

    amount: Decimal
    currency: str


def money_moved(action_type: ActionType, args: dict[str, Any]) -> MoneyMoved | Reason | None:
    """The money that the arguments move; a Reason to refuse where they do not say it clearly; None where none moves."""
    if action_type.money is None:
        return None
    amount, currency = args.get(action_type.money.amount), args.get(action_type.money.currency)
    if not isinstance(currency, str) or amount is None:
        return Reason(
            ReasonCode.ARGUMENT_REQUIRED,
            f"`{action_type.money.amount}` and `{action_type.money.currency}` say how much",
        )
    try:
        return MoneyMoved(parse_amount(amount), currency)
    except ValueError as error:
        return Reason(ReasonCode.ARGUMENTS_INVALID, f"`{action_type.money.amount}`: {error}")


def over_each_cap(action_type: ActionType, moved: MoneyMoved) -> Reason | None:
    """A Reason to refuse if one action moves more than its type ever may."""
    for caps, text in ((action_type.caps.each, "at once"), (action_type.caps.per_day, "a day")):
        if not caps:
            continue
        cap = next((c for c in caps if c.currency == moved.currency), None)
        if cap is None:
            return Reason(ReasonCode.OVER_CAP, f"no cap is declared for {moved.currency}, so none may be moved")
        if moved.amount > cap.amount:
            return Reason(
                ReasonCode.OVER_CAP, f"{moved.amount} {moved.currency} is over the cap of {cap.amount} {text}"
            )
    return None


def budget_draws(
    project: Project,
    agent: AgentSpec,
    *,
    agent_id: str,
    session_id: str,
    action: str,
    action_type: ActionType,
    moved: MoneyMoved | None,
    usage: Usage,
    now: datetime,
) -> tuple[BudgetDraw, ...]:
    """Every budget that covers an action, in id order, with what the action takes from it."""
    day = now.strftime("%Y-%m-%d")
    covering: list[tuple[str, Limit | None]] = [
        (f"agent:{agent_id}:{day}", agent.budget.day),
        (f"project:{day}", project.settings.budget.day),
        (f"session:{session_id}", agent.budget.session),
    ]
    workflow = project.workflows.get(agent.workflow) if agent.workflow else None
    if workflow is not None:
        covering.append((f"workflow:{agent.workflow}:{day}", workflow.budget.day))
    draws = [_draw(budget_id, limit, usage) for budget_id, limit in covering if limit is not None]
    if moved is not None:
        cap = next((c for c in action_type.caps.per_day if c.currency == moved.currency), None)
        if cap is not None:
            draws.append(
                BudgetDraw(
                    id=f"cap:{action}:{cap.currency}:{day}", usd=micros(moved.amount), usd_limit=micros(cap.amount)
                )
            )
    return tuple(sorted(draws, key=lambda d: d.id))


def money_budget_covers(project: Project, agent: AgentSpec) -> bool:
    """True if any budget over this agent limits money; then a model without a price is refused."""
    workflow = project.workflows.get(agent.workflow) if agent.workflow else None
    budgets = (agent.budget, project.settings.budget, *([workflow.budget] if workflow else []))
    return any(budget.limits_money for budget in budgets)


def limiter_draws(
    project: Project, agent: AgentSpec, *, agent_id: str, action: str, action_type: ActionType
) -> tuple[LimiterDraw, ...]:
    """The rate and concurrency limits that an action passes, in key order."""
    connection = project.connections.get(action.partition(".")[0])
    declared: list[tuple[str, Rate | None, int | None]] = [
        (f"agent:{agent_id}", None, agent.concurrency),
        (f"type:{action}", action_type.rate, action_type.concurrency),
    ]
    if connection is not None:
        declared.append((f"connection:{action.partition('.')[0]}", connection.rate, connection.concurrency))
    return tuple(
        LimiterDraw(key, rate.per_second if rate else None, rate.burst if rate else 1, concurrency)
        for key, rate, concurrency in sorted(declared, key=lambda d: d[0])
        if rate is not None or concurrency is not None
    )


def _draw(budget_id: str, limit: Limit, usage: Usage) -> BudgetDraw:
    return BudgetDraw(
        id=budget_id,
        usd=usage.usd_micros,
        tokens=usage.tokens,
        calls=usage.calls,
        usd_limit=None if limit.usd is None else micros(limit.usd),
        tokens_limit=limit.tokens,
        calls_limit=limit.calls,
    )
