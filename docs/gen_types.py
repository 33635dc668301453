"""Types and defaults of fields, in the words in which files spell them."""

from __future__ import annotations

import types
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from remit.config.files import ConnectionName
from remit.domain import declared
from remit.domain.declared import format_duration

_PLAIN: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    bytes: "bytes",
    Path: "folder",
    timedelta: "duration",
    Decimal: "amount",
    Any: "any JSON",
    type(None): "null",
}


def _patterns() -> dict[str, str]:
    named = {
        "name": declared.Name,
        "name without dots": ConnectionName,
        "`connection.tool`": declared.ToolName,
        "person or `role:ID`": declared.PersonOrRole,
        "currency code": declared.Currency,
        "reference to a secret": declared.Secret,
    }
    return {_pattern(get_args(kind)[1:]) or "": word for word, kind in named.items()}


def type_text(field: FieldInfo) -> str:
    """The type of a field, in words."""
    return _type(field.annotation, field.metadata)


def default_text(field: FieldInfo) -> str:
    """The default of a field as a file would spell it, or that it is required."""
    if field.is_required():
        return "required"
    return _value(field.get_default(call_default_factory=True))


def _value(value: Any) -> str:
    match value:
        case None:
            return "not set"
        case "":
            return "empty"
        case bool():
            return "`true`" if value else "`false`"
        case timedelta():
            return f"`{format_duration(value)}`"
        case Enum():
            return f"`{value.value}`"
        case Path():
            return "this folder" if value == Path() else f"`{value}`"
        case BaseModel():
            return "see there"
        case tuple() | dict() | frozenset() if not value:
            return "none"
        case dict():
            return f"`{', '.join(f'{k}: {v}' for k, v in value.items())}`"
        case _:
            return f"`{value}`"


def _type(annotation: Any, metadata: Any = ()) -> str:
    pattern = _pattern(metadata)
    if pattern is not None and annotation is str:
        return PATTERNS.get(pattern, "text")
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _type(inner, more)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    if annotation in _PLAIN:
        return _PLAIN[annotation] + _bounds(metadata)
    return _composed(annotation, metadata)


def _composed(annotation: Any, metadata: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin in (Union, types.UnionType):
        kinds = [_type(a, metadata if a in {int, float, str} else ()) for a in arguments if a is not type(None)]
        return " or ".join(dict.fromkeys(kinds)) + (" or null" if type(None) in arguments else "")
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin in (list, frozenset, set):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"mapping of {_type(arguments[0])} to {_type(arguments[1])}"
    raise TypeError(f"docs/gen_types.py has no words for {annotation}")


def _flat(metadata: Any) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from item.metadata
        else:
            yield item


def _pattern(metadata: Any) -> str | None:
    found = (getattr(item, "pattern", None) for item in _flat(metadata))
    return next((p for p in found if isinstance(p, str)), None)


def _bounds(metadata: Any) -> str:
    items = list(_flat(metadata))
    low, over, high = (
        next((getattr(i, name) for i in items if getattr(i, name, None) is not None), None)
        for name in ("ge", "gt", "le")
    )
    if low is not None and high is not None:
        return f" ({low} to {high})"
    parts = [f"at least {low}" if low is not None else "", f"over {over}" if over is not None else ""]
    parts.append(f"at most {high}" if high is not None else "")
    said = " and ".join(p for p in parts if p)
    return f" ({said})" if said else ""


PATTERNS = _patterns()
"""Pattern of a kind of name to what it is called."""
