"""Reads every file of a project, and goes on past what is wrong: the right parts, and all problems."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from remit.config import files as names
from remit.config.bundle import agent_version
from remit.config.explain import explain, raw_path
from remit.config.files import ActionsFile, ConnectionsFile, TriggersFile, WorkflowsFile
from remit.config.json_source import read_json
from remit.config.source import Source, SourceError
from remit.config.toml_source import read_toml
from remit.config.yaml_source import read_yaml
from remit.domain.actions import ActionType
from remit.domain.agents import AgentSpec, AgentVersion
from remit.domain.builtins import with_builtins
from remit.domain.connections import Connection, ToolPins
from remit.domain.directory import Directory
from remit.domain.parameters import ParametersFile
from remit.domain.project import Project, ProjectSection, RemitToml
from remit.errors import Problem

M = TypeVar("M", bound=BaseModel)

_AGENT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_READERS = {".toml": read_toml, ".json": read_json, ".yaml": read_yaml}


@dataclass
class Loaded:
    """What could be read of a project. `project` holds only the parts that are right; `problems` the rest."""

    project: Project
    problems: list[Problem] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    """Every file with marks that could be parsed, by its path."""
    unreadable: set[str] = field(default_factory=set)
    """Files that are there and could not be parsed: nothing is known of what they declare."""
    pins_matter: bool = True
    """False while tools are about to be pinned anew."""

    def where(self, action: str) -> tuple[str, int, int]:
        """File, line and column at which an action type is declared."""
        source = self.sources.get(names.ACTIONS)
        if source is None:
            return names.ACTIONS, 1, 1
        mark = source.at(("actions", action), key=True)
        return source.file, mark.line, mark.column

    def declared(self, file: str, key: str) -> set[str] | None:
        """Names that a file declares under a key, right or wrong; None if the file could not be read."""
        if file in self.unreadable:
            return None
        source = self.sources.get(file)
        value = source.get((key,)) if source is not None else None
        return set(value) if isinstance(value, dict) else set()


def read_files(files: Mapping[str, bytes], problems: list[Problem] | None = None) -> Loaded:
    """Read everything that can be read; nothing is raised for what a file says. `problems` were found before."""
    return _Loader(files, list(problems or [])).load()


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, by file and line, as one printable line each.

    What a file says is repeated in messages, and must neither break their lines nor command somebody's terminal.
    """
    shown = (
        replace(p, file=_printable(p.file), message=_printable(p.message), mend=_printable(p.mend)) for p in problems
    )
    return sorted(dict.fromkeys(shown), key=lambda p: (p.file, p.line, p.column))


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class _Loader:
    def __init__(self, files: Mapping[str, bytes], problems: list[Problem]) -> None:
        self._files = dict(sorted(files.items()))
        self._problems = problems
        self._sources: dict[str, Source] = {}
        # What could not be read at all is told as that, not as missing files.
        self._unreadable: set[str] = {p.file for p in problems} | (
            {names.DIRECTORY} if problems and not files else set()
        )

    def load(self) -> Loaded:
        """Read every file and put the project together."""
        unnamed = RemitToml(project=ProjectSection(name="unnamed"))
        connections = (self._model(names.CONNECTIONS, ConnectionsFile) or ConnectionsFile()).connections
        actions = (self._model(names.ACTIONS, ActionsFile) or ActionsFile()).actions
        agents = dict(self._agents())
        project = Project(
            settings=self._model(names.SETTINGS, RemitToml, needed="make one with `remit init`") or unnamed,
            directory=self._model(names.DIRECTORY, Directory, needed="list the people and workspaces in it")
            or Directory(),
            connections=connections,
            actions=with_builtins(
                {name: _timed(action, connections.get(name.partition(".")[0])) for name, action in actions.items()},
                agents,
            ),
            workflows=(self._model(names.WORKFLOWS, WorkflowsFile) or WorkflowsFile()).workflows,
            agents=agents,
            policies=dict(self._policies()),
            triggers=(self._model(names.TRIGGERS, TriggersFile) or TriggersFile()).triggers,
            pins=self._model(names.PINS, ToolPins) or ToolPins(),
            files=self._files,
        )
        return Loaded(project, self._problems, self._sources, self._unreadable)

    def _model(self, file: str, model: type[M], *, needed: str | None = None) -> M | None:
        """The file's model; of a file with mistakes, what is left without the parts that have them."""
        source = self._source(file, needed)
        if source is None:
            return None
        value = {} if source.value is None else source.value
        try:
            return model.model_validate(value)
        except ValidationError as error:
            self._problems += explain(model, source, error)
            return _salvage(model, value, error)

    def _source(self, file: str, needed: str | None = None) -> Source | None:
        if file not in self._files:
            if needed is not None and file not in self._unreadable:
                self._problems.append(Problem(file, 1, 1, "this file is missing", needed))
                self._unreadable.add(file)
            return None
        try:
            source = _READERS[Path(file).suffix](file, self._files[file])
        except SourceError as error:
            self._problems += error.problems
            self._unreadable.add(file)
            return None
        self._sources[file] = source
        return source

    def _agents(self) -> Iterator[tuple[str, AgentVersion]]:
        folders: dict[str, dict[str, bytes]] = {}
        for path, content in self._files.items():
            top, _, rest = path.partition("/")
            name, _, inside = rest.partition("/")
            if top == "agents" and inside:
                folders.setdefault(name, {})[inside] = content
        for name, files in folders.items():
            file = f"agents/{name}/{names.AGENT}"
            if not _AGENT_NAME.fullmatch(name):
                mend = "use lower-case letters, digits, dot, dash and underscore"
                self._problems.append(Problem(file, 1, 1, f"an agent cannot be called {name[:80]!r}", mend))
                continue
            spec = self._model(file, AgentSpec, needed="describe the agent in it")
            self._problems += _body_problems(name, files, external=spec is not None and spec.external)
            tunable = self._model(f"agents/{name}/{names.PARAMETERS}", ParametersFile)
            if spec is not None:
                yield name, agent_version(name, spec, files, tunable.parameters if tunable is not None else {})

    def _policies(self) -> Iterator[tuple[str, str]]:
        for path, content in self._files.items():
            if path.startswith("policies/") and path.endswith(".cedar"):
                text = _text(path, content)
                if isinstance(text, Problem):
                    self._problems.append(text)
                else:
                    yield path, text


def _salvage(model: type[M], value: Any, error: ValidationError) -> M | None:
    """The model without the entries that have mistakes, so that one mistake does not hide the others."""
    if not isinstance(value, dict):
        return None
    rest: dict[str, Any] = {k: v.copy() if isinstance(v, dict | list) else v for k, v in value.items()}
    gone: dict[str, set[int]] = {}
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        path, _ = raw_path(model, value, detail["loc"])
        if len(path) < 2 or not isinstance(rest.get(str(path[0])), dict | list):
            rest.pop(str(path[0]) if path else "", None)
        elif isinstance(path[1], int):
            gone.setdefault(str(path[0]), set()).add(path[1])
        else:
            rest[str(path[0])].pop(path[1], None)
    for key, positions in gone.items():
        if isinstance(rest.get(key), list):
            rest[key] = [item for position, item in enumerate(rest[key]) if position not in positions]
    try:
        return model.model_validate(rest)
    except ValidationError:
        return None


def _body_problems(name: str, files: Mapping[str, bytes], *, external: bool) -> Iterator[Problem]:
    """What is wrong with an agent's prompt or program."""
    folder = f"agents/{name}"
    prompt, program = files.get("prompt.md"), files.get("program.py")
    if external:
        if prompt is not None or program is not None:
            file = f"{folder}/{'prompt.md' if prompt is not None else 'program.py'}"
            yield Problem(
                file, 1, 1, "no worker runs an external agent, so this is never used", "remove it, or `external`"
            )
        return
    if (prompt is None) == (program is None):
        said = "has both prompt.md and program.py" if prompt is not None else "has neither prompt.md nor program.py"
        yield Problem(
            f"{folder}/{names.AGENT}",
            1,
            1,
            f"the folder {said}",
            "keep exactly one: a prompt for a model, or a program",
        )
    if prompt is not None:
        text = _text(f"{folder}/prompt.md", prompt)
        if isinstance(text, Problem):
            yield text
        elif not text.strip():
            yield Problem(f"{folder}/prompt.md", 1, 1, "the prompt is empty", "say what the agent is to do")
    if program is not None:
        yield from _program_problems(f"{folder}/program.py", program)


def _program_problems(file: str, content: bytes) -> Iterator[Problem]:
    """Whether a program can be read and has its entry; it is not run."""
    text = _text(file, content)
    if isinstance(text, Problem):
        yield text
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, filename=file)
    except SyntaxError as error:
        mend = "correct the syntax here or just above"
        yield Problem(file, error.lineno or 1, max(error.offset or 1, 1), f"this is not Python: {error.msg}", mend)
        return
    except (ValueError, RecursionError, MemoryError):
        yield Problem(file, 1, 1, "this cannot be read as Python", "make it simpler, without odd characters")
        return
    for node in tree.body:
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "run":
            return
        if isinstance(node, ast.FunctionDef) and node.name == "run":
            yield Problem(
                file, node.lineno, node.col_offset + 1, "`run` is not async", "write `async def run(session):`"
            )
            return
    yield Problem(file, 1, 1, "the program has no `run`", "write `async def run(session):`")


def _text(file: str, content: bytes) -> str | Problem:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        return Problem(file, line, column, "this is not UTF-8 text", "save the file in the encoding UTF-8")


def _timed(action: ActionType, connection: Connection | None) -> ActionType:
    """An action type that names no timeout has its connection's."""
    if connection is None or "timeout" in action.model_fields_set:
        return action
    return action.model_copy(update={"timeout": connection.timeout})
