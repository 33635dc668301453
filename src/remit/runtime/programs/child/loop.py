"""The event loop of a program: one thread, no sockets, results one at a time, time that jumps.

When nothing is left to run, the loop is *quiescent*. Only then does the next thing happen: a result is delivered, or,
if no call is on its way, the clock jumps to the next timer. So the order of everything follows from the order of the
results, which the ledger keeps.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from typing import Any, Never

from .clock import CLOCK

_THREADS = "a program runs in one thread of its own process: call the function directly, or through `session.call`"


class _Numbered:
    """Hashes by order of creation: the default, an address, would give sets of tasks another order each time."""

    _numbers = itertools.count(1)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._number = next(self._numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number


class _Task(_Numbered, asyncio.Task[Any]):
    """A task of a program."""


class _Future(_Numbered, asyncio.Future[Any]):
    """A future of a program."""


class TurnLoop(asyncio.BaseEventLoop):
    """Runs a program. `deliver` is called when it is quiescent, and returns False if no result can ever come."""

    def __init__(self, deliver: Callable[[], bool]) -> None:
        super().__init__()
        self._selector = _Quiescence(deliver)
        self._clock_resolution = 1e-6
        self.set_debug(enabled=False)
        self.set_task_factory(_new_task)

    def time(self) -> float:
        """Seconds since the turn began; reading it takes no time."""
        return CLOCK.offset / 1_000_000_000

    def create_future(self) -> asyncio.Future[Any]:
        """A future that comes in the same place of a set in every replay."""
        return _Future(loop=self)

    def run_in_executor(self, *_arguments: Any) -> Never:  # type: ignore[override]
        """Refuse: threads cannot be replayed."""
        raise RuntimeError(_THREADS)

    def _process_events(self, _events: list[Any]) -> None:
        """There are none: results are delivered by `_Quiescence.select`."""

    def _write_to_self(self) -> None:
        """Nobody else could wake this loop: it is the only thread."""


def _new_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    return _Task(coroutine, loop=loop, **options)


def install() -> None:
    """Make `asyncio.as_completed` start what it is given in the order in which it is given, once in the zygote."""
    original = asyncio.as_completed

    def as_completed(fs: Iterable[Any], *, timeout: float | None = None) -> Any:
        return original([asyncio.ensure_future(f) for f in dict.fromkeys(fs)], timeout=timeout)

    modules: Any = asyncio
    modules.as_completed = modules.tasks.as_completed = as_completed


class _Quiescence:
    """What asyncio takes for its selector: called whenever the loop has run all that was ready."""

    def __init__(self, deliver: Callable[[], bool]) -> None:
        self._deliver = deliver

    def select(self, timeout: float | None) -> list[Any]:
        """Let one thing happen. Raises RuntimeError if nothing can happen any more."""
        if timeout is not None and timeout <= 0:
            return []
        if not self._deliver():
            if timeout is None:
                raise RuntimeError("the program waits for something that nobody will ever do")
            CLOCK.advance(timeout)
        return []

    def close(self) -> None:
        """Nothing is held."""
