"""Any shape of program, any order of completion, a crash anywhere: the replay is the same."""

import asyncio
import random
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remit.runtime.programs import ProgramSource, Reply, Request
from remit.runtime.road import TurnSuspendedError

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
            case {"model": name}:
                seen.append(await session.model("scripted:m", prompt=f"{name} {seen}"))
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
    st.builds(lambda n: {"model": f"m{n}"}, st.integers(0, 9)),
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

    bench: object
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
        # Results of models are not handed over: they are asked of the road again, which knows them.
        values = [... if k["request"].op == "model" else k["value"] for k in kept]
        return self.bench.rows([k["request"] for k in kept], *values)

    async def known(self, request: Request):
        """A road that executes nothing."""
        assert request.op == "model"
        await asyncio.sleep(self.chance.random() * 0.002)
        return Reply("ok", self.rows[request.ordinal]["value"])

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
        run = asyncio.create_task(bench.host.run(program, bench.turn, shape, recorded, ledger.handler))
        ticking = asyncio.create_task(ledger.tick(kills.pop() if kills else 10_000))
        await asyncio.wait({run, ticking}, return_when=asyncio.FIRST_COMPLETED)
        run.cancel()  # as a kill would: handlers stop wherever they are
        ticking.cancel()
        await asyncio.wait({run, ticking})
        if run.cancelled() or isinstance(run.exception(), TurnSuspendedError):
            continue
        return run.result()
    raise AssertionError("the turn never ended")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=shapes, seed=st.integers(0, 2**32), kills=st.lists(st.integers(1, 25), max_size=4))
def test_every_shape_replays_after_a_crash_anywhere(bench, shape, seed, kills):
    ledger = Ledger(bench, random.Random(seed))
    outcome = bench.runner.run(drive(bench, shape, ledger, list(kills)))
    assert len(ledger.executed) == len(set(ledger.executed)) == outcome.requests
    program = ProgramSource("desk", "digest", {"program.py": SHAPES.encode()})
    recorded = ledger.recorded()
    for _ in range(2):
        again = bench.runner.run(
            bench.host.run(program, bench.turn, shape, recorded, ledger.known, tail=outcome.delivered)
        )
        assert again.output == outcome.output
        assert again.emitted == outcome.emitted
