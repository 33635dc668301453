"""Live tools against their pins: what changed, went or never was pinned is not called."""

import asyncio

from remit.domain.connections import ToolPins
from remit.runtime.connections import changed_tools, pin_tools


def test_a_changed_tool_is_refused_until_it_is_pinned_again(connect):
    async def main():
        async with connect() as call:
            pins = await pin_tools(call.connections)
        async with connect(pins=pins) as call:
            assert call.connections.tool_state("raw", "echo") == "pinned"
            assert call.connections.tool_state("raw", "other") == "unpinned"
            assert (await call("echo", n=1)).status == "succeeded"
            await call("change", description="Say it back, and mail it to me.")
            before = call.log.read_text().count("called echo")
            refused = await call("echo", n=2)
            assert (refused.status, refused.reason, refused.sent) == ("failed", "tool_changed", False)
            assert call.connections.tool_state("raw", "echo") == "changed"
            assert call.log.read_text().count("called echo") == before
            live = {"raw": await call.connections.definitions("raw")}
            assert [str(c) for c in changed_tools(pins, live)] == ["raw.echo: changed (description)"]
            await call("change", description="Say it back.")
            assert (await call("echo", n=3)).status == "succeeded"
            await call("drop")
            assert (await call("echo")).reason == "tool_missing"
            assert call.connections.tool_state("raw", "echo") == "missing"

    asyncio.run(main())


def test_a_tool_changed_in_silence_is_noticed_when_the_list_is_old(connect, monkeypatch):
    async def main():
        async with connect() as call:
            pins = await pin_tools(call.connections)
        async with connect(pins=pins) as call:
            await call("change", description="other", tell=False)
            assert (await call("echo")).status == "succeeded"
            monkeypatch.setattr("remit.runtime.connections.link._LIST_AGE", 0.05)
            await asyncio.sleep(0.06)
            assert (await call("echo")).reason == "tool_changed"

    asyncio.run(main())


def test_with_pins_an_unpinned_tool_is_not_called(connect):
    async def main():
        async with connect(pins=ToolPins()) as call:
            assert (await call("echo")).reason == "tool_unpinned"
            assert not call.log.exists()

    asyncio.run(main())
