"""Time and chance in a program are the turn's own."""

import asyncio
import time
from datetime import timedelta

import pytest

from remit.runtime.programs import Reply, TurnSeed

PLAIN = """
import asyncio, datetime, os, random, secrets, time, uuid
from datetime import date, datetime as moment
from zoneinfo import ZoneInfo
async def run(session):
    before = session.now()
    await asyncio.sleep(3600)
    time.sleep(60)
    spins = 0
    end = time.monotonic() + 0.01
    while time.monotonic() < end:
        spins += 1
    return {
        "slept": (session.now() - before).total_seconds() >= 3660,
        "start": before.isoformat(),
        "clocks": [time.time(), time.time_ns(), time.monotonic(), time.perf_counter(), time.strftime("%c")],
        "dates": [moment.now().isoformat(), str(date.today()), datetime.datetime.utcnow().isoformat(),
                  moment.now(ZoneInfo("Europe/Berlin")).isoformat(), str(datetime.datetime.today())],
        "chance": [random.random(), random.Random().random(), random.SystemRandom().random(), secrets.token_hex(),
                   os.urandom(4).hex(), str(uuid.uuid1()), str(uuid.uuid4()), session.random.random(),
                   str(session.uuid4())],
        "hashes": [hash("text"), list({"a", "b", "c", "d", "e"})],
        "pid": os.getpid(), "spins": spins, "kind": type(moment.now()) is moment,
    }
"""


@pytest.mark.filterwarnings("ignore")
def test_plain_python_gets_its_time_and_chance_from_the_turn(bench):
    began = time.monotonic()
    one, two = bench.run(PLAIN).output, bench.run(PLAIN).output
    assert time.monotonic() - began < 20
    assert one == two
    assert one["slept"] is True
    assert one["kind"] is True
    assert one["start"] == "2026-03-04T05:06:07+00:00"
    assert one["dates"][3].startswith("2026-03-04T07:07:07")  # an hour and a minute later, in Berlin
    other = bench.run(PLAIN, turn=TurnSeed("turn-2", bench.turn.started_at, "seed-2")).output
    assert other["clocks"] == one["clocks"]
    assert not set(map(str, other["chance"])) & set(map(str, one["chance"]))


def test_the_clock_follows_the_recorded_times_of_results(bench):
    source = """
async def run(session):
    await session.ask("When?", choices=[1])
    return session.now().isoformat()
"""
    later = bench.turn.started_at + timedelta(days=7, microseconds=5)
    handler, _ = bench.answering(Reply("ok", 1, at=later))
    assert bench.run(source, handler=handler).output == later.isoformat()
    earlier, _ = bench.answering(Reply("ok", 1, at=bench.turn.started_at - timedelta(days=1)))
    assert bench.run(source, handler=earlier).output >= bench.turn.started_at.isoformat()


def test_timers_wait_while_a_call_is_on_its_way(bench):
    source = """
import asyncio
async def run(session):
    return await asyncio.wait_for(session.call("slow.tool"), timeout=0.001)
"""

    async def slow(request):
        await asyncio.sleep(0.1)
        return Reply("ok", "in time")

    assert bench.run(source, handler=slow).output == "in time"
