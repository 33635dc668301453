"""Programs that attack their pipe, die, loop, stall or lose their worker: each ends in a sentence, harmlessly."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from remit.runtime.isolation import landlock
from remit.runtime.programs import ProgramFailed, ProgramHost, ProgramHostLost, Reply
from remit.runtime.road import TurnSuspendedError

HOSTILE = """
import os, json
def send(body, size=None):
    data = (len(body) if size is None else size).to_bytes(4, "big") + body
    while data:
        data = data[os.write(0, data):]
def say(**frame):
    send(json.dumps(frame).encode())
async def run(session):
    %s
    while True:
        os.read(0, 1)
"""


@pytest.mark.parametrize(
    "attack",
    [
        "os.write(0, bytes(range(256)) * 100)",
        "send(b'', 1_000_000_000)",
        "send(b'', 2**32 - 1)",
        "send(b'not json')",
        "send(b'[' * 100_000)",
        "send(b'{\"k\": NaN}')",
        "say(k='zzz')",
        "say(k='r', o=5, op='call', d=[], p={})",
        "say(k='r', o=1, op='erase', d=[], p={})",
        "say(k='r', o=1, op='call', d=[], p={'action': 5, 'args': {}, 'reason': ''})",
        "say(k='r', o=1, op='call', d=[], p={'action': 'a.b', 'args': {}, 'reason': '', 'more': 1})",
        "say(k='r', o=1, op='emit', d=[], p={'name': 'x', 'value': 1, 'reasons': [5]})",
        "say(k='r', o=1, op='model', d=[], p={'model': 'm', 'prompt': '', 'schema': None, 'max_output_tokens': -1})",
        "say(k='q', d=[1], n=0)",
        "say(k='q', d=[[1]], n=0)",
        "say(k='q', d=['1'], n=0)",
        "say(k='x', o=9)",
        "say(k='d', v=1, d=[3], out='')",
        "say(k='f')",
        "[say(k='r', o=n, op='call', d=[], p={'action': 'a', 'args': {}, 'reason': ''}) for n in range(1, 10_100)]",
    ],
)
def test_garbage_on_the_pipe_ends_in_a_clear_failure(hostile_host, attack):
    with pytest.raises(ProgramFailed) as caught:
        hostile_host(HOSTILE % attack)
    assert caught.value.message.startswith("the program")
    assert hostile_host("async def run(session): return 'unharmed'").output == "unharmed"


@pytest.fixture(scope="module")
def hostile_host(yard):
    with yard.hosting("auto", stall_seconds=3) as run:
        yield run


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import os\nasync def run(session): os._exit(3)", r"ended its own process \(status 3\)"),
        ("import os\nasync def run(session): os.close(0); os._exit(0)", "ended its own process"),
        ("import os\nasync def run(session):\n    os.close(0)\n    while True: pass", "closed its own pipe"),
        ("import os\nasync def run(session): os.abort()", "crashed"),
        ("import time\nasync def run(session): time.sleep.__globals__['ctypes'].string_at(0)", "crashed"),
        ("async def run(session):\n    x = [bytearray(50_000_000) for _ in range(100)]", "memory"),
        ("async def run(session):\n    x = []\n    while True: x.append([x] * 10_000)", "memory"),
        (
            "import sys\nsys.setrecursionlimit(10**9)\nasync def run(session):\n    f = lambda: f()\n    f()",
            "the program",
        ),
    ],
)
def test_a_child_that_dies_says_why(hostile_host, text, words):
    with pytest.raises(ProgramFailed, match=words):
        hostile_host(text)


LOOPS = {
    "plain": "async def run(session):\n    while True: pass",
    "catching": "import signal\nasync def run(session):\n    signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
    "    while True: pass",
    "yielding": "import asyncio\nasync def run(session):\n    while True: await asyncio.sleep(0)",
}


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS)
def test_an_endless_loop_ends_and_leaves_other_turns_alone(yard, text):
    with asyncio.Runner() as runner:
        host = ProgramHost("auto", memory_mb=128, cpu_seconds=1)

        async def both():
            looping = asyncio.create_task(host.run(yard.source(text), yard.turn, None, [], yard.nothing))
            others = [
                await host.run(
                    yard.source("async def run(session): return await session.call('a.b')"),
                    yard.turn,
                    n,
                    [],
                    yard.nothing,
                )
                for n in range(3)
            ]
            with pytest.raises(ProgramFailed, match="more than 1 seconds of processor time"):
                await looping
            return others

        assert len(runner.run(both())) == 3
        runner.run(host.close())


def test_a_child_that_stalls_is_ended(yard):
    blocked = "import os\nasync def run(session):\n    os.read(0, 1)"
    with (
        yard.hosting("auto", stall_seconds=0.3) as run,
        pytest.raises(ProgramFailed, match="neither asked for anything"),
    ):
        run(blocked)


def test_a_child_that_waits_for_a_result_is_not_stalled(yard):
    async def slow(request):
        await asyncio.sleep(0.6)
        return Reply("ok", "late")

    with yard.hosting("auto", stall_seconds=0.3) as run:
        assert run("async def run(session): return await session.call('a.b')", handler=slow).output == "late"


def test_suspension_leaves_no_process_behind(yard):
    async def suspend(request):
        raise TurnSuspendedError

    with asyncio.Runner() as runner:
        host = ProgramHost("auto", memory_mb=128, cpu_seconds=5)
        without = set(yard.children_of(os.getpid()))
        runner.run(host.start())
        before = set(yard.children_of(os.getpid()))
        asking = "async def run(session): await session.ask('?', choices=[1])"
        for _ in range(5):
            with pytest.raises(TurnSuspendedError):
                runner.run(host.run(yard.source(asking), yard.turn, None, [], suspend))
        assert set(yard.children_of(os.getpid())) == before
        runner.run(host.close())
        assert set(yard.children_of(os.getpid())) == without


def test_a_cancelled_run_kills_its_child(yard):
    with asyncio.Runner() as runner:
        host = ProgramHost("auto", memory_mb=128, cpu_seconds=20)

        async def cancel():
            await host.start()
            before = set(yard.children_of(os.getpid()))
            running = asyncio.create_task(host.run(yard.source(LOOPS["plain"]), yard.turn, None, [], yard.nothing))
            await asyncio.sleep(0.1)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            return set(yard.children_of(os.getpid())) == before

        assert runner.run(cancel())
        runner.run(host.close())


def test_a_zygote_that_is_killed_loses_the_run_and_is_replaced(yard):
    with asyncio.Runner() as runner:
        host = ProgramHost("landlock" if landlock.abi() else "auto", memory_mb=128, cpu_seconds=20)

        async def lose():
            await host.start()
            asked = asyncio.Event()

            async def hang(request):
                asked.set()
                await asyncio.sleep(0.3)
                return Reply("ok")

            calling = "async def run(session): return await session.call('a.b')"
            running = asyncio.create_task(host.run(yard.source(calling), yard.turn, None, [], hang))
            await asked.wait()
            children = host._forks._started.process.pid
            os.kill(children, 9)
            with pytest.raises(ProgramHostLost):
                await running
            return await host.run(yard.source(calling), yard.turn, None, [], yard.nothing)

        assert runner.run(lose()).output == {"ordinal": 1}
        runner.run(host.close())


def test_children_die_with_a_killed_worker(yard):
    worker = """
import asyncio, sys
from datetime import UTC, datetime
from remit.runtime.programs import ProgramHost, ProgramSource, TurnSeed
async def main():
    host = ProgramHost("auto", 128, 60)
    await host.start()
    print("ready", flush=True)
    loop = ProgramSource("desk", "d", {"program.py": b"async def run(session):\\n    while True: pass"})
    await host.run(loop, TurnSeed("t", datetime.now(UTC), "s"), None, [], None)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", worker], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        until(lambda: len(yard.children_of(process.pid)) >= 2)
        family = yard.children_of(process.pid)
        process.kill()
        process.wait()
    until(lambda: not any(alive(pid) for pid in family))


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to pass within five seconds")


def test_many_turns_at_once(yard):
    with asyncio.Runner() as runner:
        host = ProgramHost("auto", memory_mb=128, cpu_seconds=20)
        text = "async def run(session):\n    return [session.input, (await session.call('a.b', n=session.input))]"

        async def many():
            await host.start()

            async def answer(request):
                await asyncio.sleep(0.01)
                return Reply("ok", request.payload["args"]["n"])

            return await asyncio.gather(*(host.run(yard.source(text), yard.turn, n, [], answer) for n in range(60)))

        assert [o.output for o in runner.run(many())] == [[n, n] for n in range(60)]
        runner.run(host.close())
