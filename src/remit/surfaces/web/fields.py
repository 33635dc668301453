"""An agent's input as fields of a form, drawn from its JSON Schema, and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remit.domain import canonical
from remit.errors import InvalidInput

PREFIX = "in."
"""What the names of the fields begin with in the form."""
_MOST_FIELDS, _MOST_OPTIONS = 40, 200
_KINDS = {"string": "text", "integer": "integer", "number": "number", "boolean": "yes-no"}


@dataclass(frozen=True, slots=True)
class Field:
    """One property of the input."""

    name: str
    label: str
    help: str
    kind: str
    """`text`, `long`, `integer`, `number`, `yes-no`, `choice` or `json`."""
    required: bool
    options: tuple[str, ...] = ()
    default: str = ""


def drawn(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """The fields for an input; empty where it is better written as JSON."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not 0 < len(properties) <= _MOST_FIELDS:
        return ()
    required = schema.get("required")
    needed = set(required) if isinstance(required, list) else set()
    return tuple(_field(str(name), found, name in needed) for name, found in properties.items())


def _field(name: str, schema: Any, required: bool) -> Field:
    said = schema if isinstance(schema, dict) else {}
    label, help_ = str(said.get("title") or name), str(said.get("description") or "")
    options = said.get("enum")
    default = said.get("default")
    shown = "" if default is None else default if isinstance(default, str) else _json(default)
    if isinstance(options, list) and 0 < len(options) <= _MOST_OPTIONS and all(isinstance(o, str) for o in options):
        return Field(name, label, help_, "choice", required, tuple(options), shown)
    kind = said.get("type")
    drawn_as = _KINDS.get(kind, "json") if isinstance(kind, str) else "json"
    if drawn_as == "text" and int(said.get("maxLength") or 0) > 200:
        drawn_as = "long"
    return Field(name, label, help_, drawn_as, required, (), shown)


def read(fields: tuple[Field, ...], given: Mapping[str, str]) -> dict[str, Any]:
    """The input as it was filled in; what was left empty is left out. Raises InvalidInput."""
    values: dict[str, Any] = {}
    for field in fields:
        text = given.get(PREFIX + field.name, "").replace("\r\n", "\n")
        if text.strip():
            values[field.name] = _value(field, text)
        elif field.required:
            raise InvalidInput(f"{field.label} is missing")
    return values


def _value(field: Field, text: str) -> Any:
    match field.kind:
        case "text" | "long":
            return text
        case "choice":
            return _one_of(field, text)
        case "yes-no":
            return text == "yes"
        case _:
            value = canonical.parse(text.strip(), what=field.label)
            if field.kind != "json" and (isinstance(value, bool | str | list | dict) or value is None):
                raise InvalidInput(f"{field.label} is a number")
            return value


def _one_of(field: Field, text: str) -> str:
    if text not in field.options:
        raise InvalidInput(f"{field.label} is one of those to choose from")
    return text


def _json(value: Any) -> str:
    return canonical.dumps(canonical.normalise(value)).decode()
