"""What a transport offers, and the books it keeps: which requests wait, and how much nobody asked for came in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from remit.runtime.connections import messages
from remit.runtime.connections.frames import Frame
from remit.runtime.connections.messages import Reply

_WINDOW_SECONDS = 10.0
_UNASKED_MESSAGES = 5_000
_UNASKED_BYTES = 32_000_000


class NotSentError(Exception):
    """Not one byte of the request left this process. Never shown as such: it becomes an answer."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RefusedError(Exception):
    """The other side answered below MCP that it did not take the request: the outcome is known."""


class SessionEndedError(RefusedError):
    """The server no longer knows the protocol's session; it did not take the request, which may go out on a new one."""


class LostError(Exception):
    """The request, or a part of it, left and no answer will come: nobody can know the outcome."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MisbehavedError(Exception):
    """A server floods this process with what nobody asked for."""


@dataclass(slots=True)
class Attempt:
    """One request's way out."""

    deadline: float | None = None
    """`time.monotonic()` seconds after which nothing may be sent."""
    sent: bool = False
    given_up: bool = False
    """True once nobody waits for it any more: what has not left by then never leaves."""

    def release(self) -> None:
        """Called directly before bytes leave, for every piece. Raises NotSentError once the time is over."""
        if self.given_up and not self.sent:
            raise NotSentError("timeout", "the call was given up before it could be sent")
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise NotSentError("clearance_expired", "the clearance expired before the call could be sent")
        self.sent = True


class Wire(Protocol):
    """One open line to one server."""

    version: str | None
    """The protocol version agreed on, for transports that repeat it in every request."""
    one_line: bool
    """True if all requests share one process and one pipe, so that a server that hangs holds up all of them."""

    @property
    def closed(self) -> bool:
        """True once it can carry nothing more."""
        ...

    async def request(self, ident: int, method: str, params: dict[str, Any], attempt: Attempt, seconds: float) -> Reply:
        """Send a request and wait for its answer, at most that many `seconds`.

        Raises NotSentError, RefusedError or LostError.
        """
        ...

    async def notify(self, method: str) -> None:
        """Send a notification; one that cannot be sent is dropped."""
        ...

    async def close(self) -> None:
        """End the line and what serves it; requests under way are lost."""
        ...


@dataclass(slots=True)
class Inbox:
    """Sorts what comes in: answers to those who wait, requests to their refusal, the rest away.

    Raises MisbehavedError where more came unasked within ten seconds than a sane server sends in a day.
    """

    refuse: Callable[[bytes], None]
    changed: Callable[[], None]
    """Called when the server says that its tools are others now."""
    waiting: dict[int, asyncio.Future[Reply]] = field(default_factory=dict)
    _window_start: float = 0.0
    _messages: int = 0
    _bytes: int = 0

    def receive(self, frame: Frame) -> None:
        """Take one incoming message."""
        if not frame.size:
            return
        message = messages.read(frame)
        match message.kind:
            case "answer":
                future = self.waiting.pop(message.id, None)
                if future is not None and not future.done():
                    future.set_result(message.reply or Reply("neither"))
                    return
            case "request":
                if (answer := messages.answer_to(message)) is not None:
                    self.refuse(answer)
            case "notification" if message.method == "notifications/tools/list_changed":
                self.changed()
            case _:
                pass
        self._count(frame.size)

    def fail(self, reason: str, message: str) -> None:
        """Tell everybody who waits that no answer will come."""
        waiting, self.waiting = self.waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(LostError(reason, message))

    def _count(self, size: int) -> None:
        now = time.monotonic()
        if now - self._window_start > _WINDOW_SECONDS:
            self._window_start, self._messages, self._bytes = now, 0, 0
        self._messages += 1
        self._bytes += size
        if self._messages > _UNASKED_MESSAGES or self._bytes > _UNASKED_BYTES:
            raise MisbehavedError("the server floods its line with messages that nobody asked for")
