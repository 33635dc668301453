"""What would happen if an agent asked for an action now. Nothing is executed and nothing is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from remit.domain.actions import ActionType
from remit.domain.agents import AutonomyLevel
from remit.domain.budgets import Usage, from_micros
from remit.domain.directory import Person
from remit.domain.intents import BudgetDraw, LimiterDraw
from remit.domain.stops import Stop
from remit.governance import approvals as approving
from remit.governance import limits
from remit.governance.explaining import Rehearsal, rehearse, supposed_question
from remit.governance.policy import PolicyQuestion
from remit.governance.rooms import Room, rooms
from remit.governance.state import Governance
from remit.storage import budgets, stops
from remit.storage.sessions import Db


@dataclass(frozen=True, slots=True)
class Supposed:
    """What is tried out."""

    agent: str
    action: str
    args: dict[str, Any]
    person: str | None = None
    """On whose behalf."""
    labels: tuple[str, ...] = ()
    """What the session has touched so far."""
    approved: tuple[str, ...] = ()
    """Roles of which the approval is supposed."""
    autonomy: AutonomyLevel | None = None
    """None: the agent's own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A role that would have to agree."""

    role: str
    people: tuple[Person, ...]
    """Who may answer for it, nearest first."""
    given: bool
    """True: its approval is supposed."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What would happen."""

    supposed: Supposed
    args: dict[str, Any]
    """With the defaults that are filled in."""
    kind: ActionType | None
    rehearsal: Rehearsal
    asks: tuple[Asked, ...]
    rooms: tuple[Room, ...]
    limits: tuple[LimiterDraw, ...]
    stopped: tuple[Stop, ...]
    """Stops in force that cover it."""

    @property
    def outcome(self) -> Literal["permit", "forbid", "needs_approval", "over_budget", "stopped"]:
        """What the agent would be told first."""
        if self.rehearsal.verdict.kind == "forbid":
            return "forbid"
        if self.stopped:
            return "stopped"
        if self.rehearsal.verdict.kind == "needs_approval":
            return "needs_approval"
        return "permit" if all(room.fits for room in self.rooms) else "over_budget"


def try_out(governance: Governance, db: Db, supposed: Supposed) -> Trial:
    """Judge an action that nobody asks for, at the start of a session, with what has been used today.

    Raises NotFound if there is no such agent, InvalidInput if the arguments are no JSON.
    """
    kind = governance.action_type(supposed.action)
    version = governance.agent(supposed.agent)
    question = supposed_question(
        governance,
        supposed.agent,
        supposed.action,
        supposed.args,
        person=supposed.person,
        labels=supposed.labels,
    )
    if supposed.autonomy is not None:
        question = replace(question, autonomy=supposed.autonomy)
    draws: tuple[BudgetDraw, ...] = ()
    used: dict[str, Usage] = {}
    if version is not None and kind is not None:
        moved = limits.money_moved(kind, question.args)
        draws = limits.budget_draws(
            governance.project,
            version.spec,
            agent_id=supposed.agent,
            session_id="new",
            action=supposed.action,
            action_type=kind,
            moved=moved if isinstance(moved, limits.MoneyMoved) else None,
            usage=Usage(calls=1),
            now=datetime.now(UTC),
        )
        used = budgets.used(db, [d.id for d in draws])
        question = _as_of_today(question, used)
    found = rehearse(governance, question, supposed.approved)
    return Trial(
        supposed,
        question.args,
        kind,
        found,
        _asks(governance, supposed, found.explanation.verdict.roles, kind),
        rooms(draws, used),
        limits.limiter_draws(
            governance.project, version.spec, agent_id=supposed.agent, action=supposed.action, action_type=kind
        )
        if version is not None and kind is not None
        else (),
        tuple(s for s in stops.in_force(db) if _covers(s, supposed, question.workspace)),
    )


def _as_of_today(question: PolicyQuestion, used: dict[str, Usage]) -> PolicyQuestion:
    today = next((u for budget, u in used.items() if budget.startswith("agent:")), Usage())
    cap = next((u for budget, u in used.items() if budget.startswith("cap:")), None)
    moved = from_micros(cap.usd_micros) if cap is not None else question.moved_today
    return replace(question, today=today, moved_today=moved)


def _asks(
    governance: Governance, supposed: Supposed, roles: Iterable[str], kind: ActionType | None
) -> tuple[Asked, ...]:
    version = governance.agent(supposed.agent)
    if version is None:
        return ()
    excluded = approving.excluded_people(f"person:{supposed.person}" if supposed.person else "", (), kind)
    return tuple(
        Asked(
            role,
            approving.entitled(governance.project.directory, role, kind, version.spec, excluded=excluded),
            role in supposed.approved,
        )
        for role in roles
    )


def _covers(stop: Stop, supposed: Supposed, workspace: str) -> bool:
    named = {"workspace": workspace, "agent": supposed.agent, "action": supposed.action}
    return stop.scope == "all" or named.get(stop.scope) == stop.target
