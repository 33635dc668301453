"""One credential's line to one server: opened when needed, opened again when it broke, never twice at once.

The line is opened, listed and closed in tasks of their own. A caller only waits for them, so that a caller that is
cancelled takes nothing down with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from remit.domain.connections import ToolDefinition
from remit.errors import RemitError
from remit.runtime.connections.peer import Peer
from remit.runtime.connections.pins import ToolState, state_of
from remit.runtime.connections.scrub import Scrubber
from remit.runtime.connections.wire import LostError, NotSentError, RefusedError, Wire

_log = logging.getLogger(__name__)

GREETING_SECONDS = 30.0
"""Longest wait for a server to start and to list its tools: many may be starting at once on a small machine."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0
_PATIENCE = 1.0  # a pause up to this long is waited out by a call, a longer one refuses it at once
_LIST_AGE = 300.0  # a server may change its tools without saying so
_PING_SECONDS = 2.0

Opener = Callable[[Callable[[], None]], Awaitable[tuple[Wire, Scrubber]]]
"""Opens a wire that calls its argument when the server's tools changed."""


class Link:
    """One server under one credential. `pins` are those of its connection, or None where nothing is checked."""

    def __init__(self, name: str, opener: Opener, pins: Mapping[str, ToolDefinition] | None) -> None:
        self.name = name
        self.scrubber = Scrubber()
        self.live: dict[str, ToolDefinition] | None = None
        self.used = time.monotonic()
        """When it was last asked for."""
        self.busy = 0
        """Calls under way."""
        self._opener, self._pins = opener, pins
        self._peer: Peer | None = None
        self._opening: asyncio.Task[NotSentError | None] | None = None
        self._listing: asyncio.Task[NotSentError | None] | None = None
        self._stale = False
        self._listed = 0.0
        self._doubted = False
        self._failures = 0
        self._not_before = 0.0
        self._last_error = ""
        self._closed = False
        self._states: dict[str, ToolState] = {}

    def __repr__(self) -> str:
        return f"Link({self.name!r})"

    @property
    def open(self) -> bool:
        """True while a server process or session stands behind it."""
        return self._peer is not None and not self._peer.wire.closed

    @property
    def first_start(self) -> bool:
        """True until its server has listed its tools, or failed to, for the first time."""
        return self.live is None and not self._failures

    @property
    def wire(self) -> Wire | None:
        """The line itself, for tests and inspection."""
        return self._peer.wire if self._peer else None

    def state(self, tool: str) -> ToolState:
        """How a tool stands to its pin."""
        if tool not in self._states:
            self._states[tool] = state_of((self._pins or {}).get(tool), self.live, tool)
        return self._states[tool]

    async def ready(self, until: float) -> Peer:
        """A greeted server with a fresh list of tools, before `until` (`time.monotonic()`).

        Raises NotSentError if there is none by then.
        """
        self.used = time.monotonic()
        while True:
            if self._closed:
                raise NotSentError("closed", "the connections are closed")
            if self._peer is not None and not self._peer.wire.closed:
                if self._doubted:
                    await self._ask_for_life(self._peer, until)
                elif self._stale or time.monotonic() - self._listed > _LIST_AGE:
                    await self._refresh(self._peer, until)
                else:
                    return self._peer
                continue
            await self._reopen(until)

    def answered(self) -> None:
        """The server answered a call: it is well."""
        self._failures = 0
        self._doubted = False

    def timed_out(self) -> None:
        """The server did not answer a call: ask it for a sign of life before the next one."""
        self._doubted = self._peer is not None and self._peer.wire.one_line

    async def close(self) -> None:
        """End the server, also one that is just being started."""
        self._closed = True
        for task in (self._opening, self._listing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        peer, self._peer = self._peer, None
        if peer is not None:
            await peer.wire.close()

    async def _reopen(self, until: float) -> None:
        if self._peer is not None:
            gone, self._peer = self._peer, None
            self._pause("the server was lost")
            await asyncio.shield(asyncio.create_task(gone.wire.close()))
        if self._opening is None:
            pause = self._not_before - time.monotonic()
            if pause > _PATIENCE or (pause > 0 and self._not_before >= until):
                raise NotSentError("not_connected", f"{self._last_error}; the next attempt is in {pause:.1f} s")
            if pause > 0:
                await asyncio.sleep(pause)
                return
            self._opening = asyncio.create_task(self._open())
        await _wait(self._opening, until, "the server is still being started")

    async def _open(self) -> NotSentError | None:
        """Start, greet and list. Returns what went wrong instead of raising it: nobody may be waiting any more."""
        wire: Wire | None = None
        problem = "the server could not be started"
        try:
            wire, self.scrubber = await self._opener(self._changed)
            peer = Peer(wire)
            async with asyncio.timeout(GREETING_SECONDS):
                await peer.greet(GREETING_SECONDS)
                await self._list(peer)
            self._peer, wire, self._doubted = peer, None, False
        except TimeoutError:
            problem = f"the server did not introduce itself within {GREETING_SECONDS:g} s"
        except RemitError as error:
            problem = f"{error.message}. {error.advice}"
        except (NotSentError, LostError, RefusedError, OSError) as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - a resolver or transport may raise anything; its text may hold secrets
            problem = f"the connection failed: {type(error).__name__}"
        else:
            return None
        finally:
            self._opening = None
            if wire is not None:
                await wire.close()
        self._pause(self.scrubber.text(problem))
        _log.warning("connection %s: %s", self.name, self._last_error)
        return NotSentError("not_connected", self._last_error)

    async def _refresh(self, peer: Peer, until: float) -> None:
        if self._listing is None:
            self._listing = asyncio.create_task(self._relist(peer))
        await _wait(self._listing, until, "the server is still listing its tools")

    async def _relist(self, peer: Peer) -> NotSentError | None:
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                await self._list(peer)
        except (NotSentError, LostError, RefusedError, TimeoutError) as error:
            words = self.scrubber.text(str(error)) or "no answer"
            return NotSentError("not_connected", f"the server does not list its tools: {words}")
        else:
            return None
        finally:
            self._listing = None

    async def _list(self, peer: Peer) -> None:
        self._stale = False
        try:
            live = await peer.tools(GREETING_SECONDS, self.scrubber)
        except BaseException:
            self._stale = True
            raise
        self.live, self._listed, self._states = live, time.monotonic(), {}

    async def _ask_for_life(self, peer: Peer, until: float) -> None:
        """After a call without an answer: a server that does not even answer a ping is started anew.

        While other calls are under way it is left alone, and this call is refused unsent instead of joining them.
        """
        if await peer.ping(max(0.05, min(_PING_SECONDS, until - time.monotonic()))):
            self._doubted = False
        elif self.busy <= 1 and time.monotonic() < until:
            await asyncio.shield(asyncio.create_task(peer.wire.close()))
        else:
            raise NotSentError("not_connected", "the server does not answer")

    def _changed(self) -> None:
        self._stale = True

    def _pause(self, why: str) -> None:
        self._last_error = why
        self._not_before = time.monotonic() + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._failures, 10))
        self._failures += 1


async def _wait(task: asyncio.Task[NotSentError | None], until: float, what: str) -> None:
    """Wait for a task that others wait for too; it goes on if this wait ends."""
    done, _ = await asyncio.wait([task], timeout=max(0.0, until - time.monotonic()))
    if not done:
        raise NotSentError("not_connected", what)
    if task.cancelled():
        raise NotSentError("closed", "the connections are closed")
    problem = task.result()
    if problem is not None:
        raise NotSentError(problem.reason, str(problem))
