"""What event triggers do about what has happened: outcomes, what programs emit, and messages that come in."""

from __future__ import annotations

from remit.domain.actions import Label
from remit.domain.project import Project
from remit.domain.sessions import TurnStatus
from remit.domain.triggers import EventTrigger
from remit.governance.state import Governance
from remit.runtime.sessions import Start
from remit.runtime.triggers import mapping
from remit.runtime.triggers.firing import Asked
from remit.storage import events, triggers
from remit.storage.events import Event
from remit.storage.runs import OwnedRun
from remit.storage.sessions import Db


def tell_emits(db: Db, project: Project, owned: OwnedRun) -> None:
    """Write what a turn has emitted as events, if any trigger waits for it. Call before its run is marked as ended."""
    names = {t.name for t in _waiting(project, "emit").values() if _from(t, owned.agent)}
    if names:
        events.emitted(db, owned.turn_id, lambda name: "*" in names or name in names)


def tell_outcome(db: Db, project: Project, owned: OwnedRun, status: TurnStatus) -> None:
    """Write that a turn has ended as an event, if any trigger waits for it. Call once it is marked as ended.

    The end of what takes an action back is told to nobody: the agent did not do that.
    """
    waits = any(_from(trigger, owned.agent) for trigger in _waiting(project, "outcome").values())
    if waits and owned.kind != "undo":
        events.ended(db, owned.turn_id, "finished" if status is TurnStatus.FINISHED else "failed")


def take(db: Db, governance: Governance, limit: int) -> tuple[int, list[Asked]]:
    """Take events that nobody has looked at, and say what triggers ask for. Returns how many events and the wishes."""
    found = events.take(db, limit)
    wishes: list[Asked] = []
    if found:
        paused = {name for name, state in triggers.states(db).items() if state.paused}
        for event in found:
            for name, trigger in _waiting(governance.project, event.kind).items():
                if trigger.name in {"*", event.name} and _from(trigger, event.agent):
                    wishes.append(_wish(name, trigger, event, paused=name in paused))
    return len(found), wishes


def _waiting(project: Project, kind: str) -> dict[str, EventTrigger]:
    return {name: t for name, t in project.triggers.items() if isinstance(t, EventTrigger) and t.on == kind}


def _from(trigger: EventTrigger, agent: str | None) -> bool:
    """True if the trigger listens to this agent. To its own agent it listens only where it names it."""
    return agent == trigger.source if trigger.source is not None else agent != trigger.agent


def _wish(name: str, trigger: EventTrigger, event: Event, *, paused: bool) -> Asked:
    key = f"event {event.id}"
    if paused:
        return Asked(name, key, event.at, None, "the trigger was paused", source=event.session_id)
    known = mapping.of_event(event)
    start = Start(
        trigger.agent,
        mapping.given(trigger, known),
        principal=f"trigger:{name}",
        trigger=name,
        request_id=mapping.words(trigger.request_id, known) or None,
        title=mapping.words(trigger.title, known),
        depth=event.depth + 1,
        labels=event.labels | ({Label.UNTRUSTED.value} if event.kind == "message" else frozenset()),
        requester=event.requester,
    )
    return Asked(name, key, event.at, start, source=event.session_id)
