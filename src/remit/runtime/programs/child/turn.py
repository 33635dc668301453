"""One run of one turn, inside the wall: read the start, run the program, say how it ended, and be gone."""

from __future__ import annotations

import asyncio
import base64
import heapq
import io
import os
import sys
import traceback
from typing import Any, NoReturn, cast

from . import wire
from .clock import CHANCE, CLOCK
from .loader import ProgramFiles, take_over
from .loop import TurnLoop
from .origins import Origins
from .session import Failed, Refused, Session, Unknown

OUT_OF_MEMORY = 77
"""Exit status of a child that could not even say that its memory was used up."""
_PRINTED = 64 * 1024
_TRACEBACK = 16 * 1024
_ERRORS = {"refused": Refused, "failed": Failed, "unknown": Unknown}


class Conversation:
    """Requests out, results in; remembers which result is whose."""

    def __init__(self, pipe: wire.Pipe, start: dict[str, Any]) -> None:
        self._pipe = pipe
        self._count = 0
        self._open: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        # Replies that are here and not yet delivered.
        self._replies: dict[int, Any] = {ordinal: reply for ordinal, reply in start["replies"]}  # noqa: C416
        # Those of them that somebody waits for, smallest first; what was delivered meanwhile is skipped.
        self._ready: list[int] = []
        self._read = 0
        self._order: list[int] = start["order"][::-1]
        self.delivered: list[int] = []
        self.origins = Origins()
        self.loop = TurnLoop(self.deliver)

    def ask(self, op: str, payload: dict[str, Any]) -> asyncio.Future[Any]:
        """Send one request. Raises TypeError or ValueError, at the program's own line, for what cannot be sent."""
        number = self._count + 1
        frame = {"k": "r", "o": number, "op": op, "d": self.delivered, "p": payload}
        try:
            body = wire.encode(frame)
        except (TypeError, ValueError, RecursionError) as error:
            raise type(error)(f"{_subject(payload)} cannot be sent: {error}") from None
        if len(body) > wire.MAX_MESSAGE:
            raise ValueError(f"{_subject(payload)} has {len(body):,} bytes; at most {wire.MAX_MESSAGE:,} are taken")
        self._pipe.put(body)
        self._count, self.delivered = number, []
        future: asyncio.Future[Any] = self.loop.create_future()
        self._open[number] = (_subject(payload), future)
        if number in self._replies:
            heapq.heappush(self._ready, number)
        return future

    def deliver(self) -> bool:
        """Deliver one result, waiting for it if need be. False if no request is open."""
        if not self._open:
            return False
        if self._order:
            number = self._order.pop()
            if number not in self._open:
                self._say({"k": "x", "o": number})
                self._pipe.get()  # nothing comes: the host says what was expected, and ends this process
            while number not in self._replies:
                self._wait()
        else:
            number = self._next()
        self._settle(number, self._replies.pop(number))
        return True

    def _next(self) -> int:
        """The first request that is open and has its reply, which is waited for if need be."""
        while True:
            while self._ready:
                number = heapq.heappop(self._ready)
                if number in self._open and number in self._replies:
                    return number
            self._wait()

    def finish(self, frame: dict[str, Any]) -> None:
        """Send the last word."""
        self._say(frame)

    def _wait(self) -> None:
        """Say that nothing can go on, and take the next reply."""
        self._say({"k": "q", "d": self.delivered, "n": self._read})
        self.delivered = []
        reply = self._pipe.get()
        self._read += 1
        self._replies[reply["o"]] = reply["r"]
        if reply["o"] in self._open:
            heapq.heappush(self._ready, reply["o"])

    def _settle(self, number: int, reply: list[Any]) -> None:
        status, value, reasons, error, at_us = reply
        subject, future = self._open.pop(number)
        self.delivered.append(number)
        if at_us is not None:
            CLOCK.reach(at_us)
        if future.done():  # the program gave up waiting for it
            return
        if status == "ok":
            self.origins.keep(number, subject, value)
            future.set_result(value)
        else:
            future.set_exception(_ERRORS[status](error or f"{subject} {_ENDED[status]}", reasons))

    def _say(self, frame: dict[str, Any]) -> None:
        self._pipe.put(wire.encode(frame))
        self._pipe.flush()


_ENDED = {"refused": "was refused", "failed": "failed", "unknown": "may or may not have happened"}


def main() -> NoReturn:
    """Run the turn that comes over descriptor 0. Never returns and unwinds nothing."""
    status = 0
    ballast = [bytearray(2 * 1024 * 1024)]
    try:
        _run(wire.Pipe(0), ballast)
    except MemoryError:
        ballast.clear()
        status = OUT_OF_MEMORY
    except (EOFError, OSError):
        status = 1  # the host has gone: there is nobody to tell
    os._exit(status)


def _run(pipe: wire.Pipe, ballast: list[bytearray]) -> None:
    printed = _Printed()
    sys.stdin, sys.stdout, sys.stderr = cast("Any", io.StringIO()), cast("Any", printed), cast("Any", printed)
    start = pipe.get()
    CLOCK.set(start["at"])
    CHANCE.set(start["seed"])
    files = ProgramFiles(f"agents/{start['agent']}", {k: base64.b64decode(v) for k, v in start["files"].items()})
    take_over(files)
    conversation = Conversation(pipe, start)
    try:
        session = Session(
            start["input"],
            start["seed"],
            conversation.ask,
            person=start["person"],
            parameters=start["parameters"],
            origins=conversation.origins,
        )
        output = conversation.loop.run_until_complete(_program(session))
        body = _output({"k": "d", "v": output, "d": conversation.delivered, "out": printed.text()})
    except (EOFError, BrokenPipeError):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever ended the program is told
        ballast.clear()
        conversation.finish(_failure(error, files) | {"out": printed.text()})
        return
    pipe.put(body)
    pipe.flush()


def _output(frame: dict[str, Any]) -> bytes:
    try:
        body = wire.encode(frame)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"what `run` returned cannot be the output: {error}") from None
    if len(body) > wire.MAX_MESSAGE:
        raise ValueError(f"the output has {len(body):,} bytes; at most {wire.MAX_MESSAGE:,} are taken")
    return body


async def _program(session: Session) -> Any:
    module = __import__("program")
    run = getattr(module, "run", None)
    if run is None or not callable(run):
        raise TypeError("program.py has no `async def run(session)`")
    answer = run(session)
    if not hasattr(answer, "__await__"):
        raise TypeError("`run` in program.py is not async: write `async def run(session)`")
    return await answer


def _failure(error: BaseException, files: ProgramFiles) -> dict[str, Any]:
    """Tell the failure in the program's own lines; other frames say nothing to its owner."""
    told = traceback.TracebackException.from_exception(error, compact=True)
    _trim(told, files)
    line, file = 0, ""
    if isinstance(error, SyntaxError) and files.owns(error.filename or ""):
        line, file = error.lineno or 0, error.filename or ""
    elif told.stack:
        line, file = told.stack[-1].lineno or 0, told.stack[-1].filename
    text = "".join(told.format())
    if len(text) > _TRACEBACK:
        text = f"{text[: _TRACEBACK // 2]}\n  …\n{text[-_TRACEBACK // 2 :]}"
    if isinstance(error, SystemExit):
        what = "it called sys.exit; return from `run` instead"
    elif isinstance(error, MemoryError):
        what = "its memory was used up"
    else:
        what = "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()[-1][:1_000]
    return {"k": "f", "text": text, "line": line, "file": file, "what": what}


def _trim(told: traceback.TracebackException, files: ProgramFiles) -> None:
    told.stack[:] = [frame for frame in told.stack if files.owns(frame.filename)]
    for inner in (told.__cause__, told.__context__, *(told.exceptions or ())):
        if inner is not None:
            _trim(inner, files)


def _subject(payload: dict[str, Any]) -> str:
    """How a request is called in a message."""
    name = payload.get("action") or payload.get("model") or payload.get("name")
    return str(name) if name else "the question"


class _Printed(io.TextIOBase):
    """Keeps the last of what the program prints."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self._parts.append(text[-_PRINTED:])
        self._size += len(self._parts[-1])
        if self._size > 2 * _PRINTED:
            self._parts = [self.text()]
            self._size = len(self._parts[0])
        return len(text)

    def text(self) -> str:
        return "".join(self._parts)[-_PRINTED:]
