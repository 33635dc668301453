"""How much of the day's budgets and caps is used, and what is left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from remit.domain.budgets import Usage, micros
from remit.domain.intents import BudgetDraw
from remit.governance import limits
from remit.governance.state import MODEL_REQUEST_TYPE, Governance
from remit.storage import budgets
from remit.storage.sessions import Db


@dataclass(frozen=True, slots=True)
class Room:
    """What one budget or cap has left."""

    id: str
    what: Literal["money", "tokens", "calls"]
    currency: str
    takes: int
    """What is tried out takes so much of it."""
    used: int
    limit: int

    @property
    def fits(self) -> bool:
        """True if the action fits in."""
        return self.used + self.takes <= self.limit


def rooms(draws: Iterable[BudgetDraw], used: dict[str, Usage]) -> tuple[Room, ...]:
    """The limits behind these draws, in their order."""
    return tuple(room for draw in draws for room in _of(draw, used[draw.id]))


def rooms_today(governance: Governance, db: Db, agents: Iterable[str], *, caps: bool = False) -> dict[str, list[Room]]:
    """What each of these agents has left today: its own budget, its workflow's, the project's; and caps, if asked."""
    draws = {agent: list(_daily(governance, agent, caps=caps)) for agent in agents}
    used = budgets.used(db, sorted({d.id for of in draws.values() for d in of}))
    return {agent: list(rooms(of, used)) for agent, of in draws.items()}


def _daily(governance: Governance, agent: str, *, caps: bool) -> Iterator[BudgetDraw]:
    now = datetime.now(UTC)
    spec = governance.project.agents[agent].spec
    for draw in limits.budget_draws(
        governance.project,
        spec,
        agent_id=agent,
        session_id="",
        action="",
        action_type=MODEL_REQUEST_TYPE,
        moved=None,
        usage=Usage(),
        now=now,
    ):
        if not draw.id.startswith("session:"):
            yield draw
    for name in spec.tools if caps else ():
        kind = governance.action_type(name)
        for cap in kind.caps.per_day if kind is not None else ():
            yield BudgetDraw(id=f"cap:{name}:{cap.currency}:{now:%Y-%m-%d}", usd_limit=micros(cap.amount))


def _of(draw: BudgetDraw, use: Usage) -> Iterator[Room]:
    if draw.usd_limit is not None:
        currency = draw.id.split(":")[2] if draw.id.startswith("cap:") else "USD"
        yield Room(draw.id, "money", currency, draw.usd, use.usd_micros, draw.usd_limit)
    if draw.tokens_limit is not None:
        yield Room(draw.id, "tokens", "", draw.tokens, use.tokens, draw.tokens_limit)
    if draw.calls_limit is not None:
        yield Room(draw.id, "calls", "", draw.calls, use.calls, draw.calls_limit)
