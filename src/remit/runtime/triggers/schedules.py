"""When schedules are due: cron in people's time zones, right across daylight saving. Pure; all times are UTC.

A time that does not exist on a day (02:30 when clocks go from 02:00 to 03:00) is due at the first moment that does. A
time that comes twice is due at its first coming. A schedule by the hour or the minute (`*` or `*/N` in these fields)
runs through both hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim

from remit.domain.directory import Directory, Person
from remit.domain.project import Project
from remit.domain.triggers import PERSON_ZONE, ScheduleTrigger

MOST = 50
"""Most times of one clock that are dealt with at once."""

MOST_MISSED = 1_000
"""Most missed times of one clock that `missed: all` makes up for: the last ones."""
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""The next time of what has none."""

_WINDOWS = (timedelta(hours=1), timedelta(days=1), timedelta(days=40), timedelta(days=400))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A clock that the project's files ask for."""

    trigger: str
    schedule: ScheduleTrigger
    person: Person | None
    zone: str

    @property
    def spec(self) -> str:
        """What the clock's next time follows from; another one sets it anew."""
        return f"{self.schedule.cron} {self.zone}"

    def key(self, due: datetime) -> str:
        """What makes the firing for this time, and this person, the only one."""
        at = due.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{at} {self.person.id}" if self.person is not None else at


@dataclass(frozen=True, slots=True)
class Due:
    """What a clock that has come due asks for."""

    fire: tuple[datetime, ...]
    left_out: tuple[datetime, datetime] | None
    """First and last of the times that are left out because they were missed."""
    next_at: datetime


def wanted(project: Project) -> dict[tuple[str, str], Wanted]:
    """Every clock that the project asks for, by (trigger, person or '')."""
    found = (
        Wanted(name, trigger, person, _zone(trigger, person))
        for name, trigger in project.triggers.items()
        if isinstance(trigger, ScheduleTrigger)
        for person in (_people(project.directory, trigger) if trigger.people else (None,))
    )
    return {(one.trigger, one.person.id if one.person is not None else ""): one for one in found}


def _people(directory: Directory, trigger: ScheduleTrigger) -> tuple[Person, ...]:
    found = {person.id: person for reference in trigger.people for person in directory.resolve(reference)}
    return tuple(found.values())


def _zone(trigger: ScheduleTrigger, person: Person | None) -> str:
    return person.time_zone if trigger.time_zone == PERSON_ZONE and person is not None else trigger.time_zone


def times(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """The times after a moment, without end but for an expression that never comes true again."""
    latest = after
    for local in CronSim(cron, after.astimezone(ZoneInfo(zone))):
        found = local.astimezone(UTC)
        # From within the second coming of an hour, the first coming of a later minute lies in the past.
        if found > latest:
            latest = found
            yield found


@lru_cache(maxsize=4096)
def following(cron: str, zone: str, after: datetime) -> datetime:
    """The first time after a moment; `NEVER` if there is none."""
    return next(times(cron, zone, after), NEVER)


def between(cron: str, zone: str, first: datetime, last: datetime) -> Iterator[datetime]:
    """The times from one moment to another, both included."""
    for at in times(cron, zone, first - timedelta(seconds=1)):
        if at > last:
            return
        yield at


def due(clock: Wanted, first: datetime, now: datetime, resumed: datetime | None) -> Due:
    """What is due of a clock that stands at `first`, which is due, and what comes after.

    What lies back for longer than the schedule's grace, or was due before it was resumed, was missed. With `once` the
    last missed time is made up for, unless one that is in time comes with it and does as well.
    """
    schedule, zone = clock.schedule, clock.zone
    if schedule.missed == "all":
        return _all(clock, first, now)
    edge = now - schedule.grace
    in_time_from = edge if resumed is None or resumed < edge else resumed + timedelta(microseconds=1)
    in_time = tuple(islice(between(schedule.cron, zone, max(first, _up(in_time_from)), now), MOST))
    next_at = following(schedule.cron, zone, in_time[-1] if in_time else now)
    if first >= in_time_from:
        return Due(in_time, None, next_at)
    last = last_before(schedule.cron, zone, first, in_time_from)
    if schedule.missed == "skip" or in_time:
        return Due(in_time, (first, last), next_at)
    earlier = last_before(schedule.cron, zone, first, last) if first < last else None
    return Due((last,), (first, earlier) if earlier is not None else None, next_at)


def _all(clock: Wanted, first: datetime, now: datetime) -> Due:
    """Each time, oldest first. A clock that went wrong by years must not start a session for every minute of them."""
    cron, zone = clock.schedule.cron, clock.zone
    left_out = None
    start = first
    for window in _WINDOWS:
        if now - window <= first:
            break
        found = list(between(cron, zone, now - window, now))
        if len(found) > MOST_MISSED:
            start = found[-MOST_MISSED]
            left_out = (first, last_before(cron, zone, first, start))
            break
    fire = tuple(islice(between(cron, zone, start, now), MOST))
    return Due(fire, left_out, following(cron, zone, fire[-1] if fire else now))


def last_before(cron: str, zone: str, first: datetime, moment: datetime) -> datetime:
    """The last time before a moment that is not before `first`, which is one."""
    for window in _WINDOWS:
        start = moment - window
        if start <= first:
            break
        found = [at for at in between(cron, zone, start, moment) if at < moment]
        if found:
            return found[-1]
    return max((at for at in between(cron, zone, first, moment) if at < moment), default=first)


def _up(moment: datetime) -> datetime:
    """The moment, or the next full second: clocks tick in seconds."""
    return moment if not moment.microsecond else moment.replace(microsecond=0) + timedelta(seconds=1)
