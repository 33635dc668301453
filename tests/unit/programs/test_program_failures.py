"""What a program may import, and how its owner is told what went wrong in it."""

from datetime import datetime

import pytest

from remit.errors import InvalidInput
from remit.runtime.programs import ProgramFailed, ProgramSource, TurnSeed


def test_two_children_share_no_globals(bench):
    source = """
import json
import rules
async def run(session):
    json.leak = getattr(json, "leak", 0) + 1
    rules.count += 1
    return [json.leak, rules.count]
"""
    files = {"rules.py": b"count = 0\n"}
    assert [bench.run(source, files=files).output for _ in range(2)] == [[1, 1], [1, 1]]


def test_the_agents_own_modules_and_files_are_importable(bench):
    source = """
import pkgutil
import lib.rules
from lib.rules import limit
async def run(session):
    return [limit, lib.rules.__file__, pkgutil.get_data("lib.rules", "table.csv").decode()]
"""
    files = {"lib/__init__.py": b"", "lib/rules.py": b"limit = 100\n", "lib/table.csv": b"a;b"}
    assert bench.run(source, files=files).output == [100, "agents/desk/lib/rules.py", "a;b"]


@pytest.mark.parametrize(
    ("source", "words", "line"),
    [
        ("async def run(session):\n    x = 1\n    return x / 0\n", "division by zero", 3),
        ("def broken(:\n", "invalid syntax", 1),
        ("x = 1\n", "no `async def run", 0),
        ("def run(session):\n    return 1\n", "not async", 0),
        ("import numpy\nasync def run(session): pass\n", "standard library", 1),
        ("import remit\nasync def run(session): pass\n", "no module 'remit'", 1),
        ("import sys\nasync def run(session):\n    sys.exit(2)\n", "sys.exit", 3),
        ("async def run(session):\n    return {1, 2}\n", "set is not JSON", 0),
        ("async def run(session):\n    return 'x' * 5_000_000\n", "at most 4,194,304", 0),
        ("async def run(session):\n    await session.call('a.b', x=object())\n", "a.b cannot be sent", 2),
        ("async def run(session):\n    await session.call('a.b', x='y' * 5_000_000)\n", "at most 4,194,304", 2),
        ("async def run(session):\n    await session.call('a.b', x=10**50)\n", "digits", 2),
        ("async def run(session):\n    await session.call('a.b', x=float('nan'))\n", "not a JSON number", 2),
        ("async def run(session):\n    await session.ask('?')\n", "one of schema=, choices=", 2),
        ("import asyncio\nasync def run(session):\n    await asyncio.to_thread(print)\n", "one thread", 3),
        ("import asyncio\nasync def run(session):\n    await asyncio.Future()\n", "nobody will ever do", 0),
        ("import threading\nasync def run(session):\n    threading.Thread(target=print).start()\n", "thread", 3),
        ("async def run(session):\n    def f(n):\n        return f(n + 1)\n    f(0)\n", "recursion", 3),
    ],
)
def test_a_failure_is_told_in_the_programs_own_lines(bench, source, words, line):
    with pytest.raises(ProgramFailed) as caught:
        bench.run(source)
    assert words in caught.value.message
    assert caught.value.line == line
    assert len(caught.value.trace) < 20_000
    assert "remit/" not in caught.value.trace
    assert "asyncio/" not in caught.value.trace
    if line:
        assert f'agents/desk/program.py", line {line}' in caught.value.trace


def test_what_is_printed_is_kept_for_the_owner(bench):
    source = "async def run(session):\n    print('x' * 100_000)\n    print('last')\n"
    printed = bench.run(source).printed
    assert printed.endswith("last\n")
    assert len(printed) <= 64 * 1024
    with pytest.raises(ProgramFailed) as caught:
        bench.run("async def run(session):\n    print('seen')\n    raise ValueError('no')\n")
    assert caught.value.printed == "seen\n"


def test_sources_that_cannot_run_are_refused_before_a_child_is_forked(bench):
    with pytest.raises(ProgramFailed, match="hides a module of the standard library"):
        bench.run("async def run(session): pass\n", files={"queue.py": b""})
    with pytest.raises(ProgramFailed, match="more than 16 MB"):
        bench.run("async def run(session): pass\n", files={"big.csv": bytes(17 * 1024 * 1024)})
    with pytest.raises(ProgramFailed, match=r"no program\.py"):
        bench.runner.run(bench.host.run(ProgramSource("desk", "d", {}), bench.turn, None, [], bench.refuse_all))
    with pytest.raises(InvalidInput, match="time zone"):
        bench.run("", turn=TurnSeed("t", datetime(2026, 1, 1), "s"))  # noqa: DTZ001
