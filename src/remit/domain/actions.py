"""Action types: what may be done to the world, who answers for it, and what happens when it goes wrong.

An action type is named `connection.tool`. A tool that no file classifies is forbidden.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, model_validator

from remit.domain.declared import Amount, Currency, Declared, Duration, Name, PersonOrRole, ToolName

MODEL_REQUEST = "model.request"
"""The built-in action type of every request to a language model."""


class Effect(StrEnum):
    """What an action does to the world."""

    READ = "read"
    WRITE = "write"


class Risk(StrEnum):
    """How bad the worst ordinary outcome is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Label(StrEnum):
    """What a session has touched, or where an action sends things."""

    UNTRUSTED = "untrusted"
    """Content that an outsider could have written."""
    PRIVATE = "private"
    """Personal or confidential content."""
    EXTERNAL = "external"
    """Goes to somebody outside the company."""


class Raci(Declared):
    """Who answers for an action type. The executor is the agent that asks for the action."""

    accountable: PersonOrRole
    """The human who answers for the outcome and is asked first."""
    system_owner: PersonOrRole
    """Who owns the system that the action changes."""
    risk_owner: PersonOrRole
    """Who owns the risk."""
    consulted: tuple[PersonOrRole, ...] = ()
    """Asked for their opinion when an approval is asked for."""
    informed: tuple[PersonOrRole, ...] = ()
    """Told afterwards."""

    def holders(self) -> dict[str, tuple[str, ...]]:
        """Role name to the references that hold it."""
        return {
            "accountable": (self.accountable,),
            "system_owner": (self.system_owner,),
            "risk_owner": (self.risk_owner,),
            "consulted": self.consulted,
            "informed": self.informed,
        }


class Idempotency(Declared):
    """How the action's id reaches the other side as an idempotency key, and how long that side honours it."""

    argument: str | None = None
    """Name of a tool argument that takes the key; hidden from agents and outside the digest."""
    meta: str | None = None
    """Name of an MCP `_meta` field that takes the key."""
    window: Duration = timedelta(hours=24)
    """After this long the key is no longer trusted and the action is looked up, or becomes unknown."""

    @model_validator(mode="after")
    def _one_way(self) -> Idempotency:
        if (self.argument is None) == (self.meta is None):
            raise ValueError("give exactly one of `argument` and `meta`")
        return self


class Lookup(Declared):
    """A read that tells whether an action happened, by its idempotency key."""

    tool: ToolName
    """The tool that is asked."""
    arguments: dict[str, Any]
    """Arguments of the lookup; `$action.id` is the idempotency key and `$args.NAME` an argument of the action."""
    found: str
    """Where in the answer the outcome stands, a dotted path; missing or null means absent."""
    authoritative: bool = False
    """True if "absent" proves that it did not happen and will not."""
    settle_delay: Duration = timedelta(0)
    """How long after the attempt the lookup is to be believed."""


class Undo(Declared):
    """The call that takes an action back."""

    tool: ToolName
    """The tool that takes it back."""
    arguments: dict[str, Any]
    """Arguments of the undo; `$args.NAME` and `$result.PATH` refer to the action."""


class CurrentState(Declared):
    """A read whose answer is shown beside an approval: what is there now."""

    tool: ToolName
    """The tool that is asked."""
    arguments: dict[str, Any]
    """Its arguments; `$args.NAME` is an argument of the action."""
    compare: dict[str, str] = {}
    """Argument name to dotted path in the answer: what would change from, and to.

    A path that ends in another name is no change, but what the argument is held against: `amount: refundable`.
    """


class Money(Declared):
    """Which arguments carry an amount of money."""

    amount: str
    """Name of the argument with the amount, in major units."""
    currency: str
    """Name of the argument with the ISO 4217 code."""


class Cap(Declared):
    """An upper limit on the money that one action type moves."""

    amount: Amount
    """In major units of the currency."""
    currency: Currency
    """ISO 4217 code."""


class Caps(Declared):
    """Blast radius of an action type. A currency without a cap is refused where any cap is declared."""

    each: tuple[Cap, ...] = ()
    """For one action."""
    per_day: tuple[Cap, ...] = ()
    """For all actions of the type in one day (UTC)."""


class Rate(Declared):
    """How often something may be called: a token bucket."""

    per_second: float = Field(gt=0, le=100_000)
    """How many a second, in the long run."""
    burst: int = Field(default=1, ge=1, le=100_000)
    """How many at once, after a rest."""


class ApprovalRules(Declared):
    """How long an approval for this action type is asked for and holds, and by whom it may be given."""

    expires: Duration = timedelta(days=3)
    """An approval not used by then is void, and one not given by then is refused."""
    escalate_after: Duration = timedelta(hours=8)
    """Not decided by then: the next in the reporting line may decide too."""
    requester_may_approve: bool = False
    """Separation of duties: by default who asked for the work does not approve it."""
    editor_may_approve: bool = False
    """By default who changed the arguments does not approve them too."""
    together: bool = False
    """Several of them may be approved or denied at once from the inbox; by default each is looked at on its own."""


class ActionType(Declared):
    """One tool of one connection, classified."""

    title: str
    """What it does, in a few words: `Refund a charge`."""
    effect: Effect
    """`read`, or `write` if anything in the world is different afterwards."""
    raci: Raci | None = None
    """Required for every action type that writes."""
    risk: Risk = Risk.MEDIUM
    """How bad the worst ordinary outcome is."""
    reversible: bool = False
    """True if `undo` takes it back."""
    undo: Undo | None = None
    """How to take it back; a reversible type has one."""
    idempotency: Idempotency | None = None
    """None: the other side honours no key, and a crash in the middle leaves the action `unknown`."""
    lookup: Lookup | None = None
    """How to find out what became of it when the answer was lost."""
    resource: str | None = None
    """Template of the Cedar resource, `Type::{argument}`; None: the action type itself."""
    require: tuple[str, ...] = ()
    """Arguments that must be present and not null, though the tool calls them optional."""
    defaults: dict[str, Any] = {}
    """Arguments filled in before judgement when absent or null."""
    money: Money | None = None
    """Which arguments say how much money it moves."""
    caps: Caps = Caps()
    """Most money that it moves, at once and in a day."""
    business_key: tuple[str, ...] = ()
    """Arguments that name the business effect; a second settled, not undone one needs approval."""
    reads: frozenset[Label] = frozenset()
    """Labels that a session carries once it has done this."""
    sends: frozenset[Label] = frozenset()
    """Labels on where this sends things."""
    rate: Rate | None = None
    """How often it may be done, by all agents and workers together."""
    concurrency: int | None = Field(default=None, ge=1)
    """Most of it under way at once, over all workers; null is no limit."""
    cost_usd: Amount = Decimal(0)
    """What one call costs, in USD; 0 where the vendor charges nothing per call."""
    timeout: Duration = timedelta(seconds=10)
    """Longest wait for one call, afterwards its outcome is unknown; where it is not given, the connection's."""
    redact: tuple[str, ...] = ()
    """Dotted paths in arguments and result that exports and lists leave out."""
    current: CurrentState | None = None
    """What to show beside an approval: how things stand now."""
    approval: ApprovalRules = ApprovalRules()
    """How long approvals are asked for and hold, and who may give them."""
    mail_approval: bool = False
    """Whether the link in a mail is enough to approve or deny; by default it shows the request and decides nothing."""
    groups: tuple[Name, ...] = ()
    """Cedar action groups that this type belongs to, such as `money-out`."""

    @model_validator(mode="after")
    def _whole(self) -> ActionType:
        if self.effect is Effect.WRITE and self.raci is None:
            raise ValueError("an action type that writes needs `raci` with accountable, system_owner and risk_owner")
        if self.reversible and self.undo is None:
            raise ValueError("a reversible action type says how it is undone: give `undo`, or `reversible: false`")
        if (self.caps.each or self.caps.per_day) and self.money is None:
            raise ValueError("caps need `money`: which arguments carry the amount and the currency")
        return self

    def effective_money(self, args: dict[str, Any]) -> tuple[Any, Any] | None:
        """The amount and currency arguments as given, or None where the type moves no money."""
        if self.money is None:
            return None
        return args.get(self.money.amount), args.get(self.money.currency)


ActionMode = Literal["tool", "model", "ask", "note"]
"""What an action is: a call of a tool, a request to a language model, a question to a person, a value kept."""


def visible_schema(schema: dict[str, Any], action_type: ActionType | None) -> dict[str, Any]:
    """The tool's input schema without the argument that carries the idempotency key."""
    hidden = action_type.idempotency.argument if action_type and action_type.idempotency else None
    if hidden is None:
        return schema
    shown = dict(schema)
    if isinstance(schema.get("properties"), dict):
        shown["properties"] = {k: v for k, v in schema["properties"].items() if k != hidden}
    if isinstance(schema.get("required"), list):
        shown["required"] = [name for name in schema["required"] if name != hidden]
    return shown
