"""What code in the sandbox can do, and everything that it cannot."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydantic_monty as monty
import pytest

from remit.errors import ConfigurationError, InvalidInput, IsolationUnavailable
from remit.runtime.builtins import sandbox, sandbox_wall
from remit.runtime.builtins.sandbox import CallRejected, Ran

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


class Tools:
    """The tools behind `call`: they keep what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def __call__(self, name: str, args: dict[str, Any]) -> Any:
        self.asked.append((name, args))
        if name == "refused":
            raise CallRejected("Refused; nothing was done.", "PermissionError")
        return {"tool": name, "args": args}


def run(code: str, tools: Tools | None = None, seed: str = "act_1", **inputs: Any) -> Ran:
    return asyncio.run(sandbox.run(code, inputs, tools or Tools(), seed=seed, now=NOW))


def fails(code: str) -> str:
    """The error with which the code ends."""
    ran = run(code)
    assert ran.error is not None, ran
    assert ran.result is None
    return ran.error


def test_the_last_expression_is_the_result_and_what_is_printed_comes_with_it() -> None:
    assert run("print('a', b)\n[b * 2, {'k': (1, 2)}]", b=1.5) == Ran([3, {"k": [1, 2]}], None, "a 1.5\n", 0)
    assert run("x = 1") == Ran(None, None, "", 0)


@pytest.mark.parametrize(
    "code",
    ["call('a.b', {'x': 1})", "call('a.b', x=1)", "await call('a.b', {'x': 1})", "f = call\nf('a.b', {'x': 1})"],
)
def test_calls_come_in_every_way_in_which_models_write_them(code: str) -> None:
    tools = Tools()
    assert run(code, tools) == Ran({"tool": "a.b", "args": {"x": 1}}, None, "", 1)
    assert tools.asked == [("a.b", {"x": 1})]


def test_a_refusal_can_be_caught_and_named() -> None:
    assert run("try:\n    call('refused')\nexcept PermissionError as e:\n    said = str(e)\nsaid").result == (
        "Refused; nothing was done."
    )
    assert "PermissionError: Refused; nothing was done." in fails("call('refused')")


def test_what_ends_the_turn_ends_the_code_and_no_code_can_hold_it() -> None:
    class Suspended(Exception):
        pass

    async def suspends(_name: str, _args: dict[str, Any]) -> Any:
        raise Suspended

    with pytest.raises(Suspended):
        asyncio.run(
            sandbox.run(
                "try:\n    call('a.b')\nexcept BaseException:\n    pass\nfinally:\n    1",
                {},
                suspends,
                seed="s",
                now=NOW,
            )
        )


def test_it_is_the_same_every_time() -> None:
    code = """
import random, time
from datetime import datetime
time.sleep(1000)
[random.random(), datetime.now().isoformat(), time.time(), list({"b", "a", "c"}), hash("x"), id([])]
"""
    first = run(code)
    assert first.error is None
    assert first == run(code)
    assert first.result[1] == "2026-11-21T09:30:00"
    assert run(code, seed="act_2").result[0] != first.result[0]


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd').read()",
        "from pathlib import Path\nPath('/etc/passwd').read_text()",
        "from pathlib import Path\nlist(Path('/').iterdir())",
        "import os\nos.environ['PATH']",
        "import os\nos.getenv('PATH')",
        "import os\nos.system('id')",
        "import os\nos.listdir('/proc/self')",
        "import subprocess",
        "import socket",
        "import ctypes",
        "import sys\nsys.modules['os'].system('id')",
        "import importlib",
        "__import__('os').system('id')",
        "().__class__.__mro__[1].__subclasses__()",
        "''.__class__.__base__.__subclasses__()",
        "getattr(1, '__cla' + 'ss__')",
        "'{0.__class__.__init__.__globals__}'.format(call)",
        "f'{call.__globals__}'",
        "call.__self__.__dict__",
        "call.__code__",
        "eval('__import__(\"os\")')",
        "exec('import socket')",
        "globals()['__builtins__']",
        "breakpoint()",
        "input()",
        "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    e.__traceback__.tb_frame.f_globals",
        "class A:\n    def __reduce__(self):\n        return (eval, ('1',))\nimport pickle",
    ],
)
def test_there_is_no_way_out(code: str) -> None:
    error = fails(code)
    assert "root:" not in error
    assert not any(f"/{folder}" in error.replace("'/", "") for folder in ("home", "usr", "site-packages"))


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("x = 'a' * 10**9", "MemoryError"),
        ("[0] * 10**10", "MemoryError"),
        ("x = []\nwhile True:\n    x.append('y' * 1000)", "MemoryError"),
        ("2 ** 10**9", "MemoryError"),
        ("'{:999999999}'.format(1)", "MemoryError"),
        ("def f(n):\n    return f(n + 1)\nf(0)", "RecursionError"),
        ("int('9' * 100_000)", "ValueError"),
        ("str(10 ** 100_000)", "ValueError"),
        ("x =", "SyntaxError"),
        ("(" * 5_000, "Error"),
        ("for i in range(10**9):\n    print('hello ' * 100)", "characters were printed"),
        ("'x' * 100_000", "at most 64,000 are taken"),
        ("x = []\nfor i in range(100_000):\n    x = [x]\nx", "nested deeper than 64"),
        ("10 ** 50", "more than 40 digits"),
        ("float('nan')", "not a JSON number"),
        ("b'bytes'", "JSON does not have"),
        ("{(1, 2): 3}", "is not text"),
        ("call('a', {'x': b'1'})", "ValueError"),
        ("call('a', 1)", "TypeError"),
        ("call()", "TypeError"),
        ("for i in range(100):\n    call('a')", "one run may make 50 calls"),
        ("raise Exception('\\x1b[31m\\u202e')", "\\x1b[31m\\u202e"),
    ],
)
def test_what_is_too_much_or_wrong_is_said_in_words(code: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "SECONDS", 1.0)
    error = fails(code)
    assert why in error
    assert len(error) <= 2_001
    assert "\x1b" not in error


def test_an_endless_loop_is_ended_whatever_it_catches_and_the_worker_goes_on_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandbox, "SECONDS", 0.5)
    endless = "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass"

    async def main() -> tuple[Ran, int]:
        ticks = 0
        code = asyncio.create_task(sandbox.run(endless, {}, Tools(), seed="s", now=NOW))
        while not code.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return await code, ticks

    began = time.monotonic()
    ran, ticks = asyncio.run(main())
    assert ran.error is not None
    assert "TimeoutError" in ran.error
    assert time.monotonic() - began < 30
    assert ticks > 10, "the event loop was free"


def test_more_sandboxes_than_places_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "AT_ONCE", 2)
    inside = most = 0

    async def counted(_name: str, _args: dict[str, Any]) -> Any:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.02)
        inside -= 1
        return 1

    async def main() -> list[Ran]:
        return list(await asyncio.gather(*(sandbox.run("call('a')", {}, counted, seed="s", now=NOW) for _ in range(6))))

    assert [ran.result for ran in asyncio.run(main())] == [1] * 6
    assert most == 2


@pytest.mark.parametrize("name", ["call", "not a name", "class", ""])
def test_inputs_are_variables(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be the name of a variable"):
        asyncio.run(sandbox.run("1", {name: 1}, Tools(), seed="s", now=NOW))


def test_a_wall_stands_around_the_interpreter_in_case_it_has_a_hole() -> None:
    program = sandbox_wall.interpreter("auto")

    async def main() -> tuple[Any, str, bytes]:
        async with monty.AsyncMonty(binary_path=program, min_processes=1) as pool, pool.checkout() as session:
            result = await session.feed_run("1 + 1")
            process = Path(f"/proc/{session.worker_pid}")
            return result, (process / "status").read_text(), (process / "environ").read_bytes()

    result, status, environment = asyncio.run(main())
    assert result == 2
    assert "Seccomp:\t2" in status
    assert "NoNewPrivs:\t1" in status
    assert environment == b""


def test_without_a_wall_nothing_runs_unless_it_was_waived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_wall, "landlock_usable", lambda: False)
    with pytest.raises(IsolationUnavailable):
        sandbox_wall.interpreter("auto")
    assert sandbox_wall.interpreter("none").endswith("monty")


def test_an_interpreter_that_does_not_start_is_nobodys_wrong_code(tmp_path: Path) -> None:
    program = tmp_path / "monty"
    program.write_text("#!/bin/sh\nexit 126\n")
    program.chmod(0o700)
    with pytest.raises(ConfigurationError, match="the sandbox cannot be started"):
        asyncio.run(sandbox.run("1", {}, Tools(), seed="s", now=NOW, program=str(program)))
