"""How a stdio server is started: its command, its whole environment, its one folder, and the wall around it."""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from remit.domain.connections import StdioConnection
from remit.errors import ConfigurationError
from remit.runtime.isolation import paths
from remit.runtime.isolation.choice import Wall, bubblewrap
from remit.runtime.isolation.launch import Spec, command_line

SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin"
"""The `PATH` of every server that declares none. `HOME`, the only other variable not declared, is its own folder."""

_PERSON = re.compile(r"^[a-z0-9][a-z0-9._-]{0,62}$")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything needed to start one server process."""

    argv: tuple[str, ...]
    env: dict[str, str] = field(repr=False)
    folder: Path
    """Working directory, and the only place where the server may write."""
    log: Path
    """Where its standard error goes, out of its own reach."""


def make(
    project: Path,
    name: str,
    spec: StdioConnection,
    env: dict[str, str],
    *,
    wall: Wall,
    person: str | None = None,
    state: Path | None = None,
) -> Plan:
    """Plan the start of a server; makes its folder and its log's folder.

    `env` is the declared environment with secrets resolved. `state` is where servers' folders and logs are; None: the
    project's `.remit/`. Raises ConfigurationError if there is no such command or
    the folder is not below `.remit/`.
    """
    root = project.resolve()
    state = (state or root / ".remit").resolve()
    folder = _own_folder(state, name, spec, person)
    log = state / "logs" / "connections" / (f"{name}.{person}.log" if person else f"{name}.log")
    for needed in (folder, log.parent):
        needed.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = {"PATH": SEARCH_PATH, "HOME": str(folder), **env}  # many libraries fail to load without a home
    program = _program(root, spec.command[0], environment["PATH"])
    # A deployed bundle is unpacked below the state folder: there the code is what may be read.
    hidden = (root / ".remit",) if root.is_relative_to(state) else (root / ".remit", state)
    arguments, code = _arguments(root, hidden, spec.command[1:])
    reading = [*paths.system(), *paths.python(), *code, *_around(program)]
    network = bool(spec.hosts)
    if network:
        reading += paths.names()
    command = (program, *arguments)
    if wall == "bubblewrap":
        command = (*_bubblewrap(reading, folder, network=network), *command)
    launch = Spec(
        command=command,
        keep_env=tuple(environment),
        read=(*map(str, reading), "/proc/self", "/proc/meminfo", "/proc/cpuinfo"),
        write=(str(folder), *map(str, paths.devices())),
        walled=wall == "landlock",
        network=network,
        bound_to=os.getpid(),
    )
    return Plan(tuple(command_line(launch)), environment, folder, log)


def _own_folder(state: Path, name: str, spec: StdioConnection, person: str | None) -> Path:
    folder = (state / (spec.folder or f"connections/{name}")).resolve()
    if folder == state or not folder.is_relative_to(state):
        raise ConfigurationError(
            f"the folder {spec.folder!r} of connection {name} is not inside .remit/",
            advice="Give a folder below .remit/, such as `folder: connections/payments`.",
        )
    if person is None:
        return folder
    if not _PERSON.match(person):
        raise ConfigurationError(f"{person!r} is not a person's id")
    return folder / "people" / person


def _program(root: Path, program: str, search: str) -> str:
    if program in ("python", "python3"):
        return sys.executable
    if "/" in program:
        found = root / program  # an absolute path stays what it is
        if found.is_file():
            return str(found)
    elif (path := shutil.which(program, path=search)) is not None:
        return path
    raise ConfigurationError(
        f"the server's program {program!r} is not there",
        advice="Give a path seen from the project folder, an absolute path, or the name of a program in /usr/bin.",
    )


def _around(program: str) -> list[Path]:
    """Where a program outside the system's folders stands, and the libraries beside its `bin`."""
    real = Path(program).resolve()
    if any(real.is_relative_to(p) for p in (*paths.system(), *paths.python())):
        return []
    if real.parent.name == "bin":
        return [real.parent, real.parent.parent / "lib", real.parent.parent / "libexec"]
    return [real]


def _arguments(root: Path, hidden: tuple[Path, ...], given: tuple[str, ...]) -> tuple[list[str], list[Path]]:
    """The arguments with the project's own paths made absolute, and what of the project may be read because of them.

    A script brings the folder that it stands in, so that it can import its neighbours; one that stands directly in the
    project folder brings only itself. Nothing below the `hidden` folders is ever brought.
    """
    arguments: list[str] = []
    code: list[Path] = []
    for argument in given:
        path = (root / argument).resolve()
        looks_like_path = not argument.startswith("-") and ("/" in argument or "." in argument)
        inside = path.is_relative_to(root) and path != root and not any(map(path.is_relative_to, hidden))
        if not (looks_like_path and inside and path.exists()):
            arguments.append(argument)
            continue
        arguments.append(str(path))
        code.append(path if path.is_dir() or path.parent == root else path.parent)
    return arguments, code


def _bubblewrap(reading: list[Path], folder: Path, *, network: bool) -> tuple[str, ...]:
    program = bubblewrap()
    if program is None:
        raise ConfigurationError("bubblewrap (`bwrap`) is not installed on this machine")
    words = [program, "--die-with-parent", "--unshare-user-try", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    words += ["--unshare-cgroup-try", *([] if network else ["--unshare-net"]), "--cap-drop", "ALL"]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108 - a private one inside the wall
    for path in reading:
        words += ["--ro-bind-try", str(path), str(path)]
    words += ["--bind", str(folder), str(folder), "--remount-ro", "/", "--chdir", str(folder)]
    return (*words, "--")
