"""The bundle: every file of a project that matters, read once, and the digest that a deployer signs.

What is in it: `remit.toml`, `tools.lock.json`, the `*.yaml` files beside them, `policies/*.cedar`, everything below
`agents/`, model scripts, and what stdio connections start from inside the project (a script with the folder that it
stands in, because it imports its neighbours; one that stands directly in the project comes alone). Left out are names
that begin with a dot or end with `~`, `__pycache__` and compiled Python: nothing is ever loaded from those.

Symlinks and paths that leave the folder are refused, so that the digest covers what is there and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from remit.config.files import CONNECTIONS, PINS, SETTINGS
from remit.config.source import Source, SourceError
from remit.config.toml_source import read_toml
from remit.config.yaml_source import read_yaml
from remit.domain.agents import AgentSpec, AgentVersion
from remit.domain.parameters import Parameter
from remit.errors import Problem, ProjectInvalid

MAX_TOTAL = 50_000_000
"""Largest bundle, in bytes."""
MAX_FILES = 5_000
"""Most files in a bundle."""


def read_bundle(folder: Path) -> dict[str, bytes]:
    """The project's files by path. Raises ProjectInvalid on symlinks, escapes, odd names, unreadable files or size."""
    files, problems = collect(folder)
    if problems:
        raise ProjectInvalid(problems)
    return files


def collect(folder: Path) -> tuple[dict[str, bytes], list[Problem]]:
    """The project's files by path, and the problems of those that could not be taken."""
    if not folder.is_dir():
        said = f"{folder} is not a folder"
        return {}, [Problem(SETTINGS, 1, 1, said, "name the project's folder, or make one with `remit init DIR`")]
    reader = _Reader(folder)
    for name in reader.names(""):
        if name in (SETTINGS, PINS) or name.endswith(".yaml"):
            reader.take(name)
    for name in reader.names("policies"):
        if name.endswith(".cedar"):
            reader.take(f"policies/{name}")
    reader.take_tree("agents")
    for source, argument in _named_files(reader.files):
        _take_named(reader, source, argument)
    return dict(sorted(reader.files.items())), reader.problems


def content_digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over the sorted (path, SHA-256 of content) pairs, in hexadecimal."""
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{path}\0{hashlib.sha256(files[path]).hexdigest()}\n".encode())
    return total.hexdigest()


def agent_version(
    name: str, spec: AgentSpec, files: Mapping[str, bytes], parameters: Mapping[str, Parameter] | None = None
) -> AgentVersion:
    """The version of an agent whose folder holds these files, by their path inside it."""
    return AgentVersion(
        agent=name, digest=content_digest(files), spec=spec, files=dict(files), parameters=dict(parameters or {})
    )


class _Reader:
    """Reads files below one folder, each at most once, within the limits, never through a symlink."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, bytes] = {}
        self.problems: list[Problem] = []
        self._folder = folder
        self._total = 0
        self._full = False
        self._seen: set[str] = set()

    def names(self, folder: str) -> list[str]:
        """Names in a folder of the project that can matter; empty where there is no such folder."""
        here = self._folder / folder
        if folder and self._kind(folder) != "folder":
            return []
        try:
            return sorted(name for name in (p.name for p in here.iterdir()) if self._matters(folder, name))
        except OSError as error:
            self._problem(folder or SETTINGS, f"the folder cannot be read: {error.strerror}", "allow reading it")
            return []

    def take_tree(self, folder: str) -> None:
        """Read everything below a folder."""
        open_folders = [folder]
        while open_folders and not self._full:
            here = open_folders.pop()
            for name in self.names(here):
                path = f"{here}/{name}"
                if self._kind(path) == "folder":
                    open_folders.append(path)
                else:
                    self.take(path)

    def take(self, path: str) -> None:
        """Read one file."""
        if path in self._seen or self._full or self._kind(path) is None:
            return
        self._seen.add(path)
        try:
            content = self._read(path)
        except OSError as error:
            self._problem(path, f"the file cannot be read: {error.strerror}", "allow reading it")
            return
        if content is None:
            self._problem(path, "this is not an ordinary file", "remove it from the project")
            return
        self._total += len(content)
        if self._total > MAX_TOTAL or len(self.files) >= MAX_FILES:
            self._full = True
            said = f"the project has more than {MAX_TOTAL // 1_000_000} MB or {MAX_FILES:,} files that matter"
            self._problem(path, said, "keep data out of `agents/` and out of the servers' folders")
            return
        self.files[path] = content

    def resolve(self, path: str) -> str | None:
        """`file`, `folder` or None for something named by a file; symlinks on the way to it are problems."""
        parts = PurePosixPath(path).parts
        for end in range(1, len(parts) + 1):
            kind = self._kind("/".join(parts[:end]))
            if kind is None:
                return None
        return kind if parts else None

    def _kind(self, path: str) -> str | None:
        try:
            mode = (self._folder / path).lstat().st_mode
        except (OSError, ValueError):
            return None
        if stat.S_ISLNK(mode):
            if path not in self._seen:
                self._seen.add(path)
                self._problem(path, "this is a symlink", "put the file itself here: a signature cannot cover a link")
            return None
        return "folder" if stat.S_ISDIR(mode) else "file"

    def _read(self, path: str) -> bytes | None:
        """The content, or None for what is not an ordinary file. Never waits on a pipe, never follows a link."""
        descriptor = os.open(self._folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            return file.read(MAX_TOTAL - self._total + 1)

    def _matters(self, folder: str, name: str) -> bool:
        if name.startswith(".") or name.endswith(("~", ".pyc", ".pyo")) or name == "__pycache__":
            return False
        if not name.isprintable() or "\\" in name or not _is_utf8(name):
            place = ascii(f"{folder}/{name}" if folder else name)[1:-1]
            self._problem(place, "the file's name has characters that no path here may have", "rename it")
            return False
        return True

    def _problem(self, path: str, message: str, mend: str) -> None:
        self.problems.append(Problem(path, 1, 1, message, mend))


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _named_files(files: Mapping[str, bytes]) -> Iterator[tuple[Problem, str]]:
    """What other files name: arguments of stdio commands, and scripts of models. Broken files name nothing yet."""
    try:
        connections = read_yaml(CONNECTIONS, files.get(CONNECTIONS, b""))
        yield from _arguments(connections)
    except SourceError:
        pass  # the loader says what is wrong with it
    try:
        settings = read_toml(SETTINGS, files.get(SETTINGS, b""))
    except SourceError:
        return
    for name, model in _items(settings.get(("models",))):
        if isinstance(model, dict) and isinstance(model.get("script"), str):
            yield settings.problem(("models", name, "script"), ""), model["script"]


def _arguments(source: Source) -> Iterator[tuple[Problem, str]]:
    for name, connection in _items(source.get(("connections",))):
        command = connection.get("command") if isinstance(connection, dict) else None
        for position, argument in enumerate(command if isinstance(command, list) else []):
            if isinstance(argument, str):
                yield source.problem(("connections", name, "command", position), ""), argument


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()


def _take_named(reader: _Reader, named_at: Problem, argument: str) -> None:
    """Take what an argument names, if it is a path into the project."""
    if argument.startswith(("-", "/", "~")) or "\0" in argument or "://" in argument or not argument.strip("./"):
        return
    path = PurePosixPath(argument)
    if ".." in path.parts:
        reader.problems.append(
            Problem(
                named_at.file,
                named_at.line,
                named_at.column,
                f"{argument[:80]!r} leads out of the project",
                "keep what is started inside the project, or name an installed program by its absolute path",
            )
        )
        return
    if path.parts[0].startswith("."):
        return  # `.remit` and its like are state, never code
    match reader.resolve(str(path)):
        case "folder":
            reader.take_tree(str(path))
        case "file" if str(path.parent) == ".":
            reader.take(str(path))
        case "file":
            reader.take(str(path))
            reader.take_tree(str(path.parent))
        case _:
            return
