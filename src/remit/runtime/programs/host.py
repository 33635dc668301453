"""Runs programs: one warm zygote for each worker process, one forked child for each run of a turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from remit.errors import IsolationUnavailable
from remit.runtime.programs import launch
from remit.runtime.programs.calls import (
    ProgramHostLost,
    ProgramOutcome,
    ProgramSource,
    RecordedCall,
    RequestHandler,
    TurnSeed,
)
from remit.runtime.programs.conversation import Conversation
from remit.runtime.programs.endings import Limits
from remit.runtime.programs.forks import Forks, open_zygote

_log = logging.getLogger(__name__)


class ProgramHost:
    """Starts children, talks with them, ends them. Safe for many turns at once.

    Args:
        isolation: `auto` takes bubblewrap where it works, else Landlock with a system call filter.
        memory_mb: memory of one child, beyond some 60 MB that all share.
        cpu_seconds: processor time of one run of a turn.
        stall_seconds: longest time on the wall clock that a child may go without waiting for a result.
    """

    def __init__(
        self,
        isolation: launch.Isolation,
        memory_mb: int,
        cpu_seconds: int,
        *,
        stall_seconds: float | None = None,
    ) -> None:
        self._isolation = isolation
        # A machine under load gives a child a small part of its processors.
        patience = 30.0 + 4.0 * cpu_seconds if stall_seconds is None else stall_seconds
        self._limits = Limits(memory_mb, cpu_seconds, patience)
        self._forks: Forks | None = None
        self._starting = asyncio.Lock()

    @property
    def wall(self) -> launch.Wall | None:
        """The wall in force, None before the start."""
        return self._forks.wall if self._forks is not None else None

    async def start(self) -> None:
        """Start the zygote and try its wall. Raises IsolationUnavailable; then no program runs."""
        async with self._starting:
            if self._forks is None or not self._forks.alive:
                await self._retire()
                self._forks = await self._open()

    async def close(self) -> None:
        """End the zygote and every child. Runs in progress end with ProgramHostLost."""
        async with self._starting:
            await self._retire()

    async def run(
        self,
        program: ProgramSource,
        turn: TurnSeed,
        input: Any,  # noqa: A002 - the word of the program's own side
        recorded: Sequence[RecordedCall],
        handler: RequestHandler,
        *,
        tail: Sequence[int] = (),
    ) -> ProgramOutcome:
        """Run a turn from its top: recorded results are replayed, new requests go to the handler.

        `tail` is ProgramOutcome.delivered of a finished run that is replayed. Raises ProgramFailed for the program's
        own failure, ProgramDiverged if it asks for something else than was recorded (nothing is executed then),
        ProgramHostLost if the zygote has gone, and whatever the handler raised, TurnSuspendedError above all; the
        child is dead by then and none of its `finally` blocks ran.
        """
        conversation = Conversation(program, turn, input, recorded, handler, tail)
        forks = await self._ready()
        child = await forks.fork()
        try:
            return await conversation.hold(forks, child, self._limits)
        finally:
            await asyncio.shield(forks.end(child))

    async def _ready(self) -> Forks:
        if self._forks is None or not self._forks.alive:
            await self.start()
        if self._forks is None:
            raise ProgramHostLost("the process that runs programs has gone")
        return self._forks

    async def _open(self) -> Forks:
        refusals = []
        for wall in launch.walls(self._isolation):
            try:
                forks = await open_zygote(wall, memory_mb=self._limits.memory_mb, cpu_seconds=self._limits.cpu_seconds)
            except IsolationUnavailable as refusal:
                refusals.append(refusal.message)
                continue
            if refusals:
                _log.warning("programs run behind %s: %s", wall, "; ".join(refusals))
            if wall == "none":
                _log.warning("programs run WITHOUT ISOLATION, as remit.toml asks: they reach all that Remit can reach")
            return forks
        raise IsolationUnavailable("; ".join(refusals))

    async def _retire(self) -> None:
        if self._forks is not None:
            await self._forks.close()
            self._forks = None
