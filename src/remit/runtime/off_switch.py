"""The off switch: stop, release, and the drill that rehearses both."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from remit.domain.records import Tag
from remit.domain.stops import Stop, StopScope
from remit.errors import NotFound
from remit.runtime.verbs import Verbs
from remit.storage import sessions, stops


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


class OffSwitch(Verbs):
    """The verbs of the off switch."""

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
