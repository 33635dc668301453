"""Connections to other systems over MCP: their servers, their pinned tools, and the one way to call them."""

from remit.runtime.connections.answers import ToolAnswer
from remit.runtime.connections.pins import (
    ToolChange,
    ToolState,
    agent_view,
    changed_tools,
    render_pins,
    tool_digest,
    with_key,
)
from remit.runtime.connections.pool import Connections, SecretResolver, pin_tools

__all__ = [
    "Connections",
    "SecretResolver",
    "ToolAnswer",
    "ToolChange",
    "ToolState",
    "agent_view",
    "changed_tools",
    "pin_tools",
    "render_pins",
    "tool_digest",
    "with_key",
]
