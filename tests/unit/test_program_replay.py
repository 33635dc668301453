"""A program that is run again from its top asks the same things in the same order, whatever happened in between."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remit.domain.decisions import Reason
from remit.errors import InvalidInput, ProgramDiverged
from remit.runtime.programs import (
    ProgramFailed,
    ProgramHost,
    ProgramSource,
    RecordedCall,
    Reply,
    Request,
    TurnSeed,
    describe,
    request_digest,
)
from remit.runtime.programs.calls import delivery_order
from remit.runtime.road import TurnSuspendedError

TURN = TurnSeed("turn-1", datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), "seed-1")


@dataclass
class Bench:
    """A loop with a warm host on it, for all tests of this module."""

    runner: asyncio.Runner
    host: ProgramHost

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


SEQUENTIAL = """
async def run(session):
    found = await session.call("crm.search", name=session.input["name"], reason_="to know who asks")
    answer = await session.ask("Pay?", choices=["yes", "no"], to="role:lead", context=found, confidence=0.5)
    text = await session.model("scripted:small", prompt="write", max_output_tokens=50)
    await session.emit("row", {"paid": answer}, reasons=["because", {"code": "c", "text": "t"}])
    return {"found": found, "answer": answer, "text": text}
"""


def test_requests_arrive_with_their_payload_and_results_reach_the_program(bench):
    handler, asked = answering({"id": 7, "sum": 12.50}, "yes", "hello", None)
    outcome = bench.run(SEQUENTIAL, {"name": "Ada"}, handler=handler)
    assert [(r.ordinal, r.op, r.delivered) for r in asked] == [
        (1, "call", ()),
        (2, "ask", (1,)),
        (3, "model", (2,)),
        (4, "emit", (3,)),
    ]
    assert asked[0].payload == {"action": "crm.search", "args": {"name": "Ada"}, "reason": "to know who asks"}
    assert asked[1].payload["schema"] == {"enum": ["yes", "no"]}
    assert asked[1].payload["confidence"] == Decimal("0.5")
    assert asked[2].payload == {
        "model": "scripted:small",
        "prompt": "write",
        "schema": None,
        "max_output_tokens": 50,
    }
    assert outcome.output == {"found": {"id": 7, "sum": Decimal("12.5")}, "answer": "yes", "text": "hello"}
    assert outcome.requests == 4
    emitted = outcome.emitted[0]
    assert (emitted.name, emitted.value) == ("row", {"paid": "yes"})
    assert emitted.reasons == (Reason("", "because"), Reason("c", "t"))


def test_a_replay_executes_nothing_and_ends_the_same(bench):
    values = ({"id": 7}, "yes", "hello", None)
    handler, asked = answering(*values)
    first = bench.run(SEQUENTIAL, {"name": "Ada"}, handler=handler)
    again = bench.run(SEQUENTIAL, {"name": "Ada"}, recorded=rows(asked, *values))
    assert (again.output, again.emitted) == (first.output, first.emitted)


def test_an_open_row_is_asked_again_and_the_settled_ones_are_not(bench):
    handler, asked = answering({"id": 7}, "yes", "hello", None)
    bench.run(SEQUENTIAL, {"name": "Ada"}, handler=handler)
    recorded = rows(asked[:2], {"id": 7}, ...)
    handler, second = answering(None, "no", "bye", None)
    outcome = bench.run(SEQUENTIAL, {"name": "Ada"}, recorded=recorded, handler=handler)
    assert [r.ordinal for r in second] == [2, 3, 4]
    assert outcome.output["answer"] == "no"


def test_how_a_call_ended_reaches_the_program_as_its_errors(bench):
    source = """
async def run(session):
    said = []
    for kind in (session.Refused, session.Failed, session.Unknown):
        try:
            await session.call("payments.refund", amount=5)
        except kind as error:
            said.append([kind.__name__, str(error), error.reasons])
    return said
"""
    handler, _ = answering(
        Reply("refused", reasons=(Reason("over_cap", "too much", "cap_500"),), error="refused: too much"),
        Reply("failed", error="no such charge"),
        Reply("unknown"),
    )
    assert bench.run(source, handler=handler).output == [
        ["Refused", "refused: too much", [{"code": "over_cap", "text": "too much", "policy_id": "cap_500"}]],
        ["Failed", "no such charge", []],
        ["Unknown", "payments.refund may or may not have happened", []],
    ]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ('session.call("crm.find", name=session.input["name"])', ["request 1", "crm.search", "crm.find"]),
        ('session.call("crm.search", name="Eve")', ["request 1", "Ada", "Eve"]),
        ('session.ask("Who?", choices=[1])', ["request 1", "crm.search", "a question"]),
    ],
)
def test_a_divergence_is_named_and_nothing_is_executed(bench, changed, words):
    handler, asked = answering({"id": 7}, "yes", "hello", None)
    bench.run(SEQUENTIAL, {"name": "Ada"}, handler=handler)
    original = 'session.call("crm.search", name=session.input["name"], reason_="to know who asks")'
    assert original in SEQUENTIAL
    with pytest.raises(ProgramDiverged) as caught:
        bench.run(SEQUENTIAL.replace(original, changed), {"name": "Ada"}, recorded=rows(asked[:1], {"id": 7}))
    assert all(word in caught.value.message for word in words)


def test_only_the_stated_reason_may_change(bench):
    handler, asked = answering({"id": 7}, "yes", "hello", None)
    bench.run(SEQUENTIAL, {"name": "Ada"}, handler=handler)
    other = SEQUENTIAL.replace("to know who asks", "because I say so")
    assert bench.run(other, {"name": "Ada"}, recorded=rows(asked, {"id": 7}, "yes", "t", None)).output["text"] == "t"
    assert request_digest("call", asked[0].payload) == request_digest("call", asked[0].payload | {"reason": ""})


def test_details_that_no_short_description_shows_still_diverge(bench):
    handler, asked = answering({"id": 7}, "yes", "hello", None)
    bench.run(SEQUENTIAL, {"name": "Ada"}, handler=handler)
    with pytest.raises(ProgramDiverged, match="with other details"):
        bench.run(SEQUENTIAL, {"name": "Ada"}, recorded=rows(asked, {"id": 8}, "yes", "t", None))


def test_ending_before_what_was_recorded_is_a_divergence(bench):
    handler, asked = answering({"id": 7}, "yes", "hello", None)
    bench.run(SEQUENTIAL, {"name": "Ada"}, handler=handler)
    short = "async def run(session):\n    return await session.call('crm.search', name='Ada')\n"
    with pytest.raises(ProgramDiverged, match=r"request 2 .*Pay.*has ended without it"):
        bench.run(short, {"name": "Ada"}, recorded=rows(asked, 1, "yes", "t", None))


def test_a_recorded_delivery_that_was_never_asked_for_is_a_divergence(bench):
    recorded = [RecordedCall(1, "call", None), RecordedCall(2, "call", Reply("ok", 1), (), None, "crm.search {}")]
    recorded.append(RecordedCall(3, "call", Reply("ok", 1), (2,)))
    source = "async def run(session):\n    await session.call('a.b')\n    await session.call('a.b')\n"
    with pytest.raises(ProgramDiverged, match=r"request 2 .*crm.search.*has not asked for that"):
        bench.run(source, recorded=recorded, handler=refuse_all)


def test_suspension_runs_no_finally_and_lets_the_others_settle(bench):
    source = """
import asyncio
async def run(session):
    async def careful():
        try:
            await session.ask("May I?", choices=[True, False])
        finally:
            await session.emit("cleanup", 1)
    await asyncio.gather(careful(), session.call("slow.tool"))
"""
    asked, settled = [], []

    async def handler(request):
        asked.append(request.op)
        if request.op == "ask":
            raise TurnSuspendedError
        await asyncio.sleep(0.05)
        settled.append(request.op)
        return Reply("ok")

    with pytest.raises(TurnSuspendedError):
        bench.run(source, handler=handler)
    assert asked == ["ask", "call"]
    assert settled == ["call"]


def test_an_error_of_the_handler_weighs_more_than_a_suspension(bench):
    async def handler(request):
        raise TurnSuspendedError if request.ordinal == 1 else InvalidInput("no")

    source = """
import asyncio
async def run(session):
    await asyncio.gather(session.call("a.a"), session.call("b.b"))
"""
    with pytest.raises(InvalidInput):
        bench.run(source, handler=handler)


def test_a_turn_is_not_over_while_something_it_asked_for_is_open(bench):
    source = """
import asyncio
async def run(session):
    asking = asyncio.ensure_future(session.ask("Well?", choices=[1]))
    await asyncio.sleep(0)
    return "done"
"""

    async def suspend(request):
        raise TurnSuspendedError

    with pytest.raises(TurnSuspendedError):
        bench.run(source, handler=suspend)
    handler, _ = answering(1)
    assert bench.run(source, handler=handler).output == "done"


def test_parallel_requests_are_carried_out_at_once_and_all_know_the_order(bench):
    source = """
import asyncio
async def run(session):
    order = []
    async def one(n):
        order.append(await session.call("t.first", n=n))
    await asyncio.gather(*(one(n) for n in range(3)))
    await asyncio.gather(*(session.call("t.second", order=order, n=n) for n in range(2)))
    return order
"""
    asked = []

    async def handler(request):
        asked.append(request)
        if request.payload["action"] == "t.first":
            await asyncio.sleep(0.06 - 0.02 * request.ordinal)
        return Reply("ok", request.ordinal)

    outcome = bench.run(source, handler=handler)
    assert [r.ordinal for r in asked[:3]] == [1, 2, 3]
    assert outcome.output == [3, 2, 1]
    # Whichever of the two rows survives a crash, the order survives with it.
    assert asked[3].delivered == asked[4].delivered == (3, 2, 1)
    for kept in ([0, 1, 2, 3], [0, 1, 2, 4]):
        recorded = rows([asked[i] for i in kept], *(asked[i].ordinal for i in kept))
        handler, again = answering(1, 2, 3, 4, 5)
        assert bench.run(source, recorded=recorded, handler=handler).output == [3, 2, 1]
        assert [r.ordinal for r in again] == [9 - asked[kept[3]].ordinal]


def test_sets_of_tasks_come_in_the_order_of_their_making(bench):
    source = """
import asyncio
async def run(session):
    for following in asyncio.as_completed([session.call("t.one", n=n) for n in range(40)]):
        await following
    tasks = [asyncio.create_task(asyncio.sleep(0), name=str(n)) for n in range(40)]
    done, _ = await asyncio.wait(tasks)
    return [task.get_name() for task in done], [t.get_name() for t in set(tasks)]
"""
    handler, asked = answering()
    one = bench.run(source, handler=handler).output
    assert [r.payload["args"]["n"] for r in asked] == list(range(40))
    assert bench.run(source, recorded=rows(asked, *[None] * 40)).output == one


def test_the_order_is_merged_from_overlapping_lists():
    recorded = [
        RecordedCall(5, "call", None, (2, 1, 4)),
        RecordedCall(3, "call", None, (2,)),
        RecordedCall(4, "call", None, (2, 1)),
    ]
    assert delivery_order(recorded) == [2, 1, 4]
    assert delivery_order(recorded, (4, 3)) == [2, 1, 4, 3]


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
    other = bench.run(PLAIN, turn=TurnSeed("turn-2", TURN.started_at, "seed-2")).output
    assert other["clocks"] == one["clocks"]
    assert not set(map(str, other["chance"])) & set(map(str, one["chance"]))


def test_the_clock_follows_the_recorded_times_of_results(bench):
    source = """
async def run(session):
    await session.ask("When?", choices=[1])
    return session.now().isoformat()
"""
    later = TURN.started_at + timedelta(days=7, microseconds=5)
    handler, _ = answering(Reply("ok", 1, at=later))
    assert bench.run(source, handler=handler).output == later.isoformat()
    earlier, _ = answering(Reply("ok", 1, at=TURN.started_at - timedelta(days=1)))
    assert bench.run(source, handler=earlier).output >= TURN.started_at.isoformat()


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


@pytest.mark.parametrize("count", [2_000])
def test_a_long_turn_replays_in_one_batch(bench, count):
    source = """
async def run(session):
    total = 0
    for n in range(session.input):
        if n % 10 == 0:
            total += await session.ask("How many?", choices=[n])
        else:
            total += (await session.call("count.one", n=n, label="x" * 40))["n"]
    return total
"""
    ask = {"text": "How many?", "to": None, "context": None, "confidence": None}
    recorded = []
    for n in range(count):
        op = "call" if n % 10 else "ask"
        payload = (
            {"action": "count.one", "args": {"n": n, "label": "x" * 40}, "reason": ""}
            if n % 10
            else ask | {"schema": {"enum": [n]}}
        )
        value = {"n": 1, "text": "y" * 100} if n % 10 else 1
        before = (n,) if n else ()
        recorded.append(RecordedCall(n + 1, op, Reply("ok", value), before, request_digest(op, payload)))
    began = time.perf_counter()
    outcome = bench.run(source, count, recorded=recorded)
    took = time.perf_counter() - began
    assert outcome.output == count
    assert took < 5  # 0.2 s on a quiet machine; one round trip for each result would take far longer


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
        ("async def run(session):\n    await session.ask('?')\n", "schema= or choices=", 2),
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
        bench.runner.run(bench.host.run(ProgramSource("desk", "d", {}), TURN, None, [], refuse_all))
    with pytest.raises(InvalidInput, match="time zone"):
        bench.run("", turn=TurnSeed("t", datetime(2026, 1, 1), "s"))  # noqa: DTZ001


# --- any shape, any order of completion, a crash anywhere -----------------------------------------------------------

SHAPES = """
import asyncio
async def run(session):
    seen = []
    async def go(node):
        match node:
            case {"call": name}:
                seen.append(await session.call("t.do", name=name, seen=seen))
            case {"ask": name}:
                seen.append(await session.ask(name, choices=[name], context=seen))
            case {"sleep": seconds}:
                await asyncio.sleep(seconds)
                seen.append(seconds)
            case {"seq": parts}:
                for part in parts:
                    await go(part)
            case {"par": parts}:
                await asyncio.gather(*map(go, parts))
            case {"race": parts}:
                tasks = [asyncio.create_task(go(part), name=str(n)) for n, part in enumerate(parts)]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                await session.emit("raced", seen)
                done, _ = await asyncio.wait(tasks)
                seen.append([task.get_name() for task in done])
            case {"completed": parts}:
                for following in asyncio.as_completed([go(part) for part in parts]):
                    await following
                    await session.emit("one more", seen)
            case {"group": parts}:
                async with asyncio.TaskGroup() as group:
                    for part in parts:
                        group.create_task(go(part))
    await go(session.input)
    return {"seen": seen, "now": session.now().isoformat(), "random": session.random.random()}
"""

leaves = st.one_of(
    st.builds(lambda n: {"call": f"c{n}"}, st.integers(0, 9)),
    st.builds(lambda n: {"ask": f"q{n}"}, st.integers(0, 9)),
    st.builds(lambda n: {"sleep": n}, st.integers(1, 5)),
)
shapes = st.recursive(
    leaves,
    lambda inner: st.builds(
        lambda kind, parts: {kind: parts},
        st.sampled_from(["seq", "par", "race", "completed", "group"]),
        st.lists(inner, min_size=1, max_size=4),
    ),
    max_leaves=12,
)


@dataclass
class Ledger:
    """Rows that survive, and a road whose steps happen in random order."""

    chance: random.Random
    rows: dict = field(default_factory=dict)
    parked: list = field(default_factory=list)
    executed: list = field(default_factory=list)
    asked: dict = field(default_factory=dict)

    async def pause(self):
        step = asyncio.get_running_loop().create_future()
        self.parked.append(step)
        await step

    async def handler(self, request: Request):
        await self.pause()
        known = self.rows.get(request.ordinal)
        assert self.asked.setdefault(request.ordinal, request.digest) == request.digest or known is None
        if known is None:
            self.asked[request.ordinal] = request.digest
            self.rows[request.ordinal] = known = {"request": request, "value": ...}
            if request.op == "ask":
                raise TurnSuspendedError
        await self.pause()
        if known["value"] is ...:
            self.executed.append(request.ordinal)
            known["value"] = f"{request.ordinal}:{request.op}"
        await self.pause()
        return Reply("ok", known["value"])

    def recorded(self):
        kept = [self.rows[o] for o in sorted(self.rows)]
        return rows([k["request"] for k in kept], *(k["value"] for k in kept))

    async def tick(self, stop_after):
        """Let one parked step go on at a time; after so many steps, return: the worker is killed."""
        for _ in range(stop_after):
            while not self.parked:  # noqa: ASYNC110 - polling is what a random scheduler does
                await asyncio.sleep(0.0002)
            await asyncio.sleep(0.0005)  # more may arrive
            self.parked.pop(self.chance.randrange(len(self.parked))).set_result(None)


async def drive(bench, shape, ledger, kills):
    program = ProgramSource("desk", "digest", {"program.py": SHAPES.encode()})
    for _ in range(200):
        ledger.parked.clear()
        recorded = ledger.recorded()
        run = asyncio.create_task(bench.host.run(program, TURN, shape, recorded, ledger.handler))
        ticking = asyncio.create_task(ledger.tick(kills.pop() if kills else 10_000))
        await asyncio.wait({run, ticking}, return_when=asyncio.FIRST_COMPLETED)
        run.cancel()  # as a kill would: handlers stop wherever they are
        ticking.cancel()
        await asyncio.wait({run, ticking})
        if run.cancelled() or isinstance(run.exception(), TurnSuspendedError):
            continue
        return run.result()
    raise AssertionError("the turn never ended")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=shapes, seed=st.integers(0, 2**32), kills=st.lists(st.integers(1, 25), max_size=4))
def test_every_shape_replays_after_a_crash_anywhere(bench, shape, seed, kills):
    ledger = Ledger(random.Random(seed))
    outcome = bench.runner.run(drive(bench, shape, ledger, list(kills)))
    assert len(ledger.executed) == len(set(ledger.executed)) == outcome.requests
    program = ProgramSource("desk", "digest", {"program.py": SHAPES.encode()})
    recorded = ledger.recorded()
    for _ in range(2):
        again = bench.runner.run(bench.host.run(program, TURN, shape, recorded, refuse_all, tail=outcome.delivered))
        assert again.output == outcome.output
        assert again.emitted == outcome.emitted
