"""One run of one turn, seen from the worker: what the child asks, what it is told, and how it ends.

A child is never believed. Every frame is bounded and checked; what does not fit ends the run with ProgramFailed.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Never

from remit.domain import canonical
from remit.domain.decisions import Reason
from remit.errors import InvalidInput, IsolationUnavailable, ProgramDiverged
from remit.runtime.programs import endings
from remit.runtime.programs.calls import (
    NOTES,
    OPS,
    Emitted,
    ProgramFailed,
    ProgramOutcome,
    ProgramSource,
    RecordedCall,
    Reply,
    Request,
    RequestHandler,
    TurnSeed,
    delivery_order,
    describe,
)
from remit.runtime.programs.child import wire
from remit.runtime.programs.forks import Child, Forks
from remit.runtime.road import TurnSuspendedError

MAX_FILES = 16 * 1024 * 1024
"""Most bytes of an agent's files that are handed to a program."""
MAX_WAITING = 10_000
"""Most requests that may wait for an answer at once."""
MAX_WAITING_BYTES = 64 * 1024 * 1024

_OPTIONAL_TEXT = (str, type(None))
_SHAPES: dict[str, dict[str, Any]] = {
    "call": {"action": str, "args": dict, "reason": str},
    "ask": {
        "text": str,
        "schema": dict,
        "to": _OPTIONAL_TEXT,
        "context": object,
        "confidence": (int, Decimal, type(None)),
    },
    "model": {"model": str, "prompt": str, "schema": (dict, type(None)), "max_output_tokens": int},
    "emit": {"name": str, "value": object, "reasons": list},
    "explain": {"name": str, "rows": list, "at": str},
}
_ROW: dict[str, Any] = {
    "key": str,
    "rank": (int, type(None)),
    "title": str,
    "row": object,
    "reasons": list,
    "from": list,
}


class Conversation:
    """Everything about one run but the process itself."""

    def __init__(
        self,
        program: ProgramSource,
        turn: TurnSeed,
        given: Any,
        recorded: Sequence[RecordedCall],
        handler: RequestHandler,
        tail: Sequence[int],
    ) -> None:
        self._recorded = {call.ordinal: call for call in recorded}
        self._handler = handler
        self._settled = {o for o, call in self._recorded.items() if call.reply is not None}
        order = delivery_order(recorded, tail)
        self._start = _start_frame(program, turn, given, self._recorded, order)
        self._asked = 0
        self._emitted: list[Emitted] = []
        self._waiting: list[tuple[Request, int]] = []  # with how much had been delivered when it was asked
        self._waiting_bytes = 0
        # What the child may have received, what it has received (in order), and how much of that order is durable.
        self._given = set(self._settled)
        self._log: list[int] = []
        self._logged: set[int] = set()
        self._durable = len(order)
        self._sent = 0
        self._child: Child | None = None
        self._patience: asyncio.Timeout | None = None
        self._stall_seconds = 0.0
        self._handlers: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []
        self._halted = asyncio.Event()

    async def hold(self, forks: Forks, child: Child, limits: endings.Limits) -> ProgramOutcome:
        """Talk until the program ends or a handler ends the run. See ProgramHost.run for what is raised."""
        self._child, self._stall_seconds = child, limits.stall_seconds
        child.writer.write(_framed(self._start))
        listening = asyncio.create_task(self._listen(forks, child, limits))
        halting = asyncio.create_task(self._halted.wait())
        try:
            await asyncio.wait({listening, halting}, return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                listening.cancel()
                await forks.end(child)  # now, so that it does nothing more while others settle
                await asyncio.wait({listening})
            if self._handlers:
                await asyncio.wait(self._handlers)
        finally:
            for task in (listening, halting, *self._handlers):
                task.cancel()
            await asyncio.gather(listening, halting, *self._handlers, return_exceptions=True)
        breach = None if listening.cancelled() else listening.exception()
        if breach is not None:
            raise breach
        if self._errors:
            raise next((e for e in self._errors if not isinstance(e, TurnSuspendedError)), self._errors[0])
        ending = listening.result()
        if isinstance(ending, ProgramFailed):
            raise ending
        return ending

    async def _listen(self, forks: Forks, child: Child, limits: endings.Limits) -> ProgramOutcome | ProgramFailed:
        """Take frames until the last one. Returns the program's own end; raises for every other."""
        try:
            async with asyncio.timeout(self._stall_seconds) as self._patience:
                while True:
                    frame, size = await _read(child.reader)
                    ending = self._take(frame, size)
                    if ending is not None:
                        self._carry_out_waiting()
                        return ending
        except TimeoutError:
            raise ProgramFailed(
                f"the program neither asked for anything nor waited for {self._stall_seconds:.0f} seconds and was ended"
            ) from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise endings.explain(await forks.bury(child), limits) from None
        finally:
            self._patience = None

    def _take(self, frame: Any, size: int) -> ProgramOutcome | ProgramFailed | None:
        """Act on one frame; returns how the program ended if this was its last."""
        match frame:
            case {"k": "r", "o": int(ordinal), "op": str(op), "d": list(delivered), "p": dict(payload)}:
                self._be_patient(waiting=False)
                self._note_delivered(delivered)
                self._take_request(ordinal, op, payload, size)
            case {"k": "q", "d": list(delivered), "n": int(read)}:
                self._note_delivered(delivered)
                self._be_patient(waiting=read == self._sent)
                self._carry_out_waiting()
            case {"k": "d", "v": output, "d": list(delivered), "out": str(printed)}:
                self._note_delivered(delivered)
                self._all_asked()
                rest = tuple(self._log[self._durable :])
                return ProgramOutcome(output, tuple(self._emitted), self._asked, printed, rest)
            case {
                "k": "f",
                "text": str(trace),
                "line": int(line),
                "file": str(file),
                "what": str(what),
                "out": str(out),
            }:
                place = f" ({file}, line {line})" if file else ""
                message = f"the program failed: {what}{place}"
                return ProgramFailed(message, trace=trace, file=file, line=line, printed=out)
            case {"k": "x", "o": int(ordinal)} if ordinal in self._recorded and ordinal > self._asked:
                self._diverged(self._recorded[ordinal], "waits for other results and has not asked for that")
            case {"k": "w", "text": str(text)} if not self._asked:
                raise IsolationUnavailable(f"the wall around a program could not be built: {text[:1_000]}")
            case _:
                raise ProgramFailed("the program's process sent a message that its session never sends, and was ended")
        return None

    def _take_request(self, ordinal: int, op: str, payload: dict[str, Any], size: int) -> None:
        if ordinal != self._asked + 1 or op not in OPS or not _fits(op, payload):
            raise ProgramFailed("the program's process sent a request that its session never sends, and was ended")
        self._asked += 1
        request = Request(self._asked, op, payload)  # type: ignore[arg-type]  # it is one of OPS
        before = self._recorded.get(ordinal)
        if before is not None and not _same(before, request):
            now = describe(op, payload)
            same = " with other details (its schema, options or context)" if now == before.subject else ""
            self._diverged(before, f"is {now}{same}")
        if op == "emit":
            reasons = tuple(Reason(**reason) for reason in payload["reasons"])
            self._emitted.append(Emitted(ordinal, payload["name"], payload["value"], reasons))
        if ordinal in self._settled:
            return
        self._waiting.append((request, len(self._log)))
        self._waiting_bytes += size
        if len(self._waiting) + len(self._handlers) > MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES:
            raise ProgramFailed(
                f"the program asked for more than {MAX_WAITING:,} things or {MAX_WAITING_BYTES >> 20} MB at once",
                advice="Ask in smaller groups: await some results before asking for more.",
            )

    def _note_delivered(self, ordinals: list[Any]) -> None:
        for ordinal in ordinals:
            if (
                type(ordinal) is not int
                or ordinal not in self._given
                or ordinal in self._logged
                or ordinal > self._asked
            ):
                raise ProgramFailed("the program's process claims a result that it was never given, and was ended")
            self._log.append(ordinal)
            self._logged.add(ordinal)

    def _carry_out_waiting(self) -> None:
        """Hand over all that was asked since the last quiet moment."""
        for request, position in self._waiting:
            before = self._recorded.get(request.ordinal)
            # A row that is there already keeps the list it was written with: it makes nothing more durable.
            delivered = tuple(self._log[self._durable : position]) if before is None else before.delivered_before
            complete = Request(request.ordinal, request.op, request.payload, delivered)
            task = asyncio.create_task(self._carry_out(complete, position if before is None else 0))
            self._handlers.add(task)
            task.add_done_callback(self._handlers.discard)
        self._waiting.clear()
        self._waiting_bytes = 0

    async def _carry_out(self, request: Request, position: int) -> None:
        try:
            reply = await self._handler(request)
            body = wire.encode({"o": request.ordinal, "r": _packed(reply)}, wire.MAX_DEPTH + 8)
        except BaseException as error:  # noqa: BLE001 - kept, and raised when the others have settled
            self._errors.append(error)
            self._halted.set()
            return
        self._durable = max(self._durable, position)
        if self._child is None or self._patience is None or self._child.writer.is_closing():
            return
        self._given.add(request.ordinal)
        self._sent += 1
        self._be_patient(waiting=False)
        self._child.writer.write(_framed(body))

    def _be_patient(self, *, waiting: bool) -> None:
        """A child that waits may wait for ever; one that computes may not."""
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(None if waiting else asyncio.get_running_loop().time() + self._stall_seconds)

    def _all_asked(self) -> None:
        missing = [o for o in self._recorded if o > self._asked]
        if missing:
            self._diverged(self._recorded[min(missing)], "has ended without it")

    @staticmethod
    def _diverged(before: RecordedCall, now: str) -> Never:
        was = before.subject or f"a request of the kind {before.op!r}"
        raise ProgramDiverged(f"request {before.ordinal} of the program was {was}; now it {now}. Nothing was executed.")


def _same(before: RecordedCall, request: Request) -> bool:
    if before.op != request.op and not (before.op == "note" and request.op in NOTES):
        return False
    return before.payload_digest is None or before.payload_digest == request.digest


def _fits(op: str, payload: dict[str, Any]) -> bool:
    shape = _SHAPES[op]
    if op == "ask" and isinstance(payload.get("more"), dict):
        payload = {k: v for k, v in payload.items() if k != "more"}  # optional; the road looks into it
    if payload.keys() != shape.keys() or not all(isinstance(payload[k], kind) for k, kind in shape.items()):
        return False
    if op == "model":
        return type(payload["max_output_tokens"]) is int and payload["max_output_tokens"] > 0
    if op == "explain":
        return all(map(_is_row, payload["rows"]))
    return op != "emit" or all(map(_is_reason, payload["reasons"]))


def _is_row(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != _ROW.keys():
        return False
    fits = all(isinstance(value[name], kind) for name, kind in _ROW.items())
    return fits and all(map(_is_reason, value["reasons"])) and all(map(_is_origin, value["from"]))


def _is_origin(value: Any) -> bool:
    match value:
        case {"request": int(), "action": str(), "path": str(), **rest}:
            return not rest
        case _:
            return False


def _is_reason(value: Any) -> bool:
    match value:
        case {"code": str(), "text": str(), "policy_id": None | str(), **rest}:
            return not rest
        case _:
            return False


def _start_frame(
    program: ProgramSource, turn: TurnSeed, given: Any, recorded: dict[int, RecordedCall], order: list[int]
) -> bytes:
    if "program.py" not in program.files:
        raise ProgramFailed(f"agent {program.agent} has no program.py")
    for path in program.files:
        name = path.removesuffix("/__init__.py").removesuffix(".py")
        if name != path and name in sys.stdlib_module_names:
            raise ProgramFailed(f"{path} of agent {program.agent} hides a module of the standard library: rename it")
    if sum(map(len, program.files.values())) > MAX_FILES:
        raise ProgramFailed(f"the files of agent {program.agent} have more than {MAX_FILES >> 20} MB")
    if turn.started_at.tzinfo is None:
        raise InvalidInput("the start of a turn needs a time zone")
    start = {
        "agent": program.agent,
        "files": {path: base64.b64encode(data).decode() for path, data in program.files.items()},
        "input": canonical.normalise(given, what="input"),
        "parameters": canonical.normalise(dict(program.parameters), what="parameters"),
        "seed": turn.seed,
        "person": turn.person,
        "at": _microseconds(turn.started_at),
        "order": order,
        "replies": [[o, _packed(c.reply)] for o, c in sorted(recorded.items()) if c.reply is not None],
    }
    return wire.encode(start, wire.MAX_DEPTH + 8)


def _packed(reply: Reply) -> list[Any]:
    reasons = [{"code": r.code, "text": r.text, "policy_id": r.policy_id} for r in reply.reasons]
    at = None if reply.at is None else _microseconds(reply.at)
    return [reply.status, canonical.normalise(reply.value, what="result"), reasons, reply.error, at]


def _microseconds(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


async def _read(reader: asyncio.StreamReader) -> tuple[Any, int]:
    size = int.from_bytes(await reader.readexactly(4), "big")
    if size > wire.MAX_MESSAGE:
        raise ProgramFailed(f"the program sent a message of {size:,} bytes; at most {wire.MAX_MESSAGE:,} are taken")
    try:
        return canonical.parse(await reader.readexactly(size), what="message of the program"), size
    except InvalidInput as error:
        raise ProgramFailed(f"the program's process sent something else than its session sends: {error}") from None
