"""What a program's host and its worker say to each other: requests, replies, and how a run ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from remit.domain import canonical
from remit.domain.decisions import Reason
from remit.errors import RemitError

Op = Literal["call", "ask", "model", "emit", "explain"]
OPS: frozenset[str] = frozenset({"call", "ask", "model", "emit", "explain"})
NOTES: frozenset[str] = frozenset({"emit", "explain"})
"""Kinds of requests that the ledger keeps as notes; a row of a note does not say which it is, its digest does."""
ReplyStatus = Literal["ok", "refused", "failed", "unknown"]


class ProgramFailed(RemitError):
    """A program ended without an output: its own error, a limit that it passed, or a breach of the protocol.

    `trace` is the program's own traceback, of bounded length; `file` and `line` the innermost place in its files, empty
    and 0 where there is none; `printed` the last of what it printed.
    """

    code = "program_failed"
    advice = "Mend the program at the line that the message names, then start it again."

    def __init__(
        self,
        message: str,
        *,
        trace: str = "",
        file: str = "",
        line: int = 0,
        printed: str = "",
        advice: str | None = None,
    ) -> None:
        super().__init__(message, advice=advice)
        self.trace = trace
        self.file = file
        self.line = line
        self.printed = printed


class ProgramHostLost(RemitError):
    """The process that runs this worker's programs ended from outside. The turn is unharmed and may be run again."""

    code = "program_host_lost"
    http_status = 503
    advice = "The worker starts another and runs the turn again; if this repeats, look for what kills its processes."


@dataclass(frozen=True, slots=True)
class ProgramSource:
    """The files of one agent version, by their path inside the agent's folder. `program.py` must be among them."""

    agent: str
    digest: str
    files: dict[str, bytes]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Name to value; the program reads them as `session.parameters.NAME`."""


@dataclass(frozen=True, slots=True)
class TurnSeed:
    """What makes a turn the same in every replay."""

    turn_id: str
    started_at: datetime
    """When the turn first began; with a time zone."""
    seed: str
    """Any text that is the turn's own; all chance in the program follows from it."""
    person: str | None = None
    """The person on whose behalf it acts, by id; the program reads it as `session.person`."""


@dataclass(frozen=True, slots=True)
class Reply:
    """How one request ended. For `ask`, `model` and `emit` the same four statuses are used."""

    status: ReplyStatus
    value: Any = None
    """JSON; None unless `ok`."""
    reasons: tuple[Reason, ...] = ()
    error: str | None = None
    """A sentence for the program where the status is not `ok`."""
    at: datetime | None = None
    """When the ledger settled it; the program's clock moves there. Give the recorded time or nothing: never `now`."""


@dataclass(frozen=True, slots=True)
class Request:
    """One thing a program asks for."""

    ordinal: int
    """From 1, in the order in which the program asked."""
    op: Op
    payload: dict[str, Any]
    """Canonical. `call`: action, args, reason. `ask`: text, schema, to, context, confidence. `model`: model, prompt,
    schema, max_output_tokens. `emit`: name, value, reasons. `explain`: name, rows, at (`FILE:LINE`)."""
    delivered: tuple[int, ...] = ()
    """Ordinals whose results the program has received, in order, and of which no settled row may know yet.

    Store it with the row in the transaction that writes the intent. Every request of one quiet moment carries the same
    list, so that it does not matter which of their rows survives a crash; overlaps are merged at replay.
    """

    @property
    def digest(self) -> str:
        """What is compared at replay."""
        return request_digest(self.op, self.payload)


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A request as the ledger holds it from an earlier run of the turn."""

    ordinal: int
    op: str
    """As a request's, or `note`: one of NOTES."""
    reply: Reply | None
    """None: it was asked and is not settled; the handler is asked again."""
    delivered_before: tuple[int, ...] = ()
    """`Request.delivered` as it was stored with the row."""
    payload_digest: str | None = None
    """`request_digest` of it. Without one only the kind is compared."""
    subject: str = ""
    """`describe` of it, for the message of a divergence."""


RequestHandler = Callable[[Request], Awaitable[Reply]]
"""Carries out one request on the road. May raise TurnSuspendedError or any RemitError, which end the run."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """One row or event that the program put out, with its reasons."""

    ordinal: int
    name: str
    value: Any
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class ProgramOutcome:
    """How a finished run ended."""

    output: Any
    """What `run` returned; canonical."""
    emitted: tuple[Emitted, ...]
    requests: int
    """Requests of the whole turn, replayed ones among them."""
    printed: str = ""
    """The last of what the program printed, for its owner."""
    delivered: tuple[int, ...] = ()
    """What was delivered since the last settled request. Store it with the output if the turn is to be replayed later
    to the very same end, and give it to `ProgramHost.run` as `tail`."""


def request_digest(op: str, payload: dict[str, Any]) -> str:
    """SHA-256 of what makes a request this request: its kind and its payload, without the reason stated for a call."""
    counted = {k: v for k, v in payload.items() if k != "reason"} if op == "call" else payload
    return canonical.digest({"op": op, "payload": counted})


def describe(op: str, payload: dict[str, Any]) -> str:
    """A request in one short line, for messages."""
    match op:
        case "call":
            text = f"{payload.get('action')} {_short(payload.get('args'))}"
        case "ask":
            text = f"a question: {_short(payload.get('text'))}"
        case "model":
            text = f"model {payload.get('model')} {_short(payload.get('prompt'))}"
        case "explain":
            text = f"rows of {payload.get('name')} {_short(payload.get('rows'))}"
        case _:
            text = f"{op} {payload.get('name')} {_short(payload.get('value'))}"
    return text


def delivery_order(recorded: Sequence[RecordedCall], tail: Sequence[int] = ()) -> list[int]:
    """The order of first delivery that the rows agree on: each row's list in turn, what was seen before left out."""
    order: dict[int, None] = {}
    for row in sorted(recorded, key=lambda r: r.ordinal):
        order.update(dict.fromkeys(row.delivered_before))
    return list(order | dict.fromkeys(tail))


def _short(value: Any) -> str:
    text = canonical.dumps(value).decode()
    return text if len(text) <= 160 else f"{text[:160]}…"
