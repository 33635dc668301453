"""What pydantic found wrong in a file, said in plain words, at its line, with what to mend."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from remit.config.source import Path, Source
from remit.domain import declared
from remit.errors import Problem

_SECRET = get_args(declared.Secret)[1].metadata[0].pattern
_PATTERNS: dict[str, tuple[str, str]] = {}
"""Pattern to what it means, and an example; filled from the value types that files share."""

_KINDS = {
    "string_type": ("text", "put it in quotes"),
    "string_unicode": ("text", "write it as UTF-8"),
    "bool_type": ("true or false", "write `true` or `false`"),
    "bool_parsing": ("true or false", "write `true` or `false`"),
    "int_type": ("a whole number", "write a whole number"),
    "int_parsing": ("a whole number", "write a whole number"),
    "int_from_float": ("a whole number", "write a whole number"),
    "int_parsing_size": ("a whole number", "write a smaller number"),
    "float_type": ("a number", "write a number"),
    "float_parsing": ("a number", "write a number"),
    "dict_type": ("a mapping", "write `key: value` lines below it"),
    "model_type": ("a mapping", "write `key: value` lines below it"),
    "model_attributes_type": ("a mapping", "write `key: value` lines below it"),
    "tuple_type": ("a list", "write one `- item` line for each"),
    "list_type": ("a list", "write one `- item` line for each"),
    "frozen_set_type": ("a list", "write one `- item` line for each"),
}

_MOST_CANDIDATES = 1_000  # comparing with more takes longer than it helps

_BOUNDS = {
    "greater_than": ("must be more than {gt}", "raise it"),
    "greater_than_equal": ("must be at least {ge}", "raise it"),
    "less_than": ("must be less than {lt}", "lower it"),
    "less_than_equal": ("must be at most {le}", "lower it"),
    "too_short": ("needs at least {min_length} item(s)", "add what is missing"),
    "too_long": ("takes at most {max_length} item(s)", "remove some"),
    "string_too_short": ("needs at least {min_length} character(s)", "write more"),
    "string_too_long": ("takes at most {max_length} characters", "shorten it"),
    "finite_number": ("must be a finite number", "write a number"),
}


def explain(model: type[BaseModel], source: Source, error: ValidationError, *, name: str = "") -> list[Problem]:
    """The problems behind a ValidationError of `model` on `source`, one for each place, in the order of the file.

    `name` says what the whole file is, for a message about its top.
    """
    problems: dict[tuple[Path, str], Problem] = {}
    for detail in error.errors(include_url=False):
        problem, path = _problem(model, source, detail, name or source.file)
        problems.setdefault((path, problem.message), problem)
    return sorted(problems.values(), key=lambda p: (p.line, p.column))


def raw_path(model: type[BaseModel], value: Any, location: Path) -> tuple[Path, list[Any]]:
    """The path in the file behind pydantic's location, and the types that may stand there.

    Pydantic puts the names of union members into its locations; those are no keys of the file.
    """
    path: Path = ()
    kinds = list(_members(model))
    for part in location:
        in_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if in_list or (isinstance(value, dict) and part in value):
            kinds = [k for kind in kinds for k in _inside(kind, part)]
            value = value[part]
            path = (*path, part)
        else:
            kinds = [k for k in kinds if _has_tag(k, part)] or kinds
    return path, kinds


def nearest(word: str, known: Iterator[str] | list[str]) -> str:
    """The known word that is most like this one, or an empty text where none is near."""
    candidates = list(known)
    if len(candidates) > _MOST_CANDIDATES:
        return ""
    found = difflib.get_close_matches(word[:100], candidates, n=1, cutoff=0.6)
    return found[0] if found else ""


def suggest(word: str, known: list[str]) -> str:
    """What to mend where a word is not one of the known ones."""
    near = nearest(word, known)
    if near:
        return f"did you mean `{near}`?"
    return f"known: {', '.join(sorted(known)[:12])}" if known else "there are none yet"


def _problem(model: type[BaseModel], source: Source, detail: ErrorDetails, name: str) -> tuple[Problem, Path]:
    location, kind = detail["loc"], detail["type"]
    context: dict[str, Any] = detail.get("ctx") or {}
    if kind == "missing":
        path, kinds = raw_path(model, source.value, location[:-1])
        key = str(location[-1])
        problem = source.problem(path, f"{_what(path, name)} has no `{key}`", _how_to_add(kinds, key), key=True)
    elif kind == "extra_forbidden":
        path, _ = raw_path(model, source.value, location)
        _, kinds = raw_path(model, source.value, location[:-1])
        known = sorted({f for k in kinds if _is_model(k) for f in k.model_fields})
        mend = suggest(str(location[-1]), known)
        problem = source.problem(path, f"unknown key `{_short(location[-1])}`", mend, key=True)
    elif kind.startswith("union_tag"):
        path, _ = raw_path(model, source.value, location)
        tag = str(context.get("discriminator", "")).strip("'")
        expected = str(context.get("expected_tags", "stdio, http")).replace("'", "`")
        given = (*path, tag) if kind == "union_tag_invalid" else path
        said = f"{_what(path, name)} needs `{tag}`, one of {expected}"
        problem = source.problem(given, said, f"write `{tag}: …`")
    else:
        path, _ = raw_path(model, source.value, location)
        is_key = bool(location) and location[-1] == "[key]"
        message, mend = _wording(kind, context, detail, path, name, is_key=is_key)
        problem = source.problem(path, message, mend, key=is_key)
    return problem, path


def _wording(
    kind: str, context: dict[str, Any], detail: ErrorDetails, path: Path, name: str, *, is_key: bool
) -> tuple[str, str]:
    """What is wrong with a value, and what to mend."""
    what = f"the key `{_short(path[-1])}`" if is_key and path else _what(path, name)
    value = detail["input"]
    if kind in _KINDS:
        wanted, mend = _KINDS[kind]
        return f"{what} must be {wanted}, not {_describe(value)}", mend
    if kind in _BOUNDS:
        message, mend = _BOUNDS[kind]
        return f"{what} {message.format(**context)}", mend
    if kind in ("literal_error", "enum"):
        choices = [c.strip(" '") for c in str(context.get("expected", "")).replace(" or ", ", ").split(",")]
        near = nearest(str(value), choices) if isinstance(value, str) else ""
        mend = f"did you mean `{near}`?" if near else f"write one of: {', '.join(choices)}"
        return f"{what} is {_describe(value)}, not one of {', '.join(choices)}", mend
    if kind == "string_pattern_mismatch":
        pattern = str(context.get("pattern", ""))
        meaning, example = _pattern(pattern)
        if pattern == _SECRET:  # what stands there may be the secret itself, and this goes to logs
            return f"{what} is not {meaning}", example
        return f"{what} is not {meaning}: {_describe(value)}", example
    if kind == "value_error":
        said = str(context.get("error", detail["msg"]))
        return (f"{what}: {said}" if path else said), "correct it"
    return f"{what}: {detail['msg'].lower()}", "correct it"


def _pattern(pattern: str) -> tuple[str, str]:
    if not _PATTERNS:
        for kind, meaning, example in (
            (declared.Name, "a name (lower-case letters, digits, dot, dash, underscore)", "such as `dana.kim`"),
            (declared.ToolName, "the name of a tool", "write `connection.tool`, such as `payments.refund`"),
            (declared.PersonOrRole, "a person's id or `role:ID`", "such as `dana.kim` or `role:finance`"),
            (declared.Currency, "a currency's code", "three capital letters, such as `USD`"),
            (declared.Secret, "a reference to a secret", "write `env:NAME`, `file:PATH` or `vault:PATH#KEY`"),
        ):
            _PATTERNS[get_args(kind)[1].metadata[0].pattern] = (meaning, example)
        _PATTERNS["^https?://"] = ("an http address", "begin it with `https://`")
    return _PATTERNS.get(pattern, ("of the form that is asked for", f"it must match {pattern}"))


def _what(path: Path, name: str) -> str:
    """The thing at a path, by the words that the file uses."""
    if not path:
        return name
    text = ""
    for part in path[-3:]:
        text += f"[{part + 1}]" if isinstance(part, int) else (f".{_short(part)}" if text else _short(part))
    return f"`{text}`"


def _describe(value: Any) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return f"`{str(value).lower()}`"
        case str():
            return f'"{value[:60]}"'
        case int():
            return f"the number {value}" if abs(value) < 10**20 else "a very large number"
        case float():
            return f"the number {value}"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return f"a {type(value).__name__}"


def _how_to_add(kinds: list[Any], key: str) -> str:
    for kind in kinds:
        if _is_model(kind) and key in kind.model_fields:
            described = (kind.model_fields[key].description or "").split("\n")[0].rstrip(".")
            return f"add `{key}`: {described[:1].lower()}{described[1:]}" if described else f"add `{key}`"
    return f"add `{key}`"


def _short(part: object) -> str:
    text = str(part)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _members(annotation: Any) -> Iterator[Any]:
    """The types that a value of this annotation may have."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _inside(kind: Any, part: str | int) -> Iterator[Any]:
    """The types of what stands at `part` inside a value of this type."""
    if _is_model(kind):
        if part in kind.model_fields:
            yield from _members(kind.model_fields[str(part)].annotation)
    elif get_origin(kind) is dict:
        yield from _members(get_args(kind)[1])
    elif get_origin(kind) in (tuple, list, frozenset):
        yield from _members(get_args(kind)[0])


def _has_tag(kind: Any, tag: str | int) -> bool:
    return _is_model(kind) and any(
        get_origin(f.annotation) is Literal and tag in get_args(f.annotation) for f in kind.model_fields.values()
    )


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
