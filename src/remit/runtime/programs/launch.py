"""How the zygote is started: with an empty environment, and inside bubblewrap where that is wanted and works."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import IO, Literal

from remit.errors import IsolationUnavailable
from remit.runtime.isolation import landlock
from remit.runtime.programs.child import syscalls

Isolation = Literal["auto", "bubblewrap", "landlock", "none"]
Wall = Literal["bubblewrap", "landlock", "none"]

_HERE = Path(__file__).resolve().parent
_SOURCE = _HERE.parents[2]
# The same hash seed for all turns: sets and dicts of text must come in the same order in every replay.
_CONSTANTS = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
_SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo")


@dataclass(frozen=True, slots=True)
class Started:
    """A zygote's process and what it says when it cannot start."""

    process: subprocess.Popen[bytes]
    complaints: IO[bytes]


def walls(wanted: Isolation) -> tuple[Wall, ...]:
    """The walls to try, best first. Raises IsolationUnavailable if this machine can have none of them."""
    if not sys.platform.startswith("linux"):
        raise IsolationUnavailable("programs run on Linux only", advice="Run the worker in a Linux container.")
    if wanted == "none":
        return ("none",)
    if not syscalls.supported():
        raise IsolationUnavailable("programs can be isolated on x86_64 and aarch64 only")
    found: list[Wall] = []
    if wanted in {"auto", "bubblewrap"} and shutil.which("bwrap"):
        found.append("bubblewrap")
    if wanted in {"auto", "landlock"} and landlock.abi() >= 1:
        found.append("landlock")
    if not found:
        missing = {"bubblewrap": "bubblewrap is not installed", "landlock": "this kernel has no Landlock"}
        raise IsolationUnavailable(missing.get(wanted, "bubblewrap is not installed and this kernel has no Landlock"))
    return tuple(found)


def start(wall: Wall, control: socket, *, memory_mb: int, cpu_seconds: int) -> Started:
    """Start a zygote that speaks over `control`. Raises OSError if its program cannot be started at all."""
    limits = json.dumps({"memory_mb": memory_mb, "cpu_seconds": cpu_seconds, "walled": wall != "none"})
    command = [*_python(), limits]
    if wall == "bubblewrap":
        command = [*_bubblewrap(), *command]
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the zygote ends
    process = subprocess.Popen(  # noqa: S603 - every word of it is ours
        command,
        stdin=control.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=complaints,
        env={} if wall == "bubblewrap" else _CONSTANTS,
        cwd="/",
        start_new_session=True,
    )
    return Started(process, complaints)


def _python() -> list[str]:
    """The interpreter behind the virtual environment: it needs no installed packages."""
    base = getattr(sys, "_base_executable", "") or sys.executable
    paths = [str(_HERE), str(_SOURCE)]
    code = f"import sys; sys.path[:0] = {paths!r}; from child.zygote import main; del sys.path[:2]; main()"
    return [str(Path(base).resolve()), "-S", "-s", "-P", "-B", "-X", "utf8", "-c", code]


def _bubblewrap() -> list[str]:
    """Bind the interpreter, its library and the few files of this package that a child runs; nothing else exists."""
    interpreter = Path(_python()[0])
    stdlib = {Path(sysconfig.get_path(name, vars=_base())).resolve() for name in ("stdlib", "platstdlib")}
    shared = [Path(sys.base_prefix).resolve() / "lib" / name for name in _shared_libraries()]
    package = _SOURCE / "remit"
    ours = (
        _HERE / "child",
        package / "__init__.py",
        package / "runtime" / "__init__.py",
        package / "runtime" / "isolation",
    )
    arguments = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--uid", "65534", "--gid", "65534"]
    for path in (*map(Path, _SYSTEM), interpreter, *stdlib, *shared, *ours):
        arguments += ["--ro-bind-try", str(path), str(path)]
    for folder in stdlib:
        if (folder / "site-packages").is_dir():
            arguments += ["--tmpfs", str(folder / "site-packages")]
    arguments += ["--proc", "/proc", "--chdir", "/"]
    for name, value in _CONSTANTS.items():
        arguments += ["--setenv", name, value]
    return [*arguments, "--"]


def _base() -> dict[str, str]:
    return {"base": sys.base_prefix, "platbase": sys.base_exec_prefix, "installed_base": sys.base_prefix}


def _shared_libraries() -> Sequence[str]:
    """An interpreter built with a shared libpython needs it."""
    names = (sysconfig.get_config_var("LDLIBRARY"), sysconfig.get_config_var("INSTSONAME"))
    return sorted({str(name) for name in names if name and ".so" in str(name)})
