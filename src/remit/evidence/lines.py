"""The lines of an export: one JSON object a line, in one form only, so that no bit of a file is without meaning.

`kind` comes first and says what a line is:

- `key`: the sealer's public key, and the export's id;
- `run`: one turn for a reader; `payload`: contents with their salt. Each ends with `chain`, the SHA-256 over the chain
  before it and the line without it; the last one stands in the sealed record `person:audit:exported`;
- `record`: one audit record and its place in the log, with its leaf hash and the tree's root after it (a whole log) or
  with its inclusion proof (an excerpt);
- `checkpoint`: the signed root.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from remit.domain.checkpoints import decode_base64, encode_base64

MAX_LINE = 64 * 1024 * 1024
"""Longest line that is read, in bytes."""
FIELDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "key": (("kind", "verifier", "export"),),
    "payload": (("kind", "digest", "state", "chain"), ("kind", "digest", "state", "salt", "encoding", "body", "chain")),
    "record": (("kind", "index", "body", "leaf", "root"), ("kind", "index", "body", "leaf", "proof")),
    "checkpoint": (("kind", "note", "final"), ("kind", "note", "final", "continues")),
}
"""The fields of each kind of line, in order. A run has more, and may get new ones."""
MAX_LISTED = 1_000_000
"""Most records of an excerpt."""
_SPAN = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")
_HEX = re.compile("[0-9a-f]{64}")
CHAIN_START = hashlib.sha256(b"remit export v1").digest()


class LineError(ValueError):
    """A line that is not one of an export; the message says why."""


def encode(line: dict[str, Any]) -> bytes:
    """The one form of a line, without its newline."""
    try:
        return json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8 form
        return json.dumps(line, allow_nan=False, separators=(",", ":")).encode()


def decode(raw: bytes) -> dict[str, Any]:
    """Read a line with its newline. Raises LineError if it is not of a known kind in exactly the form of `encode`."""
    if len(raw) > MAX_LINE:
        raise LineError(f"it has more than {MAX_LINE:,} bytes")
    if not raw.endswith(b"\n"):
        raise LineError("it is cut off")
    try:
        line = json.loads(raw)
        same = isinstance(line, dict) and encode(line) + b"\n" == raw
    except (ValueError, RecursionError) as error:
        raise LineError(f"it is not JSON ({str(error)[:100]})") from None
    if not isinstance(line, dict):
        raise LineError("it is not an object")
    if not same:
        raise LineError("it is not in the form in which exports are written")
    kind = line.get("kind")
    fields = tuple(line)
    if kind == "run" and fields[0] == "kind" and fields[-1] == "chain":
        return line
    if not isinstance(kind, str) or fields not in FIELDS.get(kind, ()):
        raise LineError("it is not a line of an export: its kind or its fields are unknown")
    return line


class Chain:
    """Links run and payload lines to each other in order."""

    def __init__(self) -> None:
        self._state = CHAIN_START

    def link(self, line: dict[str, Any]) -> str:
        """Add a line that has no `chain` yet, and return the `chain` that it gets."""
        self._state = hashlib.sha256(self._state + encode(line)).digest()
        return self._state.hex()

    def take_up(self, state: str) -> None:
        """Go on from another line's `chain`, whatever it holds."""
        self._state = bytes.fromhex(state) if _HEX.fullmatch(state) else CHAIN_START

    def hex(self) -> str:
        """The chain so far."""
        return self._state.hex()


def text_of(body: bytes) -> tuple[str, str]:
    """Encoding and text of contents: as they are if they are UTF-8, else in base64."""
    try:
        return "utf-8", body.decode()
    except UnicodeDecodeError:
        return "base64", encode_base64(body)


def bytes_of(encoding: Any, text: Any) -> bytes:
    """Contents from their encoding and text. Raises LineError."""
    if isinstance(text, str) and encoding == "base64" and (data := decode_base64(text)) is not None:
        return data
    if isinstance(text, str) and encoding == "utf-8":
        return text.encode("utf-8", "surrogatepass")
    raise LineError("its body is in no known encoding")


def spans(indices: list[int]) -> str:
    """Ascending numbers as text: `3-9,14`."""
    parts: list[list[int]] = []
    for index in indices:
        if parts and parts[-1][1] == index - 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def parse_spans(text: str) -> list[int]:
    """The numbers of `3-9,14`. Raises LineError, also on more than a million numbers."""
    numbers: list[int] = []
    for part in text.split(",") if text else []:
        match = _SPAN.fullmatch(part)
        if match is None:
            raise LineError("it names leaves in a form that cannot be read")
        first, last = int(match[1]), int(match[2] or match[1])
        if len(numbers) + last - first >= MAX_LISTED:
            raise LineError(f"it names more than {MAX_LISTED:,} leaves")
        numbers += range(first, last + 1)
    return numbers
