"""Frames on the pipe between a child and its host: four bytes of length, then JSON.

Numbers with a fraction travel as their exact decimal text and arrive as `Decimal`.
"""

from __future__ import annotations

import json
import os
from decimal import Decimal
from typing import Any

MAX_MESSAGE = 4 * 1024 * 1024
"""Most bytes of one message from a child."""
MAX_DEPTH = 64
MAX_DIGITS = 40
_FLUSH_AT = 256 * 1024
_CHUNK = 1024 * 1024


def encode(value: Any, depth: int = MAX_DEPTH) -> bytes:
    """JSON of plain values, exact for Decimal. Raises TypeError or ValueError for what cannot be sent."""
    if _has_decimals(value, depth):
        text = _render(value)
    else:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def decode(data: bytes) -> Any:
    """The value of a frame from the host, which is trusted."""
    return json.loads(data, parse_float=Decimal)


class Pipe:
    """The child's end. Frames are gathered and written when the child is about to wait."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._out = bytearray()
        # Bound now: a program may replace the functions of `os`, by accident or by intent.
        self._read, self._write = os.read, os.write

    def put(self, body: bytes) -> None:
        """Queue one frame."""
        self._out += len(body).to_bytes(4, "big")
        self._out += body
        if len(self._out) > _FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """Write everything queued."""
        view = memoryview(bytes(self._out))
        self._out.clear()
        while view:
            view = view[self._write(self._fd, view) :]

    def get(self) -> Any:
        """Wait for one frame. Raises EOFError when the host has gone."""
        return decode(self._exactly(int.from_bytes(self._exactly(4), "big")))

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            chunk = self._read(self._fd, min(count - len(data), _CHUNK))
            if not chunk:
                raise EOFError
            data += chunk
        return bytes(data)


def _has_decimals(value: Any, depth: int) -> bool:
    """Check that the value is JSON; True if the fast encoder cannot render it exactly."""
    if depth < 0:
        raise ValueError(f"the value is nested deeper than {MAX_DEPTH} levels")
    if value is None or isinstance(value, (str, bool)):
        return False
    if isinstance(value, (int, float, Decimal)):
        return _is_decimal(value)
    found = False
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a key is not text: {key!r}")
            found = _has_decimals(item, depth - 1) or found
        return found
    if isinstance(value, (list, tuple)):
        for item in value:
            found = _has_decimals(item, depth - 1) or found
        return found
    raise TypeError(f"a {type(value).__name__} is not JSON: use text, numbers, lists, dicts, True, False or None")


def _is_decimal(number: float | Decimal) -> bool:
    if isinstance(number, int):
        if abs(number) >= 10**MAX_DIGITS:
            raise ValueError(f"a number has more than {MAX_DIGITS} digits")
        return False
    exact = number if isinstance(number, Decimal) else Decimal(repr(float(number)))
    if not exact.is_finite():
        raise ValueError(f"{number} is not a JSON number")
    _, digits, exponent = exact.as_tuple()
    if len(digits) > MAX_DIGITS or abs(int(exponent)) > MAX_DIGITS:
        raise ValueError(f"the number {number} has more than {MAX_DIGITS} digits or too large an exponent")
    return isinstance(number, Decimal)


def _render(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        return "{" + ",".join(f"{_render(k)}:{_render(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_render, value)) + "]"
    return json.dumps(value, allow_nan=False, ensure_ascii=False)
