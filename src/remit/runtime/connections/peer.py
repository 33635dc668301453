"""The few requests of MCP that Remit makes: agree on a version, list the tools, call one."""

from __future__ import annotations

import itertools
from typing import Any

from remit import __version__
from remit.domain.connections import ToolDefinition
from remit.runtime.connections.http import HttpWire
from remit.runtime.connections.messages import METHOD_NOT_FOUND, Reply
from remit.runtime.connections.pins import from_wire
from remit.runtime.connections.scrub import Scrubber
from remit.runtime.connections.wire import Attempt, NotSentError, RefusedError, Wire

# The protocol's own names, written out because its package takes a second and more to import; a test compares them.
HANDSHAKE_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_VERSION = "2026-07-28"
"""The revision without a handshake: each request says who asks, in which version."""
META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CLIENT = "io.modelcontextprotocol/clientInfo"
META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
UNSUPPORTED_VERSION = -32022

_MOST_PAGES = 100
_MOST_TOOLS = 2_000
_CLIENT = {"name": "remit", "version": __version__}


class Peer:
    """A server that was greeted. Raises what its wire raises; an answer that is an error here is a NotSentError."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._ids = itertools.count(1)
        self._envelope: dict[str, Any] | None = None

    async def greet(self, seconds: float) -> None:
        """Agree on a protocol version. No capability is offered, so that a server has nothing to ask for."""
        hello = {"protocolVersion": HANDSHAKE_VERSIONS[-1], "capabilities": {}, "clientInfo": _CLIENT}
        try:
            reply = await self._ask("initialize", hello, seconds)
        except RefusedError as error:
            raise NotSentError("not_connected", str(error)) from None
        if reply.kind == "error" and reply.code in (METHOD_NOT_FOUND, UNSUPPORTED_VERSION):
            await self._discover(seconds)
            return
        result = _object(reply, "initialize")
        version = result.get("protocolVersion")
        if version not in HANDSHAKE_VERSIONS:
            raise NotSentError(
                "not_connected", f"the server speaks a version of MCP that is not known: {version!r:.60}"
            )
        self.wire.version = version
        await self.wire.notify("notifications/initialized")

    async def tools(self, seconds: float, scrubber: Scrubber) -> dict[str, ToolDefinition]:
        """Every tool that the server offers and that can be pinned, by name."""
        found: dict[str, ToolDefinition] = {}
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            params = {} if cursor is None else {"cursor": cursor}
            result = _object(await self._ask("tools/list", params, seconds), "tools/list")
            tools = result.get("tools")
            for raw in tools if isinstance(tools, list) else []:
                definition = from_wire(raw, scrubber)
                if definition is not None:
                    found[definition.name] = definition
            following = result.get("nextCursor")
            if not isinstance(following, str) or not following or len(found) > _MOST_TOOLS:
                break
            cursor = following
        return dict(itertools.islice(found.items(), _MOST_TOOLS))

    async def call(
        self,
        tool: str,
        arguments: dict[str, Any],
        meta: dict[str, str] | None,
        attempt: Attempt,
        seconds: float,
    ) -> Reply:
        """Call a tool once."""
        params: dict[str, Any] = {"name": tool, "arguments": arguments}
        if meta:
            params["_meta"] = dict(meta)
        return await self._ask("tools/call", params, seconds, attempt)

    async def ping(self, seconds: float) -> bool:
        """True if the server answers anything at all in time."""
        try:
            await self._ask("ping", {}, seconds)
        except Exception:  # noqa: BLE001 - whatever went wrong, it did not answer
            return False
        return True

    async def _discover(self, seconds: float) -> None:
        """Servers of the revision without a handshake name their versions; each request then carries ours."""
        self.wire.version = MODERN_VERSION
        if isinstance(self.wire, HttpWire):
            self.wire.modern = True
        self._envelope = {
            META_VERSION: MODERN_VERSION,
            META_CLIENT: _CLIENT,
            META_CAPABILITIES: {},
        }
        result = _object(await self._ask("server/discover", {}, seconds), "server/discover")
        versions = result.get("supportedVersions")
        if not isinstance(versions, list) or MODERN_VERSION not in versions:
            raise NotSentError("not_connected", "the server speaks no version of MCP that is known")

    async def _ask(
        self,
        method: str,
        params: dict[str, Any],
        seconds: float,
        attempt: Attempt | None = None,
    ) -> Reply:
        if self._envelope is not None:
            params = {**params, "_meta": {**params.get("_meta", {}), **self._envelope}}
        return await self.wire.request(next(self._ids), method, params, attempt or Attempt(), seconds)


def _object(reply: Reply, method: str) -> dict[str, Any]:
    if reply.kind == "result" and isinstance(reply.result, dict):
        return reply.result
    said = reply.message[:500] or "something else than an object"
    raise NotSentError("not_connected", f"the server answered {method} with: {said}")
