"""A turn's rows around a run: what is known when it begins, what is written when it ends, whom to ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from remit.domain import canonical
from remit.domain.budgets import from_micros
from remit.domain.decisions import Actor
from remit.domain.inbox import Approval
from remit.domain.intents import LedgerRow
from remit.domain.sessions import TurnStatus
from remit.governance import items
from remit.governance.deployments import Deployments
from remit.governance.judgement import Run
from remit.runtime.triggers import listening
from remit.storage import budgets, delegations, inbox, runs, sessions
from remit.storage.database import connect
from remit.storage.runs import OwnedRun
from remit.storage.turns import Earlier


@dataclass(frozen=True, slots=True)
class Opened:
    """A run that owns its turn, with everything that the database holds of the turn."""

    owned: OwnedRun
    given: Any
    rows: dict[str, LedgerRow]
    approvals: dict[str, list[Approval]]
    history: list[Earlier]
    """The session's earlier turns that have finished by now."""
    later: bool = False
    """True if the session had turns before this one, finished or not."""
    stopped: bool = False
    """True if a stop covers everything that this turn could do."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended."""

    status: TurnStatus
    output: Any = None
    error: str | None = None
    waiting_for: str = ""
    resume_at: datetime | None = None
    delivered: tuple[str, ...] = ()
    """Keys of a program's last results, in the order in which it got them: its replay needs that."""

    @property
    def ended(self) -> bool:
        """True if the turn itself has ended."""
        return self.status is not TurnStatus.WAITING


class TurnRows:
    """Reads and writes what surrounds a run. Every method blocks for a round trip or two."""

    def __init__(self, url: str, deployments: Deployments, resume: Callable[[sessions.Db, str], None]) -> None:
        self._url = url
        self._deployments = deployments
        self._resume = resume

    def known(self, db: sessions.Db, owned: OwnedRun) -> tuple[Any, dict[str, list[Approval]], list[Earlier]]:
        """The message that the turn answers, what people have said to its actions, and the session's earlier turns."""
        return (
            sessions.message_of(db, owned.message_id),
            inbox.approvals(db, owned.turn_id),
            sessions.history(db, owned.session_id, owned.turn_id),
        )

    def gate_run(self, owned: OwnedRun) -> Run:
        """The run as the gate sees it, with the day's totals where a budget or a cap counts them."""
        governance = self._deployments.load()
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        caps = {
            (name, cap.currency): f"cap:{name}:{cap.currency}:{day}"
            for name, action_type in governance.project.actions.items()
            for cap in action_type.caps.per_day
        }
        agent_day = f"agent:{owned.agent}:{day}"
        version = governance.agent(owned.agent)
        counted = version is not None and version.spec.budget.day is not None
        with connect(self._url) as db:
            used = budgets.used(db, [agent_day, *caps.values()])
        return Run(
            session_id=owned.session_id,
            turn_id=owned.turn_id,
            epoch=owned.epoch,
            actor=Actor(owned.agent, owned.agent_version, owned.on_behalf_of, owned.assisted),
            workspace=owned.workspace,
            workflow=owned.workflow,
            trigger=owned.trigger,
            principal=owned.principal,
            labels=owned.labels,
            usd_micros=owned.usd_micros,
            tokens=owned.tokens,
            calls=owned.calls,
            today=used[agent_day] if counted else None,
            moved_today={place: Decimal(from_micros(used[cap].usd_micros)) for place, cap in caps.items()},
        )

    def end(self, owned: OwnedRun, number: int, ending: Ending) -> bool:
        """Write how run `number` ended. False: a newer run has taken over, and nothing was written.

        A turn that waits for what this one was delegated is given its next run in the same transaction.
        """
        project = self._deployments.current().project
        with connect(self._url) as db:
            listening.tell_emits(db, project, owned)
            written = runs.end_run(
                db,
                owned,
                number,
                ending.status,
                waiting_for=ending.waiting_for,
                resume_at=ending.resume_at,
                output=canonical.normalise(ending.output, what="output"),
                error=ending.error,
            )
            if written and ending.ended:
                listening.tell_outcome(db, project, owned, ending.status)
            if written and ending.delivered:
                runs.keep_delivered(db, owned.turn_id, ending.delivered)
            parent = delegations.waiting_parent(db, owned.turn_id) if written and ending.ended else None
            if parent is not None:
                self._resume(db, parent)
            return written

    def ask_owner(self, owned: OwnedRun, summary: str, detail: dict[str, object]) -> None:
        """Ask the agent's owner to look at the turn, once."""
        governance = self._deployments.current()
        version = governance.agent(owned.agent)
        people = items.people(governance, (version.spec.owner,)) if version is not None else ()
        with connect(self._url) as db:
            inbox.open_attention(
                db, owned.session_id, owned.turn_id, summary, people, dict(detail), dedup=f"attention:{owned.turn_id}"
            )

    def keep_messages(self, owned: OwnedRun, messages: list[Any]) -> None:
        """Keep what the turn said and heard, for the session's later turns."""
        with connect(self._url) as db:
            sessions.keep_history(db, owned.session_id, owned.turn_id, messages)
