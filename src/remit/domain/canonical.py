"""One canonical form of every value that is judged, digested, shown and executed.

Arguments arrive as JSON text from a model, a program or a person. They are parsed once, here: duplicate keys, NaN
and infinities are refused, numbers with a fraction are read exactly as `Decimal`. What the policy judges is what
the approver sees, what the digest covers and what the tool receives. The byte form follows RFC 8785 (JCS) in
ordering keys and leaving out white space; numbers keep their exact decimal text instead of passing through a
binary float.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from remit.errors import InvalidInput

MAX_BYTES = 4 * 1024 * 1024
"""Largest canonical value, in bytes."""
MAX_DEPTH = 64
"""Deepest nesting of arrays and objects."""
MAX_DIGITS = 40
"""Most significant digits and largest exponent of a number."""


def parse(text: str | bytes, *, what: str = "value") -> Any:
    """Parse JSON text strictly. Raises InvalidInput on duplicate keys, NaN, huge numbers, depth or size."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > MAX_BYTES:
        raise InvalidInput(f"the {what} has {len(raw):,} bytes; at most {MAX_BYTES:,} are taken")
    try:
        value = json.loads(
            raw, parse_float=_number, parse_int=_integer, parse_constant=_constant, object_pairs_hook=_pairs
        )
    except RecursionError:
        raise InvalidInput(f"the {what} is nested deeper than {MAX_DEPTH} levels") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the {what} is not JSON: {error}") from None
    return normalise(value, what=what)


def normalise(value: Any, *, what: str = "value") -> Any:
    """Return the value with only dict, list, str, int, Decimal, bool and None in it, or raise InvalidInput.

    Floats become the Decimal of their shortest text; a Decimal with no fraction becomes an int, so that `50.0`
    and `50` are the same argument.
    """
    return _normalise(value, what, 0)


def check_unicode(value: Any, *, what: str = "value") -> None:
    """Raise InvalidInput if a text or key in a normalised value is no Unicode: half a pair, which no UTF-8 can carry.

    Results are taken with it, so that nothing that happened is lost; what is asked of other systems is not.
    """
    match value:
        case str():
            if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
                raise InvalidInput(
                    f"the {what} holds a lone surrogate ({value[:40]!r}), which is no character",
                    advice="Send the text as UTF-8, without `\\ud800` and the like.",
                )
        case dict():
            for key, found in value.items():
                check_unicode(key, what=what)
                check_unicode(found, what=what)
        case list():
            for found in value:
                check_unicode(found, what=what)
        case _:
            return


def dumps(value: Any) -> bytes:
    """Canonical bytes of a normalised value: sorted keys, no white space, UTF-8, exact numbers."""
    parts: list[str] = []
    _render(value, parts.append)
    return "".join(parts).encode("utf-8", "backslashreplace")


def digest(value: Any) -> str:
    """SHA-256 over the canonical bytes, in hexadecimal."""
    return hashlib.sha256(dumps(value)).hexdigest()


def digest_bytes(data: bytes) -> str:
    """SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def plain(value: Any) -> Any:
    """The value for a library that wants ordinary JSON types: Decimals become float where that is exact, else text."""
    match value:
        case Decimal():
            as_float = float(value)
            return as_float if Decimal(repr(as_float)) == value else str(value)
        case dict():
            return {k: plain(v) for k, v in value.items()}
        case list():
            return [plain(v) for v in value]
        case _:
            return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} stands twice")
    return result


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number has more than {MAX_DIGITS} digits")
    return int(text)


def _number(text: str) -> Decimal:
    number = Decimal(text)
    exponent = number.as_tuple().exponent
    if len(number.as_tuple().digits) > MAX_DIGITS or not isinstance(exponent, int) or abs(exponent) > MAX_DIGITS:
        raise ValueError(f"the number {text[:24]} has more than {MAX_DIGITS} digits or too large an exponent")
    return number


def _normalise(value: Any, what: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise InvalidInput(f"the {what} is nested deeper than {MAX_DEPTH} levels")
    match value:
        case None | bool() | str():
            return value
        case int():
            if abs(value) >= 10**MAX_DIGITS:
                raise InvalidInput(f"a number in the {what} has more than {MAX_DIGITS} digits")
            return value
        case Decimal():
            return _exact(value, what)
        case float():
            return _exact(Decimal(repr(value)), what)
        case Mapping():
            for key in value:
                if not isinstance(key, str):
                    raise InvalidInput(f"a key in the {what} is not text: {key!r}")
            return {k: _normalise(v, what, depth + 1) for k, v in value.items()}
        case list() | tuple():
            return [_normalise(v, what, depth + 1) for v in value]
        case _:
            raise InvalidInput(f"the {what} holds a {type(value).__name__}, which JSON does not have")


def _exact(number: Decimal, what: str) -> int | Decimal:
    if not number.is_finite():
        raise InvalidInput(f"the {what} holds {number}, which is not a JSON number")
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > MAX_DIGITS or len(number.as_tuple().digits) > MAX_DIGITS:
        raise InvalidInput(f"a number in the {what} has more than {MAX_DIGITS} digits or too large an exponent")
    if number == number.to_integral_value():
        return int(number)
    return number.normalize()


def _render(value: Any, put: Callable[[str], None]) -> None:
    kind = type(value)
    if kind is str:
        put(_text(value))
    elif kind is dict:
        put("{")
        for number, key in enumerate(sorted(value) if _plain_keys(value) else sorted(value, key=_utf16)):
            put(f"{',' if number else ''}{_text(key)}:")
            _render(value[key], put)
        put("}")
    elif kind is list or kind is tuple:
        put("[")
        for number, item in enumerate(value):
            if number:
                put(",")
            _render(item, put)
        put("]")
    elif kind is Decimal:
        put(format(value, "f"))
    else:
        put(json.dumps(value))


def _plain_keys(value: dict[str, Any]) -> bool:
    return all(map(str.isascii, value))


def _utf16(key: str) -> bytes:
    """JCS orders keys by UTF-16 code units."""
    return key.encode("utf-16-be", "surrogatepass")


def _text(value: str) -> str:
    if value.isascii():
        return _encode(value)
    if any("\ud800" <= c <= "\udfff" for c in value):
        return _encode_ascii(value)  # a lone surrogate has no UTF-8 form: keep it as an escape
    return _encode(value)


_encode = json.JSONEncoder(ensure_ascii=False).encode
_encode_ascii = json.JSONEncoder().encode
