"""This worker's zygote, seen from the worker: children on demand, and word of how each ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
from dataclasses import dataclass, field, replace
from typing import Any

from remit.errors import IsolationUnavailable
from remit.runtime.programs import launch
from remit.runtime.programs.calls import ProgramHostLost

_START_SECONDS = 30.0
_DYING_SECONDS = 1.0
_WORD = 64 * 1024
_BUFFER = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child's process ended."""

    status: int
    """As `os.wait` gives it."""
    cpu_seconds: float
    error: str = ""
    """Why it was not the program that ended, if it was not."""
    silent: bool = False
    """True: it had closed its pipe and lived on, so it was killed."""

    @property
    def signal(self) -> int:
        """The signal that ended it, or 0."""
        return os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else 0

    @property
    def code(self) -> int:
        """Its exit status, or -1 if a signal ended it."""
        return os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else -1


@dataclass(slots=True)
class Child:
    """One forked child: its pipe, and a future of its end."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ended: asyncio.Future[Ended]


@dataclass(slots=True)
class Forks:
    """A zygote and its children. Start it with `open_zygote`."""

    wall: launch.Wall
    _control: socket.socket
    _started: launch.Started
    _waiting: dict[int, asyncio.Future[Ended]] = field(default_factory=dict)
    _numbers: int = 0
    alive: bool = True

    async def fork(self) -> Child:
        """A new child, walled in, waiting for its start. Raises ProgramHostLost if the zygote has gone."""
        ours, theirs = socket.socketpair()
        self._numbers += 1
        number = self._numbers
        ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._waiting[number] = ended
        try:
            await self._send(f"fork {number}", theirs.fileno())
            reader, writer = await asyncio.open_connection(sock=ours, limit=_BUFFER)
        except BaseException:
            self._waiting.pop(number, None)
            ours.close()
            raise
        finally:
            theirs.close()
        return Child(number, reader, writer, ended)

    async def end(self, child: Child) -> Ended:
        """Kill the child if it lives, without unwinding it, and return how it ended."""
        if not child.ended.done():
            with contextlib.suppress(ProgramHostLost):
                await self._send(f"kill {child.number}")
        try:
            return await asyncio.shield(child.ended)
        finally:
            child.writer.close()
            with contextlib.suppress(OSError):
                await child.writer.wait_closed()

    async def bury(self, child: Child) -> Ended:
        """How a child ended that has closed its pipe; it is dying, or is killed if it lives on."""
        try:
            async with asyncio.timeout(_DYING_SECONDS):
                return await asyncio.shield(child.ended)
        except TimeoutError:
            return replace(await self.end(child), silent=True)

    async def close(self) -> None:
        """End the zygote and all its children."""
        self._lost()
        process = self._started.process
        try:
            await asyncio.to_thread(process.wait, 5)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
        self._started.complaints.close()

    def listen(self) -> None:
        """Begin to hear of the ends of children."""
        asyncio.get_running_loop().add_reader(self._control.fileno(), self._hear)

    async def _send(self, word: str, descriptor: int | None = None) -> None:
        descriptors = [] if descriptor is None else [descriptor]
        while self.alive:
            try:
                socket.send_fds(self._control, [word.encode()], descriptors)
            except BlockingIOError:
                await asyncio.sleep(0.005)  # the zygote is busy forking and its queue is full
            except OSError:
                self._lost()
            else:
                return
        raise ProgramHostLost("the process that runs programs has gone")

    def _hear(self) -> None:
        while self.alive:
            try:
                word = self._control.recv(_WORD)
            except BlockingIOError:
                return
            except OSError:
                word = b""
            if not word:
                self._lost()
                return
            said: dict[str, Any] = json.loads(word)
            future = self._waiting.pop(said["exit"], None)
            if future is not None and not future.done():
                future.set_result(Ended(said["status"], said["cpu"], said.get("error", "")))

    def _lost(self) -> None:
        if not self.alive:
            return
        self.alive = False
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_result(Ended(int(signal.SIGKILL), 0.0, "the process that runs programs has gone"))
        self._waiting.clear()


async def open_zygote(wall: launch.Wall, *, memory_mb: int, cpu_seconds: int) -> Forks:
    """Start a zygote behind this wall and try the wall. Raises IsolationUnavailable with what it said."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    try:
        with theirs:
            started = launch.start(wall, theirs, memory_mb=memory_mb, cpu_seconds=cpu_seconds)
    except OSError as error:
        ours.close()
        raise IsolationUnavailable(f"the process for programs cannot be started behind {wall}: {error}") from None
    forks = Forks(wall, ours, started)
    try:
        said = await _first_word(ours)
    except TimeoutError:
        started.process.kill()
        said = {"broken": f"it was not ready after {_START_SECONDS:.0f} seconds"}
    except asyncio.CancelledError:
        started.process.kill()
        raise
    through = said.get("probe") or {}
    if "ready" in said and (not through or wall == "none"):
        forks.listen()
        return forks
    broken = said.get("broken") or ", ".join(f"{k}: {v}" for k, v in through.items()) or _complaints(started)
    forks.listen()
    await forks.close()
    raise IsolationUnavailable(f"the process for programs did not start behind {wall}: {broken.strip()[-2_000:]}")


async def _first_word(control: socket.socket) -> dict[str, Any]:
    async with asyncio.timeout(_START_SECONDS):
        word = await asyncio.get_running_loop().sock_recv(control, _WORD)
    said: dict[str, Any] = json.loads(word) if word else {}
    return said


def _complaints(started: launch.Started) -> str:
    started.process.wait(5)
    started.complaints.seek(0)
    text = started.complaints.read(4_000).decode(errors="replace")
    return text or f"it ended with status {started.process.returncode} and no word"
