"""Sessions' verbs: start, say, pause, resume, cancel, decide, stop, release. Each is one transaction.

Whatever makes work go on enqueues the run in the same transaction, so that nothing is lost between saying and doing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from remit.domain.agents import AgentVersion
from remit.domain.inbox import InboxItem
from remit.domain.records import Tag
from remit.domain.sessions import SessionStatus
from remit.domain.stops import Stop, StopScope
from remit.errors import Conflict, InvalidInput, NotEntitled, NotFound
from remit.governance.deployments import Deployments
from remit.governance.desk import Decider, Desk
from remit.governance.state import Governance
from remit.runtime import messages
from remit.storage import actions, delegations, executors, runs, sessions, stops
from remit.storage.database import connect
from remit.storage.sessions import Db

Enqueue = Callable[[Db, str, str, int], None]
"""Asks for a run in the given transaction: a turn's id, its session's, and the run's number."""


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


@dataclass(frozen=True, slots=True)
class Drill:
    """What a rehearsal of the off switch has shown."""

    stop: str
    scope: str
    target: str
    seconds_to_commit: float
    """From asking to the stop being in force."""
    seconds_to_quiet: float
    """From then until nothing that it covers was at work."""
    still_at_work: int
    """Turns that had not ended when the drill gave up waiting."""
    cleared_after: int
    """Actions that were cleared after the stop was in force: anything but 0 is a defect."""
    turns_resumed: int


def _nothing(_: Db) -> None:
    """What else is done in the transaction of a decision, where nothing is."""


class Sessions:
    """The verbs, for surfaces and workers."""

    def __init__(self, url: str, deployments: Deployments, enqueue: Enqueue) -> None:
        self._url = url
        self._deployments = deployments
        self._enqueue = enqueue

    @contextmanager
    def transaction(self) -> Iterator[Db]:
        """A transaction on the database; commits at the end."""
        with connect(self._url) as db:
            yield db

    # -- work ----------------------------------------------------------------------------------------------------

    def start(self, start: Start) -> str:
        """Start a session and return its id. Raises NotFound, InvalidInput or NotEntitled."""
        new = self.planned(start, self._deployments.load())
        with self.transaction() as db:
            (session_id,) = self.start_planned(db, [new])
        return session_id

    def planned(self, start: Start, governance: Governance) -> sessions.NewSession:
        """What starting this would write, on this snapshot. Raises NotFound, InvalidInput or NotEntitled."""
        version = _deployed(governance, start.agent)
        if version.spec.external:
            raise InvalidInput(
                f"no worker runs the agent {start.agent}: it is external",
                advice="Start it in its own process; docs/how-to/govern-your-own-agent.md says how.",
            )
        return _new_session(version, start)

    def start_planned(self, db: Db, planned: Sequence[sessions.NewSession]) -> list[str]:
        """Start sessions in the caller's transaction, many in few round trips. Returns their ids in the same order."""
        with db.pipeline():
            made = [sessions.create(db, new) for new in planned]
        for _, turn_id in made:
            self.resume_turn(db, turn_id)
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

    def message(self, session_id: str, author: str, contents: Any, *, to: str | None = None) -> str:
        """Say something in a session: a new turn. Returns the turn's id.

        A text that begins with `@agent`, or `to`, has that agent answer, as it was deployed when it was first
        addressed in the session; everything else is answered by the session's own. Raises Conflict where the session
        is paused or cancelled, NotEntitled if the author may not write in it, InvalidInput if what was said fits no
        agent.
        """
        with self.transaction() as db:
            return self.say(db, session_id, author, contents, to=to)

    def say(self, db: Db, session_id: str, author: str, contents: Any, *, to: str | None = None) -> str:
        """What `message` does, in the caller's transaction."""
        said = messages.read(contents) if to is None else messages.Said(to, contents)
        governance = self._deployments.load()
        session = sessions.get(db, session_id, lock=True)
        messages.check_author(governance, session, author)
        messages.check_open(session)
        version = self._deployments.version(session.agent, session.agent_version)
        if said.to not in {None, session.agent}:
            version = messages.addressed(governance, session, said.to or "")
            kept = sessions.version_used(db, session_id, version.agent)
            version = version if kept is None else self._deployments.version(version.agent, kept)
        assisted = version.spec.layer == "assisted" and author.startswith("person:")
        turn_id, digest = sessions.add_turn(
            db,
            session_id,
            author,
            version.agent,
            version.digest,
            messages.answered_by(version, said.contents),
            kind=_kind(version),
            on_behalf_of=author.removeprefix("person:") if assisted else None,
        )
        sessions.record(
            db, Tag.SESSION_MESSAGE, session=session_id, turn=turn_id, by=author, agent=version.agent, message=digest
        )
        sessions.reopen(db, session_id)
        self.resume_turn(db, turn_id)
        return turn_id

    def undo(self, action_id: str, author: str, reason: str) -> str:
        """Take an action back by the call that its type declares. Returns the id of the turn that does it.

        Raises Conflict where the action did not succeed, was undone already, or is irreversible.
        """
        with self.transaction() as db:
            action = actions.get(db, action_id)
            action_type = self._deployments.current().action_type(action["action"])
            if action["status"] != "succeeded" or action["undone_by"] is not None:
                raise Conflict(f"action {action_id} is {'undone already' if action['undone_by'] else action['status']}")
            if action_type is None or action_type.undo is None:
                raise Conflict(
                    f"{action['action']} is irreversible: its action type declares no undo",
                    advice="Mend it in the other system by hand, and say so in an incident.",
                )
            session = sessions.get(db, action["session_id"])
            turn_id, digest = sessions.add_turn(
                db,
                session.id,
                author,
                session.agent,
                session.agent_version,
                {"undo": action_id, "reason": reason},
                kind="undo",
            )
            sessions.record(db, Tag.SESSION_MESSAGE, session=session.id, turn=turn_id, by=author, message=digest)
            sessions.reopen(db, session.id)
            self.resume_turn(db, turn_id)
        return turn_id

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

    # -- the off switch ------------------------------------------------------------------------------------------

    def stop(self, scope: StopScope, target: str, reason: str, by: str) -> Stop:
        """Set a stop. When this returns, nothing that it covers is cleared any more."""
        self._check_target(scope, target)
        with self.transaction() as db:
            return stops.put(db, scope, target, reason, by)

    def release(self, scope: StopScope, target: str, by: str, reason: str) -> tuple[list[Stop], int]:
        """Release a stop; turns that it had ended go on. Returns the stops and how many turns go on."""
        with self.transaction() as db:
            released = stops.release(db, scope, target, by, reason)
            turns = stops.stopped_turns(db)
            for turn_id in turns:
                self.resume_turn(db, turn_id)
        return released, len(turns)

    def drill(self, scope: StopScope, target: str, reason: str, by: str, *, patience: float = 30) -> Drill:
        """Rehearse the off switch: stop, measure until nothing that it covers is at work, release, record.

        Work that the stop ended goes on afterwards. `patience` is the longest wait, in seconds; calls under way may
        take up to their own time-out.
        """
        began = time.monotonic()
        stop = self.stop(scope, target, f"drill: {reason}", by)
        stopped = time.monotonic()
        with self.transaction() as db:
            since = sessions.now(db)
        running, cleared = 1, 0
        # A stop of one action type ends turns only when they come to that action: there is nothing to wait for.
        while running and time.monotonic() - stopped < patience:
            with self.transaction() as db:
                running, cleared = stops.drill_figures(db, stop, since)
            if scope == "action":
                break
            time.sleep(0.05)
        quiet = time.monotonic() - stopped
        _, turns = self.release(scope, target, by, f"drill: {reason}")
        drill = Drill(stop.id, scope, target, round(stopped - began, 3), round(quiet, 3), running, cleared, turns)
        with self.transaction() as db:
            sessions.record(db, Tag.DRILL_RUN, by=by, **asdict(drill))
        return drill

    # -- the clock, called by workers ----------------------------------------------------------------------------

    def tick(self) -> int:
        """Do what is due: expire and escalate items, resume turns whose timer ran out. Returns how much was done."""
        with self.transaction() as db:
            touched = self._desk().tick(db, datetime.now(UTC))
            due = [*executors.due_turns(db), *stops.stopped_turns(db, by_clock=True)]
            for turn_id in due:
                self.resume_turn(db, turn_id)
            doubts = actions.doubtful(db)
        for action in doubts:
            with self.transaction() as db:
                self._desk().doubt(db, action)
        return touched + len(due) + len(doubts)

    def resume_turn(self, db: Db, turn_id: str) -> None:
        """Enqueue the next run of a turn in the caller's transaction; nothing if the turn has ended.

        An external turn is left to its owner, who comes back when it likes.
        """
        asked = runs.ask_for_run(db, turn_id)
        if asked is not None:
            session_id, run = asked
            self._enqueue(db, turn_id, session_id, run)

    # -- helpers -------------------------------------------------------------------------------------------------

    def _desk(self) -> Desk:
        return Desk(self._deployments.load(), self.resume_turn)

    def _agent(self, name: str) -> AgentVersion:
        return _deployed(self._deployments.load(), name)

    def _check_target(self, scope: StopScope, target: str) -> None:
        project = self._deployments.load().project
        known = {
            "all": {""},
            "agent": set(project.agents),
            "workspace": {w.id for w in project.directory.workspaces},
            "action": {*project.actions, "model.request"},
        }[scope]
        if target not in known:
            raise NotFound(
                f"there is no {scope} {target!r} to stop", advice=f"Known: {', '.join(sorted(known)) or 'none'}."
            )


def _deployed(governance: Governance, name: str) -> AgentVersion:
    version = governance.agent(name)
    if version is None:
        known = ", ".join(sorted(governance.project.agents)) or "none"
        raise NotFound(f"no agent {name!r} is deployed", advice=f"Deployed agents: {known}.")
    if name in governance.suspended:
        raise NotEntitled(f"agent {name} is suspended", advice=f"`remit agents resume {name}` takes it back.")
    return version


def _kind(version: AgentVersion) -> str:
    return "external" if version.spec.external else "agent"


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
        kind=_kind(version),
        requester=start.requester,
        labels=start.labels,
        depth=start.depth,
    )


def _paused_with(session_id: str) -> str:
    return f"paused with {session_id}"
