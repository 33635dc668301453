"""JSON-RPC messages of MCP: written exactly, read forgivingly.

Written with the canonical writer, so that the number that was judged is the number on the wire. Read so that an answer
that cannot be used is still recognised as the answer to its request: once a tool has run, that must not be lost.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from remit.domain import canonical
from remit.runtime.connections.frames import Frame

METHOD_NOT_FOUND = -32601

_ID_FIRST = re.compile(rb'^\s*\{[^{}\[\]]{0,200}?"id"\s*:\s*(\d{1,18})\b')
_ID_LAST = re.compile(rb'"id"\s*:\s*(\d{1,18})\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')
_ERROR_FIRST = re.compile(rb'^\s*\{[^{}\[\]]{0,200}?"error"\s*:')
_TOOL_ERROR = re.compile(rb'(?<!\\)"isError"\s*:\s*true')


class UnstorableNumber:
    """Stands where a message has NaN, an infinity, or a number beyond what is kept exactly."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer to one request. `kind` says which of the others means something."""

    kind: Literal["result", "error", "unreadable", "neither"]
    result: Any = None
    code: int = 0
    message: str = ""
    """The server's words for an error, or why the answer cannot be read."""
    failed: bool = False
    """For an unreadable answer: it says that the tool failed."""


@dataclass(frozen=True, slots=True)
class Message:
    """One incoming message, as far as it could be understood."""

    kind: Literal["answer", "request", "notification", "garbage"]
    id: Any = None
    method: str = ""
    reply: Reply | None = None


def request(ident: int, method: str, params: dict[str, Any]) -> bytes:
    """The bytes of a request; `params` are canonical values."""
    return canonical.dumps({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})


def notification(method: str) -> bytes:
    """The bytes of a notification without parameters."""
    return canonical.dumps({"jsonrpc": "2.0", "method": method})


def answer_to(message: Message) -> bytes | None:
    """What a server's own request is answered with: a ping by its pong, everything else by a refusal.

    Sampling would let a server use the company's model outside the gate, elicitation would let it ask people, and roots
    would show it folders. None where the id is not one that can be answered.
    """
    if not isinstance(message.id, str | int) or isinstance(message.id, bool) or len(str(message.id)) > 200:
        return None
    if message.method == "ping":
        return canonical.dumps({"jsonrpc": "2.0", "id": message.id, "result": {}})
    error = {"code": METHOD_NOT_FOUND, "message": "Remit answers no requests of servers"}
    return canonical.dumps({"jsonrpc": "2.0", "id": message.id, "error": error})


def read(frame: Frame) -> Message:
    """Understand one message as far as possible; never raises."""
    if not frame.whole:
        return _salvage(frame.data, frame.tail, f"the answer has {frame.size:,} bytes, more than are read")
    try:
        value = json.loads(
            frame.data.decode("utf-8"), parse_float=_number, parse_int=_integer, parse_constant=_constant
        )
    except UnicodeDecodeError:
        return _salvage(frame.data, frame.data[-4096:], "the answer is not valid UTF-8")
    except RecursionError:
        return _salvage(frame.data, frame.data[-4096:], "the answer is nested too deeply")
    except ValueError:
        return _salvage(frame.data, frame.data[-4096:], "the answer is not valid JSON")
    return _classify(value) if isinstance(value, dict) else Message("garbage")


def _classify(value: dict[str, Any]) -> Message:
    method, ident = value.get("method"), value.get("id")
    if isinstance(method, str):
        return Message("notification" if ident is None else "request", ident, method[:200])
    if isinstance(ident, str) and ident.isascii() and ident.isdigit() and len(ident) <= 18:
        ident = int(ident)  # some servers answer with the id as text
    if not isinstance(ident, int) or isinstance(ident, bool):
        return Message("garbage")
    if "error" in value:
        error = value["error"]
        if not isinstance(error, dict):
            return Message("answer", ident, reply=Reply("error", message="an error without words"))
        code, words = error.get("code"), error.get("message")
        return Message(
            "answer",
            ident,
            reply=Reply("error", code=code if isinstance(code, int) else 0, message=str(words)[:4000]),
        )
    if "result" in value:
        return Message("answer", ident, reply=Reply("result", result=value["result"]))
    return Message("answer", ident, reply=Reply("neither", message="the answer has neither a result nor an error"))


def _salvage(head: bytes, tail: bytes, why: str) -> Message:
    """Find out at least whose answer this is, and whether it tells of a failure."""
    found = _ID_FIRST.search(head[:1024]) or _ID_LAST.search(tail)
    if found is None:
        return Message("garbage")
    ident = int(found[1])
    if _ERROR_FIRST.search(head[:1024]):
        return Message("answer", ident, reply=Reply("error", message=f"an error that cannot be read: {why}"))
    failed = bool(_TOOL_ERROR.search(head) or _TOOL_ERROR.search(tail))
    return Message("answer", ident, reply=Reply("unreadable", message=why, failed=failed))


def _integer(text: str) -> Any:
    return int(text) if len(text) <= canonical.MAX_DIGITS else UnstorableNumber()


def _number(text: str) -> Any:
    if len(text) > 2 * canonical.MAX_DIGITS:
        return UnstorableNumber()
    try:
        return Decimal(text)
    except InvalidOperation:
        return UnstorableNumber()


def _constant(_: str) -> Any:
    return UnstorableNumber()
