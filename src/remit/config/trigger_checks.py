"""Whether triggers and surfaces fit the rest of the project: agents, people and references that are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from remit.config import files as names
from remit.config.explain import suggest
from remit.config.reading import Loaded
from remit.config.source import Path, Source
from remit.domain.triggers import EventTrigger, ScheduleTrigger, Trigger, WebhookTrigger
from remit.errors import Problem

_ROOTS = {"schedule": ("due", "person"), "webhook": ("body", "headers", "id"), "event": ("event",)}


def check_triggers(loaded: Loaded) -> Iterator[Problem]:
    """Every trigger that names an agent or people that are not there, or refers to what it does not know."""
    source = loaded.sources.get(names.TRIGGERS)
    if source is None:
        return
    for name, trigger in loaded.project.triggers.items():
        path: Path = ("triggers", name)
        yield from _agent(loaded, source, (*path, "agent"), trigger.agent)
        yield from _references(source, path, trigger)
        if isinstance(trigger, EventTrigger) and trigger.source is not None:
            yield from _agent(loaded, source, (*path, "source"), trigger.source)
        if isinstance(trigger, ScheduleTrigger):
            yield from _people(loaded, source, path, trigger)
        if isinstance(trigger, WebhookTrigger):
            yield from _conditions(source, path, trigger)


def _agent(loaded: Loaded, source: Source, path: Path, agent: str) -> Iterator[Problem]:
    folders = {p.split("/")[1] for p in loaded.project.files if p.startswith("agents/") and p.count("/") > 1}
    if agent not in folders:
        yield source.problem(path, f"there is no agent {agent}", suggest(agent, sorted(folders)))
    elif agent in loaded.project.agents and loaded.project.agents[agent].spec.external:
        mend = "name an agent that workers run"
        yield source.problem(path, f"{agent} is external: no worker runs it, so nothing can start it", mend)


def _people(loaded: Loaded, source: Source, path: Path, trigger: ScheduleTrigger) -> Iterator[Problem]:
    for position, reference in enumerate(trigger.people):
        if names.DIRECTORY in loaded.sources and not loaded.project.directory.resolve(reference):
            yield source.problem(
                (*path, "people", position), f"{reference} is nobody active", "name a person, or a role that is held"
            )


def _references(source: Source, path: Path, trigger: Trigger) -> Iterator[Problem]:
    roots = _ROOTS[trigger.kind]
    shown = " or ".join(f"`${root}`" for root in roots)
    values: dict[str, Any] = {"input": trigger.input, "title": trigger.title, "request_id": trigger.request_id}
    for key, value in values.items():
        for where, text in _texts(value, (key,)):
            root = text[1:].split(".")[0]
            if text.startswith("$") and root not in roots:
                said = f"{text[:60]!r} refers to nothing that a {trigger.kind} knows"
                yield source.problem((*path, *where), said, f"begin it with {shown}")


def _conditions(source: Source, path: Path, trigger: WebhookTrigger) -> Iterator[Problem]:
    for condition in trigger.when:
        if condition.split(".")[0] not in {"body", "headers"}:
            said = f"{condition[:60]!r} is no place in a request"
            yield source.problem((*path, "when", condition), said, "write `body.PATH` or `headers.NAME`", key=True)


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    match value:
        case str():
            yield path, value
        case dict():
            for key, inner in value.items():
                yield from _texts(inner, (*path, key))
        case list() | tuple():
            for position, inner in enumerate(value):
                yield from _texts(inner, (*path, position))
