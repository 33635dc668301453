"""Worker processes by fork: importing everything takes seconds, and a suite that kills workers needs many.

`python -m tests.acceptance.nursery` has imported what a worker needs and forks one whenever it is told to. The child
then does what `remit worker` does, from its command line on. `Nursery` is the test's side.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WARM = (
    "remit.bootstrap",
    "remit.surfaces.cli.serve",
    "remit.runtime.external",
    "remit.runtime.programs",
    "remit.runtime.surroundings",
    "remit.runtime.turns",
    "remit.runtime.worker",
    "encodings.idna",
)
"""What a worker imports at its start, or at its first turn."""


@dataclass
class Worker:
    """A worker process; as much of `subprocess.Popen` as tests need."""

    pid: int
    nursery: Nursery
    ready_file: Path
    returncode: int | None = field(default=None)

    def poll(self) -> int | None:
        """The exit status, negative for a signal, or None while it runs."""
        if self.returncode is None:
            self.returncode = self.nursery.ask("poll", pid=self.pid)
        return self.returncode

    def wait(self, seconds: float) -> int:
        """The exit status, once there is one."""
        until = time.monotonic() + seconds
        while self.poll() is None:
            assert time.monotonic() < until, f"worker {self.pid} still runs"
            time.sleep(0.02)
        assert self.returncode is not None
        return self.returncode

    def ready(self, seconds: float = 30) -> Worker:
        """Wait until it can work, or has ended."""
        until = time.monotonic() + seconds
        while not self.ready_file.exists() and self.poll() is None:
            assert time.monotonic() < until, "the worker did not become ready"
            time.sleep(0.02)
        return self

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as kill -9 does, with the processes that it started left to notice by themselves."""
        if self.poll() is None:
            self.signal(signal.SIGKILL)
            self.wait(10)

    def paused(self, seconds: float = 30) -> None:
        """Wait until the process was stopped by SIGSTOP."""
        until = time.monotonic() + seconds
        while _state(self.pid) != "T":
            assert self.poll() is None, f"the worker ended with {self.returncode}"
            assert time.monotonic() < until, "the worker did not pause"
            time.sleep(0.02)


class Nursery:
    """Forks workers. Not for several threads at once."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def worker(self, folder: Path, log: Path, env: dict[str, str]) -> Worker:
        """Fork a worker for a project's folder."""
        ready = folder / f"ready-{time.monotonic_ns()}"
        arguments = ["worker", str(folder), "--ready-file", str(ready)]
        return Worker(self.ask("fork", arguments=arguments, log=str(log), env=env), self, ready)

    def ask(self, what: str, **more: Any) -> Any:
        """Send one request and read its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"what": what, **more}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the nursery has ended"
        return json.loads(line)

    def close(self) -> None:
        """End the nursery."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)  # it may still be importing


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


def _fork(arguments: list[str], log: str, env: dict[str, str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(number, target)
        os.environ.clear()
        os.environ.update(env)
        from remit.surfaces.cli.main import main

        sys.argv = ["remit", *arguments]
        status = int(main() or 0)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - a forked child must never return
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _poll(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _serve() -> None:
    for module in WARM:
        importlib.import_module(module)

    for line in sys.stdin:
        request = json.loads(line)
        what = request.pop("what")
        print(json.dumps(_fork(**request) if what == "fork" else _poll(**request)), flush=True)  # noqa: T201 - its answer


if __name__ == "__main__":
    _serve()
