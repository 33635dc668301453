"""Arguments as policies see them: from a tool's JSON Schema to Cedar types, and from a value to a Cedar value.

Only what some policy of an action reads is mapped. What is read is always there: an argument that may be left out
cannot be judged, so it has to be required or have a default before a policy may read it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from remit.domain.decisions import ReasonCode
from remit.governance.policy.statements import quote

Path = tuple[str, ...]

LONG_MAX = 2**63 - 1
DECIMAL_MAX = Decimal("922337203685477.5807")
RESERVED = frozenset({"__entity", "__extn", "__expr"})
"""Names with a meaning of their own in the engine's JSON."""

_DECIMAL_TEXT = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,40})?")
_MAX_REFERENCES = 16
_SCALARS = {"number": "decimal", "integer": "Long", "string": "String", "boolean": "Bool"}


class UnfitError(Exception):
    """A value cannot be judged; `code` is the machine reason. Never leaves the policy package."""

    def __init__(self, code: ReasonCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Leaf:
    """One scalar, or a set of them."""

    cedar: Literal["decimal", "Long", "String", "Bool"]
    many: bool = False
    text: bool = False
    """A decimal that the tool also takes as text."""

    def declaration(self) -> str:
        """The Cedar type."""
        return f"Set<{self.cedar}>" if self.many else self.cedar


@dataclass(frozen=True, slots=True)
class Fields:
    """A record with the attributes that are read."""

    fields: dict[str, Leaf | Fields] = field(default_factory=dict)

    def declaration(self) -> str:
        """The Cedar type."""
        return "{" + ", ".join(f"{quote(k)}: {v.declaration()}" for k, v in sorted(self.fields.items())) + "}"


@dataclass(slots=True)
class Wanted:
    """What is read at one place of the arguments, and below it."""

    value: bool = False
    below: dict[str, Wanted] = field(default_factory=dict)

    def add(self, path: Path, *, has: bool) -> None:
        """Note that a policy reads the value at `path`, or only asks whether it is there."""
        node = self
        for name in path:
            node = node.below.setdefault(name, Wanted())
        node.value = node.value or not has


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an argument that is read cannot be."""

    path: Path
    message: str
    mend: str


@dataclass(frozen=True, slots=True)
class Mapping:
    """How an action's arguments become `context.args`."""

    fields: Fields
    absent: tuple[Path, ...] = ()
    """Paths that a policy reads and no schema describes: refused if they are given after all."""
    troubles: tuple[Trouble, ...] = ()


def map_arguments(schema: dict[str, Any], wanted: Wanted, given: frozenset[str], defaults: dict[str, Any]) -> Mapping:
    """Map what is `wanted`; `given` are arguments that the action type requires, `defaults` those that it fills in."""
    absent: list[Path] = []
    troubles: list[Trouble] = []
    always = given | {k for k, v in defaults.items() if v is not None}
    fields = _record(_Place(schema, schema, ()), wanted, always, absent, troubles)
    for name, shape in fields.fields.items():
        if defaults.get(name) is not None:
            try:
                to_cedar(defaults[name], shape, (name,))
            except UnfitError as unfit:
                troubles.append(
                    Trouble((name,), f"the default does not fit: {unfit.text}", "correct `defaults` of the action type")
                )
    return Mapping(fields, tuple(absent), tuple(troubles))


@dataclass(frozen=True, slots=True)
class _Place:
    """A node of a JSON Schema, with the root that its references are seen from."""

    root: dict[str, Any]
    node: Any
    path: Path

    def resolved(self) -> dict[str, Any]:
        """The node behind references and single-branch combinations, with `null` left out."""
        node = self.node
        for _ in range(_MAX_REFERENCES):
            if not isinstance(node, dict):
                return {}
            if isinstance(reference := node.get("$ref"), str):
                node = self._follow(reference)
                continue
            branches = next((node[k] for k in ("anyOf", "oneOf", "allOf") if isinstance(node.get(k), list)), None)
            if branches is None:
                return node
            solid = [b for b in branches if not (isinstance(b, dict) and b.get("type") == "null")]
            if len(solid) != 1:
                return {**node, "anyOf": solid}
            node = solid[0]
        return {}

    def _follow(self, reference: str) -> Any:
        if not reference.startswith("#"):
            return None
        node: Any = self.root
        for part in reference.removeprefix("#").split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            node = node.get(name) if isinstance(node, dict) else None
        return node

    def child(self, node: Any, name: str) -> _Place:
        return _Place(self.root, node, (*self.path, name))


def _record(
    place: _Place, wanted: Wanted, always: frozenset[str], absent: list[Path], troubles: list[Trouble]
) -> Fields:
    schema = place.resolved()
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    required = frozenset(r for r in required if isinstance(r, str)) if isinstance(required, list) else frozenset()
    fields: dict[str, Leaf | Fields] = {}
    for name, inner in sorted(wanted.below.items()):
        child = place.child(properties.get(name), name)
        if name in RESERVED:
            troubles.append(
                Trouble(child.path, f"`{name}` is a name that the engine keeps to itself", "do not read it")
            )
        elif name not in properties:
            absent.append(child.path)
        elif (shape := _shape(child, inner, absent, troubles)) is not None:
            fields[name] = shape
            if name not in required and name not in always:
                troubles.append(_optional(child))
    return Fields(fields)


def _optional(place: _Place) -> Trouble:
    dotted = ".".join(place.path)
    if len(place.path) > 1:
        mend = "have the server's schema require it, or judge something else"
    else:
        default = place.node.get("default") if isinstance(place.node, dict) else None
        known = "" if default is None else f"; the tool itself takes {default!r}"
        mend = f"add `require: [{dotted}]` or `defaults: {{{dotted}: …}}` to the action type in actions.yaml{known}"
    return Trouble(place.path, f"`{dotted}` may be left out, so a call could evade this policy", mend)


def _shape(place: _Place, wanted: Wanted, absent: list[Path], troubles: list[Trouble]) -> Leaf | Fields | None:
    schema = place.resolved()
    dotted = ".".join(place.path)
    if _types(schema) == {"object"}:
        if wanted.value:
            troubles.append(Trouble(place.path, f"`{dotted}` is read as a whole", "read its fields one by one"))
        return _record(place, wanted, frozenset(), absent, troubles)
    leaf = _leaf(schema)
    if leaf is None and _types(schema) == {"array"}:
        item = _leaf(place.child(schema.get("items"), "[]").resolved())
        leaf = None if item is None else Leaf(item.cedar, many=True, text=item.text)
    if leaf is None:
        troubles.append(
            Trouble(
                place.path, f"policies cannot read `{dotted}`", "they read numbers, text, booleans and sets of those"
            )
        )
        return None
    if wanted.below:
        troubles.append(Trouble(place.path, f"`{dotted}` has no fields", f"it is a {leaf.declaration()}"))
        return None
    return leaf


def _leaf(schema: dict[str, Any]) -> Leaf | None:
    types = _types(schema)
    if len(types) == 1:
        cedar = _SCALARS.get(next(iter(types)))
        return Leaf(cedar) if cedar else None  # type: ignore[arg-type]
    if types and types <= {"number", "integer", "string"} and types & {"number", "integer"}:
        return Leaf("decimal", text="string" in types)
    return None


def _types(schema: dict[str, Any]) -> frozenset[str]:
    """JSON types that a schema allows, `null` left out; empty where it does not say."""
    if isinstance(branches := schema.get("anyOf"), list):
        each = [_types(b) if isinstance(b, dict) else frozenset[str]() for b in branches]
        return frozenset[str]().union(*each) if all(each) else frozenset()
    declared = schema.get("type", "object" if "properties" in schema else None)
    if isinstance(declared, str):
        return frozenset({declared})
    if isinstance(declared, list):
        return frozenset(t for t in declared if isinstance(t, str) and t != "null")
    values = schema["enum"] if isinstance(schema.get("enum"), list) else [schema["const"]] if "const" in schema else []
    return frozenset(_json_type(v) for v in values if v is not None)


def _json_type(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float() | Decimal():
            return "number"
        case str():
            return "string"
        case dict():
            return "object"
        case _:
            return "array"


def look(args: Any, path: Path) -> Any:
    """The value at a path of the arguments; None where it is absent or null."""
    for name in path:
        if not isinstance(args, dict):
            return None
        args = args.get(name)
    return args


def to_cedar(value: Any, shape: Leaf | Fields, path: Path) -> Any:
    """The value in the engine's JSON. Raises UnfitError where it is missing, of another type or out of range."""
    dotted = ".".join(path) or "the arguments"
    if value is None:
        raise UnfitError(ReasonCode.ARGUMENT_REQUIRED, f"{dotted} is required: a policy judges it")
    if isinstance(shape, Fields):
        if not isinstance(value, dict):
            raise UnfitError(ReasonCode.POLICY_ERROR, f"{dotted} is not an object, so no policy can judge it")
        return {name: to_cedar(value.get(name), inner, (*path, name)) for name, inner in shape.fields.items()}
    if shape.many:
        if not isinstance(value, list):
            raise UnfitError(ReasonCode.POLICY_ERROR, f"{dotted} is not an array, so no policy can judge it")
        return [_scalar(v, shape, dotted) for v in value]
    return _scalar(value, shape, dotted)


def _scalar(value: Any, leaf: Leaf, dotted: str) -> Any:
    match leaf.cedar, value:
        case "Bool", bool():
            return value
        case "String", str():
            return well_formed(value, dotted)
        case "Long", int() if not isinstance(value, bool):
            if abs(value) > LONG_MAX:
                raise UnfitError(ReasonCode.POLICY_ERROR, f"{dotted} is out of the range that policies can judge")
            return value
        case "decimal", int() | float() | Decimal() if not isinstance(value, bool):
            return decimal_text(value, dotted)
        case "decimal", str() if leaf.text and _DECIMAL_TEXT.fullmatch(value):
            return decimal_text(Decimal(value), dotted)
        case _:
            raise UnfitError(ReasonCode.POLICY_ERROR, f"{dotted} is not of the type {leaf.cedar} that policies judge")


def decimal_text(value: float | Decimal, dotted: str) -> str:
    """A number as the engine writes decimals: 1 to 4 places. Raises UnfitError where it has more or is too large."""
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite() or abs(number) > DECIMAL_MAX:
        raise UnfitError(ReasonCode.POLICY_ERROR, f"{dotted} is out of the range that policies can judge")
    text = format(number, "f")
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > 4:
        raise UnfitError(ReasonCode.POLICY_ERROR, f"{dotted} has more than four decimal places: {text[:40]}")
    return f"{whole}.{fraction or '0'}"


def well_formed(text: str, dotted: str) -> str:
    """The text itself. Raises UnfitError where it has a lone surrogate, which no UTF-8 can carry."""
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise UnfitError(ReasonCode.POLICY_ERROR, f"{dotted} is not well-formed Unicode")
    return text
