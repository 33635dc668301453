"""Sessions, messages and turns: the container of work and what happens in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from remit.errors import Conflict


class SessionStatus(StrEnum):
    """Where a session stands."""

    RUNNING = "running"
    """A turn is queued or at work."""
    WAITING = "waiting"
    """Only rows: somebody or something is waited for."""
    PAUSED = "paused"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


_MOVES: dict[SessionStatus, frozenset[SessionStatus]] = {
    SessionStatus.RUNNING: frozenset(
        {
            SessionStatus.WAITING,
            SessionStatus.PAUSED,
            SessionStatus.FINISHED,
            SessionStatus.FAILED,
            SessionStatus.CANCELLED,
        }
    ),
    SessionStatus.WAITING: frozenset(
        {SessionStatus.RUNNING, SessionStatus.PAUSED, SessionStatus.FAILED, SessionStatus.CANCELLED}
    ),
    SessionStatus.PAUSED: frozenset({SessionStatus.RUNNING, SessionStatus.WAITING, SessionStatus.CANCELLED}),
    SessionStatus.FINISHED: frozenset({SessionStatus.RUNNING}),
    SessionStatus.FAILED: frozenset({SessionStatus.RUNNING, SessionStatus.CANCELLED}),
    SessionStatus.CANCELLED: frozenset(),
}


def check_move(session_id: str, old: SessionStatus, new: SessionStatus) -> None:
    """Raise Conflict unless a session may go from `old` to `new`."""
    if new is not old and new not in _MOVES[old]:
        raise Conflict(f"session {session_id} is {old} and cannot become {new}", advice=_ADVICE[old].format(session_id))


_ADVICE = {
    SessionStatus.RUNNING: "Look at it again: somebody or something else moved it first.",
    SessionStatus.WAITING: "It waits: `remit session show {0}` says for whom or what.",
    SessionStatus.PAUSED: "Take it up first: `remit session resume {0}`.",
    SessionStatus.FINISHED: "It is done. A message makes it go on: `remit session message {0} …`.",
    SessionStatus.FAILED: "Say something, `remit session message {0} …`, or fork it: `remit session fork {0}`.",
    SessionStatus.CANCELLED: "That is for good. Go on from it in a new one: `remit session fork {0}`.",
}
"""What can be done with a session that stands like this, instead."""


class TurnStatus(StrEnum):
    """Where a turn stands. `QUEUED` and `RUNNING` have an engine run; `WAITING` has none."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Turn:
    """The agent's work on one message until it is answered. It may take many runs."""

    id: str
    session_id: str
    message_id: str
    agent: str
    agent_version: str
    status: TurnStatus
    run: int
    """Number of the newest engine run that was asked for."""
    epoch: int
    """Rises with every run that proved its ownership; the gate refuses an older one."""


@dataclass(frozen=True, slots=True)
class Session:
    """One piece of work, from its trigger to its outcome."""

    id: str
    status: SessionStatus
    agent: str
    agent_version: str
    workspace: str
    workflow: str | None
    principal: str
    """Who or what started it: `person:dana.kim`, `trigger:nightly`, `agent:triage`."""
    on_behalf_of: str | None
    trigger: str
    request_id: str
    """The caller's own id of the request, such as a ticket number; the session's id where none was given."""
    title: str
    simulated: bool
    """True if the principal was named with `--as` in local development."""
    labels: frozenset[str]
    created_at: datetime
    updated_at: datetime
    reason: str
    """Why it stands where it stands, in a sentence."""
    parent_id: str | None = None
    """The session that delegated it."""
    depth: int = 0
    """How many delegations and events led to it."""
    forked_from: str | None = None
    fork_point: str | None = None
    """Where it was forked: the turn, or the turn and place, that it does anew."""
