"""The launcher: a tiny process that builds the wall around itself and then becomes the command.

Started by `command_line`, it reads what it may keep from its only argument (paths and names, never a secret: arguments
can be read by others), binds its life to its parent's, gives up privileges, files and sockets, and replaces itself. It
imports only the standard library, so it costs some 20 ms once for each server.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from remit.runtime.isolation import landlock, seccomp

_PR_SET_PDEATHSIG, _PR_CAPBSET_READ, _PR_CAPBSET_DROP = 1, 23, 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_REFUSED = 126  # what shells answer for "found, but cannot be run"


@dataclass(frozen=True, slots=True)
class Spec:
    """What the launcher does before it becomes `command`."""

    command: tuple[str, ...]
    """An absolute path and its arguments."""
    keep_env: tuple[str, ...]
    """Names of the environment variables that the command gets."""
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    walled: bool = True
    """False: no Landlock and no seccomp (bubblewrap does it, or isolation was waived)."""
    network: bool = False
    bound_to: int = 0
    """Process id of the parent whose death ends the command; 0: not bound."""


def command_line(spec: Spec) -> list[str]:
    """The command that starts the launcher with this spec."""
    source = str(Path(__file__).resolve().parents[3])
    code = f"import sys; sys.path.insert(0, {source!r}); from remit.runtime.isolation.launch import main; main()"
    return [sys.executable, "-I", "-S", "-B", "-c", code, json.dumps(asdict(spec))]


def main() -> None:
    """Build the wall and become the command; on any failure leave with status 126, having run nothing."""
    try:
        spec = Spec(**json.loads(sys.argv[1]))
        _bind_life(spec.bound_to)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the secrets
        os.umask(0o077)
        if spec.walled:
            _drop_capabilities()
            landlock.restrict(
                read=[Path(p) for p in spec.read],
                write=[Path(p) for p in spec.write],
                deny_tcp=not spec.network,
            )
            seccomp.restrict("internet" if spec.network else "none")
        environment = {name: os.environ[name] for name in spec.keep_env if name in os.environ}
        os.execve(spec.command[0], spec.command, environment)  # noqa: S606 - becoming the command is the purpose
    except (OSError, ValueError, TypeError) as error:
        sys.stderr.write(f"remit: the server could not be started behind its wall: {error}\n")
        sys.stderr.flush()
        os._exit(_REFUSED)


def _bind_life(parent: int) -> None:
    if not parent or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(_REFUSED)


def _drop_capabilities() -> None:
    """Leave even root nothing but its name: without this, `root` behind the wall keeps the powers of root."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    number = 0
    while libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) >= 0:
        libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
        number += 1
