"""A server as a child process: one JSON message a line over its standard input and output.

The deadline of a clearance is checked directly before each `write` to the pipe. What remains is the time between that
check and the kernel taking the bytes (microseconds, or as long as this process is paused right there), and whatever
time the server leaves them in the pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remit.runtime.connections import messages
from remit.runtime.connections.frames import Lines
from remit.runtime.connections.messages import Reply
from remit.runtime.connections.plan import Plan
from remit.runtime.connections.scrub import Scrubber
from remit.runtime.connections.wire import Attempt, Inbox, LostError, MisbehavedError, NotSentError

_log = logging.getLogger(__name__)

_GRACE_SECONDS = 1.0
_LONGEST_LINE = 256_000_000  # beyond this it is no answer any more
_REFUSALS_KEPT = 64
_LOG_BYTES = 256_000
_LOG_LINE = 16_384


class PipeWriter:
    """The server's standard input. Writes of several callers never mix; one that is given up never leaves later."""

    def __init__(self, descriptor: int, broken: Callable[[str], None]) -> None:
        self._descriptor = descriptor
        self._broken = broken
        self._ready: asyncio.Future[None] | None = None
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusals: deque[bytes] = deque(maxlen=_REFUSALS_KEPT)
        self.closed = False
        os.set_blocking(descriptor, False)

    async def send(self, data: bytes, attempt: Attempt) -> None:
        """Write all of it. Raises NotSentError, or LostError if only a part could be written."""
        if self._lock.locked():
            await self._queue(data, attempt)
            return
        written = self._write(data, attempt)  # the usual case: the pipe takes it at once
        if written < len(data):
            await self._queue(data[written:], attempt)

    def send_unasked(self, data: bytes) -> None:
        """Write a short message if that is possible at once, else with the next call; the oldest are dropped."""
        self._refusals.append(data)
        if not self._lock.locked():
            self._flush()

    def close(self) -> None:
        """Close the pipe; the server sees the end of its input."""
        if not self.closed:
            self.closed = True
            with contextlib.suppress(RuntimeError, ValueError):
                asyncio.get_running_loop().remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._wake()

    async def _queue(self, data: bytes, attempt: Attempt) -> None:
        """Go on in a task of its own: a caller that is cancelled must not leave half a message behind."""
        task = asyncio.create_task(self._send_in_turn(data, attempt))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        limit = None if attempt.deadline is None else max(0.0, attempt.deadline - time.monotonic())
        await asyncio.wait([task], timeout=limit)
        if not task.done() and not attempt.sent:
            attempt.given_up = True
            raise NotSentError("clearance_expired", "the clearance expired before the server took the call")
        await asyncio.shield(task)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: the caller may be gone

    async def _send_in_turn(self, data: bytes, attempt: Attempt) -> None:
        async with self._lock:
            started = attempt.sent
            while data:
                try:
                    written = self._write(data, attempt)
                except NotSentError as error:
                    if not started:
                        raise
                    self._broken(f"{error}; a part of it was sent")  # nothing may follow half a message
                    raise LostError(error.reason, f"{error}; a part of it was sent") from None
                started = started or written > 0
                data = data[written:]
                if data:
                    await self._writable(attempt)
            self._flush()

    def _write(self, data: bytes, attempt: Attempt) -> int:
        if self.closed:
            raise NotSentError("not_connected", "the server's input is closed")
        was_sent = attempt.sent
        attempt.release()
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            attempt.sent = was_sent
            return 0
        except OSError:
            attempt.sent = was_sent
            self._broken("the server no longer reads its input")
            raise NotSentError("not_connected", "the server no longer reads its input") from None

    async def _writable(self, attempt: Attempt) -> None:
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        loop.add_writer(self._descriptor, self._wake)
        try:
            limit = None if attempt.deadline is None else max(0.0, attempt.deadline - time.monotonic())
            await asyncio.wait([self._ready], timeout=limit)
        finally:
            self._ready = None
            if not self.closed:
                loop.remove_writer(self._descriptor)

    def _wake(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def _flush(self) -> None:
        """Refusals are below the size that a pipe takes whole or not at all."""
        while self._refusals and not self.closed:
            try:
                os.write(self._descriptor, self._refusals[0])
            except OSError:
                return
            self._refusals.popleft()


class _Output(asyncio.Protocol):
    """The server's standard output, as lines."""

    def __init__(self, limit: int, wire: StdioWire) -> None:
        self._lines = Lines(limit)
        self._wire = wire

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._lines.feed(data):
                self._wire.inbox.receive(frame)
        except MisbehavedError as error:
            self._wire.fail(str(error))
            return
        if self._lines.unfinished > _LONGEST_LINE:
            self._wire.fail("the server writes one line without end")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if (rest := self._lines.rest()) is not None:
            with contextlib.suppress(MisbehavedError):
                self._wire.inbox.receive(rest)
        # It has most likely ended: leave the exit status the time to arrive, it says more.
        asyncio.get_running_loop().call_later(0.2, self._wire.fail, "the server closed its output")


class _ErrorLog(asyncio.Protocol):
    """The server's standard error: into a file of bounded size, one older file kept, secrets taken out."""

    def __init__(self, path: Path, scrubber: Scrubber) -> None:
        self._path, self._scrubber = path, scrubber
        self._pending = b""

    def data_received(self, data: bytes) -> None:
        self._pending += data
        end = self._pending.rfind(b"\n") + 1
        if not end and len(self._pending) > _LOG_LINE:
            end = max(1, len(self._pending) - self._scrubber.longest)  # a secret may just be coming in
        if end:
            self._append(self._pending[:end])
            self._pending = self._pending[end:]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._append(self._pending)
        self._pending = b""

    def _append(self, data: bytes) -> None:
        text = self._scrubber.text(data.decode("utf-8", "replace")).encode("utf-8", "replace")[-_LOG_BYTES:]
        if not text:
            return
        with contextlib.suppress(OSError):  # a full disk must not stop the server
            if self._path.exists() and self._path.stat().st_size + len(text) > _LOG_BYTES:
                self._path.replace(self._path.with_suffix(".log.1"))
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "ab") as log:
                log.write(text)


class StdioWire:
    """One server process and the line to it."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.version: str | None = None
        self.one_line = True
        self.inbox = Inbox(lambda answer: self._writer.send_unasked(answer + b"\n"), changed)
        self._why: str | None = None
        self._writer: PipeWriter
        self._process: asyncio.subprocess.Process
        self._transports: list[asyncio.ReadTransport] = []
        self._exit: asyncio.Task[int]
        self._ending: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, plan: Plan, changed: Callable[[], None], scrubber: Scrubber, limit: int) -> StdioWire:
        """Start the server of a plan. Raises OSError."""
        wire = cls(changed)
        pipes = [os.pipe() for _ in range(3)]  # input, output, error: (read end, write end)
        ours = [pipes[0][1], pipes[1][0], pipes[2][0]]
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
        try:
            wire._process = await asyncio.create_subprocess_exec(
                *plan.argv,
                stdin=theirs[0],
                stdout=theirs[1],
                stderr=theirs[2],
                env=plan.env,
                cwd=plan.folder,
                start_new_session=True,
                close_fds=True,
            )
        except BaseException:
            for descriptor in ours:
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        wire._writer = PipeWriter(ours[0], wire.fail)
        wire._exit = asyncio.create_task(wire._process.wait())
        wire._exit.add_done_callback(wire._exited)
        try:
            await wire._listen(ours[1], _Output(limit, wire))
            await wire._listen(ours[2], _ErrorLog(plan.log, scrubber))
        except BaseException:
            wire.fail("the server's pipes could not be opened")
            raise
        return wire

    @property
    def closed(self) -> bool:
        """True once the process ended, its output ended, or it was found to misbehave."""
        return self._why is not None

    @property
    def pid(self) -> int:
        """The process id of the server (or of bubblewrap around it)."""
        return self._process.pid

    async def request(self, ident: int, method: str, params: dict[str, Any], attempt: Attempt, seconds: float) -> Reply:
        """See Wire."""
        if self._why is not None:
            raise NotSentError("not_connected", self._why)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.inbox.waiting[ident] = future
        try:
            async with asyncio.timeout(seconds):
                await self._writer.send(messages.request(ident, method, params) + b"\n", attempt)
                return await future
        except TimeoutError:
            if attempt.sent:
                raise LostError("timeout", f"no answer within {seconds:g} s") from None
            raise NotSentError("timeout", f"the server took nothing within {seconds:g} s") from None
        except LostError as error:
            if attempt.sent:
                raise
            raise NotSentError("not_connected", str(error)) from None
        finally:
            attempt.given_up = True
            self.inbox.waiting.pop(ident, None)
            if future.done() and not future.cancelled():
                future.exception()

    async def notify(self, method: str) -> None:
        """See Wire."""
        self._writer.send_unasked(messages.notification(method) + b"\n")

    def fail(self, why: str) -> None:
        """The line is of no use any more: tell those who wait, and end the process in the background."""
        if self._why is not None:
            return
        self._why = why
        self.inbox.fail("connection_lost", why)
        self._ending = asyncio.create_task(self._end(grace=0.0))

    async def close(self) -> None:
        """Close the server's input, give it a second to leave, then end it and every process that it started."""
        if self._why is None:
            self._why = "the connection was closed"
            self.inbox.fail("connection_lost", self._why)
            self._ending = asyncio.create_task(self._end(grace=_GRACE_SECONDS))
        if self._ending is not None:
            await asyncio.shield(self._ending)

    async def _listen(self, descriptor: int, protocol: asyncio.Protocol) -> None:
        pipe = os.fdopen(descriptor, "rb", 0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        self._transports.append(transport)

    def _exited(self, exit_: asyncio.Task[int]) -> None:
        if exit_.cancelled():
            return
        why = f"the server ended with status {exit_.result()}"
        asyncio.get_running_loop().call_later(0.02, self.fail, why)  # what it wrote last may still be in the pipe

    async def _end(self, grace: float) -> None:
        self._writer.close()
        for how, patience in ((None, grace), (signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
            if how is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, how)  # all that it started, too
            await asyncio.wait([self._exit], timeout=patience)
        for transport in self._transports:
            transport.close()
        await asyncio.sleep(0)  # lets the transports tell their protocols
