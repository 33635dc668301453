"""Function tools of an agent's own process: pinned like those of servers, and refused once they have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.tools import RunContext
from pydantic_ai.tools import ToolDefinition as OfferedTool

from remit.config.loader import load_for_pinning
from remit.domain.connections import LocalConnection, ToolDefinition
from remit.errors import InvalidInput
from remit.runtime.connections.pins import changed_tools, render_pins, tool_digest
from remit.runtime.model_agents.errors import Ungoverned
from remit.runtime.model_agents.governance import Governance
from remit.runtime.road import Road


def as_pinned(action: str, tool: OfferedTool) -> ToolDefinition:
    """A function tool as `tools.lock.json` holds it, under the name that its action type gives it."""
    found = ToolDefinition(
        name=action.partition(".")[2],
        description=tool.description or "",
        input_schema=tool.parameters_json_schema,
    )
    return found.model_copy(update={"digest": tool_digest(found)})


class PinnedGovernance(Governance):
    """`Governance` that also holds the agent's own functions to their pinned definitions.

    `pinned` maps names of function tools to what was pinned of them; None: nothing was.
    """

    def __init__(self, road: Road, pinned: Mapping[str, ToolDefinition | None], **options: Any) -> None:
        super().__init__(road, **options)
        self._pinned = pinned
        self._names: Mapping[str, str] = options.get("actions") or {}

    async def prepare_tools(self, ctx: RunContext[Any], tool_defs: list[OfferedTool]) -> list[OfferedTool]:
        """Refuse, besides what `Governance` refuses, a function that is not as it was pinned."""
        for tool in tool_defs:
            if tool.name not in self._pinned:
                continue
            pin = self._pinned[tool.name]
            if pin is None or tool_digest(pin) != as_pinned(self._names[tool.name], tool).digest:
                raise Ungoverned(
                    f"the tool {tool.name} is not as it was pinned",
                    advice="Pin it with `remit.pin_tools`, review the difference, and deploy.",
                )
        return await super().prepare_tools(ctx, tool_defs)


class _SeenError(Exception):
    """Carries the tools that an agent offers its model out of a run that goes no further."""

    def __init__(self, tools: list[OfferedTool]) -> None:
        super().__init__()
        self.tools = tools


def pin_tools(
    project: Path | str, agent: Agent[Any, Any], actions: Mapping[str, str], *, deps: Any = None
) -> list[str]:
    """Write an agent's function tools to the project's `tools.lock.json`, for review, and say what has changed.

    `actions` maps names of function tools to action types, whose connection must be one with `transport: local`.
    Nothing is asked of a model. Raises InvalidInput if a name is not there, ProjectInvalid if the files are wrong.
    """
    folder = Path(project)
    declared = load_for_pinning(folder)
    offered = {tool.name: tool for tool in asyncio.run(_offered(agent, deps))}
    made: dict[str, dict[str, ToolDefinition]] = {}
    for tool, action in actions.items():
        connection = action.partition(".")[0]
        if not isinstance(declared.connections.get(connection), LocalConnection):
            raise InvalidInput(
                f"{connection} is not a connection whose tools live in the agent's process",
                advice=f"Declare it in connections.yaml: `{connection}: {{transport: local}}`.",
            )
        if tool not in offered:
            raise InvalidInput(f"the agent has no tool {tool}; it has: {', '.join(sorted(offered)) or 'none'}")
        pinned = as_pinned(action, offered[tool])
        made.setdefault(connection, {})[pinned.name] = pinned
    changes = changed_tools(declared.pins, made)
    pins = declared.pins.model_copy(update={"connections": {**declared.pins.connections, **made}})
    _replace(folder / "tools.lock.json", render_pins(pins))
    return [str(change) for change in changes]


async def _offered(agent: Agent[Any, Any], deps: Any) -> list[OfferedTool]:
    def look(_messages: list[ModelMessage], info: AgentInfo) -> NoReturn:
        raise _SeenError(info.function_tools)

    try:
        await agent.run("", model=FunctionModel(look), deps=deps)
    except _SeenError as seen:
        return seen.tools
    raise InvalidInput("the agent ended without asking a model", advice="Give `deps` as it needs them.")


def _replace(path: Path, text: str) -> None:
    """Replace a file at once, so that no crash leaves half of it."""
    part = path.with_name(f".{path.name}.new")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
