"""Servers that are broken or mean: nothing hangs, nothing grows, and what is known stays known."""

import asyncio
import base64
import resource
import time

import pytest


def encoded(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def answered(result):
    return encoded(b'{"jsonrpc":"2.0","id":%ID%,"result":' + result + b"}")


UNSTORABLE = {
    "invalid UTF-8": answered(b'{"content":[{"type":"text","text":"\xff\xfe"}]}'),
    "NaN": answered(b'{"structuredContent":{"a":NaN}}'),
    "infinity": answered(b'{"structuredContent":{"a":-Infinity}}'),
    "a huge exponent": answered(b'{"structuredContent":{"a":1e400000}}'),
    "a huge number": answered(b'{"structuredContent":{"a":' + b"9" * 5000 + b"}}"),
    "deep nesting": answered(b'{"structuredContent":{"a":' + b"[" * 200 + b"]" * 200 + b"}}"),
    "very deep nesting": answered(b'{"structuredContent":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"),
    "not even JSON": answered(b'{"structuredContent":{"a":}}'),
    "no object": answered(b"[1,2,3]"),
    "null": answered(b"null"),
    "the id at the end": encoded(b'{"result":{"structuredContent":{"a":nope}},"id":%ID%,"jsonrpc":"2.0"}'),
}


@pytest.mark.parametrize("case", UNSTORABLE)
def test_an_answer_that_cannot_be_kept_is_still_a_success(connect, case):
    async def main():
        async with connect() as call:
            answer = await call("bytes", data=UNSTORABLE[case])
            assert (answer.status, answer.sent, answer.error) == ("succeeded", True, None)
            assert answer.result["result_unstorable"] is True
            assert answer.result["why"]
            assert (await call("echo", n=1)).result == {"n": 1}

    asyncio.run(main())


KNOWN = {
    "bogus structured content": (answered(b'{"structuredContent":"x","content":[{"type":"text","text":"t"}]}'), "t"),
    "bogus content": (answered(b'{"content":"x"}'), ""),
    "bogus blocks": (answered(b'{"content":[1,null,{"type":[]},{"type":"text","text":{}}]}'), ""),
    "a lone surrogate": (answered(b'{"content":[{"type":"text","text":"\\ud800"}]}'), "\ud800"),
    "the id as text": (encoded(b'{"jsonrpc":"2.0","id":"%ID%","result":{"content":[]}}'), ""),
}


@pytest.mark.parametrize("case", KNOWN)
def test_bogus_content_is_read_as_far_as_it_goes(connect, case):
    async def main():
        async with connect() as call:
            data, text = KNOWN[case]
            answer = await call("bytes", data=data)
            assert answer.status == "succeeded"
            assert answer.result["text"] == text

    asyncio.run(main())


FAILED = {
    "error without words": b'{"jsonrpc":"2.0","id":%ID%,"error":7}',
    "error with odd words": b'{"jsonrpc":"2.0","id":%ID%,"error":{"code":"x","message":{"a":1}}}',
    "error that is no JSON": b'{"jsonrpc":"2.0","id":%ID%,"error":{"code":}}',
    "failed tool, unreadable": b'{"jsonrpc":"2.0","id":%ID%,"result":{"structuredContent":{"a":nope},"isError":true}}',
    "endless words": b'{"jsonrpc":"2.0","id":%ID%,"error":{"code":1,"message":"' + b"w" * 900_000 + b'"}}',
    "asks for input": b'{"jsonrpc":"2.0","id":%ID%,"result":{"resultType":"input_required","inputRequests":{}}}',
}


@pytest.mark.parametrize("case", FAILED)
def test_a_failure_stays_a_failure_however_it_is_told(connect, case):
    async def main():
        async with connect() as call:
            answer = await call("bytes", data=encoded(FAILED[case]))
            assert (answer.status, answer.sent) == ("failed", True)
            assert 0 < len(answer.error) < 4100

    asyncio.run(main())


def test_an_answer_with_neither_result_nor_error_is_unknown(connect):
    async def main():
        async with connect() as call:
            answer = await call("bytes", data=encoded(b'{"jsonrpc":"2.0","id":%ID%}'))
            assert (answer.status, answer.sent) == ("unknown", True)

    asyncio.run(main())


def test_answers_to_nobody_are_passed_over(connect):
    async def main():
        async with connect() as call:
            noise = [
                b'{"id":%ID%99,"result":{}}',
                b'{"id":null,"result":{}}',
                b'{"id":true,"result":{}}',
                b"\x00",
                b"[]",
            ]
            own = b'{"id":%ID%,"result":{"content":[]}}'
            answer = await call("bytes", data=encoded(b"\n".join([*noise, b"", own, own])))
            assert answer.result == {"text": ""}
            assert (await call("echo", n=1)).result == {"n": 1}

    asyncio.run(main())


def test_a_result_over_the_limit_is_cut_and_says_so(connect):
    async def main():
        async with connect(options={"max_result_bytes": 2000}) as call:
            text = await call("text", text='é"' * 3000)
            assert (text.status, text.truncated) == ("succeeded", True)
            assert text.result["truncated"] is True
            assert text.result["bytes"] > 9000
            assert text.result["text"].startswith('é"é"')
            structured = await call("echo", rows=[{"n": n} for n in range(1000)])
            assert structured.truncated
            assert structured.result["text"].startswith('{"rows":[{"n":0},{"n":1}')
            assert len(structured.result["text"]) > 1000
            assert not (await call("echo", n=1)).truncated

    asyncio.run(main())


def test_fifty_megabytes_are_neither_held_nor_lost(connect):
    async def main():
        async with connect() as call:
            await call("echo")
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            answer = await call("big", megabytes=50)
            assert (answer.status, answer.sent) == ("succeeded", True)
            assert answer.result["result_unstorable"] is True
            assert "50,000," in answer.result["why"]
            failed = await call("big", megabytes=50, error=True)
            assert (failed.status, failed.sent) == ("failed", True)
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # kilobytes
            assert (await call("echo", n=1)).result == {"n": 1}

    asyncio.run(main())


def test_a_flood_of_notifications_ends_the_server_not_the_worker(connect):
    async def main():
        async with connect() as call:
            some = await call("flood", lines=2000)
            assert some.result == {"flooded": 2000}
            started = time.monotonic()
            much = await call("flood", lines=5_000_000)
            assert (much.status, much.reason) == ("unknown", "connection_lost")
            assert "flood" in much.error
            assert time.monotonic() - started < 5
            assert (await call("echo", n=1)).result == {"n": 1}

    asyncio.run(main())


def test_one_line_without_end_is_cut_off(connect, monkeypatch):
    monkeypatch.setattr("remit.runtime.connections.stdio._LONGEST_LINE", 20_000_000)

    async def main():
        async with connect() as call:
            answer = await call("endless")
            assert (answer.status, answer.reason) == ("unknown", "connection_lost")
            assert "without end" in answer.error

    asyncio.run(main())


@pytest.mark.parametrize("mode", ["mute", "wrong_ids", "flood"])
def test_a_server_that_never_introduces_itself(connect, mode, monkeypatch):
    monkeypatch.setattr("remit.runtime.connections.link.GREETING_SECONDS", 0.6)

    async def main():
        async with connect(MODE=mode) as call:
            started = time.monotonic()
            answer = await call("echo")
            assert (answer.status, answer.reason, answer.sent) == ("failed", "not_connected", False)
            assert time.monotonic() - started < 4
            impatient = await call("echo", within=0.2)
            assert not impatient.sent

    asyncio.run(main())


def test_garbage_before_the_first_message_is_passed_over(connect):
    async def main():
        async with connect(MODE="garbage") as call:
            assert (await call("echo", n=1)).result == {"n": 1}

    asyncio.run(main())


@pytest.mark.parametrize("method", ["sampling/createMessage", "elicitation/create", "roots/list", "tools/call", "x"])
def test_requests_of_servers_are_refused(connect, method):
    async def main():
        async with connect() as call:
            answer = await call("ask", method=method)
            assert answer.result["answer"]["code"] == -32601

    asyncio.run(main())


def test_a_ping_is_answered(connect):
    async def main():
        async with connect() as call:
            assert (await call("ask", method="ping")).result == {"answer": {}}

    asyncio.run(main())


def test_secrets_are_taken_out_of_everything(connect, project, caplog):
    token = 'tok-"5e\n9f+/3a7c'

    async def main():
        async with connect(TOKEN="env:PAYMENTS", secrets={"env:PAYMENTS": token}) as call:
            answer = await call("secret")
            assert answer.result == {"[secret]": ["[secret]", "Bearer [secret]!", "[secret]"], "number": 5}
            failed = await call("secret_error")
            assert failed.error == "login with [secret] failed"
            assert "5e" not in failed.error
            assert "5e" not in repr(call.connections) + repr(call.link()) + repr(call.link().scrubber)
            await call("change", description=f"use {token}")
            definitions = await call.connections.definitions("raw")
            assert definitions["echo"].description == "use [secret]"
            died = await call("work_then", then="die")
            assert died.status == "unknown"

    asyncio.run(main())
    log = (project / ".remit" / "logs" / "connections" / "raw.log").read_text()
    assert "here it is" in log
    assert "9f+/3a7c" not in log
    assert "9f+/3a7c" not in caplog.text


def test_the_log_of_a_talkative_server_stays_small(connect, project, monkeypatch):
    monkeypatch.setattr("remit.runtime.connections.stdio._LOG_BYTES", 5000)

    async def main():
        async with connect(TOKEN="env:T", secrets={"env:T": "x" * 200}) as call:
            await asyncio.gather(*(call("secret") for _ in range(400)))

    asyncio.run(main())
    logs = sorted((project / ".remit" / "logs" / "connections").iterdir())
    assert [log.name for log in logs] == ["raw.log", "raw.log.1"]
    assert all(log.stat().st_size <= 5000 for log in logs)
    assert logs[0].stat().st_mode & 0o077 == 0
