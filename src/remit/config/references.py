"""Whether the files of a project fit together: every name that one file uses is declared in another.

Names count as declared even where their declaration has mistakes of its own, so that one mistake is told once. What
cannot be known because a file could not be read is not checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from remit.config import files as names
from remit.config.action_checks import check_actions
from remit.config.explain import suggest
from remit.config.login_checks import check_login
from remit.config.mail_checks import check_mail
from remit.config.parameter_checks import check_parameters
from remit.config.reading import Loaded
from remit.config.secrets import references
from remit.config.skill_checks import check_skills
from remit.config.slack_checks import check_slack
from remit.config.source import Path, Source
from remit.config.trigger_checks import check_triggers
from remit.domain import builtins
from remit.domain.actions import MODEL_REQUEST
from remit.domain.agents import AgentVersion
from remit.domain.connections import Connection, HttpConnection, StdioConnection
from remit.errors import ConfigurationError, Problem

_KEY = re.compile(r"ed25519:[A-Za-z0-9+/]{43}=")
_PLACE = re.compile(r"(file|git):.+")
_DATABASE = re.compile(r"postgres(ql)?://.+")
_MODEL = re.compile(r"[a-z0-9_-]+:.+")
_CREDENTIAL = re.compile(r"authorization|token|secret|password|api[-_]?key|credential", re.IGNORECASE)


def check_references(loaded: Loaded) -> list[Problem]:
    """Every reference that leads nowhere, at its place, and every tool that is not pinned."""
    problems: list[Problem] = []
    for check in (
        _settings,
        _directory,
        _connections,
        check_actions,
        _workflows,
        _agents,
        check_skills,
        check_triggers,
        check_login,
        check_mail,
        check_slack,
    ):
        problems += check(loaded)
    problems += check_parameters(loaded, reference_problem)
    return problems


def _settings(loaded: Loaded) -> Iterator[Problem]:
    source, settings = loaded.sources.get(names.SETTINGS), loaded.project.settings
    if source is None:
        return
    for position, key in enumerate(settings.deploy.keys):
        if not _KEY.fullmatch(key):
            yield source.problem(
                ("deploy", "keys", position),
                "this is not a public key",
                "write `ed25519:` and the key's 32 bytes in base64",
            )
    for position, place in enumerate(settings.audit.checkpoints):
        if not _PLACE.fullmatch(place):
            yield source.problem(
                ("audit", "checkpoints", position), f"{place[:60]!r} is no place", "write `file:FOLDER` or `git:FOLDER`"
            )
    url = settings.database.url
    if url != "embedded" and not _DATABASE.fullmatch(url):
        yield source.problem(
            ("database", "url"),
            "this is not the URL of a PostgreSQL",
            "write `embedded`, or a URL with `postgresql://`",
        )
    for name, model in settings.models.items():
        path: Path = ("models", name)
        if not _MODEL.fullmatch(name):
            yield source.problem(
                path, f"{name[:60]!r} does not name a model", 'write `[models."provider:name"]`', key=True
            )
        if model.script is not None and model.script not in loaded.project.files:
            yield source.problem(
                (*path, "script"), f"there is no file {model.script[:80]!r}", "seen from the project's folder"
            )


def _directory(loaded: Loaded) -> Iterator[Problem]:
    source, directory = loaded.sources.get(names.DIRECTORY), loaded.project.directory
    if source is None:
        return
    known: dict[str, set[str]] = {}
    for kind, noun in (("people", "person"), ("roles", "role"), ("workspaces", "workspace")):
        known[kind], doubled = _ids(source, kind, noun)
        yield from doubled
    # Positions are those of the file: entries with mistakes of their own are missing from the directory.
    for position, raw in _entries(source, "people"):
        manager = raw.get("manager")
        if isinstance(manager, str) and manager not in known["people"]:
            mend = suggest(manager, sorted(known["people"]))
            yield source.problem(("people", position, "manager"), f"there is no person {manager[:80]}", mend)
        for kind, noun in (("roles", "role"), ("workspaces", "workspace")):
            for index, value in enumerate(raw[kind] if isinstance(raw.get(kind), list) else ()):
                if isinstance(value, str) and value not in known[kind]:
                    yield source.problem(
                        ("people", position, kind, index),
                        f"there is no {noun} {value[:80]}",
                        suggest(value, sorted(known[kind])),
                    )
    yield from _loops(source, directory.by_id)
    for position, raw in _entries(source, "workspaces"):
        if isinstance(raw.get("manager"), str):
            yield from reference_problem(loaded, source, ("workspaces", position, "manager"), raw["manager"])


def _ids(source: Source, kind: str, noun: str) -> tuple[set[str], list[Problem]]:
    """The ids that a list declares, and those that it declares twice."""
    seen: set[str] = set()
    problems: list[Problem] = []
    for position, raw in _entries(source, kind):
        identifier = raw.get("id")
        if isinstance(identifier, str):
            if identifier in seen:
                problems.append(
                    source.problem(
                        (kind, position, "id"), f"the {noun} {identifier[:80]} stands twice", "keep one of them"
                    )
                )
            seen.add(identifier)
    return seen, problems


def _loops(source: Source, people: Mapping[str, object]) -> Iterator[Problem]:
    """Reporting lines that come back to where they began; each loop is told once."""
    managers = {
        raw["id"]: (position, raw.get("manager"))
        for position, raw in _entries(source, "people")
        if isinstance(raw.get("id"), str) and raw["id"] in people
    }
    done: set[object] = set()
    for start in managers:
        line: list[object] = []
        person: object = start
        while isinstance(person, str) and person in managers and person not in done:
            done.add(person)
            line.append(person)
            person = managers[person][1]
        if person in line:
            loop = line[line.index(person) :]
            position = managers[str(person)][0]
            yield source.problem(
                ("people", position, "manager"),
                f"the reporting line turns in a circle: {' -> '.join(map(str, [*loop[:8], person]))}",
                "let it end with somebody who has no manager",
            )


def _entries(source: Source, kind: str) -> Iterator[tuple[int, dict[str, Any]]]:
    value = source.get((kind,))
    for position, raw in enumerate(value if isinstance(value, list) else ()):
        if isinstance(raw, dict):
            yield position, raw


def reference_problem(loaded: Loaded, source: Source, path: Path, reference: str) -> Iterator[Problem]:
    """The problem of a person or `role:ID` whom the directory does not have. Somebody who left is the gates' matter."""
    directory = loaded.sources.get(names.DIRECTORY)
    if directory is None:
        return
    kind, noun, name = ("people", "person", reference)
    if reference.startswith("role:"):
        kind, noun, name = ("roles", "role", reference.removeprefix("role:"))
    known, _ = _ids(directory, kind, noun)
    if name not in known:
        yield source.problem(path, f"there is no {noun} {name[:80]} in the directory", suggest(name, sorted(known)))


def _connections(loaded: Loaded) -> Iterator[Problem]:
    source = loaded.sources.get(names.CONNECTIONS)
    if source is not None:
        for taken, by in (("model", "requests to language models"), (builtins.CONNECTION, "the built-in tools")):
            if taken in (loaded.declared(names.CONNECTIONS, "connections") or ()):
                said = f"the name `{taken}` is taken by {by}"
                yield source.problem(("connections", taken), said, "rename it", key=True)
        for name, connection in loaded.project.connections.items():
            yield from _connection(loaded, source, name, connection)
    pins, known = loaded.sources.get(names.PINS), loaded.declared(names.CONNECTIONS, "connections")
    if pins is not None and known is not None:
        for name in loaded.project.pins.connections:
            if name not in known:
                yield pins.problem(
                    ("connections", name),
                    f"tools are pinned for {name}, which is not a connection",
                    "run `remit connections pin`",
                    key=True,
                    severity="warning",
                )


def _connection(loaded: Loaded, source: Source, name: str, connection: Connection) -> Iterator[Problem]:
    path: Path = ("connections", name)
    if isinstance(connection, StdioConnection):
        for position, argument in enumerate(connection.command):
            if _is_missing_file(argument, loaded.project.files):
                yield source.problem(
                    (*path, "command", position),
                    f"there is no file {argument[:80]!r}",
                    "seen from the project's folder",
                )
        yield from _secrets(source, (*path, "env"), connection.env)
    elif isinstance(connection, HttpConnection):
        yield from _secrets(source, (*path, "headers"), connection.headers)


def _is_missing_file(argument: str, files: Iterable[str]) -> bool:
    """True for a relative path to a script that the bundle does not have."""
    if (
        argument.startswith(("-", "/", "."))
        or "://" in argument
        or not argument.endswith((".py", ".js", ".mjs", ".ts", ".sh"))
    ):
        return False
    return argument not in files


def _secrets(source: Source, path: Path, values: dict[str, str]) -> Iterator[Problem]:
    for name, value in values.items():
        try:
            found = references(value)
        except ConfigurationError as error:
            yield source.problem((*path, name), error.message, error.advice)
            continue
        if not found and value and _CREDENTIAL.search(name):
            yield source.problem(
                (*path, name),
                f"`{name}` looks like a secret that stands in the file itself",
                "refer to it: `env:NAME`, `file:PATH`, `vault:PATH#KEY`, or inside a text `${env:NAME}`",
                severity="warning",
            )


def _workflows(loaded: Loaded) -> Iterator[Problem]:
    source = loaded.sources.get(names.WORKFLOWS)
    if source is None:
        return
    actions = loaded.declared(names.ACTIONS, "actions")
    for name, workflow in loaded.project.workflows.items():
        path: Path = ("workflows", name)
        yield from reference_problem(loaded, source, (*path, "owner"), workflow.owner)
        for position, step in enumerate(workflow.steps):
            if step.action is not None and actions is not None and step.action not in actions:
                yield source.problem(
                    (*path, "steps", position, "action"),
                    f"there is no action type {step.action}",
                    suggest(step.action, sorted(actions)),
                )


def _agents(loaded: Loaded) -> Iterator[Problem]:
    for name, agent in loaded.project.agents.items():
        source = loaded.sources.get(f"agents/{name}/{names.AGENT}")
        if source is not None:
            yield from _agent(loaded, source, agent)


def _agent(loaded: Loaded, source: Source, agent: AgentVersion) -> Iterator[Problem]:
    spec = agent.spec
    yield from reference_problem(loaded, source, ("owner",), spec.owner)
    yield from reference_problem(loaded, source, ("escalation",), spec.escalation)
    for position, reviewer in enumerate(spec.memory.reviewers):
        yield from reference_problem(loaded, source, ("memory", "reviewers", position), reviewer)
    directory = loaded.sources.get(names.DIRECTORY)
    if directory is not None:
        workspaces, _ = _ids(directory, "workspaces", "workspace")
        if spec.workspace not in workspaces:
            mend = suggest(spec.workspace, sorted(workspaces))
            yield source.problem(("workspace",), f"there is no workspace {spec.workspace}", mend)
    workflows = loaded.declared(names.WORKFLOWS, "workflows")
    if spec.workflow is not None and workflows is not None and spec.workflow not in workflows:
        mend = suggest(spec.workflow, sorted(workflows))
        yield source.problem(("workflow",), f"there is no workflow {spec.workflow}", mend)
    yield from _agent_tools(loaded, source, spec.tools)
    yield from _agent_model(loaded, source, agent)
    try:
        Draft202012Validator.check_schema(spec.input, format_checker=Draft202012Validator.FORMAT_CHECKER)
    except SchemaError as error:
        inside: Sequence[str | int] = tuple(error.absolute_path)
        yield source.problem(("input", *inside), f"`input` is not a JSON Schema: {error.message[:200]}", "correct it")
    except RecursionError:
        yield source.problem(("input",), "`input` is nested too deeply", "make it flatter")


def _agent_tools(loaded: Loaded, source: Source, tools: tuple[str, ...]) -> Iterator[Problem]:
    connections = loaded.declared(names.CONNECTIONS, "connections")
    actions = loaded.declared(names.ACTIONS, "actions")
    seen: set[str] = set()
    for position, tool in enumerate(tools):
        path: Path = ("tools", position)
        connection = tool.partition(".")[0]
        if tool == MODEL_REQUEST:
            yield source.problem(path, f"{tool} is no tool", "name the model under `model`; it needs no entry here")
        elif tool in seen:
            yield source.problem(path, f"{tool} stands twice", "keep one of them", severity="warning")
        elif builtins.is_builtin(tool) and tool.partition(".")[2] not in builtins.TOOLS:
            known = sorted(f"{builtins.CONNECTION}.{name}" for name in builtins.TOOLS)
            yield source.problem(path, f"there is no built-in tool {tool}", suggest(tool, known))
        elif not builtins.is_builtin(tool) and connections is not None and connection not in connections:
            yield source.problem(path, f"there is no connection {connection}", suggest(connection, sorted(connections)))
        elif actions is not None and tool not in actions and tool not in builtins.ACTION_TYPES:
            near = suggest(tool, sorted(actions))
            mend = near if near.startswith("did") else f"describe {tool} in {names.ACTIONS}"
            yield source.problem(path, f"{tool} is not classified, so it is forbidden", mend)
        seen.add(tool)


def _agent_model(loaded: Loaded, source: Source, agent: AgentVersion) -> Iterator[Problem]:
    model, known = agent.spec.model, loaded.declared(names.SETTINGS, "models")
    if model is None:
        if "prompt.md" in agent.files:
            mend = f"add `model: provider:name`, one that {names.SETTINGS} declares"
            yield source.problem((), "an agent with a prompt needs a `model`", mend)
    elif known is not None and model not in known:
        near = suggest(model, sorted(known))
        mend = near if near.startswith("did") else f'declare [models."{model[:80]}"] in {names.SETTINGS}'
        yield source.problem(("model",), f"the model {model[:80]} is not declared in {names.SETTINGS}", mend)
