"""Pinned tool definitions: what an agent is shown is what a person saw in a change, never what a server says today."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from remit.domain import canonical
from remit.domain.actions import ActionType, visible_schema
from remit.domain.connections import ToolDefinition, ToolPins
from remit.errors import InvalidInput
from remit.runtime.connections.scrub import Scrubber

ToolState = Literal["pinned", "changed", "missing", "unpinned"]

_TOOL = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,100}$")
_LONGEST_DEFINITION = 200_000


@dataclass(frozen=True, slots=True)
class ToolChange:
    """One difference between the pins and what a server offers now."""

    connection: str
    tool: str
    what: Literal["changed", "missing", "new"]
    parts: tuple[str, ...] = ()
    """For a changed tool: `description`, `input_schema`, `output_schema`."""

    def __str__(self) -> str:
        detail = f" ({', '.join(self.parts)})" if self.parts else ""
        return f"{self.connection}.{self.tool}: {self.what}{detail}"


def tool_digest(definition: ToolDefinition) -> str:
    """SHA-256 over the canonical form of name, description and schemas. Raises InvalidInput on what JSON has not."""
    return canonical.digest(
        canonical.normalise(
            {
                "name": definition.name,
                "description": definition.description,
                "input_schema": definition.input_schema,
                "output_schema": definition.output_schema,
            },
            what="tool definition",
        )
    )


def from_wire(raw: Any, scrubber: Scrubber) -> ToolDefinition | None:
    """A definition as a server gave it, with its digest; None if it is not one that can be pinned."""
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str) or not _TOOL.match(raw["name"]):
        return None
    description, schema, output = raw.get("description"), raw.get("inputSchema"), raw.get("outputSchema")
    if not isinstance(schema, dict) or not isinstance(description, str | None) or not isinstance(output, dict | None):
        return None
    try:
        parts = canonical.normalise([description or "", schema, output], what="tool definition")
        if len(canonical.dumps(parts)) > _LONGEST_DEFINITION:
            return None
        words, input_schema, output_schema = canonical.plain(scrubber.value(parts))
        found = ToolDefinition(
            name=raw["name"], description=words, input_schema=input_schema, output_schema=output_schema
        )
        return found.model_copy(update={"digest": tool_digest(found)})
    except InvalidInput:
        return None


def state_of(pin: ToolDefinition | None, live: Mapping[str, ToolDefinition] | None, tool: str) -> ToolState:
    """How a tool stands to its pin; a server that was not asked yet counts as unchanged."""
    if pin is None:
        return "unpinned"
    pinned = tool_digest(pin)
    if pin.digest and pin.digest != pinned:
        return "changed"  # the lock file was edited by hand: what it shows is not what was pinned
    if live is None:
        return "pinned"
    if tool not in live:
        return "missing"
    return "pinned" if live[tool].digest == pinned else "changed"


def changed_tools(pins: ToolPins, live: Mapping[str, Mapping[str, ToolDefinition]]) -> list[ToolChange]:
    """Every difference between the pins and live definitions, for the connections in `live`, in order of name."""
    changes: list[ToolChange] = []
    for connection, offered in sorted(live.items()):
        pinned = pins.connections.get(connection, {})
        for tool in sorted({*pinned, *offered}):
            if tool not in offered:
                changes.append(ToolChange(connection, tool, "missing"))
            elif tool not in pinned:
                changes.append(ToolChange(connection, tool, "new"))
            elif tool_digest(pinned[tool]) != tool_digest(offered[tool]):
                parts = ("description", "input_schema", "output_schema")
                differ = tuple(p for p in parts if getattr(pinned[tool], p) != getattr(offered[tool], p))
                changes.append(ToolChange(connection, tool, "changed", differ))
    return changes


def render_pins(pins: ToolPins) -> str:
    """The text of `tools.lock.json`: the same pins always give the same text, one line a key, for a readable diff."""
    connections = {
        connection: {
            tool: {
                "name": definition.name,
                "description": definition.description,
                "input_schema": canonical.plain(definition.input_schema),
                "output_schema": canonical.plain(definition.output_schema),
                "digest": tool_digest(definition),
            }
            for tool, definition in tools.items()
        }
        for connection, tools in pins.connections.items()
    }
    document = {"version": pins.version, "connections": connections}
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n"


def agent_view(definition: ToolDefinition, action_type: ActionType) -> ToolDefinition:
    """The definition as an agent sees it: without the argument that carries the idempotency key."""
    return definition.model_copy(update={"input_schema": visible_schema(definition.input_schema, action_type)})


def with_key(
    args: Mapping[str, Any], action_type: ActionType, key: str
) -> tuple[dict[str, Any], dict[str, str] | None]:
    """Arguments and `_meta` of the call with the idempotency key in the place that the action type declares.

    A value that an agent gave for the hidden argument never survives.
    """
    arguments = dict(args)
    declared = action_type.idempotency
    if declared is None:
        return arguments, None
    if declared.argument is not None:
        arguments[declared.argument] = key
        return arguments, None
    assert declared.meta is not None
    return arguments, {declared.meta: key}
