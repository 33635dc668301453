"""What the gate is asked and what it answers.

A `Decision` is one of four: `Permit`, `Forbid`, `NeedsApproval`, `OverLimit`. Each carries its reasons, and only
`Permit` is truthy. A `Permit` holds the `Clearance`: the proof, minted in `governance/gate.py` and nowhere else,
that this very action was let through.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

from remit.domain import canonical
from remit.domain.actions import ActionMode


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and through whom."""

    agent: str
    agent_version: str
    on_behalf_of: str | None = None
    """The author of this turn's message; set where the agent may only do what that person may."""
    assisted: bool = False
    """True: the permit must hold for the agent and for the person."""


@dataclass(frozen=True)
class Call:
    """What an agent asks for: one tool call or one model request, before it is judged.

    `args` is canonical (see `domain/canonical.py`) and already holds the action type's defaults.
    """

    turn_id: str
    key: str
    """Place in the turn: `m3` the third model request, `m3.t1` the first tool call of its response, `7` a
    program's seventh call."""
    action: str
    args: dict[str, Any]
    mode: ActionMode = "tool"
    provider_call_id: str | None = None
    """The provider's own id of a tool call; kept for reading, never a key."""
    reason: str = ""
    """Why the agent asks, in its own words, shown to an approver."""
    delivered: tuple[str, ...] = ()
    """Keys whose results a program had received, in order, since its previous request."""
    asker_digest: str = ""
    """Digest of the request as a program made it, before defaults were filled in; compared at replay."""
    implied_by: str | None = None
    """The action type that declares this call as its lookup, undo or current state; None: the agent asked for it."""

    @cached_property
    def body(self) -> bytes:
        """The arguments' canonical bytes."""
        return canonical.dumps(self.args)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the arguments' canonical bytes."""
        return canonical.digest_bytes(self.body)


class ReasonCode(StrEnum):
    """Machine-readable reasons that the gate itself gives; policies add their own by `@reason("…")`."""

    AGENT_UNKNOWN = "agent_unknown"
    AGENT_SUSPENDED = "agent_suspended"
    PERSON_UNKNOWN = "person_unknown"
    STOPPED = "stopped"
    NOT_IN_SCOPE = "not_in_scope"
    ACTION_UNCLASSIFIED = "action_unclassified"
    TOOL_NOT_PINNED = "tool_not_pinned"
    TOOL_CHANGED = "tool_changed"
    ARGUMENTS_INVALID = "arguments_invalid"
    ARGUMENT_REQUIRED = "argument_required"
    RACI_INCOMPLETE = "raci_incomplete"
    POLICY_FORBIDS = "policy_forbids"
    POLICY_ERROR = "policy_error"
    NO_POLICY_PERMITS = "no_policy_permits"
    NEEDS_APPROVAL = "needs_approval"
    APPROVAL_DENIED = "approval_denied"
    APPROVAL_EXPIRED = "approval_expired"
    QUESTION_EXPIRED = "question_expired"
    NOBODY_TO_ASK = "nobody_to_ask"
    DUPLICATE_EFFECT = "duplicate_effect"
    OVER_CAP = "over_cap"
    OVER_BUDGET = "over_budget"
    BUDGET_BLOCKED = "budget_blocked"
    MODEL_WITHOUT_PRICE = "model_without_price"
    OVER_RATE = "over_rate"
    OVER_CONCURRENCY = "over_concurrency"
    LOOP_DETECTED = "loop_detected"
    SESSION_NOT_RUNNING = "session_not_running"
    STALE_RUN = "stale_run"
    CHECK_FAILED = "check_failed"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: a machine code, a sentence, and the policy that gave it, if one did."""

    code: str
    text: str
    policy_id: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What policy says of a call, before approvals, limits and budgets are looked at."""

    kind: Literal["permit", "forbid", "needs_approval"]
    reasons: tuple[Reason, ...]
    policy_ids: tuple[str, ...]
    """Ids of the determining policies."""
    roles: tuple[str, ...] = ()
    """Roles that must approve, each by another person; of a permit, those that it rests on."""
    determining_digest: str = ""
    """SHA-256 over the determining policies' texts and the roles: what an approval is bound to."""


class ActionStatus(StrEnum):
    """Where an action stands. Everything but `waiting`, `limited` and `cleared` is settled."""

    WAITING = "waiting"
    """A person is asked."""
    LIMITED = "limited"
    """Over a rate or concurrency limit; tried again later."""
    CLEARED = "cleared"
    """The intent is committed; it may be on its way."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The outcome is known: it did not happen."""
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """It may or may not have happened; a person or a lookup says which."""
    CANCELLED = "cancelled"

    @property
    def settled(self) -> bool:
        """True if nothing more will happen to this action by itself."""
        return self not in {ActionStatus.WAITING, ActionStatus.LIMITED, ActionStatus.CLEARED, ActionStatus.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Clearance:
    """Proof that the gate let this action through, until a deadline. Minted by the gate and nowhere else."""

    action_id: str
    action: str
    args: dict[str, Any]
    idempotency_key: str
    deadline: float
    """Seconds on this process's monotonic clock; nothing is sent after it."""
    timeout: timedelta
    attempt: int
    """1 for the first clearance of this action, 2 for its first repeat."""
    _mint: object = field(repr=False, compare=False, default=None)


@dataclass(frozen=True, slots=True)
class Permit:
    """Let through."""

    clearance: Clearance
    nonce: str
    """Of the admission; who holds it knows what became of this clearance, and may ask for the next one at once."""
    reasons: tuple[Reason, ...] = ()
    policy_ids: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Only a permit is truthy."""
        return True


@dataclass(frozen=True, slots=True)
class Forbid:
    """Refused, for good."""

    action_id: str
    reasons: tuple[Reason, ...]
    policy_ids: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """A refusal is falsy."""
        return False


@dataclass(frozen=True, slots=True)
class NeedsApproval:
    """A person is asked; `item_id` is the inbox item."""

    action_id: str
    item_id: str
    roles: tuple[str, ...]
    reasons: tuple[Reason, ...]
    policy_ids: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Not yet let through."""
        return False


@dataclass(frozen=True, slots=True)
class OverLimit:
    """Over a rate or concurrency limit: worth trying again after `retry_after`."""

    action_id: str
    retry_after: timedelta
    reasons: tuple[Reason, ...]
    policy_ids: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Not yet let through."""
        return False


@dataclass(frozen=True, slots=True)
class InFlight:
    """An earlier clearance of this action may still be in use, or ran out and was not asked to be repeated."""

    action_id: str
    wait: timedelta

    def __bool__(self) -> bool:
        """Not let through."""
        return False


@dataclass(frozen=True, slots=True)
class Halted:
    """Nothing was decided because this run may not go on: a stop, a pause, or a newer run of the same turn."""

    reason: Reason

    def __bool__(self) -> bool:
        """Not let through."""
        return False


@dataclass(frozen=True, slots=True)
class Unrepeated:
    """An earlier clearance of this action was lost, and it may not be made again: nobody knows whether it happened."""

    action_id: str
    reasons: tuple[Reason, ...]
    policy_ids: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Not let through."""
        return False


Decision = Permit | Forbid | NeedsApproval | OverLimit | InFlight | Halted | Unrepeated


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an execution ended, for settlement."""

    status: Literal["succeeded", "failed", "unknown"]
    result: Any = None
    """What the agent sees: the tool's answer, or what went wrong."""
    error: str | None = None
    usd_micros: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
