"""What admission and settlement write: everything about one action, decided, ready to be committed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from remit.domain.actions import ActionMode
from remit.domain.decisions import ActionStatus, Reason


@dataclass(frozen=True, slots=True)
class BudgetDraw:
    """What an action takes from one budget, and the budget's limits as of the decision (None: unlimited)."""

    id: str
    usd: int = 0
    tokens: int = 0
    calls: int = 0
    usd_limit: int | None = None
    tokens_limit: int | None = None
    calls_limit: int | None = None


@dataclass(frozen=True, slots=True)
class LimiterDraw:
    """A limiter that an action passes: `per_second` with `burst`, `concurrency`, or both."""

    key: str
    per_second: float | None = None
    burst: int = 1
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class NewItem:
    """An inbox item to be opened in the same transaction."""

    id: str
    kind: str
    summary: str
    roles: tuple[str, ...]
    assignees: tuple[str, ...]
    escalate_at: datetime | None = None
    expires_at: datetime | None = None
    detail: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """One action, judged: what is to be committed before anything is executed."""

    id: str
    turn_id: str
    session_id: str
    epoch: int
    key: str
    mode: ActionMode
    action: str
    agent: str
    agent_version: str
    on_behalf_of: str | None
    asked_digest: str
    args_digest: str
    asker_digest: str
    body: bytes
    """Canonical arguments as the agent asked."""
    verdict: Literal["permit", "forbid", "needs_approval", "note"]
    """`needs_approval` opens the item and waits, also for a question; `note` keeps the body as the result."""
    reasons: tuple[Reason, ...]
    policy_ids: tuple[str, ...]
    policy_version: str
    roles: tuple[str, ...]
    determining: str
    approved_roles: tuple[str, ...]
    duplicate_approved: bool
    duplicate_known: bool
    """True: it is judged as a second effect under its business key."""
    version: int
    """Of the governance snapshot that the decision was made on."""
    labels: tuple[str, ...]
    """The session's labels that policy saw."""
    adds: tuple[str, ...]
    """Labels that the session carries from now on."""
    reserve_usd: int
    reserve_tokens: int
    budgets: tuple[BudgetDraw, ...]
    limits: tuple[LimiterDraw, ...]
    business_key: str | None
    deadline_ms: int
    timeout_ms: int
    nonce: str
    repeat: bool
    """True: a clearance of an earlier run has expired and the call may safely be made again."""
    park: bool
    """True: over a limit, write the action down and let the turn end instead of waiting in place."""
    consulted: tuple[str, ...]
    delivered: tuple[str, ...]
    provider_call_id: str | None
    why: str
    item: NewItem | None


@dataclass(frozen=True, slots=True)
class Admission:
    """What the database answered to an intent."""

    answer: Literal[
        "cleared",
        "succeeded",
        "refused",
        "waiting",
        "limited",
        "settled",
        "in_flight",
        "diverged",
        "halted",
        "stale",
        "approval_gone",
        "duplicate",
        "unrepeated",
        "wait",
    ]
    attempt: int = 0
    reasons: tuple[Reason, ...] = ()
    item_id: str | None = None
    wait_ms: int = 0
    code: str = ""
    """For `halted`: why; for `wait` and `limited`: which limit."""
    other: str = ""
    """For `duplicate`: the action that already had this business effect; for `diverged`: what stood there."""
    labels: tuple[str, ...] | None = None
    """For `stale`: the session's labels, if it was they that had changed."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """How one action ended."""

    id: str
    status: Literal["succeeded", "failed", "unknown", "refused", "cancelled"]
    body: bytes
    """Canonical result."""
    error: str | None = None
    usd: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    informed: tuple[str, ...] = ()
    notice: str = ""
    owners: tuple[str, ...] = ()
    """Who is asked if it cost more than was reserved."""
    by: str | None = None
    """The person who reconciled it, if one did."""
    attempt: int | None = None
    """Number of the attempt that ended like this; None: the whole action did, whatever was attempted."""
    item: NewItem | None = None
    """For `unknown`: who is asked."""
    override: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """The database's answer to a settlement."""

    answer: Literal["settled", "already", "superseded", "missing"]
    at: datetime | None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """An action as the ledger holds it, with its contents."""

    id: str
    turn_id: str
    session_id: str
    key: str
    mode: str
    action: str
    asked_digest: str
    args_digest: str
    asker_digest: str
    status: ActionStatus
    reasons: tuple[Reason, ...]
    policy_ids: tuple[str, ...]
    roles: tuple[str, ...]
    attempt: int
    first_cleared_at: datetime | None
    expires_in: float
    """Seconds until nothing of it can be in flight any more; negative if that is past."""
    settled_at: datetime | None
    item_id: str | None
    item_open: bool
    """True while a person has not decided yet."""
    delivered: tuple[str, ...]
    error: str | None
    usd_micros: int
    input_tokens: int
    output_tokens: int
    result: Any
    edited_args: dict[str, Any] | None
    """Arguments as a person edited them, if one did."""
    override: dict[str, Any] | None
    """What a person decided about it."""
