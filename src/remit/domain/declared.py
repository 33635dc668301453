"""The base of everything declared in project files, and the value types that files share."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")
_UNIT_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Declared(BaseModel):
    """A value from a project file: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def parse_duration(value: Any) -> timedelta:
    """Read `250ms`, `5s`, `10m`, `4h` or `7d`. Raises ValueError on anything else."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration is a number and a unit, such as 250ms, 5s, 10m, 4h or 7d")
    return timedelta(seconds=float(match[1]) * _UNIT_SECONDS[match[2]])


def format_duration(value: timedelta) -> str:
    """Write a duration the way files spell it, in the largest unit that divides it."""
    seconds = value.total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{round(seconds * 1000)}ms"


def parse_amount(value: Any) -> Decimal:
    """Read an amount of money exactly: an integer or a decimal text, never through a binary float."""
    if isinstance(value, bool):
        raise ValueError("an amount is a number such as 100 or 99.50")  # noqa: TRY004 - pydantic wants ValueError
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("an amount is a number such as 100 or 99.50") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError("an amount is a finite number that is not negative")
    if amount >= Decimal(10) ** 12 or amount != round(amount, 4):
        raise ValueError("an amount has at most four decimal places and is below 10^12")
    return amount


def check_zone(name: str) -> str:
    """Return the name of an IANA time zone. Raises ValueError if there is none of that name."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name[:60]!r} is no IANA time zone such as Europe/Berlin") from None
    return name


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DURATION.pattern, "examples": ["5s", "24h"]}),
]
"""A length of time such as `5s`."""

Amount = Annotated[
    Decimal,
    BeforeValidator(parse_amount),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}),
]
"""An amount of money, exact to four decimal places."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
"""An identifier that people read: lower-case letters, digits, dot, dash, underscore; at most 63 characters."""

ToolName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}\.[A-Za-z0-9][A-Za-z0-9_.-]{0,100}$")]
"""`connection.tool`, which is also the name of the action type: `payments.refund`."""

PersonOrRole = Annotated[str, Field(pattern=r"^(role:)?[a-z0-9][a-z0-9._-]{0,62}$")]
"""A person's id, or `role:ID` for whoever holds that role."""

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
"""An ISO 4217 code such as `USD`."""

Secret = Annotated[str, Field(pattern=r"^(env|file|vault):.+$")]
"""A reference to a secret, never the secret: `env:NAME`, `file:PATH` or `vault:PATH#KEY`."""

TimeZone = Annotated[str, AfterValidator(check_zone)]
"""An IANA time zone such as `Europe/Berlin`."""
