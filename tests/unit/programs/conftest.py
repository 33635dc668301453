"""A warm host for programs, a stand-in for the road, and the ledger's rows of what was asked."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from remit.runtime.programs import ProgramHost, ProgramSource, RecordedCall, Reply, TurnSeed, describe

TURN = TurnSeed("turn-1", datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), "seed-1")


async def refuse_all(request):
    raise AssertionError(f"nothing may be executed, yet {request} was asked")


def answering(*values):
    """A handler that answers in the order of asking and keeps what it was asked."""
    asked = []

    async def handler(request):
        asked.append(request)
        value = values[request.ordinal - 1] if request.ordinal <= len(values) else None
        return value if isinstance(value, Reply) else Reply("ok", value)

    return handler, asked


def rows(asked, *values):
    """The ledger's rows of what was asked, settled with these values; `...` leaves one open."""
    return [
        RecordedCall(
            request.ordinal,
            request.op,
            None if value is ... else Reply("ok", value),
            request.delivered,
            request.digest,
            describe(request.op, request.payload),
        )
        for request, value in zip(asked, values, strict=True)
    ]


@dataclass
class Bench:
    """A loop with a warm host on it, and the shortest way to run a program there."""

    runner: asyncio.Runner
    host: ProgramHost
    turn: TurnSeed = TURN
    answering = staticmethod(answering)
    rows = staticmethod(rows)
    refuse_all = staticmethod(refuse_all)

    def run(self, source, given=None, *, recorded=(), handler=None, turn=TURN, tail=(), files=None):
        program = ProgramSource("desk", "digest", {"program.py": source.encode(), **(files or {})})
        return self.runner.run(self.host.run(program, turn, given, list(recorded), handler or refuse_all, tail=tail))


@pytest.fixture(scope="module")
def bench():
    with asyncio.Runner() as runner:
        host = ProgramHost("auto", memory_mb=256, cpu_seconds=20)
        runner.run(host.start())
        yield Bench(runner, host)
        runner.run(host.close())
