"""One way in which every kind of trigger starts sessions: once for each key, many in few round trips.

The firing, its session, the engine's row and the audit records are written in the caller's one transaction, under a
lock of the firing's key. Whoever dies on the way leaves nothing behind, and whoever comes second finds what was done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from remit.errors import InvalidInput, NotEntitled, NotFound
from remit.governance import items
from remit.governance.state import Governance
from remit.runtime.boundaries import passing
from remit.runtime.sessions import Sessions, Start
from remit.runtime.triggers.mapping import misfit
from remit.storage import events, inbox, stops, triggers
from remit.storage.sessions import Db, NewSession
from remit.storage.triggers import Firing, Status

MOST_DEEP = 10
"""Most events and delegations that may lead to a session."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A trigger's wish: start this, for this reason, once."""

    trigger: str
    key: str
    due_at: datetime
    start: Start | None
    """None: nothing is started, because of `reason`."""
    reason: str = ""
    failed: bool = False
    """True: it was tried and cannot be started, which is no decision to leave it out."""
    again: bool = False
    """True: start it also if it was left out or refused before."""
    source: str | None = None
    """The session whose event it is."""
    by: str | None = None
    """The person who asked for it, if one did."""


@dataclass(frozen=True, slots=True)
class Fired:
    """What became of a wish."""

    status: Status
    session_id: str | None
    reason: str = ""
    code: str = ""
    """Why it was refused: an error's code, `stopped`, `too_deep` or `assisted`."""
    repeated: bool = False
    """True: it was done before, and nothing was done now."""


class Firings:
    """Fires."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def fire(self, db: Db, governance: Governance, asked: Sequence[Asked]) -> list[Fired]:
        """Do what is asked, in the caller's transaction; answers in the same order. Refusals are written, not raised.

        Whoever asks twice for the same key, here or anywhere, gets what was done the first time.
        """
        if not asked:
            return []
        passing("fire:before")
        before = triggers.known(db, [(a.trigger, a.key) for a in asked])
        found: dict[tuple[str, str], Fired] = {}
        new: dict[tuple[str, str], Asked] = {}
        for one in asked:
            place = (one.trigger, one.key)
            done = before.get(place)
            if done is not None and (done.status == "started" or not one.again):
                found[place] = Fired(done.status, done.session_id, done.reason, repeated=True)
            elif place not in new:
                new[place] = one
        found |= self._carry_out(db, governance, new)
        answers, said = [], set[tuple[str, str]]()
        for one in asked:
            place = (one.trigger, one.key)
            answers.append(replace(found[place], repeated=True) if place in said else found[place])
            said.add(place)
        return answers

    def _carry_out(
        self, db: Db, governance: Governance, new: dict[tuple[str, str], Asked]
    ) -> dict[tuple[str, str], Fired]:
        judged = _Judge(self._sessions, db, governance)
        plans = {place: judged.plan(one) for place, one in new.items()}
        planned = {place: plan for place, plan in plans.items() if isinstance(plan, NewSession)}
        started = dict(zip(planned, self._sessions.start_planned(db, list(planned.values())), strict=True))
        passing("fire:started")
        found = {
            place: plan if isinstance(plan, Fired) else Fired("started", started[place])
            for place, plan in plans.items()
        }
        if new:
            triggers.write(db, [_row(new[place], fired) for place, fired in found.items()])
        for place, fired in found.items():
            if fired.code == "too_deep":
                _ask_owner(db, governance, new[place], fired.reason)
        passing("fire:written")
        return found


class _Judge:
    """Whether a trigger may start what it asks for, on one snapshot, in one transaction."""

    def __init__(self, sessions: Sessions, db: Db, governance: Governance) -> None:
        self._sessions = sessions
        self._db = db
        self._governance = governance
        self._stopped: dict[str, bool] = {}

    def plan(self, asked: Asked) -> NewSession | Fired:
        """What starting it would write, or why it is not started."""
        start = asked.start
        if start is None:
            return Fired("refused" if asked.failed else "skipped", None, asked.reason)
        if start.depth > MOST_DEEP:
            said = f"{start.depth - 1} events and delegations led to this; more than {MOST_DEEP} look like a circle"
            return Fired("refused", None, said, "too_deep")
        version = self._governance.agent(start.agent)
        if version is not None and self._covered(version.spec.workspace, start.agent):
            return Fired("refused", None, f"a stop covers {start.agent}", "stopped")
        if version is not None and version.spec.layer == "assisted" and not _person(start):
            said = f"{start.agent} acts only through the person it works with, and this trigger names none"
            return Fired("refused", None, said, "assisted")
        try:
            return self._sessions.planned(start, self._governance)
        except InvalidInput as error:
            where = misfit(version, start.input) if version is not None else None
            return Fired("refused", None, where or error.message, error.code)
        except (NotFound, NotEntitled) as error:
            return Fired("refused", None, error.message, error.code)

    def _covered(self, workspace: str, agent: str) -> bool:
        if agent not in self._stopped:
            self._stopped[agent] = stops.covers(self._db, workspace, agent)
        return self._stopped[agent]


def _person(start: Start) -> bool:
    return start.on_behalf_of is not None or start.principal.startswith("person:")


def _row(asked: Asked, fired: Fired) -> tuple[Firing, dict[str, Any]]:
    firing = Firing(asked.trigger, asked.key, asked.due_at, fired.status, fired.session_id, fired.reason, asked.due_at)
    more = {"by": asked.by, "source": asked.source, "code": fired.code or None}
    return firing, {name: value for name, value in more.items() if value is not None}


def _ask_owner(db: Db, governance: Governance, asked: Asked, reason: str) -> None:
    """Have the agent's owner look at a chain of events that does not end. It hangs on the session it came from."""
    assert asked.start is not None, "only what was to be started is too deep"
    version = governance.agent(asked.start.agent)
    turn = events.last_turn(db, asked.source) if asked.source is not None else None
    if version is None or asked.source is None or turn is None:
        return
    people = items.people(governance, (version.spec.owner, version.spec.escalation))
    inbox.open_attention(
        db,
        asked.source,
        turn,
        f"The trigger {asked.trigger} did not start {asked.start.agent}: {reason}",
        people,
        {"why": "too_deep", "trigger": asked.trigger, "key": asked.key},
        dedup=f"depth:{asked.trigger}:{asked.source}",
    )
