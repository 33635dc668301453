"""Values as the shapes have them: ordinary JSON, exact numbers, money as text. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

_EXACT = 2**53
"""Below this every whole number survives any JSON reader."""


def plain(value: Any) -> Any:
    """A value with only JSON's types in it; times in ISO 8601 with zone, numbers as text where a float is not exact."""
    match value:
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal():
            return _number(value)
        case dict():
            return {str(k): plain(v) for k, v in value.items()}
        case list() | tuple():
            return [plain(v) for v in value]
        case set() | frozenset():
            return sorted(plain(v) for v in value)
        case bytes() | memoryview():
            return bytes(value).hex()
        case _ if is_dataclass(value) and not isinstance(value, type):
            return plain(asdict(value))
        case _:
            return value


def usd(micros: int) -> str:
    """Micro-dollars as exact text."""
    return f"{Decimal(micros) / 1_000_000:f}"


def _number(value: Decimal) -> int | float | str:
    """A JSON number where a reader gets exactly this value back, else text."""
    if abs(value) < _EXACT and value == value.to_integral_value():
        return int(value)
    as_float = float(value)
    return as_float if Decimal(repr(as_float)) == value else str(value)
