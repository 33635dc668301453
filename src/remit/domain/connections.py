"""Connections: what offers tools (mostly MCP servers), and the pinned definitions of those tools."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from remit.domain.actions import Rate
from remit.domain.declared import Declared, Duration, Name, Secret


class ConnectionBase(Declared):
    """What every connection has."""

    title: str = ""
    """What people call the system."""
    timeout: Duration = timedelta(seconds=10)
    """Longest wait for one call; an action type may ask for less or more."""
    rate: Rate | None = None
    """How often it may be called, by all agents and workers together."""
    concurrency: int | None = Field(default=None, ge=1)
    """Most calls under way at once, over all workers."""
    max_result_bytes: int = Field(default=1_000_000, ge=1_000, le=4_000_000)
    """A larger result is cut off and labelled."""
    per_person: bool = False
    """True: called with the credential of the person on whose behalf the agent works, never with the company's."""
    trusted: bool = False
    """False: whatever it returns labels the session `untrusted`."""


class StdioConnection(ConnectionBase):
    """An MCP server started as a child process."""

    transport: Literal["stdio"]
    """Spoken over the child's standard input and output."""
    command: tuple[str, ...] = Field(min_length=1)
    """Program and arguments; a relative path is seen from the project folder. `python` is Remit's own interpreter."""
    env: dict[str, Secret | str] = {}
    """The server's whole environment: values or references to secrets."""
    folder: str | None = None
    """The one folder that the server may write to, relative to the project's `.remit/`."""
    hosts: tuple[str, ...] = ()
    """Hosts the server may speak to; none: no network."""


class HttpConnection(ConnectionBase):
    """An MCP server reached by streamable HTTP."""

    transport: Literal["http"]
    """Spoken over HTTP."""
    url: str = Field(pattern=r"^https?://")
    """Where the server listens."""
    headers: dict[str, Secret | str] = {}
    """Headers of every request: values or references to secrets."""


class LocalConnection(ConnectionBase):
    """Tools that live in the process of a governed agent: nobody else can call them."""

    transport: Literal["local"]
    """Functions of the agent's own code; see docs/how-to/govern-your-own-agent.md."""


Connection = Annotated[StdioConnection | HttpConnection | LocalConnection, Field(discriminator="transport")]


class ToolDefinition(Declared):
    """A tool as a server described it when it was pinned. Agents see this, never the live definition."""

    name: str
    """The tool's name, without the connection's."""
    description: str = ""
    """The server's own words; models read them."""
    input_schema: dict[str, Any]
    """JSON Schema of the arguments."""
    output_schema: dict[str, Any] | None = None
    """JSON Schema of the answer, where the server gives one."""
    digest: str = ""
    """SHA-256 over name, description and schemas; a server that answers with another is refused until re-pinned."""


class ToolPins(Declared):
    """`tools.lock.json`: connection to tool name to definition, written by `remit connections pin`."""

    version: Literal[1] = 1
    """Of this file's form."""
    connections: dict[Name, dict[str, ToolDefinition]] = {}
    """Connection to tool name to definition."""
