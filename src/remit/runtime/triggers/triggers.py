"""The verbs of triggers: look what is due, take a message, fire, backfill, pause, resume, list.

Every worker looks. What one has locked the others skip, so that they share the work and nothing is done twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Self

import psycopg

from remit.domain import ids
from remit.domain.triggers import ScheduleTrigger, Trigger
from remit.errors import ConfigurationError, Conflict, DatabaseUnavailable, InvalidInput, NotFound
from remit.governance.deployments import Deployments
from remit.governance.state import Governance
from remit.runtime.boundaries import passing
from remit.runtime.sessions import Sessions, Start
from remit.runtime.triggers import clock, listening
from remit.runtime.triggers.firing import Asked, Fired, Firings
from remit.runtime.triggers.schedules import Wanted, between, wanted
from remit.storage import bundles, sessions, triggers
from remit.storage.pools import Pool
from remit.storage.sessions import Db
from remit.storage.triggers import Firing

log = logging.getLogger(__name__)

LOOK_EVERY = 0.25
"""Seconds between two looks at what is due."""
_LOOK_IDLE = 5.0  # seconds, where the project has no triggers at all
_BATCH = 500  # clocks or events in one transaction
_BACKFILL = 1_000  # most times that one backfill starts
_SET_BACK = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Listed:
    """A trigger as it stands."""

    name: str
    trigger: Trigger
    paused: bool
    paused_by: str
    paused_reason: str
    next_at: datetime | None
    last: Firing | None


class Triggers:
    """The verbs, for surfaces and workers. `now` tells the time; it is the database's but for tests."""

    def __init__(
        self,
        pool: Pool,
        deployments: Deployments,
        verbs: Sessions,
        *,
        now: Callable[[Db], datetime] = sessions.now,
    ) -> None:
        self._pool = pool
        self._deployments = deployments
        self._firings = Firings(verbs)
        self._now = now
        self._version: int | None = None
        self._seen: datetime | None = None
        self._held: Db | None = None

    # -- the clock, called by workers ------------------------------------------------------------------------------

    async def run(self, stopping: asyncio.Event) -> None:
        """Look again and again until told to stop. A failure is logged and the next look tries again."""
        while not stopping.is_set():
            pause = LOOK_EVERY
            try:
                await asyncio.to_thread(self.look)
                pause = LOOK_EVERY if self._deployments.current().project.triggers else _LOOK_IDLE
            except ConfigurationError:
                pause = LOOK_EVERY  # nothing is deployed yet
            except DatabaseUnavailable as error:
                log.warning("%s", error.message)
            except Exception:
                log.exception("looking at triggers failed; it is tried again")
            try:
                await asyncio.wait_for(stopping.wait(), pause)
            except TimeoutError:
                continue

    def look(self) -> int:
        """Fire everything that is due now. Returns how many clocks and events were dealt with."""
        self._set_clocks()
        return self._all(clock.take_due) + self._all(lambda db, g, _now, limit: listening.take(db, g, limit))

    def _set_clocks(self) -> None:
        governance = self._deployments.current()
        with self._pool.transaction() as db:
            now = self._now(db)
            set_back = self._seen is not None and now < self._seen - _SET_BACK
            self._seen = now
            if governance.version == self._version and not set_back:
                return
        with self._pool.transaction() as db:
            triggers.lock_clocks(db)
            governance = self._in_force(db)
            clock.synchronise(db, governance, self._now(db))
        self._version = governance.version

    def _all(self, take: Callable[[Db, Governance, datetime, int], tuple[int, list[Asked]]]) -> int:
        """Take and fire in transactions of a bounded size until there is nothing left."""
        total, size = 0, _BATCH
        while True:
            try:
                count, wishes = self._one_batch(take, size)
            except (psycopg.OperationalError, DatabaseUnavailable):
                raise
            except Exception as error:
                log.exception("triggers could not be fired")
                if size > 1:
                    size = 1  # so that what can be fired is
                    continue
                count, wishes = self._one_batch(take, size, given_up=type(error).__name__)
            if wishes:
                passing("fire:committed")
            total += count
            if not count:
                return total

    def _one_batch(
        self,
        take: Callable[[Db, Governance, datetime, int], tuple[int, list[Asked]]],
        size: int,
        *,
        given_up: str | None = None,
    ) -> tuple[int, list[Asked]]:
        with self._pool.transaction() as db:
            governance = self._in_force(db)
            count, wishes = take(db, governance, self._now(db), size)
            if given_up is not None:
                wishes = [replace(wish, start=None, reason=given_up, failed=True) for wish in wishes]
            self._firings.fire(db, governance, wishes)
        return count, wishes

    # -- what comes in ---------------------------------------------------------------------------------------------

    def take(self, asked: Sequence[Asked]) -> list[Fired]:
        """Fire for what has come in from outside, in one transaction; what cannot be started hinders nothing else.

        Raises DatabaseUnavailable; then nothing was done.
        """
        try:
            found = self._take(asked)
        except (psycopg.OperationalError, DatabaseUnavailable):
            raise
        except Exception as error:
            log.exception("what came in could not be worked on")
            if len(asked) > 1:
                return [fired for one in asked for fired in self.take([one])]
            found = self._take([replace(asked[0], start=None, reason=type(error).__name__, failed=True)])
        passing("fire:committed")
        return found

    def _take(self, asked: Sequence[Asked]) -> list[Fired]:
        with self._pool.transaction() as db:
            states, governance = triggers.states(db), self._in_force(db)
            away: dict[int, Fired] = {}
            for place, one in enumerate(asked):
                if one.trigger in states and states[one.trigger].paused:
                    away[place] = Fired("refused", None, "the trigger is paused", "paused")
                elif one.trigger not in governance.project.triggers:
                    away[place] = Fired("refused", None, "the trigger is not deployed any more", "not_found")
            fired = iter(self._firings.fire(db, governance, [a for i, a in enumerate(asked) if i not in away]))
            return [away[place] if place in away else next(fired) for place in range(len(asked))]

    def within(self, db: Db) -> Self:
        """The same verbs in a transaction of the caller's, who commits what they do together with something else."""
        held = copy(self)
        held._held = db  # noqa: SLF001 - a copy of this one
        return held

    @contextmanager
    def _transaction(self) -> Iterator[Db]:
        if self._held is not None:
            yield self._held
            return
        with self._pool.transaction() as db:
            yield db

    # -- people ----------------------------------------------------------------------------------------------------

    def pause(self, name: str, by: str, reason: str) -> None:
        """Let a trigger fire no more until it is resumed. Raises NotFound, Conflict."""
        self._set_paused(name, by, reason, paused=True)

    def resume(self, name: str, by: str, reason: str) -> None:
        """Let a paused trigger fire again; what was due meanwhile was missed. Raises NotFound, Conflict."""
        self._set_paused(name, by, reason, paused=False)

    def fire(
        self, name: str, by: str, given: Any = None, *, person: str | None = None, simulated: bool = False
    ) -> list[Fired]:
        """Start what a trigger would start now, for a person who asks for it; `given` replaces the declared input.

        `by` is the person's id, who is the sessions' principal and can therefore approve nothing in them. A schedule
        for several people starts a session for each, or for one `person`. Raises NotFound, InvalidInput.
        """
        trigger = self._trigger(name)
        with self._transaction() as db:
            governance, now = self._in_force(db), self._now(db)
            manual = f"by hand {ids.new_id('fire')}"
            if isinstance(trigger, ScheduleTrigger):
                wishes = [
                    clock.wish(one, now, key=f"{manual} {place[1]}".strip(), by=by, simulated=simulated, given=given)
                    for place, one in self._clocks(governance, name, person).items()
                ]
            else:
                if given is None:
                    raise InvalidInput(f"{name} knows its input only when something comes in", advice="Give --input.")
                start = Start(
                    trigger.agent,
                    given,
                    f"person:{by}",
                    trigger=name,
                    title=trigger.title if not trigger.title.startswith("$") else "",
                    simulated=simulated,
                )
                wishes = [Asked(name, manual, now, start, by=by)]
            return self._firings.fire(db, governance, wishes)

    def backfill(
        self,
        name: str,
        by: str,
        start: datetime,
        end: datetime,
        *,
        person: str | None = None,
        dry: bool = False,
        simulated: bool = False,
    ) -> list[tuple[datetime, str, Fired | None]]:
        """Start what a schedule would have started between two times and has not. Returns (due, person, what came).

        `dry` starts nothing and says what would be started. Raises NotFound, Conflict, InvalidInput.
        """
        if not isinstance(self._trigger(name), ScheduleTrigger):
            raise Conflict(
                f"{name} is no schedule: there is nothing to make up for",
                advice=f"`remit triggers fire {name}` starts it once; `remit triggers` lists which are schedules.",
            )
        with self._transaction() as db:
            governance, now = self._in_force(db), self._now(db)
            if end > now:
                raise InvalidInput("a backfill ends in the past", advice="Give an earlier --until.")
            done = triggers.started(db, name, start, end)
            found = [
                (one, at)
                for one in self._clocks(governance, name, person).values()
                for at in islice(between(one.schedule.cron, one.zone, start, end), _BACKFILL + 1)
                if one.key(at) not in done
            ]
            if len(found) > _BACKFILL:
                raise InvalidInput(
                    f"that is more than {_BACKFILL:,} sessions", advice="Give a shorter time, or one --person."
                )
            wishes = [clock.wish(one, at, by=by, simulated=simulated) for one, at in found]
            fired = [None] * len(wishes) if dry else self._firings.fire(db, governance, wishes)
        people = (one.person.id if one.person is not None else "" for one, _ in found)
        return [(at, who, what) for (_, at), who, what in zip(found, people, fired, strict=True)]

    def listing(self) -> list[Listed]:
        """Every deployed trigger, in the order of their names."""
        project = self._deployments.load().project
        with self._transaction() as db:
            states, next_times = triggers.states(db), triggers.next_times(db)
            last = triggers.last_firings(db, list(project.triggers))
        return [
            Listed(
                name,
                trigger,
                paused=name in states and states[name].paused,
                paused_by=states[name].by if name in states and states[name].paused else "",
                paused_reason=states[name].reason if name in states and states[name].paused else "",
                next_at=next_times.get(name),
                last=last.get(name),
            )
            for name, trigger in sorted(project.triggers.items())
        ]

    def history(self, name: str, *, limit: int = 50) -> list[Firing]:
        """What a trigger did and left out, newest first; also of one that is not deployed any more."""
        with self._transaction() as db:
            found = triggers.history(db, name, limit=limit)
        if not found:
            self._trigger(name)
        return found

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _in_force(self, db: Db) -> Governance:
        """The snapshot that this transaction decides on."""
        current = self._deployments.current()
        return current if bundles.governance(db).version == current.version else self._deployments.load()

    def _trigger(self, name: str) -> Trigger:
        project = self._deployments.load().project
        if name not in project.triggers:
            known = ", ".join(sorted(project.triggers)) or "none"
            raise NotFound(f"there is no trigger {name!r}", advice=f"Deployed triggers: {known}.")
        return project.triggers[name]

    def _clocks(self, governance: Governance, name: str, person: str | None) -> dict[tuple[str, str], Wanted]:
        found = {
            place: one
            for place, one in wanted(governance.project).items()
            if place[0] == name and person in {None, place[1]}
        }
        if not found:
            raise NotFound(f"{name} runs for nobody" if person is None else f"{name} does not run for {person!r}")
        return found

    def _set_paused(self, name: str, by: str, reason: str, *, paused: bool) -> None:
        self._trigger(name)
        with self._transaction() as db:
            if not triggers.set_paused(db, name, paused=paused, by=by, reason=reason):
                raise Conflict(f"{name} is paused already" if paused else f"{name} is not paused")
