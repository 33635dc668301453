"""Which processes use a data directory. A process id in a file proves nothing: it may have been given to another."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

_PROC = Path("/proc")


def using(data: Path) -> list[int]:
    """Return the ids of the PostgreSQL processes that run on the data directory; zombies do not."""
    if _PROC.joinpath("self").exists():
        return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit() and _works_in(entry, data)]
    return _listed(data)


def postmaster(data: Path) -> int | None:
    """Return the id of the server's first process, if it lives."""
    try:
        recorded = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    return recorded if _uses(recorded, data) else None


def stop(data: Path) -> bool:
    """Stop the server: politely, then at once, then by force. Return whether nothing of it is left."""
    main = postmaster(data)
    if main is not None:
        for number, patience in ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(main, number)
            if _ended(main, data, patience):
                break
    return end_orphans(data)


def end_orphans(data: Path) -> bool:
    """End what a dead server left running, which would keep a new one from starting. Return whether nothing is left."""
    for pid in using(data):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while using(data):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _uses(pid: int, data: Path) -> bool:
    if _PROC.joinpath("self").exists():
        return _works_in(_PROC / str(pid), data)
    return pid in _listed(data)


def _works_in(entry: Path, data: Path) -> bool:
    try:
        return entry.joinpath("cwd").samefile(data) and entry.joinpath("exe").readlink().name.startswith("postgres")
    except OSError:  # it ended, is a zombie, or is somebody else's
        return False


def _ended(pid: int, data: Path, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while _uses(pid, data):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _listed(data: Path) -> list[int]:
    """Ask `ps` where there is no /proc; it shows the first process, and the others end with it."""
    command = ["ps", "-axww", "-o", "pid=,stat=,command="]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments
    found = []
    for line in answer.stdout.splitlines():
        pid, state, arguments = [*line.split(None, 2), "", ""][:3]
        if "postgres" in arguments and f"-D {data}" in arguments and not state.startswith("Z"):
            found.append(int(pid))
    return found
