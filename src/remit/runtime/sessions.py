"""Sessions' verbs: start, say, fork, pause, resume, cancel, decide, stop, release. Each is one transaction.

Whatever makes work go on enqueues the run in the same transaction, so that nothing is lost between saying and doing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from remit.domain.agents import AgentVersion
from remit.domain.inbox import InboxItem
from remit.domain.records import Tag
from remit.domain.sessions import SessionStatus
from remit.errors import InvalidInput
from remit.governance.desk import Decider, Desk
from remit.governance.state import Governance
from remit.runtime import messages
from remit.runtime.conversations import Conversations
from remit.runtime.off_switch import OffSwitch
from remit.runtime.verbs import deployed, kind_of
from remit.storage import actions, delegations, executors, memory_care, runs, sessions, stops
from remit.storage.sessions import Db


@dataclass(frozen=True, slots=True)
class Start:
    """What a session is started with."""

    agent: str
    input: Any
    principal: str
    trigger: str = "person"
    request_id: str | None = None
    title: str = ""
    on_behalf_of: str | None = None
    simulated: bool = False
    depth: int = 0
    """How many events and delegations led to it."""
    labels: frozenset[str] = frozenset()
    """What its input has touched already."""
    requester: str | None = None
    """Who asked for it in the end; None: the principal."""


_LOOK_AGAIN = 60.0  # seconds


def _nothing(_: Db) -> None:
    """What else is done in the transaction of a decision, where nothing is."""


class Sessions(Conversations, OffSwitch):
    """The verbs, for surfaces and workers."""

    _looked_at: tuple[int, float] = (0, 0.0)
    """The version, and the monotonic time, at which it was last looked whether people have left."""

    # -- work ----------------------------------------------------------------------------------------------------

    def start(self, start: Start) -> str:
        """Start a session and return its id. Raises NotFound, InvalidInput or NotEntitled."""
        new = self.planned(start, self._deployments.load())
        with self.transaction() as db:
            (session_id,) = self.start_planned(db, [new])
        return session_id

    def planned(self, start: Start, governance: Governance) -> sessions.NewSession:
        """What starting this would write, on this snapshot. Raises NotFound, InvalidInput or NotEntitled."""
        version = deployed(governance, start.agent)
        if version.spec.external:
            raise InvalidInput(
                f"no worker runs the agent {start.agent}: it is external",
                advice="Start it in its own process; docs/how-to/govern-your-own-agent.md says how.",
            )
        return _new_session(version, start)

    def start_planned(self, db: Db, planned: Sequence[sessions.NewSession]) -> list[str]:
        """Start sessions in the caller's transaction, many in few round trips. Returns their ids in the same order."""
        if not planned:
            return []
        with db.pipeline():
            made = [sessions.create(db, new) for new in planned]
        self._enqueue(db, runs.ask_for_first_runs(db, [turn_id for _, turn_id in made]))
        return [session_id for session_id, _ in made]

    def start_external(self, db: Db, start: Start) -> tuple[str, str]:
        """Write a session whose first turn the calling process runs itself. Returns (session id, turn id).

        Raises NotFound, InvalidInput or NotEntitled.
        """
        version = self._agent(start.agent)
        if not version.spec.external:
            raise InvalidInput(
                f"workers run the agent {start.agent}",
                advice="Start it with `remit start`, or say `external: true` in its agent.yaml.",
            )
        return sessions.create(db, _new_session(version, start))

    def pause(self, session_id: str, by: str, reason: str) -> None:
        """Set a session aside: its run ends between two actions; what is under way settles.

        What it has delegated and is at work is set aside with it.
        """
        with self.transaction() as db:
            for child in sessions.open_among(db, delegations.below(db, session_id)):
                sessions.move(
                    db, child, SessionStatus.PAUSED, Tag.SESSION_PAUSED, by=by, reason=_paused_with(session_id)
                )
            sessions.move(db, session_id, SessionStatus.PAUSED, Tag.SESSION_PAUSED, by=by, reason=reason)

    def resume(self, session_id: str, by: str, reason: str) -> None:
        """Take a paused session up again, with what it has delegated and was set aside with it."""
        with self.transaction() as db:
            for child in delegations.below(db, session_id):
                found = sessions.get(db, child, lock=True)
                if found.status is SessionStatus.PAUSED and found.reason == _paused_with(session_id):
                    self._take_up(db, child, by, reason)
            self._take_up(db, session_id, by, reason)

    def _take_up(self, db: Db, session_id: str, by: str, reason: str) -> None:
        sessions.move(db, session_id, SessionStatus.RUNNING, Tag.SESSION_RESUMED, by=by, reason=reason)
        for turn_id in sessions.open_turns(db, session_id):
            self.resume_turn(db, turn_id)
        runs.rest(db, session_id)

    def cancel(self, session_id: str, by: str, reason: str) -> None:
        """End a session for good, and what it has delegated and has not ended. Whoever delegated it goes on."""
        with self.transaction() as db:
            below = delegations.below(db, session_id)
            self._cancel_open(db, below, session_id, by)
            ended = sessions.cancel(db, session_id, by=by, reason=reason)
            # One that was delegated before the session was locked, and after it was looked.
            self._cancel_open(db, [s for s in delegations.below(db, session_id) if s not in below], session_id, by)
            for turn_id in ended:
                parent = delegations.waiting_parent(db, turn_id)
                if parent is not None:
                    self.resume_turn(db, parent)

    @staticmethod
    def _cancel_open(db: Db, below: list[str], session_id: str, by: str) -> None:
        for child in sessions.open_among(db, [*below]):
            sessions.cancel(db, child, by=by, reason=f"cancelled with {session_id}")

    # -- people --------------------------------------------------------------------------------------------------

    def approve(
        self,
        item_id: str,
        decider: Decider,
        reason: str,
        *,
        edited: dict[str, Any] | None = None,
        via: str | None = None,
        also: Callable[[Db], None] | None = None,
    ) -> InboxItem:
        """See `Desk.approve`. `via` is the surface that it came over: `cli`, `slack`, `mail`.

        `also` is done after it in the same transaction: if that raises, nothing was decided.
        """
        with self._deciding(also) as db:
            return self._desk().approve(db, item_id, decider.over(via), reason, edited=edited)

    def deny(
        self,
        item_id: str,
        decider: Decider,
        reason: str,
        *,
        via: str | None = None,
        also: Callable[[Db], None] | None = None,
    ) -> InboxItem:
        """See `Desk.deny`, and `approve` for `also`."""
        with self._deciding(also) as db:
            return self._desk().deny(db, item_id, decider.over(via), reason)

    def answer(
        self,
        item_id: str,
        decider: Decider,
        value: Any,
        reason: str = "",
        *,
        remember: bool = False,
        via: str | None = None,
        also: Callable[[Db], None] | None = None,
    ) -> InboxItem:
        """See `Desk.answer`, and `approve` for `also`. `value` may be text: it is read as the item's form says."""
        with self._deciding(also) as db:
            return self._desk().answer(db, item_id, decider.over(via), value, reason, remember=remember)

    @contextmanager
    def _deciding(self, also: Callable[[Db], None] | None) -> Iterator[Db]:
        with self.transaction() as db:
            yield db
            if also is not None:
                also(db)

    # -- the clock, called by workers ----------------------------------------------------------------------------

    def tick(self) -> int:
        """Do what is due: expire and escalate items, resume turns whose timer ran out. Returns how much was done."""
        with self.transaction() as db:
            desk = self._desk()
            touched = desk.tick(db, datetime.now(UTC)) + memory_care.expire(db)
            touched += self._hand_over(db, desk)
            due = [*executors.due_turns(db), *stops.stopped_turns(db, by_clock=True)]
            for turn_id in due:
                self.resume_turn(db, turn_id)
            doubts = actions.doubtful(db)
        for action in doubts:
            with self.transaction() as db:
                self._desk().doubt(db, action)
        return touched + len(due) + len(doubts)

    # -- helpers -------------------------------------------------------------------------------------------------

    def _hand_over(self, db: Db, desk: Desk) -> int:
        """People leave by deployments: look at each new version, and now and then, since items may be locked."""
        version, now = self._deployments.current().version, time.monotonic()
        if self._looked_at[0] == version and now - self._looked_at[1] < _LOOK_AGAIN:
            return 0
        self._looked_at = (version, now)
        return desk.hand_over(db)

    def _desk(self) -> Desk:
        return Desk(self._deployments.load(), self.resume_turn)

    def _agent(self, name: str) -> AgentVersion:
        return deployed(self._deployments.load(), name)


def _new_session(version: AgentVersion, start: Start) -> sessions.NewSession:
    assisted = version.spec.layer == "assisted"
    return sessions.NewSession(
        agent=start.agent,
        agent_version=version.digest,
        workspace=version.spec.workspace,
        workflow=version.spec.workflow,
        principal=start.principal,
        on_behalf_of=start.on_behalf_of or (start.principal.removeprefix("person:") if assisted else None),
        trigger=start.trigger,
        request_id=start.request_id,
        title=start.title,
        simulated=start.simulated,
        assisted=assisted,
        input=messages.fitted(version, start.input),
        kind=kind_of(version),
        requester=start.requester,
        labels=start.labels,
        depth=start.depth,
    )


def _paused_with(session_id: str) -> str:
    return f"paused with {session_id}"
