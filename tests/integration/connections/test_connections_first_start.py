"""Waiting for a server before a call is let through: for its first start alone, and for nobody's own."""

import asyncio
import os
import signal

from tests.integration.connections.test_connections import eventually


def test_a_first_start_is_waited_for_so_that_a_short_clearance_is_enough(connect):
    async def main():
        async with connect(MODE="slow") as call:
            late = await call("echo", cleared=0.3)
            assert (late.reason, late.sent) == ("clearance_expired", False)
            await call.connections.get_ready("raw")
            assert (await call("echo", cleared=0.3)).status == "succeeded"

    asyncio.run(main())


def test_only_a_first_start_is_waited_for(connect):
    async def main():
        async with connect(MODE="crash") as call:
            await call.connections.get_ready("raw")
            assert not call.link().first_start
            failures = call.link()._failures
            await call.connections.get_ready("raw")
            assert call.link()._failures == failures == 1
        async with connect() as call:
            assert (await call("echo")).status == "succeeded"
            os.kill(call.link().wire.pid, signal.SIGKILL)
            await eventually(lambda: not call.link().open)
            await call.connections.get_ready("raw")
            assert not call.link().open

    asyncio.run(main())


def test_no_line_of_a_person_is_opened_before_a_call(connect):
    async def main():
        secrets = {"file:tokens/ann": "ann-token"}
        async with connect(secrets=secrets, options={"per_person": True}, MINE="file:tokens/{person}") as call:
            await call.connections.get_ready("raw")
            assert not call.connections._links

    asyncio.run(main())
