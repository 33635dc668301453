"""JSON, for the file that a machine writes: read fast, and read again with marks only when something is wrong."""

from __future__ import annotations

import json
from typing import Any

from remit.config.source import MAX_DEPTH, Mark, Source, SourceError, decode, fail, is_text
from remit.config.yaml_source import read_yaml

MAX_BYTES = 16_000_000
"""Largest JSON file, in bytes: pins carry whole schemas."""


def read_json(file: str, data: bytes) -> Source:
    """Read a JSON file. Raises SourceError on bad syntax, duplicate keys, NaN, depth or size."""
    text = decode(file, data, limit=MAX_BYTES)
    try:
        value = json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant)
        _check(value)
    except json.JSONDecodeError as error:
        place = Mark(error.lineno, error.colno)
        raise fail(
            file, place, f"this is not JSON: {error.msg}", "write the file anew with `remit connections pin`"
        ) from None
    except RecursionError:
        raise fail(file, Mark(1, 1), f"nested deeper than {MAX_DEPTH} levels", "make it flatter") from None
    except ValueError as error:
        raise _located(file, data, str(error)) from None
    # A JSON document is a YAML document, so the reader with marks can tell the place.
    return Source(file, value, relocate=lambda: read_yaml(file, data))


def _located(file: str, data: bytes, said: str) -> SourceError:
    try:
        read_yaml(file, data)
    except SourceError as error:
        return error
    return fail(file, Mark(1, 1), f"this is not JSON: {said}", "write the file anew with `remit connections pin`")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _check(value: Any) -> None:
    """Raises RecursionError where nested too deep, ValueError on text that cannot be written."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if not all(is_text(text) for holder in level for text in _texts(holder)):
            raise ValueError("it holds half a character (a lone surrogate)")
        level = [
            item
            for holder in level
            if isinstance(holder, dict | list)
            for item in (holder.values() if isinstance(holder, dict) else holder)
        ]
        if not level:
            return
    raise RecursionError


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return list(value) if isinstance(value, dict) else []
