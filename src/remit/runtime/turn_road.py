"""The road of one run of a turn: what the ledger already holds is returned, everything else goes to the gate.

One `TurnRoad` serves one run. It is told everything that the ledger holds of the turn; a call at a place that the
ledger knows is compared with what stands there, and never made twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from remit.domain import canonical, ids
from remit.domain.actions import Effect
from remit.domain.budgets import Usage, micros
from remit.domain.builtins import DELEGATE, is_builtin
from remit.domain.decisions import (
    ActionStatus,
    Call,
    Forbid,
    Halted,
    InFlight,
    NeedsApproval,
    Outcome,
    OverLimit,
    Permit,
    ReasonCode,
    Unrepeated,
)
from remit.domain.inbox import Approval
from remit.domain.intents import LedgerRow
from remit.domain.questions import Question
from remit.errors import InvalidInput, ProgramDiverged
from remit.governance.gate import Gate
from remit.governance.judgement import Request, Run
from remit.governance.state import GovernanceSource
from remit.runtime.asking import Asker, call_of
from remit.runtime.attempts import Attempts, Prepared
from remit.runtime.boundaries import passing
from remit.runtime.builtins import Builtins, delegation
from remit.runtime.loops import LoopGuard
from remit.runtime.road import Execute, Performed, RunSupersededError, TurnSuspendedError

NOTE = "turn.note"
_SHORT = 2.0  # seconds for which a run waits in place before it becomes rows


class TurnRoad:
    """Implements `Road` for one run."""

    def __init__(
        self,
        gate: Gate,
        source: GovernanceSource,
        attempts: Attempts,
        run: Run,
        rows: dict[str, LedgerRow],
        approvals: dict[str, list[Approval]],
        loops: LoopGuard,
        *,
        builtins: Builtins | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._gate = gate
        self._source = source
        self._attempts = attempts
        self._run = run
        self._rows = rows
        self._approvals = approvals
        self._loops = loops
        self._builtins = builtins
        self._now = now

    # -- what an agent may ask for -------------------------------------------------------------------------------

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
        asker_digest: str = "",
        implied_by: str | None = None,
    ) -> Performed:
        """Call a tool. See `Road.tool`; `implied_by` is the action type that declares this call as its own."""
        call = Call(
            self._run.turn_id,
            key,
            action,
            self._with_defaults(action, args),
            "tool",
            provider_call_id,
            reason,
            delivered,
            asker_digest,
            implied_by,
        )
        if execute is None and self._builtins is not None and is_builtin(action):
            execute = self._builtins.executor(self, self._run, key)
        action_type = self._source.current().action_type(action)
        usage = Usage(usd_micros=micros(action_type.cost_usd) if action_type else 0, calls=1)
        performed = await self._perform(call, usage, execute)
        waits = action == DELEGATE and performed.status is ActionStatus.SUCCEEDED and call.args.get("wait", True)
        return await self._delegated(key, performed) if waits else performed

    async def _delegated(self, key: str, performed: Performed) -> Performed:
        """What came of the delegated session: kept at its first use, below the place of the delegation."""
        place, found = f"{key}.o", None
        if place not in self._rows:
            assert self._builtins is not None, "only a built-in tool delegates"
            child = performed.result["session"]
            found = await asyncio.to_thread(delegation.look, self._builtins.sessions, child, self._run.session_id)
        kept = await self.note(place, "delegation", found)
        return delegation.told(performed, kept, replayed=found is None)

    async def model(
        self,
        key: str,
        model: str,
        args: dict[str, Any],
        *,
        input_bytes: int,
        output_limit: int,
        execute: Execute,
        delivered: tuple[str, ...] = (),
        asker_digest: str = "",
    ) -> Performed:
        """Ask a language model. See `Road.model`."""
        call = Call(
            self._run.turn_id,
            key,
            "model.request",
            {**canonical.normalise(args, what="model request"), "model": model},
            "model",
            delivered=delivered,
            asker_digest=asker_digest,
        )
        return await self._perform(call, self._attempts.model_usage(model, input_bytes, output_limit), execute)

    async def invalid(
        self, key: str, action: str, raw_args: str, error: str, *, provider_call_id: str | None = None
    ) -> Performed:
        """Record an attempt that never was a call: the gate refuses it with the error as its reason."""
        call = Call(self._run.turn_id, key, action, {"raw": raw_args[:20_000]}, "tool", provider_call_id, reason=error)
        row = self._known(call)
        if row is None:
            self._loops.watch(call)
            version = self._source.current().agent(self._run.actor.agent)
            listed = version is not None and action in version.spec.tools
            code = ReasonCode.ARGUMENTS_INVALID if listed else ReasonCode.NOT_IN_SCOPE
            decision = await self._gate.refuse(self._run, call, code, error)
            self._must_go_on(decision)
            return Performed(
                ids.action_id(call.turn_id, key), ActionStatus.REFUSED, error=error, reasons=_reasons(decision)
            )
        return _performed(row)

    async def ask(
        self, key: str, question: Question, *, delivered: tuple[str, ...] = (), asker_digest: str = ""
    ) -> Performed:
        """Ask a person. The turn waits as rows until somebody has answered."""
        call = call_of(self._run.turn_id, key, question, delivered=delivered, asker_digest=asker_digest)
        row = self._known(call)
        if row is not None:
            if row.status.settled:
                return _performed(row)
            raise TurnSuspendedError("question")
        sessions = self._builtins.sessions if self._builtins is not None else None
        asked = await Asker(self._gate, self._source, self._run, sessions, self._now).ask(call, question)
        if isinstance(asked, Performed):
            return asked
        if isinstance(asked, Forbid):
            return Performed(asked.action_id, ActionStatus.REFUSED, reasons=asked.reasons)
        self._must_go_on(asked)
        passing("suspend:before")
        raise TurnSuspendedError("question")

    async def note(
        self, key: str, kind: str, value: Any, *, delivered: tuple[str, ...] = (), asker_digest: str = ""
    ) -> Any:
        """Keep a value at its first use; every later run gets the kept one."""
        row = self._rows.get(key)
        if row is not None:
            if row.action != NOTE:
                raise ProgramDiverged(f"at {key} this turn asked for {row.action} before and now keeps a value")
            return row.result["value"]
        kept = canonical.normalise({"kind": kind, "value": value}, what=f"value of {kind}")
        call = Call(self._run.turn_id, key, NOTE, kept, "note", delivered=delivered, asker_digest=asker_digest)
        self._known(call)
        self._must_go_on(await self._gate.keep(self._run, call))
        return kept["value"]

    # -- one call ------------------------------------------------------------------------------------------------

    async def _perform(self, call: Call, usage: Usage, execute: Execute | None) -> Performed:
        row = self._known(call)
        if row is not None and row.status.settled:
            return _performed(row)
        prepared = Prepared(call, usage, execute)
        request = Request(self._run, call, usage)
        if row is None:
            self._loops.watch(call)
        elif row.status is ActionStatus.UNKNOWN:
            raise TurnSuspendedError("reconciliation")
        elif row.item_open:
            raise TurnSuspendedError("approval")
        elif row.status is ActionStatus.CLEARED:
            return await self._recover(prepared, row)
        else:
            request = self._answered(request, row)
        return await self._admit(prepared, request)

    async def _admit(self, prepared: Prepared, request: Request) -> Performed:
        await self._attempts.get_ready(prepared)
        passing("admit:before")
        decision = await self._gate.admit(request)
        passing("admit:after")
        match decision:
            case Permit():
                return await self._carry_out(prepared, request, decision)
            case Forbid():
                return Performed(decision.action_id, ActionStatus.REFUSED, reasons=decision.reasons)
            case NeedsApproval():
                await self._attempts.show_current_state(self, request, decision)
                passing("suspend:before")
                raise TurnSuspendedError("approval")
            case OverLimit():
                raise TurnSuspendedError("limit", self._now() + decision.retry_after)
            case InFlight():
                raise TurnSuspendedError("limit", self._now() + decision.wait + timedelta(milliseconds=50))
            case Unrepeated():
                return await self._settle_unrepeated(prepared, decision)
            case Halted():
                self._must_go_on(decision)
        raise AssertionError("every decision ends this")

    async def _carry_out(self, prepared: Prepared, request: Request, permit: Permit) -> Performed:
        """Execute what was cleared, repeat it where that is safe, settle it."""
        outcome, attempt = await self._attempts.execute(prepared, request, permit)
        return await self._settle(prepared, permit.clearance.action_id, outcome, attempt)

    async def _settle(self, prepared: Prepared, action_id: str, outcome: Outcome, attempt: int) -> Performed:
        call = prepared.call
        if call.mode == "model" and outcome.status == "unknown":
            # It may have been billed: exactly what was reserved is booked, and the model may be asked anew.
            reserved = prepared.usage
            outcome = replace(
                outcome,
                status="failed",
                usd_micros=reserved.usd_micros,
                input_tokens=max(0, reserved.tokens - outcome.output_tokens),
            )
        # Nothing may stop what is known from being written: not the end of the run, not a cancelled task.
        settling = asyncio.create_task(self._gate.settle(self._run, call, action_id, outcome, attempt=attempt))
        settled = await asyncio.shield(settling)
        passing("settle:after")
        if settled.answer == "superseded":
            raise RunSupersededError
        if outcome.status == "unknown":
            raise TurnSuspendedError("reconciliation")
        status = ActionStatus(outcome.status)
        return Performed(action_id, status, outcome.result, outcome.error, at=settled.at)

    async def _recover(self, prepared: Prepared, row: LedgerRow) -> Performed:
        """An earlier run was let through and its outcome is not known: wait it out, then repeat, look up or ask."""
        left = 0.0 if prepared.call.mode == "model" else max(0.0, row.expires_in)
        if left > _SHORT:
            raise TurnSuspendedError("limit", self._now() + timedelta(seconds=left + 0.05))
        await asyncio.sleep(left + 0.05 if left else 0)
        request = self._answered(Request(self._run, prepared.call, prepared.usage, repeat=True), row)
        if self._attempts.may_repeat(prepared.call, row):
            return await self._admit(prepared, request)
        found = await self._attempts.look_up(self, prepared.call, row)
        if found is None:
            return await self._admit(prepared, request)
        return await self._settle(prepared, row.id, found, row.attempt)

    async def _settle_unrepeated(self, prepared: Prepared, decision: Unrepeated) -> Performed:
        """What an earlier run did is not known and it may not be done again: its owner is asked, but for a read."""
        row = self._rows[prepared.call.key]
        action_type = self._source.current().action_type(prepared.call.action)
        reads = prepared.call.mode == "tool" and action_type is not None and action_type.effect is Effect.READ
        why = "; ".join(r.text for r in decision.reasons)
        outcome = Outcome("failed" if reads else "unknown", error=f"it was under way and may not be made again: {why}")
        return await self._settle(prepared, row.id, outcome, row.attempt)

    # -- helpers -------------------------------------------------------------------------------------------------

    def unused(self, place: str) -> str:
        """A place at which nothing was done yet: this one, or one numbered behind it."""
        return next(p for n in count(1) if (p := place if n == 1 else f"{place}{n}") not in self._rows)

    def _known(self, call: Call) -> LedgerRow | None:
        """What the ledger holds at this place. Raises ProgramDiverged if it is something else, InvalidInput if huge."""
        if len(call.body) > canonical.MAX_BYTES:
            raise InvalidInput(
                f"the arguments of {call.action} have {len(call.body):,} bytes; "
                f"at most {canonical.MAX_BYTES:,} are taken"
            )
        row = self._rows.get(call.key)
        if row is not None and (row.action != call.action or row.asked_digest != call.digest):
            what = "other arguments" if row.action == call.action else call.action
            raise ProgramDiverged(
                f"at {call.key} this turn asked for {row.action} before and now asks for {what}; nothing was executed"
            )
        return row

    def _answered(self, request: Request, row: LedgerRow) -> Request:
        """The request with what people have said to this action since it was asked."""
        editor = (row.override or {}).get("edited_by") if row.edited_args is not None else None
        return Request(
            request.run,
            request.call,
            request.usage,
            approvals=tuple(self._approvals.get(row.id, ())),
            edited=row.edited_args,
            editors=(editor,) if isinstance(editor, str) else (),
            repeat=request.repeat,
        )

    def _with_defaults(self, action: str, args: dict[str, Any]) -> dict[str, Any]:
        """Canonical arguments, with the action type's defaults where one is absent or null."""
        value = canonical.normalise(args, what="arguments")
        if not isinstance(value, dict):
            raise InvalidInput("arguments are an object")
        action_type = self._source.current().action_type(action)
        if action_type is None:
            return value
        absent = {k: canonical.normalise(v) for k, v in action_type.defaults.items() if value.get(k) is None}
        return {**value, **absent}

    @staticmethod
    def _must_go_on(decision: object) -> None:
        """Raise what ends the run, if the decision does."""
        if not isinstance(decision, Halted):
            return
        match decision.reason.code:
            case ReasonCode.STOPPED:
                raise TurnSuspendedError("stop")
            case ReasonCode.SESSION_NOT_RUNNING:
                raise TurnSuspendedError("pause")
            case _:
                raise RunSupersededError


def _performed(row: LedgerRow) -> Performed:
    return Performed(row.id, row.status, row.result, row.error, row.reasons, row.settled_at, replayed=True)


def _reasons(decision: object) -> tuple[Any, ...]:
    return decision.reasons if isinstance(decision, Forbid) else ()


def counts(rows: dict[str, LedgerRow]) -> Counter[tuple[str, str]]:
    """How often each call was already made, for the loop guard."""
    return Counter((row.action, row.asked_digest) for row in rows.values() if row.mode in {"tool", "model"})
