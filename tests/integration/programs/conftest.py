"""Hosts for hostile programs, and the processes that they leave or do not leave."""

import asyncio
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from remit.runtime.programs import ProgramHost, ProgramSource, Reply, TurnSeed

TURN = TurnSeed("turn-1", datetime(2026, 3, 4, tzinfo=UTC), "seed")


async def nothing(request):
    return Reply("ok", {"ordinal": request.ordinal})


def source(text, **files):
    return ProgramSource("desk", "digest", {"program.py": text.encode()} | files)


@contextmanager
def hosting(wall="auto", *, memory_mb=128, cpu_seconds=5, **options):
    with asyncio.Runner() as runner:
        host = ProgramHost(wall, memory_mb, cpu_seconds, **options)
        runner.run(host.start())
        try:
            yield lambda text, given=None, handler=nothing: runner.run(host.run(source(text), TURN, given, [], handler))
        finally:
            runner.run(host.close())


def children_of(pid):
    """All descendants."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            if parent == pid:
                found += [int(entry.name), *children_of(int(entry.name))]
    return found


@pytest.fixture(scope="session")
def yard():
    return SimpleNamespace(hosting=hosting, source=source, nothing=nothing, children_of=children_of, turn=TURN)
