"""Processes of the demo: a clean place to start from, and workers that can be killed."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from remit.storage.embedded import locks, processes
from remit.storage.embedded.layout import Layout

_BOOKS = "connections"
"""What the example's systems have written down: helpdesk, payments, CRM and the others."""
_OURS = (_BOOKS, "postgres", "bundles", "checkpoints", "logs", "sealer.key", "sealer.pub")
"""What a run leaves in `.remit/`, beside `demo`. The deploy key stays, and whatever else somebody keeps there."""
_PATIENCE = 10.0


class InUse(Exception):
    """Something else works in this folder; its words are for the user."""


@contextmanager
def fresh_start(folder: Path, story: str = "", *, keep_record: bool = False) -> Iterator[Path]:
    """Hold the project's `.remit/demo`, or the story's folder in it, with nothing of an earlier run left. Raises InUse.

    `keep_record`: the story follows another, whose sessions and record stay; only the systems' books begin empty.
    An earlier run that was killed may have left its worker and its database running: both are ended. A server or a
    worker that somebody started by hand is not.
    """
    state = folder / ".remit"
    state.mkdir(exist_ok=True)
    with (state / "demo.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse("Another demo runs in this folder. Wait for it, or end it.") from None
        for pid in _left_behind(state / "demo"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _release_database(state)
        for name in (_BOOKS,) if keep_record else _OURS:
            _remove(state / name)
        place = state / "demo" / story
        place.mkdir(parents=True, exist_ok=True)
        for path in place.iterdir():
            if story or path.is_file():  # other stories have folders of their own
                _remove(path)
        yield place


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _release_database(state: Path) -> None:
    """See that nobody uses the database any more, and that no server of it runs. Raises InUse."""
    layout = Layout(state.resolve())
    if not layout.base.is_dir():
        return
    if layout.members.exists() and not locks.is_free(layout.members, _PATIENCE):
        raise InUse(
            "Something else uses this project's database, perhaps `remit up` or `remit worker`. End it first: the demo "
            "starts from an empty one."
        )
    if processes.using(layout.data) and not processes.stop(layout.data):
        raise InUse(f"The database in {layout.data} of an earlier run cannot be stopped.")


def _left_behind(place: Path) -> list[int]:
    """Workers of an earlier run. Their command line names this place, which no other process's does."""
    mark = re.compile(re.escape(f"{place}/") + r"([a-z-]+/)?worker-")
    return [pid for pid, command in _processes() if mark.search(command) and pid != os.getpid()]


def _processes() -> Iterator[tuple[int, str]]:
    proc = Path("/proc")
    if proc.joinpath("self", "cmdline").exists():
        for entry in proc.iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    yield (
                        int(entry.name),
                        entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"),
                    )
        return
    listed = subprocess.run(["ps", "-axww", "-o", "pid=,args="], capture_output=True, text=True, check=False)  # noqa: S607
    for line in listed.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        yield int(pid), command


class Workers:
    """Starts workers as anybody would, with `remit worker`, and ends them."""

    def __init__(self, folder: Path, place: Path) -> None:
        self.folder = folder
        self.place = place
        self.kills = 0
        self._count = 0
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the worker that runs now."""
        return self._running.pid if self._running is not None else None

    @property
    def log(self) -> Path:
        """What workers said."""
        return self.place / "workers.log"

    def start(self) -> int:
        """Start another worker; it is ready when `ready` says so. Returns its process id."""
        self._count += 1
        ready = self.place / f"worker-{self._count}.ready"
        command = [sys.executable, "-m", "remit", "worker", str(self.folder), "--ready-file", str(ready)]
        with self.log.open("ab") as log:
            # In a session of its own: a Ctrl-C in the terminal is meant for the demo, which then ends the worker.
            self._running = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        return self._running.pid

    @property
    def ready(self) -> bool:
        """True once the newest worker takes work. Raises RuntimeError if it has ended."""
        if self._running is None:
            return False
        if self._running.poll() is not None:
            raise RuntimeError(f"the worker ended by itself with {self._running.returncode}; see {self.log}")
        return (self.place / f"worker-{self._count}.ready").exists()

    def kill(self) -> int:
        """Kill the worker with signal 9, in the middle of whatever it does. Returns the id that it had."""
        assert self._running is not None, "there is a worker to kill"
        killed = self._running
        self._running = None
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        self.kills += 1
        return killed.pid

    def end(self) -> None:
        """Ask the worker to finish, and insist after a few seconds."""
        if self._running is None:
            return
        running, self._running = self._running, None
        running.terminate()
        try:
            running.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


class Stopwatch:
    """Seconds since the demo began, and how long each phase took."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._last = 0.0
        self.phases: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def phase(self, name: str) -> None:
        """A phase has ended."""
        now = self.seconds
        self.phases[name] = round(now - self._last, 2)
        self._last = now
