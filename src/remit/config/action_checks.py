"""Whether action types fit the tools that they classify: every argument they name exists and cannot be left out.

An argument on which money, a cap or a duplicate check rests has to be there in every call. So it is required by the
tool, or by the action type, or it has a default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from remit.config import files as names
from remit.config.explain import suggest
from remit.config.reading import Loaded
from remit.config.source import Path, Source
from remit.domain.actions import MODEL_REQUEST, ActionType, Effect
from remit.domain.builtins import CONNECTION, TOOLS, is_builtin
from remit.domain.connections import LocalConnection, ToolDefinition
from remit.errors import Problem

_REFERENCE = re.compile(r"\$(?P<root>action|args|result)\.(?P<path>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)")


@dataclass(frozen=True)
class _Arguments:
    """The arguments that a tool takes; `names` is None where its schema does not list them in one place."""

    names: frozenset[str] | None
    required: frozenset[str]

    def lacks(self, name: str) -> bool:
        """True if it is certain that there is no such argument."""
        return self.names is not None and name not in self.names


def check_actions(loaded: Loaded) -> Iterator[Problem]:
    """Every action type whose connection, pin, arguments or companions do not fit."""
    source = loaded.sources.get(names.ACTIONS)
    if source is None:
        return
    connections = loaded.declared(names.CONNECTIONS, "connections")
    for name, action in loaded.project.actions.items():
        if name == MODEL_REQUEST or name not in (loaded.declared(names.ACTIONS, "actions") or {name}):
            continue
        path: Path = ("actions", name)
        connection = name.partition(".")[0]
        builtin = is_builtin(name)
        if builtin and loaded.project.tool(name) is None:
            known = sorted(f"{CONNECTION}.{tool}" for tool in TOOLS)
            yield source.problem(path, f"there is no built-in tool {name}", suggest(name, known), key=True)
            continue
        if not builtin and connections is not None and connection not in connections:
            mend = suggest(connection, sorted(connections))
            yield source.problem(path, f"there is no connection {connection}", mend, key=True)
            continue
        yield from _companions(loaded, source, name, action)
        tool = loaded.project.tool(name)
        if tool is not None:
            yield from _fits(source, name, action, _arguments_of(tool))
        elif names.PINS not in loaded.unreadable and loaded.pins_matter:
            yield from _not_pinned(loaded, source, name)


def _not_pinned(loaded: Loaded, source: Source, name: str) -> Iterator[Problem]:
    connection, _, tool = name.partition(".")
    pinned = loaded.project.pins.connections.get(connection)
    local = isinstance(loaded.project.connections.get(connection), LocalConnection)
    pin = "pin it from its agent's code by `remit.pin_tools`" if local else f"run `remit connections pin {connection}`"
    if pinned is None:
        said, mend = f"the tools of {connection} are not pinned", pin
    else:
        near = suggest(tool, sorted(pinned))
        said = f"{connection} has no pinned tool {tool}"
        mend = near if near.startswith("did") else f"{pin}, or remove this entry"
    yield source.problem(("actions", name), said, mend, key=True)


def _arguments_of(tool: ToolDefinition) -> _Arguments:
    schema = tool.input_schema
    properties, required = schema.get("properties"), schema.get("required")
    listed = isinstance(properties, dict) and not any(k in schema for k in ("$ref", "allOf", "anyOf", "oneOf"))
    return _Arguments(
        frozenset(properties) if listed and isinstance(properties, dict) else None,
        frozenset(r for r in required if isinstance(r, str)) if isinstance(required, list) else frozenset(),
    )


def _fits(source: Source, name: str, action: ActionType, arguments: _Arguments) -> Iterator[Problem]:
    path: Path = ("actions", name)
    hidden = action.idempotency.argument if action.idempotency else None
    for where, argument, needed in _named(action):
        if arguments.lacks(argument):
            mend = suggest(argument, sorted((arguments.names or frozenset()) - {hidden or ""}))
            yield source.problem(
                (*path, *where), f"{name} takes no argument `{argument[:80]}`", mend, key=_in_keys(where)
            )
        elif argument == hidden and where != ("idempotency", "argument"):
            yield source.problem(
                (*path, *where),
                f"`{argument}` carries the idempotency key and is filled by Remit",
                "name another argument",
            )
        elif needed and argument not in arguments.required | set(action.require) | set(action.defaults):
            yield source.problem(
                (*path, *where),
                f"`{argument}` may be left out of a call, and then nothing could be judged by it",
                f"add `require: [{argument}]`, or a default under `defaults`",
            )


def _named(action: ActionType) -> Iterator[tuple[Path, str, bool]]:
    """Every argument that an action type names: where, its name, and whether it must be in every call."""
    if action.idempotency is not None and action.idempotency.argument is not None:
        yield ("idempotency", "argument"), action.idempotency.argument, False
    for position, argument in enumerate(action.require):
        yield ("require", position), argument, False
    for argument in action.defaults:
        yield ("defaults", argument), argument, False
    if action.money is not None:
        yield ("money", "amount"), action.money.amount, True
        yield ("money", "currency"), action.money.currency, True
    for position, argument in enumerate(action.business_key):
        yield ("business_key", position), argument, True
    for argument in action.current.compare if action.current is not None else ():
        yield ("current", "compare", argument), argument, False


def _in_keys(where: Path) -> bool:
    return where[0] == "defaults" or where[:2] == ("current", "compare")


def _companions(loaded: Loaded, source: Source, name: str, action: ActionType) -> Iterator[Problem]:
    """The tools that undo an action, look it up, or read what it changes."""
    for key, companion, wanted in (
        ("undo", action.undo, Effect.WRITE),
        ("lookup", action.lookup, Effect.READ),
        ("current", action.current, Effect.READ),
    ):
        if companion is not None:
            path: Path = ("actions", name, key)
            yield from _companion_tool(loaded, source, path, companion.tool, wanted)
            yield from _template(loaded, source, path, name, companion.tool, companion.arguments)


def _companion_tool(loaded: Loaded, source: Source, path: Path, tool: str, wanted: Effect) -> Iterator[Problem]:
    known = loaded.declared(names.ACTIONS, "actions")
    target = loaded.project.actions.get(tool)
    if known is not None and tool not in known:
        yield source.problem((*path, "tool"), f"there is no action type {tool}", suggest(tool, sorted(known)))
    elif isinstance(loaded.project.connections.get(tool.partition(".")[0]), LocalConnection):
        yield source.problem(
            (*path, "tool"),
            f"{tool} lives in the process of its agent, which alone can call it",
            "name a tool of a server, or remove this",
        )
    elif target is not None and target.effect is not wanted:
        does = "reads" if wanted is Effect.READ else "writes"
        yield source.problem(
            (*path, "tool"), f"{tool} is not one that {does}", f"name an action type with effect {wanted}"
        )


def _template(
    loaded: Loaded, source: Source, path: Path, name: str, tool: str, template: dict[str, Any]
) -> Iterator[Problem]:
    """Arguments of a companion's call: known to its tool, complete, and filled from what there will be."""
    target = loaded.project.tool(tool)
    if target is not None:
        arguments = _arguments_of(target)
        for argument in template:
            if arguments.lacks(argument):
                mend = suggest(argument, sorted(arguments.names or ()))
                yield source.problem(
                    (*path, "arguments", argument), f"{tool} takes no argument `{argument}`", mend, key=True
                )
        companion = loaded.project.actions.get(tool)
        filled = set(template) | (set(companion.defaults) if companion else set())
        if companion is not None and companion.idempotency is not None and companion.idempotency.argument:
            filled.add(companion.idempotency.argument)
        missing = sorted(arguments.required - filled)
        if missing:
            mend = "add them under `arguments`"
            yield source.problem((*path, "arguments"), f"{tool} also needs {', '.join(missing)}", mend, key=True)
    own = loaded.project.tool(name)
    known = _arguments_of(own) if own is not None else _Arguments(None, frozenset())
    for where, text in _texts(template, ()):
        problem = _reference_problem(path[-1], text, known, name)
        if problem is not None:
            yield source.problem((*path, "arguments", *where), *problem)


def _reference_problem(key: str | int, text: str, known: _Arguments, name: str) -> tuple[str, str] | None:
    """What is wrong with a `$…` in a template, and what to mend."""
    if not text.startswith("$"):
        return None
    match = _REFERENCE.fullmatch(text)
    allowed = {"undo": ("args", "result", "action"), "lookup": ("args", "action"), "current": ("args",)}[str(key)]
    forms = {"args": "`$args.NAME`", "result": "`$result.PATH`", "action": "`$action.id`"}
    wanted = " or ".join(forms[root] for root in allowed)
    if match is None or match["root"] not in allowed or (match["root"] == "action" and match["path"] != "id"):
        return f"{text[:60]!r} refers to nothing that `{key}` has", f"write {wanted}"
    argument = match["path"].partition(".")[0]
    if match["root"] == "args" and known.lacks(argument):
        return f"{name} takes no argument `{argument}`", suggest(argument, sorted(known.names or ()))
    return None


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    match value:
        case str():
            yield path, value
        case dict():
            for key, inside in value.items():
                yield from _texts(inside, (*path, key))
        case list():
            for position, inside in enumerate(value):
                yield from _texts(inside, (*path, position))
