"""The tools of a model agent: names that providers take, definitions from the pins, arguments held to their schema."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.protocols import Validator
from pydantic_ai.tools import RunContext
from pydantic_ai.tools import ToolDefinition as OfferedTool
from pydantic_ai.toolsets.abstract import AbstractToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema
from referencing import Registry
from referencing.exceptions import Unresolvable

from remit.domain import canonical
from remit.domain.connections import ToolDefinition
from remit.errors import RemitError
from remit.runtime.model_agents.errors import Ungoverned

_LONGEST_NAME = 64  # what every provider takes
_ANY_ARGUMENTS = SchemaValidator(core_schema.dict_schema())
_LONGEST_ANSWER = 600


def offered_names(actions: Iterable[str]) -> dict[str, str]:
    """Action type to the name that providers are given: they refuse dots. `payments.refund` is `payments__refund`."""
    plain = {action: _plain(action) for action in sorted(set(actions))}
    taken = Counter(plain.values())
    return {
        action: name
        if taken[name] == 1 and len(name) <= _LONGEST_NAME
        else f"{name[: _LONGEST_NAME - 9]}_{canonical.digest(action)[:8]}"
        for action, name in plain.items()
    }


def hide_arguments(definition: ToolDefinition, names: Collection[str]) -> ToolDefinition:
    """The definition without some arguments, such as the one that takes the idempotency key: agents never see them."""
    schema = dict(definition.input_schema)
    if isinstance(schema.get("properties"), dict):
        schema["properties"] = {k: v for k, v in schema["properties"].items() if k not in names}
    if isinstance(schema.get("required"), list):
        schema["required"] = [name for name in schema["required"] if name not in names]
    return definition.model_copy(update={"input_schema": schema})


class PinnedTools(AbstractToolset[Any]):
    """Tools of connections, as they were pinned. They run over the road only; calling them any other way is refused."""

    def __init__(self, tools: Mapping[str, ToolDefinition]) -> None:
        names = offered_names(tools)
        self.actions = {names[action]: action for action in sorted(tools)}
        """Offered name to action type."""
        self._offered = [
            OfferedTool(
                name=names[action],
                description=definition.description or None,
                parameters_json_schema=definition.input_schema,
                metadata={"action": action},
            )
            for action, definition in sorted(tools.items())
        ]
        self._validators = {
            names[action]: _validator(action, definition.input_schema) for action, definition in tools.items()
        }

    @property
    def id(self) -> str | None:
        """The name under which pydantic-ai keeps this set of tools."""
        return "remit-connections"

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        """The tools on offer."""
        del ctx
        return {
            tool.name: ToolsetTool(toolset=self, tool_def=tool, max_retries=0, args_validator=_ANY_ARGUMENTS)
            for tool in self._offered
        }

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """Refuse: a connection's tool is executed by the road, never by the agent's loop."""
        del tool_args, ctx, tool
        raise Ungoverned(f"the tool {name} was called past the gate")

    @property
    def offered(self) -> list[OfferedTool]:
        """The tools as they are offered to the model, sorted by their action type."""
        return list(self._offered)

    def problem(self, name: str, args: dict[str, Any]) -> str | None:
        """What is wrong with arguments according to the tool's schema, in a sentence for the model; None: nothing."""
        try:
            found = sorted(self._validators[name].iter_errors(canonical.plain(args)), key=lambda e: e.json_path)
        except Unresolvable:
            return "the tool's schema refers to another document, which is not looked up"
        if not found:
            return None
        return "; ".join(f"{error.json_path}: {error.message}" for error in found[:5])[:_LONGEST_ANSWER]


def unknown_tool(name: str) -> ToolsetTool[Any]:
    """A stand-in under which the call of a tool that does not exist is recorded and answered."""
    return ToolsetTool(
        toolset=PinnedTools({}), tool_def=OfferedTool(name=name), max_retries=0, args_validator=_ANY_ARGUMENTS
    )


def _plain(action: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", action.replace(".", "__"))
    return name if name[0].isalpha() or name[0] == "_" else f"_{name}"


def _validator(action: str, schema: dict[str, Any]) -> Validator:
    try:
        return _compiled(canonical.dumps(canonical.normalise(schema, what="schema")))
    except (SchemaError, RemitError) as error:
        raise Ungoverned(f"the pinned definition of {action} holds no valid JSON Schema: {error.message}") from None


@lru_cache(maxsize=4_096)
def _compiled(schema: bytes) -> Validator:
    """A validator for a schema's canonical bytes; every run of every turn asks for the same few."""
    parsed = json.loads(schema)
    Draft202012Validator.check_schema(parsed)
    # An empty registry: a schema cannot make this process fetch anything.
    return Draft202012Validator(parsed, registry=Registry())
