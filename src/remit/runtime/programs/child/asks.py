"""Questions as a program writes them, turned into what is asked: a JSON Schema with hints for the form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

NOTHING: Any = object()
"""No default was given; None would be one."""
_TEXT = {"min": "minLength", "max": "maxLength"}
_NUMBER = {"min": "minimum", "max": "maximum"}


def schema_of(
    *,
    schema: Mapping[str, Any] | None,
    choices: Sequence[Any] | Mapping[str, str] | None,
    text: Any,
    number: Any,
    yes_no: bool,
) -> dict[str, Any]:
    """The JSON Schema of a question. Raises TypeError unless exactly one way of answering was given."""
    given = [w for w in (schema, choices, text or None, number or None, yes_no or None) if w is not None]
    if len(given) != 1:
        raise TypeError("give session.ask one of schema=, choices=, text=, number= or yes_no=")
    if schema is not None:
        return dict(schema)
    if choices is not None:
        return _choices(choices)
    if text:
        return {"type": "string", **_limits(text, _TEXT, "multiline", "text=")}
    if number:
        found = _limits(number, _NUMBER, "whole", "number=")
        return {"type": "integer" if found.pop("x-whole", False) else "number", **found}
    return {"type": "boolean"}


def more_of(
    *,
    timeout: timedelta | float | None,
    default: Any,
    then: Iterable[tuple[str, timedelta | float]],
    remember: str | None,
    scope: str,
    subject: str | None,
    keep_days: int | None,
) -> dict[str, Any]:
    """What else belongs to a question, as far as it was given. Raises TypeError or ValueError where it cannot be."""
    more: dict[str, Any] = {}
    if timeout is not None:
        more["timeout"] = _seconds(timeout, "timeout")
    if default is not NOTHING:
        if timeout is None:
            raise TypeError("default= is the answer once the timeout is over: give timeout= too")
        more["default"] = default
    steps = [{"to": _word(to, "then"), "after": _seconds(after, "then")} for to, after in then]
    if steps:
        more["then"] = steps
    if remember is not None:
        if scope not in {"agent", "workspace", "person"}:
            raise ValueError("scope is `agent`, `workspace` or `person`")
        found = {"key": _word(remember, "remember"), "scope": scope, "subject": subject, "keep_days": keep_days}
        more["remember"] = found
    elif scope != "agent" or subject is not None or keep_days is not None:
        raise TypeError("scope=, subject= and keep_days= say how the answer is remembered: give remember= too")
    return more


def _choices(choices: Sequence[Any] | Mapping[str, str]) -> dict[str, Any]:
    if isinstance(choices, str):
        raise TypeError("choices= is a list, not a text")
    if not choices:
        raise ValueError("choices= is empty: nobody could answer")
    if isinstance(choices, Mapping):
        return {"oneOf": [{"const": value, "title": str(label)} for value, label in choices.items()]}
    if all(isinstance(c, Mapping) and "id" in c and "title" in c for c in choices):
        return {"x-record": True, "oneOf": [_record(c) for c in choices]}
    return {"enum": list(choices)}


def _record(row: Mapping[str, Any]) -> dict[str, Any]:
    details = {str(k): v for k, v in row.items() if k not in {"id", "title"}}
    return {"const": row["id"], "title": str(row["title"])} | ({"x-details": details} if details else {})


def _limits(given: Any, names: Mapping[str, str], flag: str, what: str) -> dict[str, Any]:
    if given is True:
        return {}
    if not isinstance(given, Mapping) or not given.keys() <= {*names, flag}:
        raise TypeError(f"{what} is True, or a dict with `min`, `max` and `{flag}`")
    found = {names[k]: v for k, v in given.items() if k in names and v is not None}
    return found | ({f"x-{flag}": True} if given.get(flag) else {})


def _seconds(given: timedelta | float, what: str) -> float:
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < 10 * 366 * 86_400:
        raise ValueError(f"{what} is a timedelta or a number of seconds, above 0 and below ten years")
    return seconds


def _word(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{what} needs a text")
    return value
