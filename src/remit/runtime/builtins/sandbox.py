"""A sandbox for one piece of Python that nobody has looked at: no files, no network, no environment, no processes.

The code is run by Monty, an interpreter of its own in a process of its own that is started with an empty environment.
Nothing of the machine is offered to it: every request for a file, a module or the clock is answered here, with no, but
for one function, `call`. Computing time, memory, depth, what is printed and the number of calls are bounded.

Run again with the same seed, the same moment and the same answers, the code does the same: no clock runs in it.
"""

from __future__ import annotations

import asyncio
import keyword
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from weakref import WeakKeyDictionary

import pydantic_monty as monty

from remit.domain import canonical
from remit.errors import ConfigurationError, InvalidInput

SECONDS = 5.0
"""Longest that the code may compute, in seconds; waiting for calls is not counted."""
MEMORY = 64_000_000
"""Most memory of the code's values, in bytes."""
DEPTH = 300
"""Deepest recursion of the code's functions."""
PRINTED = 16_000
"""Most characters that are kept of what it prints."""
RESULT = 64_000
"""Largest result, in bytes of JSON."""
CALLS = 50
"""Most calls of tools in one run."""
AT_ONCE = 8
"""Most sandboxes at once in one worker process; others wait for their turn."""

_FUNCTION = "call"
_SUSPENSIONS = 1_000  # calls, refused ones among them, and looked-up names
_STUCK = 10.0  # seconds of silence after which the process is killed from outside
_LONGEST_ERROR = 2_000
_SLOTS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class CallRejected(Exception):
    """The call was not carried out. `kind` is the exception that the code sees, such as `PermissionError`."""

    def __init__(self, message: str, kind: monty.ExcType = "RuntimeError") -> None:
        super().__init__(message)
        self.kind = kind


Call = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Carries out one call of the code, and returns JSON. Raises CallRejected to tell the code; anything else ends it."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How the code ended."""

    result: Any = None
    """The value of its last expression, canonical; None if it failed."""
    error: str | None = None
    """Why it failed, with the line, in words for whoever wrote it."""
    printed: str = ""
    calls: int = 0
    """Calls that were carried out or refused, replayed ones among them."""


async def run(
    code: str, inputs: Mapping[str, Any], call: Call, *, seed: str, now: datetime, program: str | None = None
) -> Ran:
    """Run code to its end. `program` is the path of the interpreter; None: the one that is installed, without a wall.

    Raises InvalidInput if an input has no usable name, ConfigurationError if the interpreter cannot be started, and
    what `call` raises.
    """
    _check_names(inputs)
    given = canonical.plain(canonical.normalise(dict(inputs), what="inputs"))
    running = _Running(call)
    async with _slot():
        try:
            # A process of its own for every run: nothing can be left behind in it.
            async with monty.AsyncMonty(
                binary_path=program, min_processes=1, max_processes=1, request_timeout=_STUCK
            ) as pool:
                found = await running.drive(pool, code, given, seed, now)
            return Ran(_result(found), None, running.printed, running.calls)
        except (monty.MontySyntaxError, monty.MontyRuntimeError) as error:
            return Ran(None, _cut(error.display()), running.printed, running.calls)
        except monty.MontyCrashedError as error:
            if not running.started:
                raise ConfigurationError(f"the sandbox cannot be started: {error}") from None
            said = "it did not answer in time" if error.timed_out else "it needed more than it may have"
            return Ran(None, f"the sandbox was ended: {said}", running.printed, running.calls)
        except InvalidInput as error:
            return Ran(None, _cut(error.message), running.printed, running.calls)


class _Running:
    """One run: answers everything that the code asks for."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._printed: list[str] = []
        self._room = PRINTED
        self.calls = 0
        self.started = False

    @property
    def printed(self) -> str:
        """What the code has printed so far."""
        return "".join(self._printed)

    def print(self, _stream: str, text: str) -> None:
        """Keep what is printed; too much of it ends the code."""
        self._printed.append(text[: self._room])
        self._room -= len(text)
        if self._room < 0:
            raise RuntimeError(f"more than {PRINTED:,} characters were printed")

    async def drive(self, pool: monty.AsyncMonty, code: str, inputs: dict[str, Any], seed: str, now: datetime) -> Any:
        """Run the code in a session of its own; the value of its last expression."""
        async with pool.checkout(
            script_name="code.py",
            limits={
                "max_feed_duration_secs": SECONDS,
                "max_memory": MEMORY,
                "max_recursion_depth": DEPTH,
                "max_suspensions": _SUSPENSIONS,
            },
            os_policy={
                "datetime": now,
                "timezone": "utc",
                "sleep": "zero",
                "process_time": "zero",
                "random_start": {"seed": seed},
            },
        ) as session:
            self.started = True
            return await self._answer_all(await session.feed_start(code, inputs=inputs, print_callback=self.print))

    async def _answer_all(self, at: monty.AsyncSnapshot) -> Any:
        while not isinstance(at, monty.MontyComplete):
            match at:
                case monty.AsyncFunctionSnapshot() if at.function_name == _FUNCTION and at.object_id is None:
                    answer = await self._answer(at.args, at.kwargs)
                    at = await (_awaited(at, answer) if at.allow_eager_await else at.resume(answer))
                case monty.AsyncFunctionSnapshot() if at.is_os_function:
                    at = await at.resume_not_handled()
                case monty.AsyncFunctionSnapshot():
                    at = await at.resume(
                        {"exc_type": "NameError", "message": f"name {at.function_name!r} is not defined"}
                    )
                case monty.AsyncNameLookupSnapshot() if at.variable_name == _FUNCTION and at.object_id is None:
                    at = await at.resume(value=call)
                case monty.AsyncNameLookupSnapshot():
                    at = await at.resume()
                case _:
                    nothing: monty.ExternalSettledResult = _raised("nothing is awaited here")
                    at = await at.resume(dict.fromkeys(at.pending_call_ids, nothing))
        return at.output

    def _count(self) -> None:
        if self.calls >= CALLS:
            raise CallRejected(f"one run may make {CALLS} calls")
        self.calls += 1

    async def _answer(self, args: tuple[Any, ...], more: dict[str, Any]) -> monty.ExternalSettledResult:
        try:
            name, arguments = _asked(args, more)
            self._count()
            return {"return_value": canonical.plain(await self._call(name, arguments))}
        except CallRejected as rejected:
            return _raised(str(rejected), rejected.kind)
        except InvalidInput as error:
            return _raised(error.message, "ValueError")


def call(name: str, arguments: dict[str, Any] | None = None) -> Any:
    """What `call` is where the code passes it on; the sandbox takes its name and brings the call back to `_answer`."""
    raise CallRejected(f"{name} is called through the sandbox alone, with {arguments or {}}")


async def _awaited(at: monty.AsyncFunctionSnapshot, answer: monty.ExternalSettledResult) -> monty.AsyncSnapshot:
    """Answer a call that the code has written with `await`, as models like to."""
    after = await at.resume({"future": ...})
    if not isinstance(after, monty.AsyncFutureSnapshot):
        return after
    return await after.resume(dict.fromkeys(after.pending_call_ids, answer))


def _asked(args: tuple[Any, ...], more: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The tool and its arguments: `call("payments.refund", {"charge": "ch_1"})`, or with keywords instead."""
    name, *rest = args or (None,)
    if not isinstance(name, str) or len(rest) > 1 or (rest and more):
        raise CallRejected('write call("connection.tool", {"argument": value})', "TypeError")
    given = rest[0] if rest else more
    if not isinstance(given, dict):
        raise CallRejected(f"the arguments of {name[:80]} are a dict", "TypeError")
    return name, canonical.normalise(_json(given), what="arguments")


def _result(value: Any) -> Any:
    result = canonical.normalise(_json(value), what="result")
    size = len(canonical.dumps(result))
    if size > RESULT:
        raise InvalidInput(f"the result has {size:,} bytes; at most {RESULT:,} are taken. Let the code say less.")
    return result


def _json(value: Any, depth: int = 0) -> Any:
    """A value of the sandbox as JSON, where what is meant is plain; what remains is refused by `normalise`."""
    if depth > canonical.MAX_DEPTH:
        raise InvalidInput(f"the value is nested deeper than {canonical.MAX_DEPTH} levels")
    match value:
        case dict():
            return {
                str(key) if isinstance(key, int) and not isinstance(key, bool) else key: _json(item, depth + 1)
                for key, item in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [_json(item, depth + 1) for item in value]
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case _:
            return value


def _check_names(inputs: Mapping[str, Any]) -> None:
    for name in inputs:
        if not name.isidentifier() or keyword.iskeyword(name) or name == _FUNCTION:
            raise InvalidInput(f"the input {name[:80]!r} cannot be the name of a variable")


def _raised(message: str, kind: monty.ExcType = "RuntimeError") -> monty.ExternalExceptionData:
    return {"exc_type": kind, "message": message[:_LONGEST_ERROR]}


def _cut(text: str) -> str:
    """An error for a reader: its end, which says what is wrong, and nothing that commands a terminal."""
    shown = "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text[-_LONGEST_ERROR:])
    return shown if len(text) <= _LONGEST_ERROR else f"…{shown}"


def _slot() -> asyncio.Semaphore:
    loop = asyncio.get_running_loop()
    if loop not in _SLOTS:
        _SLOTS[loop] = asyncio.Semaphore(AT_ONCE)
    return _SLOTS[loop]
