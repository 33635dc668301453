"""Keeps a clock for every schedule and person, and says what is due. The database tells the time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from remit.governance.state import Governance
from remit.runtime.sessions import Start
from remit.runtime.triggers import mapping
from remit.runtime.triggers.firing import Asked
from remit.runtime.triggers.schedules import Wanted, due, following, wanted
from remit.storage import triggers
from remit.storage.sessions import Db
from remit.storage.triggers import Clock


def synchronise(db: Db, governance: Governance, now: datetime) -> None:
    """Bring the clocks in line with what is deployed. The caller holds `lock_clocks` and knows the snapshot is it.

    A new clock begins with what is still to come, and so does one whose cron or zone has changed: what passed is not
    fired. A clock that stands further ahead than its next time, because the database's time was set back, is set
    anew; what fired already is known by its key and does not fire again.
    """
    asked, found = wanted(governance.project), {(c.trigger, c.person): c for c in triggers.clocks(db)}
    new = []
    for place, one in asked.items():
        next_at = following(one.schedule.cron, one.zone, now)
        clock = found.get(place)
        if clock is None or clock.spec != one.spec or clock.next_at > next_at:
            new.append(Clock(*place, spec=one.spec, next_at=next_at))
    gone = [clock for place, clock in found.items() if place not in asked]
    if new or gone:
        triggers.set_clocks(db, new, gone)


def take_due(db: Db, governance: Governance, now: datetime, limit: int) -> tuple[int, list[Asked]]:
    """Lock clocks that are due, set them on, and say what they ask for. Returns how many clocks and the wishes.

    A clock that another worker is at is left to it; one that the files do not ask for in this form waits until the
    clocks are set anew; and what is more than a transaction should hold waits for the next.
    """
    asked, moved = wanted(governance.project), []
    wishes: list[Asked] = []
    for clock in triggers.due_clocks(db, now, limit):
        one = asked.get((clock.trigger, clock.person))
        if one is None or one.spec != clock.spec or len(wishes) > limit:
            continue
        found = due(one, clock.next_at, now, clock.resumed_at)
        moved.append((clock, found.next_at))
        if found.left_out is not None:
            first, last = found.left_out
            reason = f"missed: what was due from {first.isoformat()} to {last.isoformat()}"
            wishes.append(Asked(clock.trigger, one.key(last), last, None, reason))
        wishes.extend(wish(one, at) for at in found.fire)
    triggers.move_clocks(db, moved)
    return len(moved), wishes


def wish(
    clock: Wanted,
    at: datetime,
    *,
    key: str | None = None,
    by: str | None = None,
    simulated: bool = False,
    given: Any = None,
) -> Asked:
    """What a schedule asks for at a time: of itself, or for a person who asks by hand."""
    known, schedule = mapping.of_schedule(clock, at), clock.schedule
    start = Start(
        schedule.agent,
        mapping.given(schedule, known) if given is None else given,
        principal=f"trigger:{clock.trigger}" if by is None else f"person:{by}",
        trigger=clock.trigger,
        request_id=mapping.words(schedule.request_id, known) or None,
        title=mapping.words(schedule.title, known),
        on_behalf_of=clock.person.id if clock.person is not None else None,
        simulated=simulated,
    )
    return Asked(clock.trigger, key or clock.key(at), at, start, again=by is not None, by=by)
