"""The road as the things that drive a turn see it: ask for a call, get its recorded or fresh outcome.

A program's host and a model agent's capability both hold a `Road`; neither can reach a tool or a model without it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from remit.domain.decisions import ActionStatus, Clearance, Outcome, Reason
from remit.domain.questions import Question


class TurnSuspendedError(Exception):
    """This run of the turn ends here: a person is asked, a limit is waited for, or the session was stopped.

    Never shown to anybody; the turn's driver unwinds with it and the turn stays as rows. `waiting_for` is `approval`,
    `question`, `reconciliation`, `limit`, `stop`, `pause` or `attention`; `resume_at` is when a timer resumes the turn.
    """

    def __init__(self, waiting_for: str = "", resume_at: datetime | None = None) -> None:
        super().__init__(waiting_for)
        self.waiting_for = waiting_for
        self.resume_at = resume_at


class RunSupersededError(TurnSuspendedError):
    """A newer run of this turn has taken over: this one leaves without a word."""


@dataclass(frozen=True, slots=True)
class Performed:
    """How one call ended, as the agent is told.

    `status` is `succeeded`, `failed`, `refused`, `unknown` or `cancelled`. `result` is canonical JSON. `error` is a
    sentence for the agent where the call did not succeed. `reasons` say why a call was refused.
    """

    action_id: str
    status: ActionStatus
    result: Any = None
    error: str | None = None
    reasons: tuple[Reason, ...] = ()
    at: datetime | None = None
    """When the ledger settled it; the same in every replay."""
    replayed: bool = False
    """True if the ledger already held the outcome and nothing was executed now."""


Execute = Callable[[Clearance], Awaitable[Outcome]]
"""Executes a cleared call. Raises nothing that it can turn into an Outcome; a time-out is `unknown`."""


class Road(Protocol):
    """One turn's way to the gate. Every method may raise TurnSuspendedError or ProgramDiverged."""

    async def tool(
        self,
        key: str,
        action: str,
        args: dict[str, Any],
        *,
        provider_call_id: str | None = None,
        reason: str = "",
        delivered: tuple[str, ...] = (),
        execute: Execute | None = None,
    ) -> Performed:
        """Call a tool: judge, execute and settle it, or return what the ledger already holds.

        `delivered` are the keys whose results the asker had received, in order, since its previous request; a
        program's replay needs that order. `execute` runs a tool that lives in the asker's own process; None is the
        connection's tool.
        """
        ...

    async def model(
        self, key: str, model: str, args: dict[str, Any], *, input_bytes: int, output_limit: int, execute: Execute
    ) -> Performed:
        """Ask a language model. `args` identify the request (digest compared on replay); `execute` sends it.

        Tokens are reserved as `input_bytes` plus `output_limit`, an upper bound.
        """
        ...

    async def invalid(
        self, key: str, action: str, raw_args: str, error: str, *, provider_call_id: str | None = None
    ) -> Performed:
        """Record an attempt that never was a call: an unknown tool, or arguments that are not what it takes."""
        ...

    async def ask(self, key: str, question: Question, *, delivered: tuple[str, ...] = ()) -> Performed:
        """Ask a person; the turn is suspended until somebody answered. `result` is the answer."""
        ...

    async def note(self, key: str, kind: str, value: Any, *, delivered: tuple[str, ...] = ()) -> Any:
        """Record a value at its first use (an output row, a fact that entered a prompt); later runs get the same."""
        ...
