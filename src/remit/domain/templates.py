"""Templates in action types: where a lookup, an undo or a read of the current state takes its arguments from."""

from __future__ import annotations

from typing import Any


def filled(template: Any, values: dict[str, Any]) -> Any:
    """A template of arguments with `$action.id`, `$args.NAME` and `$result.PATH` replaced by what they refer to."""
    match template:
        case str() if template.startswith("$"):
            return at(values, template[1:])
        case dict():
            return {k: filled(v, values) for k, v in template.items()}
        case list():
            return [filled(v, values) for v in template]
        case _:
            return template


def at(value: Any, path: str) -> Any:
    """What stands at a dotted path, or None."""
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
