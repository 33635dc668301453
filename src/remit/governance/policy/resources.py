"""Resource templates: from an action's arguments to the one entity that it acts on.

`Charge::{charge_id}` names an entity type and how its id is made. Ids are canonical, so that one thing has one id:
Unicode NFC, no empty or `.` segments, no trailing slash; a `..` is refused rather than resolved, because the other
side may resolve it differently. Case is kept.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from remit.domain.decisions import ReasonCode
from remit.governance.policy.shapes import Path, UnfitError, look, well_formed

BUILT_IN_TYPES = frozenset({"Agent", "Person", "Role", "Workspace", "Workflow", "ActionType"})
"""Entity types that Remit itself fills."""

_CEDAR_NAMES = frozenset(
    {"Action", "Set", "Record", "Entity", "Extension", "Long", "String", "Bool", "Boolean", "Usage", "decimal"}
    | {"ipaddr", "datetime", "duration", "if", "then", "else", "in", "is", "like", "has", "true", "false"}
)
_TEMPLATE = re.compile(r"(?P<type>[A-Za-z][A-Za-z0-9_]*)::(?P<id>.*)", re.DOTALL)
_HOLE = re.compile(r"\{([^{}]*)\}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class ResourceTemplate:
    """How an action's resource is named. `literals` stand around the `holes`: one more of them than holes."""

    entity_type: str
    literals: tuple[str, ...]
    holes: tuple[Path, ...]

    def render(self, args: dict[str, Any]) -> str:
        """The entity's id. Raises UnfitError where an argument is missing or cannot be part of an id."""
        parts = [self.literals[0]]
        for hole, literal in zip(self.holes, self.literals[1:], strict=True):
            parts += (self._part(args, hole), literal)
        return canonical_id("".join(parts))

    def _part(self, args: dict[str, Any], hole: Path) -> str:
        dotted = ".".join(hole)
        value = look(args, hole)
        match value:
            case None:
                raise UnfitError(ReasonCode.ARGUMENT_REQUIRED, f"{dotted} is required: it names what is acted on")
            case int() if not isinstance(value, bool):
                text = str(value)
            case str():
                text = well_formed(value, dotted)
            case _:
                raise UnfitError(
                    ReasonCode.POLICY_ERROR, f"{dotted} is neither text nor an integer, and names a resource"
                )
        if len(self.holes) > 1 and any(s in text for s in self.literals if s):
            # With "{space}/{page}", ("a/b", "c") and ("a", "b/c") would be the same resource.
            raise UnfitError(ReasonCode.POLICY_ERROR, f"{dotted} holds a separator of the resource's name")
        return text


def parse_template(text: str, action: str) -> ResourceTemplate:
    """Read `Type::{argument}`. Raises ValueError with a sentence that says what is wrong with it."""
    match = _TEMPLATE.fullmatch(text)
    if match is None:
        raise ValueError(f"the resource template {text!r} of {action} is not `Type::{{argument}}`")
    entity_type = match["type"]
    if entity_type in BUILT_IN_TYPES or entity_type in _CEDAR_NAMES:
        raise ValueError(f"the resource type {entity_type} of {action} has a meaning of its own; choose another name")
    pieces = _HOLE.split(match["id"])
    holes = tuple(tuple(hole.split(".")) for hole in pieces[1::2])
    literals = tuple(pieces[0::2])
    if any("{" in s or "}" in s for s in literals) or any(not name for hole in holes for name in hole):
        raise ValueError(f"the resource template {text!r} of {action} has braces that name no argument")
    if any(not literal for literal in literals[1:-1]):
        raise ValueError(f"the resource template {text!r} of {action} needs a separator between its arguments")
    return ResourceTemplate(entity_type, literals, holes)


def canonical_id(text: str) -> str:
    """One id for one thing. Raises UnfitError for a `..` segment."""
    text = unicodedata.normalize("NFC", text)
    scheme = _SCHEME.match(text)
    head, tail = (scheme[0], text[scheme.end() :]) if scheme else ("", text)
    if ".." in tail and ".." in re.split(r"[/\\]", tail):
        raise UnfitError(ReasonCode.POLICY_ERROR, "the resource's name has a '..' in it")
    if "/" not in tail:
        return text
    segments = [s for s in tail.split("/") if s not in {"", "."}]
    return head + ("/" if tail.startswith("/") else "") + "/".join(segments)
