"""Calls over stdio to real server processes: answers, time-outs, crashes, cancellation, pins."""

import asyncio
import base64
import os
import signal
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from remit.errors import NotFound, ToolFailed
from remit.runtime.connections import ToolAnswer


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def environment_of(pid):
    return Path(f"/proc/{pid}/environ").read_text()


async def eventually(condition, seconds=5.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        await asyncio.sleep(0.02)


def test_a_server_of_the_usual_library(connect):
    async def main():
        async with connect(script="library") as call:
            assert await call("add", a=2, b=3) == ToolAnswer("succeeded", result={"result": 5})
            exact = await call("exact", amount=Decimal("1234567.89"))
            assert exact.result == {"amount": "1234567.89"}
            failed = await call("fail")
            assert (failed.status, failed.sent, failed.reason) == ("failed", True, "tool_error")
            assert "there is no such charge" in failed.error
            wrong = await call("add", a="x")
            assert wrong.status == "failed"
            assert wrong.sent
            missing = await call("nothing")
            assert missing.status == "failed"
            assert "nothing" in missing.error
            for tool in ("sample", "elicit"):
                refused = await call(tool)
                assert (refused.status, refused.reason) == ("failed", "tool_error"), tool
            answers = await asyncio.gather(*(call("slow_echo", number=n) for n in range(50)))
            assert [a.result for a in answers] == [{"number": n} for n in range(50)]
            definitions = await call.connections.definitions("raw")
            assert definitions["add"].description == "Add two numbers."
            assert set(definitions["add"].input_schema["properties"]) == {"a", "b"}
            assert len(definitions["add"].digest) == 64

    asyncio.run(main())


def test_fifty_calls_at_once_share_one_process(connect, project):
    async def main():
        async with connect() as call:
            answers = await asyncio.gather(*(call("work_then", then=f"n{n}", seconds=0.2) for n in range(50)))
            assert [a.result["then"] for a in answers] == [f"n{n}" for n in range(50)]
            assert len(call.log.read_text().splitlines()) == 100

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < 8


def test_numbers_and_text_arrive_as_they_were_judged(connect):
    async def main():
        async with connect() as call:
            whole = {"whole": 10**30, "text": "a\n\u2028\x00é", "none": None, "list": [True, {}]}
            assert (await call("echo", **whole)).result == whole
            await call("echo", money=Decimal("12345678901234567.89"))
            assert b'"arguments":{"money":12345678901234567.89}' in call.log.with_name("last.line").read_bytes()
            line = b'{"jsonrpc":"2.0","id":%ID%,"result":{"structuredContent":{"money":98765432109876543.21}}}'
            answer = await call("bytes", data=base64.b64encode(line).decode())
            assert answer.result == {"money": Decimal("98765432109876543.21")}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('{"a": 1.50}', {"a": Decimal("1.5")}),
        ("[1, 2]", [1, 2]),
        ("plain words", {"text": "plain words"}),
        ('{"a": NaN}', {"text": '{"a": NaN}'}),
        ("", {"text": ""}),
    ],
)
def test_text_results(connect, text, result):
    async def main():
        async with connect() as call:
            assert await call("text", text=text) == ToolAnswer("succeeded", result=result)

    asyncio.run(main())


def test_blocks_that_are_no_text_are_named_and_left_out(connect):
    async def main():
        async with connect() as call:
            answer = await call("blocks")
            image = {"type": "image", "mime": "image/png", "characters": 4, "omitted": True}
            assert answer.result == {"text": "a", "content": [image]}

    asyncio.run(main())


def test_the_idempotency_key_travels_in_meta(connect):
    async def main():
        async with connect() as call:
            answer = await call("meta", meta={"idempotency-key": "act_1"})
            assert answer.result == {"meta": {"idempotency-key": "act_1"}}

    asyncio.run(main())


def test_a_time_out_is_unknown_and_the_server_goes_on(connect):
    async def main():
        async with connect() as call:
            await call("echo")
            pid = call.link().wire.pid
            answer = await call("work_then", then="hang", within=0.3)
            assert (answer.status, answer.reason, answer.sent) == ("unknown", "timeout", True)
            assert (await call("echo", n=1)).result == {"n": 1}
            assert call.link().wire.pid == pid

    asyncio.run(main())


def test_a_server_that_answers_nothing_any_more_is_replaced_and_no_call_is_wasted_on_it(connect):
    async def main():
        async with connect(MODE="frozen") as call:
            await call("echo")
            pid = call.link().wire.pid
            lost = await call("echo", within=0.3, freeze=1)
            assert lost.status in ("unknown", "succeeded")  # it may answer before it freezes
            frozen = await call("echo", within=0.3, n=1)
            if lost.status == "succeeded":
                assert frozen.status == "unknown"
            after = await call("echo", n=2)
            assert after.result == {"n": 2}
            assert call.link().wire.pid != pid
            await eventually(lambda: not alive(pid))

    asyncio.run(main())


def test_dying_after_the_work_is_unknown_and_the_next_call_has_a_new_server(connect):
    async def main():
        async with connect() as call:
            answer = await call("work_then", then="die")
            assert (answer.status, answer.reason, answer.sent) == ("unknown", "connection_lost", True)
            assert "status 3" in answer.error
            assert "worked die" in call.log.read_text()
            assert (await call("echo", n=1)).result == {"n": 1}

    asyncio.run(main())


def test_all_calls_under_way_on_a_server_that_dies_are_unknown(connect):
    async def main():
        async with connect() as call:
            await call("echo")
            under_way = [asyncio.create_task(call("work_then", then="wait", seconds=5)) for _ in range(5)]
            await eventually(lambda: call.log.read_text().count("worked") == 5)
            await call("work_then", then="die")
            answers = await asyncio.gather(*under_way)
            assert {(a.status, a.sent) for a in answers} == {("unknown", True)}

    asyncio.run(main())


def test_a_server_that_cannot_start_fails_fast_with_nothing_sent(connect):
    async def main():
        async with connect(MODE="crash") as call:
            first = await call("echo")
            assert (first.status, first.reason, first.sent) == ("failed", "not_connected", False)
            assert "status 4" in first.error
            answers = [await call("echo") for _ in range(3)]  # the pauses grow beyond what a call waits for
            started = time.monotonic()
            last = await call("echo")
            assert time.monotonic() - started < 1.5
            assert not last.sent
            assert all(not a.sent for a in answers)
            assert "next attempt" in last.error or "status 4" in last.error

    asyncio.run(main())


def test_nothing_is_sent_after_the_deadline(connect):
    async def main():
        async with connect() as call:
            await call("echo")
            before = call.log.read_text()
            for cleared in (0.0, -5.0):
                late = await call("echo", cleared=cleared)
                assert (late.status, late.reason, late.sent) == ("failed", "clearance_expired", False)
                assert "clearance expired" in late.error
            assert call.log.read_text() == before

    asyncio.run(main())


def test_a_pause_between_the_check_for_readiness_and_the_send_is_noticed(connect):
    async def main():
        async with connect() as call:
            await call("echo")
            peer = await call.link().ready(time.monotonic() + 5)
            original = peer.call

            async def paused(*arguments):
                time.sleep(0.2)  # noqa: ASYNC251 - as if the whole process had been stopped here
                return await original(*arguments)

            peer.call = paused
            before = call.log.read_text()
            late = await call("echo", cleared=0.1)
            assert (late.reason, late.sent) == ("clearance_expired", False)
            await asyncio.sleep(0.05)
            assert call.log.read_text() == before

    asyncio.run(main())


def test_a_server_that_does_not_read_gets_nothing_late(connect):
    """A call that waits for room in the pipe is not sent once its caller has been told that it was not."""

    async def main():
        async with connect(MODE="frozen") as call:
            await call("echo")
            await call("echo", freeze=1)
            filling = asyncio.create_task(call("echo", filling="x" * 500_000, within=1.5))
            await asyncio.sleep(0.2)
            waiting = await call("work_then", then="never", cleared=0.3)
            assert (waiting.status, waiting.reason, waiting.sent) == ("failed", "clearance_expired", False)
            given_up = await call("work_then", then="never", within=0.3)
            assert (given_up.status, given_up.reason, given_up.sent) == ("failed", "timeout", False)
            half = await filling
            assert (half.status, half.sent) == ("unknown", True)

    asyncio.run(main())


def test_half_a_message_at_the_deadline_ends_the_line(connect):
    """What the server has of it is no message, and nothing is added after the deadline."""

    async def main():
        async with connect(MODE="frozen") as call:
            await call("echo", freeze=1)
            pid = call.link().wire.pid
            half = await call("echo", filling="x" * 500_000, cleared=0.3)
            assert (half.status, half.reason, half.sent) == ("unknown", "clearance_expired", True)
            assert call.link().wire.closed
            assert (await call("echo", n=1)).result == {"n": 1}
            assert call.link().wire.pid != pid

    asyncio.run(main())


def test_a_cancelled_caller_takes_nothing_down(connect):
    async def main():
        async with connect() as call:
            starting = asyncio.create_task(call("echo"))
            await asyncio.sleep(0.01)
            starting.cancel()  # while the server is being started
            assert (await call("echo", n=1)).result == {"n": 1}
            pid = call.link().wire.pid
            other = asyncio.create_task(call("work_then", then="done", seconds=0.4))
            cancelled = [asyncio.create_task(call("work_then", then="hang")) for _ in range(5)]
            cancelled.append(asyncio.create_task(call("echo", filling="y" * 3_000_000)))
            await asyncio.sleep(0.1)
            for task in cancelled:
                task.cancel()
            await asyncio.gather(*cancelled, return_exceptions=True)
            assert (await other).result == {"then": "done"}
            assert (await call("echo", n=2)).result == {"n": 2}
            assert call.link().wire.pid == pid
            assert call.link().wire.inbox.waiting == {}

    asyncio.run(main())


def test_a_caller_that_is_cancelled_half_way_through_its_message_leaves_a_whole_one(connect):
    async def main():
        async with connect() as call:
            await call("echo")
            pid = call.link().wire.pid
            os.kill(pid, signal.SIGSTOP)
            halfway = asyncio.create_task(call("echo", filling="x" * 500_000))
            await asyncio.sleep(0.1)
            halfway.cancel()
            await asyncio.gather(halfway, return_exceptions=True)
            after = asyncio.create_task(call("echo", n=1))
            await asyncio.sleep(0.05)
            os.kill(pid, signal.SIGCONT)
            assert (await after).result == {"n": 1}
            assert call.link().wire.pid == pid
            assert call.log.read_text().count("called echo") == 3

    asyncio.run(main())


def test_closing_ends_the_server_and_its_children(connect):
    async def main():
        async with connect() as call:
            pids = (await call("child")).result
            assert alive(pids["pid"])
            assert alive(pids["me"])
            waiting = asyncio.create_task(call("work_then", then="hang"))
            await asyncio.sleep(0.1)
            await call.connections.close()
            assert (await waiting).status == "unknown"
            await eventually(lambda: not alive(pids["pid"]) and not alive(pids["me"]))
            assert (await call("echo")).reason == "closed"

    asyncio.run(main())


def test_a_server_of_the_revision_without_a_handshake(connect):
    async def main():
        async with connect(MODE="modern") as call:
            assert (await call("echo", n=1)).result == {"n": 1}
            meta = (await call("meta", meta={"k": "v"})).result["meta"]
            assert meta["k"] == "v"
            assert meta["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"

    asyncio.run(main())


def test_each_person_has_a_process_with_their_own_credential(connect, project):
    async def main():
        secrets = {"file:tokens/ann": "ann-token", "file:tokens/bob": "bob-token"}
        options = {"per_person": True}
        async with connect(secrets=secrets, options=options, MINE="file:tokens/{person}", PLAIN="x") as call:
            nobody = await call("env")
            assert (nobody.reason, nobody.sent) == ("person_needed", False)
            ann, bob = await call("env", person="ann"), await call("env", person="bob")
            assert ann.result["MINE"] == bob.result["MINE"] == "[secret]"
            assert ann.result["HOME"] != bob.result["HOME"]
            links = call.connections._links
            assert links["raw", "ann"].wire.pid != links["raw", "bob"].wire.pid
            environment = environment_of(links["raw", "ann"].wire.pid)
            assert "ann-token" in environment
            assert "bob" not in environment
            escaped = await call("env", person="../ann")
            assert not escaped.sent

    asyncio.run(main())


def test_unknown_connections(connect):
    async def main():
        async with connect(MODE="crash") as call:
            answer = await call.connections.call(
                "other", "x", {}, meta=None, timeout=timedelta(seconds=1), deadline=None
            )
            assert (answer.reason, answer.sent) == ("unknown_connection", False)
            with pytest.raises(NotFound):
                await call.connections.definitions("other")
            with pytest.raises(ToolFailed, match="status 4"):
                await call.connections.definitions("raw")
            assert "raw" in await call.connections.warm()

    asyncio.run(main())
