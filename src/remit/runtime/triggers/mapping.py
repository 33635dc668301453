"""What a trigger's `input`, `title` and `request_id` come to, given what the trigger knows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from jsonschema import Draft202012Validator

from remit.domain import canonical
from remit.domain.agents import AgentVersion
from remit.domain.templates import filled
from remit.domain.triggers import Trigger
from remit.runtime.triggers.schedules import Wanted
from remit.storage.events import Event

_NEVER_PASSED_ON = {"authorization", "proxy-authorization", "cookie"}


class Headers(dict[str, Any]):
    """A request's headers, found by name in any case. Credentials and signatures are not among them."""

    def __init__(self, headers: Mapping[str, str], *, without: frozenset[str] = frozenset()) -> None:
        secret = _NEVER_PASSED_ON | {name.lower() for name in without}
        super().__init__({k.lower(): v for k, v in headers.items() if k.lower() not in secret})

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a header."""
        return super().get(key.lower(), default)


def of_schedule(clock: Wanted, due: datetime) -> dict[str, Any]:
    """What a schedule knows: the time, in the clock's zone, and the person whose session it is."""
    known: dict[str, Any] = {"due": due.astimezone(ZoneInfo(clock.zone)).isoformat(timespec="seconds")}
    if clock.person is not None:
        known["person"] = clock.person.model_dump(mode="json", exclude_none=True)
    return known


def of_event(event: Event) -> dict[str, Any]:
    """What an event trigger knows."""
    return {
        "event": {
            "id": event.id,
            "kind": event.kind,
            "name": event.name,
            "agent": event.agent,
            "session": event.session_id,
            "value": event.value,
            "at": event.at.isoformat(),
        }
    }


def given(trigger: Trigger, known: dict[str, Any]) -> Any:
    """The session's input. What is referred to and not there is null."""
    return filled(trigger.input, known)


def words(template: str | None, known: dict[str, Any]) -> str:
    """A title or request id as text; empty where it refers to nothing."""
    value = filled(template, known)
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical.dumps(canonical.normalise(value)).decode()


def misfit(version: AgentVersion, value: Any) -> str | None:
    """Where an input does not fit the agent's schema, and which rule it breaks; None if it fits.

    Nothing of the value itself is repeated, because it may hold what whoever reads this must not see.
    """
    error = next(Draft202012Validator(version.spec.input).iter_errors(canonical.normalise(value)), None)
    if error is None:
        return None
    where = "/".join(map(str, error.absolute_path))
    rule = "/".join(map(str, error.absolute_schema_path))
    return f"the input{f' at {where}' if where else ''} breaks the rule {rule} of the agent's schema"[:300]
