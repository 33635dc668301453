"""The gate: the one road to every tool and every model.

Read from top to bottom, this is the way of an action. It is judged (`judgement.py`: identity, scope, RACI,
arguments, policy, approval, caps), written down as an intent, and admitted by the database in one transaction, which
looks at stops, rates, concurrency and budgets where nothing can change in between
(`storage/migrations/versions/0001_functions.sql`). Only then a `Clearance` is minted. After the execution comes
settlement.

The gate never waits for a person and never executes anything.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from remit.domain import canonical, ids
from remit.domain.actions import ActionType, Effect, Label
from remit.domain.budgets import Usage
from remit.domain.builtins import is_builtin
from remit.domain.decisions import (
    Call,
    Clearance,
    Decision,
    Forbid,
    Halted,
    InFlight,
    NeedsApproval,
    Outcome,
    OverLimit,
    Permit,
    Reason,
    ReasonCode,
    Unrepeated,
    Verdict,
)
from remit.domain.intents import Admission, BudgetDraw, Intent, LimiterDraw, NewItem, Settled, Settlement
from remit.errors import DatabaseUnavailable, ProgramDiverged
from remit.governance import checks, items, limits
from remit.governance.judgement import Judgement, Request, Run, judge
from remit.governance.state import Governance, GovernanceSource
from remit.storage.ledger import UNSTORABLE, Ledger

_MINT = object()  # only this module can put it on a clearance
_PATIENCE = 30.0  # seconds that an admission outlasts a database that is away
_IN_PLACE = 1.0  # seconds that a call over a limit waits before its turn ends instead


class Gate:
    """Admits and settles actions for one process."""

    def __init__(
        self,
        ledger: Ledger,
        source: GovernanceSource,
        *,
        clearance: timedelta = timedelta(seconds=5),
        tool_changed: Callable[[str], bool] = lambda _: False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._source = source
        self._clearance = clearance
        self._tool_changed = tool_changed
        self._now = now

    async def admit(self, request: Request) -> Decision:
        """Decide on a request and commit the decision; a permit carries the clearance.

        Raises ProgramDiverged if the ledger holds another action at this place, and DatabaseUnavailable if nothing
        could be committed for thirty seconds. In both cases nothing may be executed.
        """
        nonce = request.nonce or secrets.token_hex(8)
        waited, began = 0.0, time.monotonic()
        while True:
            governance = self._source.current()
            changed = self._tool_changed(request.call.action)
            judged = judge(governance, request, changed=changed, now=self._now())
            started = time.monotonic()
            intent = self._intent(governance, request, judged, nonce)
            try:
                answer = await self._ledger.admit(intent)
            except DatabaseUnavailable:
                # The same nonce is sent again: had it been committed after all, it is ours and was never executed.
                if time.monotonic() - began > _PATIENCE:
                    raise
                await asyncio.sleep(0.2)
                continue
            match answer.answer:
                case "stale" if answer.labels is not None:
                    request.run.labels = frozenset(answer.labels)
                case "stale":
                    await self._source.refresh()
                case "approval_gone":
                    request = replace(request, approvals=())
                case "duplicate":
                    request = replace(request, duplicate_of=answer.other)
                case "wait":
                    waited += answer.wait_ms / 1000
                    request = replace(request, park=waited > _IN_PLACE)
                    await asyncio.sleep(answer.wait_ms / 1000)
                case _:
                    return self._decision(request, intent, judged, answer, deadline=started)

    async def refuse(self, run: Run, call: Call, code: str, text: str) -> Decision:
        """Write down an attempt that never was a call, as refused."""
        governance = self._source.current()
        judged = Judgement(Verdict("forbid", (Reason(code, text),), ()), None, None)
        request = Request(run, call, Usage())
        intent = self._intent(governance, request, judged, secrets.token_hex(8))
        answer = await self._ledger.admit(intent)
        if answer.answer == "stale":
            await self._source.refresh()
            run.labels = run.labels if answer.labels is None else frozenset(answer.labels)
            return await self.refuse(run, call, code, text)
        return self._decision(request, intent, judged, answer, deadline=0.0)

    async def keep(self, run: Run, call: Call, item: NewItem | None = None) -> Decision | None:
        """Write down something that changes nothing in the world: a value, or with `item` a question to a person.

        None: it is kept. NeedsApproval: the person is asked. Forbid or Halted: this run may not go on.
        """
        request = Request(run, call, Usage())
        kind: Literal["needs_approval", "note"] = "note" if item is None else "needs_approval"
        while True:
            governance = self._source.current()
            reason = checks.identity(governance, run.actor)
            verdict = Verdict("forbid", (reason,), ()) if reason is not None else Verdict("needs_approval", (), ())
            judged = Judgement(verdict, None, None)
            intent = self._intent(governance, request, judged, secrets.token_hex(8))
            if reason is None:
                intent = replace(intent, verdict=kind, item=item)
            answer = await self._ledger.admit(intent)
            if answer.answer == "stale":
                if answer.labels is not None:
                    run.labels = frozenset(answer.labels)
                await self._source.refresh()
                continue
            if answer.answer == "succeeded":
                return None
            return self._decision(request, intent, judged, answer, deadline=0.0)

    def _intent(self, governance: Governance, request: Request, judged: Judgement, nonce: str) -> Intent:
        """Steps 6 to 8 as data: what the database is to check, reserve and write in one transaction."""
        run, call, action_type, verdict = request.run, request.call, judged.action_type, judged.verdict
        budgets, limiters = self._draws(governance, request, judged)
        raci = action_type.raci if action_type is not None else None
        # What a built-in tool does is written under its action's id, and what it calls stands on the ledger by itself:
        # nothing of it can be under way unseen, so a run that was given up or died need not be waited for.
        in_place = call.mode == "tool" and is_builtin(call.action)
        return Intent(
            id=ids.action_id(call.turn_id, call.key),
            turn_id=call.turn_id,
            session_id=run.session_id,
            epoch=run.epoch,
            key=call.key,
            mode=call.mode,
            action=call.action,
            agent=run.actor.agent,
            agent_version=run.actor.agent_version,
            on_behalf_of=run.actor.on_behalf_of,
            asked_digest=call.digest,
            args_digest=request.digest,
            asker_digest=call.asker_digest,
            body=call.body,
            verdict=verdict.kind,
            reasons=verdict.reasons,
            policy_ids=verdict.policy_ids,
            policy_version=governance.policy.version,
            roles=verdict.roles,
            determining=verdict.determining_digest,
            approved_roles=judged.approved_roles,
            duplicate_approved=bool(request.duplicate_of) and bool(judged.approved_roles),
            duplicate_known=bool(request.duplicate_of),
            version=governance.version,
            labels=tuple(sorted(run.labels)),
            adds=_labels_added(governance, call, action_type),
            reserve_usd=request.usage.usd_micros,
            reserve_tokens=request.usage.tokens,
            budgets=budgets,
            limits=limiters,
            business_key=_business_key(call.action, action_type, request.args),
            deadline_ms=0 if in_place else int(self._clearance.total_seconds() * 1000),
            timeout_ms=0 if in_place or action_type is None else int(action_type.timeout.total_seconds() * 1000),
            nonce=nonce,
            repeat=request.repeat,
            park=request.park,
            consulted=items.people(governance, raci.consulted) if raci is not None else (),
            delivered=call.delivered,
            provider_call_id=call.provider_call_id,
            why=call.reason,
            item=self._item(governance, request, judged),
        )

    def _draws(
        self, governance: Governance, request: Request, judged: Judgement
    ) -> tuple[tuple[BudgetDraw, ...], tuple[LimiterDraw, ...]]:
        """6 rate, concurrency, caps and 7 budget: what a permitted action takes from each."""
        if judged.verdict.kind != "permit" or judged.action_type is None or judged.agent is None:
            return (), ()
        action, agent_id = request.call.action, request.run.actor.agent
        budgets = limits.budget_draws(
            governance.project,
            judged.agent,
            agent_id=agent_id,
            session_id=request.run.session_id,
            action=action,
            moved=judged.moved,
            action_type=judged.action_type,
            usage=request.usage,
            now=self._now(),
        )
        return budgets, limits.limiter_draws(
            governance.project, judged.agent, agent_id=agent_id, action=action, action_type=judged.action_type
        )

    def _item(self, governance: Governance, request: Request, judged: Judgement) -> NewItem | None:
        if judged.verdict.kind != "needs_approval" or judged.action_type is None or judged.agent is None:
            return None
        return items.approval(governance, request, judged.verdict, judged.action_type, judged.agent, now=self._now())

    def _decision(
        self, request: Request, intent: Intent, judged: Judgement, answer: Admission, *, deadline: float
    ) -> Decision:
        """What the committed answer means. A clearance is minted here and nowhere else."""
        match answer.answer:
            case "cleared":
                request.run.labels |= frozenset(intent.adds)
                request.run.move(intent.action, judged.moved)
                clearance = Clearance(
                    action_id=intent.id,
                    action=intent.action,
                    args=request.args,
                    idempotency_key=intent.id,
                    deadline=deadline + self._clearance.total_seconds(),
                    timeout=judged.action_type.timeout if judged.action_type else timedelta(0),
                    attempt=answer.attempt,
                    _mint=_MINT,
                )
                return Permit(clearance, intent.nonce, intent.reasons, intent.policy_ids)
            case "waiting":
                return NeedsApproval(intent.id, answer.item_id or "", intent.roles, answer.reasons, intent.policy_ids)
            case "limited":
                return OverLimit(intent.id, timedelta(milliseconds=answer.wait_ms), answer.reasons, intent.policy_ids)
            case "in_flight":
                return InFlight(intent.id, timedelta(milliseconds=answer.wait_ms))
            case "diverged":
                raise ProgramDiverged(
                    f"at {intent.key} this turn asked for {answer.other} before; now it asks for {intent.action}, "
                    "or for other arguments. Nothing was executed."
                )
            case "halted":
                return Halted(Reason(answer.code, f"{_HALTED[answer.code]} {answer.other}".strip()))
            case "unrepeated":
                return Unrepeated(intent.id, answer.reasons, intent.policy_ids)
            case "settled":
                return Halted(Reason(ReasonCode.STALE_RUN, "another run has settled this action"))
            case _:
                return Forbid(intent.id, answer.reasons, intent.policy_ids)

    @staticmethod
    def is_genuine(clearance: Clearance) -> bool:
        """True if the gate minted this clearance."""
        return clearance._mint is _MINT  # noqa: SLF001 - the mint is the gate's own mark

    async def settle(
        self, run: Run, call: Call, action_id: str, outcome: Outcome, *, attempt: int | None = None
    ) -> Settled:
        """Commit what became of a cleared action. Accepted under any epoch and any stop; never gives up.

        `attempt` is the clearance that was used. Once another run holds a later one, only a success still counts:
        the answer is then `superseded`.
        """
        governance = self._source.current()
        action_type = governance.action_type(call.action)
        version = governance.agent(run.actor.agent)
        run.book(Usage(outcome.usd_micros, outcome.input_tokens + outcome.output_tokens, 1))
        told: tuple[str, ...] = ()
        if action_type is not None and action_type.raci is not None and action_type.effect is Effect.WRITE:
            told = items.people(governance, action_type.raci.informed)
        return await self._ledger.settle(
            Settlement(
                id=action_id,
                status=outcome.status,
                body=_storable(outcome.result),
                error=outcome.error,
                usd=outcome.usd_micros,
                input_tokens=outcome.input_tokens,
                output_tokens=outcome.output_tokens,
                informed=told,
                notice=items.summary(action_type, call.action, call.args, run.actor.agent),
                owners=items.people(governance, (version.spec.owner,)) if version is not None else (),
                item=items.reconciliation(governance, call, run.actor, action_type)
                if outcome.status == "unknown"
                else None,
                attempt=attempt,
            )
        )


_HALTED = {
    "stopped": "a stop is in force:",
    "session_not_running": "the session is",
    "stale_run": "a newer run of this turn has taken over",
}


def _storable(result: Any) -> bytes:
    try:
        body = canonical.dumps(canonical.normalise(result, what="result"))
    except Exception:  # noqa: BLE001 - whatever is wrong with the result, that it happened must be kept
        return UNSTORABLE
    return body if len(body) <= canonical.MAX_BYTES else UNSTORABLE


def _labels_added(governance: Governance, call: Call, action_type: ActionType | None) -> tuple[str, ...]:
    """What the session carries from now on; a connection that nobody vouches for adds `untrusted`."""
    if action_type is None or call.mode == "model":
        return ()
    if is_builtin(call.action):
        # What these give comes from this very project, or brings the labels of the session that it was learned in.
        return tuple(sorted(action_type.reads))
    connection = governance.project.connections.get(call.action.partition(".")[0])
    doubtful = {Label.UNTRUSTED} if connection is None or not connection.trusted else set()
    return tuple(sorted(action_type.reads | doubtful))


def _business_key(action: str, action_type: ActionType | None, args: dict[str, Any]) -> str | None:
    if action_type is None or not action_type.business_key:
        return None
    return f"{action}:{canonical.digest([args.get(name) for name in action_type.business_key])}"
