"""What `session.explain` records of a row: its reasons, where its parts came from, and the line that explained it."""

import pytest

from remit.errors import ProgramDiverged
from remit.runtime.programs import ProgramFailed, RecordedCall, Reply

PROGRAM = """
async def run(session):
    accounts = (await session.call("crm.list"))["accounts"]
    ranked = sorted(accounts, key=lambda a: -a["revenue"])
    await session.explain_all("priorities", [(a, [f"{a['name']} brings {a['revenue']}"]) for a in ranked])
    await session.explain(
        {"id": "sum", "total": sum(a["revenue"] for a in accounts)}, ["all of them"], sources=[accounts], rank=9
    )
"""
ACCOUNTS = {"accounts": [{"id": "a1", "name": "Nord", "revenue": 5}, {"id": "a2", "name": "Süd", "revenue": 8}]}


def test_rows_carry_reasons_origins_and_the_line_that_explained_them(bench):
    handler, asked = bench.answering(ACCOUNTS)
    bench.run(PROGRAM, handler=handler)
    all_of_them, total = (request.payload for request in asked[1:])
    assert (asked[1].op, all_of_them["name"], all_of_them["at"]) == ("explain", "priorities", "program.py:5")
    assert [(r["key"], r["rank"], r["title"]) for r in all_of_them["rows"]] == [("a2", 1, "Süd"), ("a1", 2, "Nord")]
    assert all_of_them["rows"][0]["reasons"] == [{"code": "", "text": "Süd brings 8", "policy_id": None}]
    assert all_of_them["rows"][0]["from"] == [{"request": 1, "action": "crm.list", "path": "accounts.1"}]
    (row,) = total["rows"]
    assert (row["key"], row["rank"], row["title"], total["at"]) == ("sum", 9, "", "program.py:6")
    assert row["from"] == [{"request": 1, "action": "crm.list", "path": "accounts"}]


def test_an_explained_row_replays_whether_its_note_says_its_kind_or_not(bench):
    handler, asked = bench.answering(ACCOUNTS)
    bench.run(PROGRAM, handler=handler)
    rows = bench.rows(asked, ACCOUNTS, None, None)
    as_notes = [RecordedCall(r.ordinal, "note", r.reply, r.delivered_before, r.payload_digest) for r in rows[1:]]
    bench.run(PROGRAM, recorded=[rows[0], *as_notes])
    changed = PROGRAM.replace("all of them", "some of them")
    with pytest.raises(ProgramDiverged, match="request 3 "):
        bench.run(changed, recorded=[rows[0], *as_notes])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('session.explain({}, "one sentence")', "reasons is a list"),
        ("session.explain({}, [], rank=0)", "a whole number from 1"),
        ("session.explain({1}, [])", "a set is not JSON"),
    ],
)
def test_what_is_no_row_fails_at_its_line(bench, call, message):
    with pytest.raises(ProgramFailed, match=message) as failed:
        bench.run(f"async def run(session):\n    await {call}\n")
    assert failed.value.line == 2


def test_origins_are_forgotten_rather_than_filling_the_memory(bench):
    program = """
async def run(session):
    first = await session.call("a.read")
    for _ in range(9):
        last = await session.call("a.read")
    await session.explain({"n": 1}, ["x"], sources=[first, last])
"""
    asked = []

    async def handler(request):
        asked.append(request)
        return Reply("ok", {"text": "x" * 4_000_000} if request.op == "call" else None)

    bench.run(program, handler=handler)
    assert [o["request"] for o in asked[-1].payload["rows"][0]["from"]] == [10]


def test_parameters_are_read_by_name(bench):
    program = """
async def run(session):
    try:
        session.parameters.nothing
    except AttributeError as error:
        return [session.parameters.days, "days" in session.parameters, session.parameters["days"], str(error)]
"""
    from tests.unit.programs.conftest import TURN, refuse_all

    from remit.runtime.programs import ProgramSource

    source = ProgramSource("desk", "digest", {"program.py": program.encode()}, {"days": 30})
    outcome = bench.runner.run(bench.host.run(source, TURN, None, [], refuse_all))
    assert outcome.output[:3] == [30, True, 30]
    assert "parameters.yaml declares: days" in outcome.output[3]
