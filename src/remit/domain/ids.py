"""Identifiers: sortable by time, unguessable, and for actions derived from their place in the turn."""

from __future__ import annotations

import calendar
import hashlib
import secrets
import time
from datetime import UTC, datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARS = 10


def new_id(prefix: str, *, milliseconds: int | None = None) -> str:
    """A new id such as `ses_01jd…`: ten characters of time (milliseconds) and sixteen of randomness, as in a ULID."""
    moment = int(time.time() * 1000) if milliseconds is None else milliseconds
    return f"{prefix}_{_encode(moment, _TIME_CHARS)}{_encode(secrets.randbits(80), 16)}"


def action_id(turn_id: str, key: str) -> str:
    """The id of the action at one place of one turn.

    The same place always gives the same id, so that a run that starts again from the top cannot spend, count or
    execute twice. The time part is the turn's, so that a table partitioned by id keeps a turn's actions together.
    """
    stamp = turn_id.partition("_")[2][:_TIME_CHARS]
    bits = int.from_bytes(hashlib.sha256(f"{turn_id}/{key}".encode()).digest()[:10])
    return f"act_{stamp}{_encode(bits, 16)}"


def month_bound(prefix: str, year: int, month: int) -> str:
    """The smallest id of a month, for partition bounds."""
    moment = calendar.timegm((year, month, 1, 0, 0, 0)) * 1000
    return f"{prefix}_{_encode(moment, _TIME_CHARS)}"


def first_id(prefix: str, at: datetime) -> str:
    """Sorts before every id that is made at this moment or later."""
    return f"{prefix}_{_encode(int(at.timestamp() * 1000), _TIME_CHARS)}"


def moment(identifier: str) -> datetime:
    """When an id was made; of an action, when its turn was asked for. Raises ValueError if this is no id."""
    milliseconds = 0
    for char in identifier.partition("_")[2][:_TIME_CHARS]:
        milliseconds = milliseconds << 5 | _ALPHABET.index(char)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _encode(value: int, length: int) -> str:
    chars = []
    for _ in range(length):
        chars.append(_ALPHABET[value & 31])
        value >>= 5
    return "".join(reversed(chars))
