"""Time and chance as the turn gives them, so that plain Python replays.

Time stands still but for a microsecond with every reading (a loop that waits for the clock ends) and for what the
program sleeps. Chance comes from the turn's seed. The functions of `time`, `datetime`, `os`, `random`, `uuid` and
`secrets` are replaced once in the zygote, before it forks; each child then sets its own turn's time and seed.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import gc
import hashlib
import os
import random
import time
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

_SECOND = 1_000_000_000
_READING = 1_000  # nanoseconds that pass with every reading
_MONOTONIC_START = 1_000 * _SECOND


class Clock:
    """The turn's clock, in nanoseconds. `offset` is what has passed since the turn began."""

    def __init__(self) -> None:
        self.started = 0
        self.offset = 0

    def set(self, started_us: int) -> None:
        """Begin at this many microseconds since 1970 UTC."""
        self.started, self.offset = started_us * 1_000, 0

    def advance(self, seconds: float) -> None:
        """Let time pass, at least a microsecond."""
        self.offset += max(int(seconds * _SECOND), _READING)

    def reach(self, at_us: int) -> None:
        """Move forward to a recorded instant; never back."""
        self.offset = max(self.offset, at_us * 1_000 - self.started)

    def read(self) -> int:
        """Nanoseconds since 1970, a little later with every reading."""
        self.offset += _READING
        return self.started + self.offset

    def monotonic(self) -> int:
        """Nanoseconds of a clock without a date."""
        self.offset += _READING
        return _MONOTONIC_START + self.offset


CLOCK = Clock()


class Chance:
    """Bytes that look random and follow from the seed."""

    def __init__(self) -> None:
        self._stream = random.Random(0)  # noqa: S311 - determinism is the point

    def set(self, seed: str) -> None:
        """Begin the stream of this turn, for plain Python's random numbers."""
        self._stream = stream(seed, "os")
        random.seed(stream(seed, "random").getrandbits(256))

    def urandom(self, count: int, _flags: int = 0, /) -> bytes:
        """Stand in for `os.urandom` and `os.getrandom`."""
        return self._stream.randbytes(count)


CHANCE = Chance()


def stream(seed: str, purpose: str) -> random.Random:
    """A generator of its own for one purpose of one turn."""
    digest = hashlib.sha256(f"{purpose}\0{seed}".encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))  # noqa: S311 - determinism is the point


def install() -> None:
    """Replace the interpreter's clocks and random sources. Raises RuntimeError if one of them cannot be replaced."""
    _install_time()
    _install_datetime()
    _install_chance()
    _check()


def _install_time() -> None:
    module: Any = time

    def sleep(seconds: float, /) -> None:
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        CLOCK.advance(seconds)

    def at_now(function: Callable[..., Any]) -> Callable[..., Any]:
        def of_now(seconds: float | None = None, /) -> Any:
            return function(CLOCK.read() / _SECOND if seconds is None else seconds)

        return of_now

    gmtime, localtime, strftime, asctime = time.gmtime, time.localtime, time.strftime, time.asctime
    module.time_ns, module.time = CLOCK.read, lambda: CLOCK.read() / _SECOND
    for name in ("monotonic", "perf_counter", "process_time", "thread_time"):
        setattr(module, f"{name}_ns", CLOCK.monotonic)
        setattr(module, name, lambda: CLOCK.monotonic() / _SECOND)
    module.clock_gettime_ns = _any_clock
    module.clock_gettime = lambda clock, /: _any_clock(clock) / _SECOND
    module.sleep = sleep
    module.gmtime, module.localtime, module.ctime = at_now(gmtime), at_now(localtime), at_now(time.ctime)
    module.strftime = lambda form, t=None, /: strftime(form, module.localtime() if t is None else t)
    module.asctime = lambda t=None, /: asctime(module.localtime() if t is None else t)


def _any_clock(_clock: int, /) -> int:
    return CLOCK.read()


def _install_datetime() -> None:
    """Patch the class in place: a stand-in class would break `type(x) is datetime` and every module that has it."""

    def now(cls: Any, tz: Any = None) -> Any:
        return cls.fromtimestamp(CLOCK.read() // 1_000 / 1_000_000, tz)

    def utcnow(cls: Any) -> Any:
        return cls.fromtimestamp(CLOCK.read() // 1_000 / 1_000_000, dt.UTC).replace(tzinfo=None)

    # The dict behind a class of C is reachable only this way.
    attributes: Any = gc.get_referents(dt.datetime.__dict__)[0]
    attributes["now"], attributes["utcnow"] = classmethod(now), classmethod(utcnow)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(dt.datetime))


def _install_chance() -> None:
    modules: Any = SimpleNamespace(os=os, random=random, uuid=uuid)
    modules.os.urandom = CHANCE.urandom
    if hasattr(os, "getrandom"):
        modules.os.getrandom = CHANCE.urandom
    modules.random._urandom = CHANCE.urandom  # noqa: SLF001 - no public way reaches it; `_check` sees if it moves
    original = random.Random.seed

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        original(self, int.from_bytes(CHANCE.urandom(32), "big") if a is None else a, version)

    modules.random.Random.seed = seed
    modules.random.seed = modules.random._inst.seed  # noqa: SLF001 - the method bound before leads to the old one
    for name, value in (("_generate_time_safe", None), ("_UuidCreate", None), ("_node", 0x020000000001)):
        setattr(uuid, name, value)  # so that uuid1 asks neither the system nor the network card
    modules.os.getpid = lambda: 2
    modules.os.getppid = lambda: 1


def _check() -> None:
    CLOCK.set(1_000_000_000_000_000)
    CHANCE.set("check")
    moments = (
        dt.datetime.now(dt.UTC).timestamp(),
        dt.datetime.today().replace(tzinfo=dt.UTC).timestamp(),  # noqa: DTZ002 - what is checked
        time.time(),
        time.mktime(time.localtime()),
    )
    if any(abs(moment - 1_000_000_000) > 1 for moment in moments):
        raise RuntimeError("this interpreter's clock cannot be replaced")
    first = (uuid.uuid4(), random.Random().random(), os.urandom(8))  # noqa: S311
    CHANCE.set("check")
    if first != (uuid.uuid4(), random.Random().random(), os.urandom(8)):  # noqa: S311
        raise RuntimeError("this interpreter's random source cannot be replaced")
