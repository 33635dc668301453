"""A program that is run again from its top asks the same things in the same order, whatever happened in between."""

import asyncio
import time
from decimal import Decimal
from pathlib import Path

import pytest

from remit.domain.decisions import Reason
from remit.errors import InvalidInput, ProgramDiverged
from remit.runtime.programs import (
    RecordedCall,
    Reply,
    request_digest,
)
from remit.runtime.programs.calls import delivery_order
from remit.runtime.road import TurnSuspendedError

SEQUENTIAL = """
async def run(session):
    found = await session.call("crm.search", name=session.input["name"], reason_="to know who asks")
    answer = await session.ask("Pay?", choices=["yes", "no"], to="role:lead", context=found, confidence=0.5)
    text = await session.model("scripted:small", prompt="write", max_output_tokens=50)
    await session.emit("row", {"paid": answer}, reasons=["because", {"code": "c", "text": "t"}])
    return {"found": found, "answer": answer, "text": text}
"""


def test_requests_arrive_with_their_payload_and_results_reach_the_program(bench):
    handler, asked = bench.answering({"id": 7, "sum": 12.50}, "yes", "hello", None)
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
    handler, asked = bench.answering(*values)
    first = bench.run(SEQUENTIAL, {"name": "Ada"}, handler=handler)
    again = bench.run(SEQUENTIAL, {"name": "Ada"}, recorded=bench.rows(asked, *values))
    assert (again.output, again.emitted) == (first.output, first.emitted)


def test_an_open_row_is_asked_again_and_the_settled_ones_are_not(bench):
    handler, asked = bench.answering({"id": 7}, "yes", "hello", None)
    bench.run(SEQUENTIAL, {"name": "Ada"}, handler=handler)
    recorded = bench.rows(asked[:2], {"id": 7}, ...)
    handler, second = bench.answering(None, "no", "bye", None)
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
    handler, _ = bench.answering(
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
    handler, asked = bench.answering({"id": 7}, "yes", "hello", None)
    bench.run(SEQUENTIAL, {"name": "Ada"}, handler=handler)
    original = 'session.call("crm.search", name=session.input["name"], reason_="to know who asks")'
    assert original in SEQUENTIAL
    with pytest.raises(ProgramDiverged) as caught:
        bench.run(SEQUENTIAL.replace(original, changed), {"name": "Ada"}, recorded=bench.rows(asked[:1], {"id": 7}))
    assert all(word in caught.value.message for word in words)


def test_only_the_stated_reason_may_change(bench):
    handler, asked = bench.answering({"id": 7}, "yes", "hello", None)
    bench.run(SEQUENTIAL, {"name": "Ada"}, handler=handler)
    other = SEQUENTIAL.replace("to know who asks", "because I say so")
    assert (
        bench.run(other, {"name": "Ada"}, recorded=bench.rows(asked, {"id": 7}, "yes", "t", None)).output["text"] == "t"
    )
    assert request_digest("call", asked[0].payload) == request_digest("call", asked[0].payload | {"reason": ""})


def test_details_that_no_short_description_shows_still_diverge(bench):
    handler, asked = bench.answering({"id": 7}, "yes", "hello", None)
    bench.run(SEQUENTIAL, {"name": "Ada"}, handler=handler)
    with pytest.raises(ProgramDiverged, match="with other details"):
        bench.run(SEQUENTIAL, {"name": "Ada"}, recorded=bench.rows(asked, {"id": 8}, "yes", "t", None))


def test_ending_before_what_was_recorded_is_a_divergence(bench):
    handler, asked = bench.answering({"id": 7}, "yes", "hello", None)
    bench.run(SEQUENTIAL, {"name": "Ada"}, handler=handler)
    short = "async def run(session):\n    return await session.call('crm.search', name='Ada')\n"
    with pytest.raises(ProgramDiverged, match=r"request 2 .*Pay.*has ended without it"):
        bench.run(short, {"name": "Ada"}, recorded=bench.rows(asked, 1, "yes", "t", None))


def test_a_recorded_delivery_that_was_never_asked_for_is_a_divergence(bench):
    recorded = [RecordedCall(1, "call", None), RecordedCall(2, "call", Reply("ok", 1), (), None, "crm.search {}")]
    recorded.append(RecordedCall(3, "call", Reply("ok", 1), (2,)))
    source = "async def run(session):\n    await session.call('a.b')\n    await session.call('a.b')\n"
    with pytest.raises(ProgramDiverged, match=r"request 2 .*crm.search.*has not asked for that"):
        bench.run(source, recorded=recorded, handler=bench.refuse_all)


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
    handler, _ = bench.answering(1)
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
        recorded = bench.rows([asked[i] for i in kept], *(asked[i].ordinal for i in kept))
        handler, again = bench.answering(1, 2, 3, 4, 5)
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
    future = asyncio.get_running_loop().create_future()
    small = all(0 < hash(one) < 1_000 for one in (*tasks, asyncio.current_task(), future))
    return [task.get_name() for task in done], [t.get_name() for t in set(tasks)], small
"""
    handler, asked = bench.answering()
    one = bench.run(source, handler=handler).output
    assert [r.payload["args"]["n"] for r in asked] == list(range(40))
    assert bench.run(source, recorded=bench.rows(asked, *[None] * 40)).output == one
    assert one[2] is True  # numbers, not addresses


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_an_open_row_is_delivered_in_its_old_place(bench, order):
    source = """
import asyncio
async def run(session):
    order = []
    async def one(n):
        order.append(await session.call("t.first", n=n))
    await asyncio.gather(one(1), one(2))
    await session.call("t.second", order=order)
    return order
"""
    first = {"action": "t.first", "reason": ""}
    recorded = [RecordedCall(n, "call", Reply("ok", n) if n == 2 else None) for n in (1, 2)]
    last = request_digest("call", first | {"action": "t.second", "args": {"order": list(order)}})
    recorded.append(RecordedCall(3, "call", Reply("ok"), order, last))

    async def handler(request):
        assert request.ordinal == 1
        return Reply("ok", 1)

    assert bench.run(source, recorded=recorded, handler=handler).output == list(order)


def test_a_gap_that_a_crash_left_does_not_claim_later_deliveries(bench):
    """Request 3 was settled and request 2, asked before it in the same moment, never reached the ledger."""
    source = """
import asyncio
async def run(session):
    await session.call("t.one")
    await asyncio.gather(session.call("t.two"), session.call("t.three"))
"""
    settled = [RecordedCall(1, "call", Reply("ok")), RecordedCall(3, "call", Reply("ok"), (1,))]
    handler, asked = bench.answering()
    bench.run(source, recorded=settled, handler=handler)
    assert [(r.ordinal, r.delivered) for r in asked] == [(2, ())]  # not (3,): it was asked before 3 was delivered


def test_the_order_is_merged_from_overlapping_lists():
    recorded = [
        RecordedCall(5, "call", None, (2, 1, 4)),
        RecordedCall(3, "call", None, (2,)),
        RecordedCall(4, "call", None, (2, 1)),
    ]
    assert delivery_order(recorded) == [2, 1, 4]
    assert delivery_order(recorded, (4, 3)) == [2, 1, 4, 3]


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


def test_the_example_of_the_guide_runs(bench):
    guide = Path(__file__).parents[3] / "docs" / "how-to" / "write-a-program.md"
    source = guide.read_text().partition("```python\n")[2].partition("```")[0]
    charge = {"id": "ch_1", "amount": Decimal("12.5"), "refunded": False}
    handler, asked = bench.answering(charge, {"id": "re_1"}, None)
    assert bench.run(source, {"charge_id": "ch_1"}, handler=handler).output == {"outcome": "refunded", "refund": "re_1"}
    assert asked[1].payload["args"] == {"charge_id": "ch_1", "amount": Decimal("12.5")}
    no = Reply("refused", reasons=(Reason("over_cap", "too much", "cap_500"),), error="too much")
    handler, asked = bench.answering(charge, no, None)
    outcome = bench.run(source, {"charge_id": "ch_1"}, handler=handler)
    assert outcome.output == {"outcome": "refused", "why": "too much"}
    assert outcome.emitted[0].reasons == (Reason("over_cap", "too much", "cap_500"),)
