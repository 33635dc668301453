"""The server that `remit init` ships: what it offers is what the shipped lock file pins, and a key writes once."""

from __future__ import annotations

import asyncio
import sys

import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError

from remit.config.init import init_project
from remit.config.loader import load_project
from remit.domain.connections import ToolPins
from remit.governance.signing import generate_key
from remit.runtime.connections.pins import changed_tools, from_wire, render_pins
from remit.runtime.connections.scrub import Scrubber


def test_what_the_templates_server_offers_is_pinned(tmp_path):
    folder = tmp_path / "p"
    init_project(folder, make_key=generate_key)
    data = tmp_path / "data"
    data.mkdir()

    async def talk():
        transport = StdioTransport(sys.executable, [str(folder / "servers" / "notes.py")], cwd=str(data))
        async with Client(transport) as client:
            offered = [t.model_dump(by_alias=True, exclude_none=True, mode="json") for t in await client.list_tools()]
            note = {"text": "a", "importance": 1, "idempotency_key": "k"}
            answers = [(await client.call_tool("write", note)).structured_content for _ in range(2)]
            with pytest.raises(ToolError, match="used for another note"):
                await client.call_tool("write", note | {"text": "b"})
            listed = (await client.call_tool("list", {})).structured_content
        return offered, answers, listed

    offered, answers, listed = asyncio.run(talk())
    definitions = {d.name: d for d in (from_wire(raw, Scrubber()) for raw in offered) if d is not None}
    pins = load_project(folder).pins
    assert changed_tools(pins, {"notes": definitions}) == []
    assert (folder / "tools.lock.json").read_text() == render_pins(ToolPins(connections={"notes": definitions}))
    assert answers[0] == answers[1] == {"number": 1, "text": "a", "importance": 1}
    assert listed == {"notes": [answers[0]]}
