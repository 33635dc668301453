"""Public fakes for tests of agents: a road and a model without a gate, a database or a network."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from pydantic_ai.models.wrapper import WrapperModel

from remit.domain import canonical
from remit.domain.decisions import ActionStatus, Clearance, Outcome, Reason, ReasonCode
from remit.domain.questions import Question
from remit.errors import ProgramDiverged
from remit.runtime.model_agents.scripts import respond_model
from remit.runtime.road import Execute, Performed, TurnSuspendedError

Answer = Outcome | Callable[[dict[str, Any]], Any] | Any
"""What a tool answers: an outcome, a value, or a function of the arguments that returns one of them."""


class ScriptedModel(WrapperModel):
    """A model that says one step after the other, and at last the results of its tools, joined by ` | `.

    A step is what a script's `respond` returns: `{"text": …}` or `{"tool_calls": [{"name", "arguments"}, …]}`; or a
    function of (messages, tools) that returns it. `bought` counts how often each step was asked for.
    """

    def __init__(self, *steps: Any, name: str = "script:test") -> None:
        self._steps = steps
        self.bought: Counter[int] = Counter()
        super().__init__(respond_model(name, self._respond))

    def _respond(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> Any:
        number = sum(1 for message in messages if message["role"] == "assistant")
        self.bought[number] += 1
        if number < len(self._steps):
            step = self._steps[number]
            return step(messages, tools) if callable(step) else step
        return {"text": " | ".join(m["content"] for m in messages if m["role"] == "tool") or "done"}


@dataclass
class Entry:
    """One row of the fake's ledger."""

    key: str
    action: str
    args: dict[str, Any]
    status: ActionStatus = ActionStatus.CLEARED
    performed: Performed | None = None
    clearances: int = 0


@dataclass
class FakeRoad:
    """A road with a dict for a ledger. Run an agent on it again and it replays, as on the real one.

    Args:
        answers: Action type to what its tool answers; a tool without an answer succeeds with None.
        approvals: Action types that suspend the turn until `approve` or `deny` was called for the key.
        refusals: Action types that are refused, with the sentence that says why.
        boundary: Called with `KEY:POINT` at every point where a process may die: `asked`, `cleared`, `executed`,
            `settled`. What it raises is a crash: nothing more happens on this road until `revive` is called.
        timeout: Timeout of every clearance.
        window: Seconds for which a clearance may be used.
        shuffle: Seed of the order in which calls made side by side end; None: as they come.
    """

    answers: Mapping[str, Answer] = field(default_factory=dict)
    approvals: frozenset[str] = frozenset()
    refusals: Mapping[str, str] = field(default_factory=dict)
    boundary: Callable[[str], None] = lambda _: None
    timeout: timedelta = timedelta(seconds=30)
    window: float = 5.0
    shuffle: int | None = None
    ledger: dict[str, Entry] = field(default_factory=dict, init=False)
    notes: dict[str, Any] = field(default_factory=dict, init=False)
    asked: list[tuple[str, str, str]] = field(default_factory=list, init=False)
    """Everything that was asked for, in order: method, key, action type (or model, or kind of note)."""
    executed: list[str] = field(default_factory=list, init=False)
    """Keys in the order in which they were executed; a key stands here twice if it was executed twice."""
    reserved: dict[str, tuple[int, int]] = field(default_factory=dict, init=False)
    """Key of a model request to its input bytes and output limit."""
    outcomes: dict[str, Outcome] = field(default_factory=dict, init=False)
    provider_call_ids: dict[str, str | None] = field(default_factory=dict, init=False)
    whys: dict[str, str] = field(default_factory=dict, init=False)
    _decided: dict[str, tuple[bool, dict[str, Any] | None, str]] = field(default_factory=dict, init=False)
    _dead: BaseException | None = field(default=None, init=False)

    # --- What a test does ------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> list[str]:
        """Keys that wait for an approval."""
        return [key for key, entry in self.ledger.items() if entry.status is ActionStatus.WAITING]

    def approve(self, key: str, args: dict[str, Any] | None = None) -> None:
        """Approve a waiting call, with other arguments if any are given."""
        self._decided[key] = (True, args, "")

    def deny(self, key: str, reason: str) -> None:
        """Deny a waiting call."""
        self._decided[key] = (False, None, reason)

    def revive(self) -> None:
        """Go on after a crash, as another process would, with what was committed."""
        self._dead = None

    # --- What an agent does ----------------------------------------------------------------------------------------

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
        """Call a tool: scripted, or `execute`."""
        del delivered
        self.provider_call_ids[key], self.whys[key] = provider_call_id, reason
        return await self._way("tool", key, action, args, execute or self._scripted(action))

    async def model(
        self, key: str, model: str, args: dict[str, Any], *, input_bytes: int, output_limit: int, execute: Execute
    ) -> Performed:
        """Ask a model through `execute`."""
        self.reserved[key] = (input_bytes, output_limit)
        return await self._way("model", key, model, args, execute)

    async def invalid(
        self, key: str, action: str, raw_args: str, error: str, *, provider_call_id: str | None = None
    ) -> Performed:
        """Record what never was a call."""
        self.asked.append(("invalid", key, action))
        self.provider_call_ids[key] = provider_call_id
        await self._at(key, "asked")
        entry = self._entry(key, action, {"raw": raw_args})
        reasons = (Reason(ReasonCode.ARGUMENTS_INVALID, error),)
        entry.status = ActionStatus.REFUSED
        entry.performed = Performed(f"act_{key}", ActionStatus.REFUSED, error=error, reasons=reasons)
        await self._at(key, "settled")
        return entry.performed

    async def ask(self, key: str, question: Question, *, delivered: tuple[str, ...] = ()) -> Performed:
        """Suspend until `approve(key, {"answer": …})` was called."""
        del delivered
        self.asked.append(("ask", key, question.text))
        await self._at(key, "asked")
        entry = self._entry(key, "ask", {"text": question.text})
        if key not in self._decided:
            entry.status = ActionStatus.WAITING
            raise TurnSuspendedError("question")
        entry.status = ActionStatus.SUCCEEDED
        return Performed(f"act_{key}", ActionStatus.SUCCEEDED, (self._decided[key][1] or {}).get("answer"))

    async def note(self, key: str, kind: str, value: Any, *, delivered: tuple[str, ...] = ()) -> Any:
        """Record a value at its first use."""
        del delivered
        self.asked.append(("note", key, kind))
        await self._at(key, "asked")
        recorded = self.notes.setdefault(key, canonical.normalise(value, what=kind))
        await self._at(key, "settled")
        return recorded

    # --- The way ---------------------------------------------------------------------------------------------------

    async def _way(self, method: str, key: str, action: str, args: dict[str, Any], execute: Execute) -> Performed:
        self.asked.append((method, key, action))
        await self._at(key, "asked")
        entry = self._entry(key, action, args)
        if entry.performed is not None:
            return replace(entry.performed, replayed=True)
        if action in self.refusals:
            reasons = (Reason(ReasonCode.POLICY_FORBIDS, self.refusals[action]),)
            return self._settled(entry, Performed(f"act_{key}", ActionStatus.REFUSED, reasons=reasons))
        if action in self.approvals and key not in self._decided:
            entry.status = ActionStatus.WAITING
            raise TurnSuspendedError("approval")
        allowed, edited, why = self._decided.get(key, (True, None, ""))
        if not allowed:
            reasons = (Reason(ReasonCode.APPROVAL_DENIED, why),)
            return self._settled(entry, Performed(f"act_{key}", ActionStatus.REFUSED, reasons=reasons))
        entry.status, entry.clearances = ActionStatus.CLEARED, entry.clearances + 1
        await self._at(key, "cleared")
        self.executed.append(key)
        clearance = Clearance(
            action_id=f"act_{key}",
            action=action,
            args=edited or args,
            idempotency_key=f"act_{key}",
            deadline=time.monotonic() + self.window,
            timeout=self.timeout,
            attempt=entry.clearances,
        )
        outcome = await execute(clearance)
        await self._at(key, "executed")
        self.outcomes[key] = outcome
        result = canonical.parse(canonical.dumps(canonical.normalise(outcome.result)))
        performed = self._settled(entry, Performed(f"act_{key}", ActionStatus(outcome.status), result, outcome.error))
        await self._at(key, "settled")
        return performed

    def _settled(self, entry: Entry, performed: Performed) -> Performed:
        entry.status, entry.performed = performed.status, performed
        return performed

    def _entry(self, key: str, action: str, args: dict[str, Any]) -> Entry:
        canonical_args = canonical.normalise(args)
        entry = self.ledger.setdefault(key, Entry(key, action, canonical_args))
        if (entry.action, canonical.digest(entry.args)) != (action, canonical.digest(canonical_args)):
            raise ProgramDiverged(f"{key} was {entry.action} with other arguments before, and is {action} now")
        return entry

    def _scripted(self, action: str) -> Execute:
        async def execute(clearance: Clearance) -> Outcome:
            answer = self.answers.get(action)
            value = answer(clearance.args) if callable(answer) else answer
            return value if isinstance(value, Outcome) else Outcome("succeeded", value)

        return execute

    async def _at(self, key: str, point: str) -> None:
        if self.shuffle is not None:
            for _ in range(random.Random(f"{self.shuffle}:{key}:{point}").randrange(4)):  # noqa: S311 - not secret
                await asyncio.sleep(0)
        if self._dead is not None:
            raise self._dead
        try:
            self.boundary(f"{key}:{point}")
        except BaseException as crash:
            self._dead = crash
            raise
