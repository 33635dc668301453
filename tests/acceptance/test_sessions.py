"""What people do with sessions, and what sessions do by themselves: on one worker that serves all of these tests."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from remit.config.loader import load_project
from remit.errors import Conflict, InvalidInput, NotEntitled, NotFound
from remit.governance.deployments import deploy
from remit.governance.desk import Decider
from remit.runtime.sessions import Start
from remit.storage import bundles
from tests.acceptance.nursery import Nursery
from tests.acceptance.shop import FILES, PROGRAM, Shop, open_shop
from tests.conftest import DatabaseFactory

ASKER = """
async def run(session):
    return await session.ask("Which one?", schema={"type": "string"})
"""
FICKLE = """
async def run(session):
    await session.call("till.peek")
    await session.call("till.pay", who=session.input["who"], amount=10, currency="USD")
    return await session.ask("Go on?", schema={"type": "string"})
"""
LOOPER = """
async def run(session):
    for _ in range(session.input["times"]):
        await session.call("till.peek")
    return "done"
"""


def agent(name: str, program: str, more: str = "") -> dict[str, str]:
    text = FILES["agents/clerk/agent.yaml"].replace("title: Clerk", f"title: {name}")
    return {f"agents__{name}__agent.yaml": text + more, f"agents__{name}__program.py": program}


EXTRA = {**agent("asker", ASKER), **agent("fickle", FICKLE), **agent("looper", LOOPER)}


@pytest.fixture(scope="module")
def shop(
    database_factory: DatabaseFactory, migrated: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    database = database_factory.create(migrated)
    policy = FILES["policies/shop.cedar"].replace(
        'principal == Agent::"clerk", action in Action::"write"', 'principal, action in Action::"write"'
    )
    with open_shop(
        tmp_path_factory.mktemp("shop") / "shop", database.url(), nursery, **EXTRA, **{"policies__shop.cedar": policy}
    ) as opened:
        opened.worker()
        yield opened
    database_factory.drop(database)


def start(shop: Shop, name: str, given: dict[str, Any]) -> str:
    return shop.services.sessions.start(Start(name, given, "person:dov"))


def pay(who: str, amount: int = 20) -> dict[str, Any]:
    return {"tool": "pay", "who": who, "amount": amount, "currency": "USD"}


def paid(shop: Shop, who: str) -> list[int]:
    return [b["amount"] for b in shop.books() if b["who"] == who]


# -- pause, resume, cancel -----------------------------------------------------------------------------------------


def test_a_pause_ends_the_run_between_two_actions_and_a_resume_goes_on(shop: Shop) -> None:
    names = [f"pause-{n}" for n in range(200)]
    session = shop.start(*(pay(name, 1) for name in names))
    until(lambda: paid(shop, names[2]))
    shop.services.sessions.pause(session, "person:ada", "a moment")
    time.sleep(0.3)  # the call in flight settles
    before = sum(len(paid(shop, name)) for name in names)
    time.sleep(0.5)
    found = shop.session(session)
    assert sum(len(paid(shop, name)) for name in names) == before < len(names)
    assert found["status"] == "paused"
    assert {a["status"] for a in found["actions"]} == {"succeeded"}
    shop.services.sessions.resume(session, "person:ada", "go on")
    shop.wait(session, "finished")
    assert [paid(shop, name) for name in names] == [[1]] * len(names)


def test_a_cancelled_session_does_nothing_more(shop: Shop) -> None:
    names = [f"cancel-{n}" for n in range(200)]
    session = shop.start(*(pay(name, 1) for name in names))
    until(lambda: paid(shop, names[2]))
    shop.services.sessions.cancel(session, "person:ada", "enough")
    time.sleep(0.3)
    before = sum(len(paid(shop, name)) for name in names)
    time.sleep(0.5)
    found = shop.session(session)
    assert found["status"] == "cancelled"
    assert sum(len(paid(shop, name)) for name in names) == before < len(names)
    assert {a["status"] for a in found["actions"]} <= {"succeeded", "cancelled"}
    for verb in ("resume", "pause"):
        with pytest.raises(Conflict):
            getattr(shop.services.sessions, verb)(session, "person:ada", "again")
    with pytest.raises(Conflict):
        shop.services.sessions.message(session, "person:ada", {"steps": []})


def test_a_cancelled_session_withdraws_what_it_had_asked(shop: Shop) -> None:
    session = shop.start(pay("withdrawn", 120))
    shop.wait_for(session, "approval")
    item = shop.item(session, "approval")
    shop.services.sessions.cancel(session, "person:ada", "enough")
    with pytest.raises(Conflict):
        shop.services.sessions.approve(item, Decider("bo"), "late")
    assert [a["status"] for a in shop.session(session)["actions"]] == ["cancelled"]


def test_a_paused_session_keeps_an_answer_for_later(shop: Shop) -> None:
    session = shop.start(pay("kept", 120))
    shop.wait_for(session, "approval")
    shop.services.sessions.pause(session, "person:ada", "a moment")
    shop.services.sessions.approve(shop.item(session, "approval"), Decider("bo"), "fine")
    time.sleep(0.6)
    assert paid(shop, "kept") == []
    assert shop.session(session)["status"] == "paused"
    shop.services.sessions.resume(session, "person:ada", "go on")
    shop.wait(session, "finished")
    assert paid(shop, "kept") == [120]


def test_a_message_opens_a_finished_session_again(shop: Shop) -> None:
    session = shop.start(pay("first"))
    shop.wait(session, "finished")
    shop.services.sessions.message(session, "person:dov", {"steps": [pay("second")]})
    until(lambda: paid(shop, "second"))
    found = shop.wait(session, "finished")
    assert len(found["turns"]) == 2
    assert (paid(shop, "first"), paid(shop, "second")) == ([20], [20])


# -- stops ---------------------------------------------------------------------------------------------------------


def test_a_stop_ends_runs_between_actions_and_a_release_takes_them_up(shop: Shop) -> None:
    sessions = [shop.start(*(pay(f"stop-{n}-{step}", 1) for step in range(60))) for n in range(4)]
    names = [f"stop-{n}-{step}" for n in range(4) for step in range(60)]
    until(lambda: paid(shop, "stop-0-1"))
    shop.services.sessions.stop("agent", "clerk", "a drill", "person:ada")
    began = time.monotonic()
    queued = shop.start(pay("stop-queued"))
    for session in sessions:
        shop.wait_for(session, "stop")
    assert time.monotonic() - began < 20
    before = len(shop.attempts())
    other = start(shop, "looper", {"times": 1})
    shop.wait(other, "finished")
    time.sleep(0.5)
    assert len(shop.attempts()) == before
    _, again = shop.services.sessions.release("agent", "clerk", "person:ada", "over")
    assert again >= 4
    for session in (*sessions, queued):
        shop.wait(session, "finished")
    assert Counter(b["who"] for b in shop.books() if b["who"] in names) == dict.fromkeys(names, 1)


def test_a_stop_of_something_that_is_not_there_is_told(shop: Shop) -> None:
    for scope, target in (("agent", "nobody"), ("workspace", "x"), ("action", "till.nothing"), ("all", "x")):
        with pytest.raises(NotFound):
            shop.services.sessions.stop(scope, target, "r", "person:ada")  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        shop.services.sessions.release("all", "", "person:ada", "r")


# -- undo ----------------------------------------------------------------------------------------------------------


def test_an_action_is_taken_back_once(shop: Shop) -> None:
    session = shop.start(pay("undone"))
    (action,) = shop.wait(session, "finished")["actions"]
    turns = [shop.services.sessions.undo(action["id"], "person:ada", "wrong") for _ in range(2)]
    found = shop.wait(session, "finished", "failed")
    until(lambda: all(t["status"] in {"finished", "failed"} for t in shop.session(session)["turns"]))
    assert paid(shop, "undone") == [20, -20], "asked for twice, done once"
    found = shop.session(session)
    ends = {t["id"]: (t["status"], t["error"]) for t in found["turns"]}
    assert ends[turns[0]] == ("finished", None)
    assert ends[turns[1]][0] == "failed"
    assert "undone already" in ends[turns[1]][1]
    with pytest.raises(Conflict, match="undone already"):
        shop.services.sessions.undo(action["id"], "person:ada", "again")


def test_what_cannot_be_taken_back_says_so(shop: Shop) -> None:
    session = shop.start({"tool": "hand_out", "who": "forever", "amount": 1}, pay("undo-refused", 501))
    cash, refused = shop.wait(session, "finished")["actions"]
    with pytest.raises(Conflict, match="irreversible"):
        shop.services.sessions.undo(cash["id"], "person:ada", "wrong")
    with pytest.raises(Conflict, match="refused"):
        shop.services.sessions.undo(refused["id"], "person:ada", "wrong")


# -- programs ------------------------------------------------------------------------------------------------------


def test_a_program_that_asks_for_something_else_is_told_where(shop: Shop) -> None:
    session = start(shop, "fickle", {"who": "fickle"})
    shop.wait_for(session, "question")
    # What it reads is another value from now on, which no honest program sees.
    with shop.services.sessions.transaction() as db:
        db.execute(
            "update remit.payloads set body = convert_to(%s, 'utf8') where id in "
            "(select payload from remit.messages where session_id = %s)",
            ('{"who":"other"}', session),
        )
    before = len(shop.attempts())
    shop.services.sessions.answer(shop.item(session, "question"), Decider("ada"), "yes")
    found = shop.wait(session, "failed")
    assert found["turns"][0]["error"].startswith("program_diverged: ")
    assert " 2 " in found["turns"][0]["error"]
    assert len(shop.attempts()) == before
    assert (paid(shop, "fickle"), paid(shop, "other")) == ([10], [])


def test_a_loop_is_stopped_and_its_owner_lets_it_go_on(shop: Shop) -> None:
    session = start(shop, "looper", {"times": 8})
    shop.wait_for(session, "attention")
    assert len(shop.session(session)["actions"]) == 5
    item = shop.item(session, "attention")
    with pytest.raises(NotEntitled):
        shop.services.sessions.answer(item, Decider("dov"), "continue", "mine")
    with pytest.raises(InvalidInput):
        shop.services.sessions.answer(item, Decider("bo"), "perhaps", "?")
    shop.services.sessions.answer(item, Decider("bo"), "continue", "it counts")
    assert shop.wait(session, "finished")["turns"][0]["output"] == "done"


def test_a_loop_that_its_owner_ends_is_cancelled(shop: Shop) -> None:
    session = start(shop, "looper", {"times": 8})
    shop.wait_for(session, "attention")
    shop.services.sessions.answer(shop.item(session, "attention"), Decider("bo"), "cancel", "no")
    assert shop.session(session)["status"] == "cancelled"


def test_a_question_takes_what_it_asked_for_from_whom_it_asked(shop: Shop) -> None:
    session = start(shop, "asker", {})
    shop.wait_for(session, "question")
    item = shop.item(session, "question")
    with pytest.raises(NotEntitled):
        shop.services.sessions.answer(item, Decider("dov"), "this")
    with pytest.raises(InvalidInput):
        shop.services.sessions.answer(item, Decider("ada"), 17)
    shop.services.sessions.answer(item, Decider("ada"), "this")
    assert shop.wait(session, "finished")["turns"][0]["output"] == "this"
    with pytest.raises(Conflict):
        shop.services.sessions.answer(item, Decider("ada"), "that")


# -- the engine ----------------------------------------------------------------------------------------------------


def test_a_turn_whose_run_was_lost_is_given_another(shop: Shop) -> None:
    session = shop.start(pay("lost", 120))
    shop.wait_for(session, "approval")
    with shop.services.sessions.transaction() as db:
        # As it stands when a run left because it could not prove that it owned its turn.
        shop.services.sessions._desk().approve(db, shop.item(session, "approval"), Decider("bo"), "fine")
        db.execute(
            "delete from dbos.workflow_status where queue_partition_key = %s and status = 'ENQUEUED'", (session,)
        )
    shop.wait(session, "finished")
    assert paid(shop, "lost") == [120]


def test_a_planted_pickle_is_not_read(shop: Shop, tmp_path: Path) -> None:
    import base64
    import pickle

    target = tmp_path / "owned"

    class Evil:
        def __reduce__(self) -> Any:
            return (target.write_text, ("owned",))

    session = shop.start(pay("pickled", 120))
    shop.wait_for(session, "approval")
    with psycopg.connect(shop.services.url) as db:
        row = db.execute(
            "select workflow_uuid, inputs, serialization from dbos.workflow_status where queue_partition_key = %s",
            (session,),
        ).fetchone()
        assert row is not None
        db.execute(
            """insert into dbos.workflow_status (workflow_uuid, status, name, application_version, application_id,
                   executor_id, queue_name, queue_partition_key, priority, inputs, serialization, created_at,
                   updated_at)
               select workflow_uuid || '-planted', 'ENQUEUED', name, application_version, application_id, executor_id,
                   queue_name, queue_partition_key || '-planted', priority, %s, 'py_pickle', created_at, updated_at
               from dbos.workflow_status where workflow_uuid = %s""",
            (base64.b64encode(pickle.dumps(Evil())).decode(), row[0]),
        )
    until(lambda: _status(shop, f"{row[0]}-planted") not in {"ENQUEUED", "PENDING"})
    assert not target.exists()
    shop.services.sessions.approve(shop.item(session, "approval"), Decider("bo"), "fine")
    shop.wait(session, "finished")


def _status(shop: Shop, workflow: str) -> str:
    with psycopg.connect(shop.services.url) as db:
        row = db.execute("select status from dbos.workflow_status where workflow_uuid = %s", (workflow,)).fetchone()
    assert row is not None
    return str(row[0])


# -- deployments ---------------------------------------------------------------------------------------------------


def test_a_deployment_is_in_force_for_the_very_next_action(shop: Shop) -> None:
    session = shop.start(pay("deployed-1"), pay("deployed-hold", 120), pay("deployed-2"))
    shop.wait_for(session, "approval")
    file = shop.folder / "policies" / "shop.cedar"
    old = file.read_text()
    file.write_text(
        old + '@id("no_two") @reason("no_two") forbid (principal, action, resource == Payee::"deployed-2");\n'
    )
    try:
        put_in_force(shop)
        shop.services.sessions.approve(shop.item(session, "approval"), Decider("bo"), "fine")
        found = shop.wait(session, "finished")
        assert found["turns"][0]["output"][2] == {"refused": ["no_two"]}
        assert [paid(shop, f"deployed-{n}") for n in ("1", "hold", "2")] == [[20], [120], []]
    finally:
        file.write_text(old)
        put_in_force(shop)


def test_a_session_keeps_the_program_that_it_began_with(shop: Shop) -> None:
    session = shop.start(pay("version", 120))
    shop.wait_for(session, "approval")
    file = shop.folder / "agents" / "clerk" / "program.py"
    file.write_text("async def run(session):\n    return 'another program'\n")
    try:
        put_in_force(shop)
        newer = shop.start(pay("nothing"))
        assert shop.wait(newer, "finished")["turns"][0]["output"] == "another program"
        shop.services.sessions.approve(shop.item(session, "approval"), Decider("bo"), "fine")
        shop.wait(session, "finished")
        assert paid(shop, "version") == [120]
    finally:
        file.write_text(PROGRAM.strip() + "\n")
        put_in_force(shop)


def test_a_suspended_agent_is_refused_and_cannot_be_started(shop: Shop) -> None:
    session = shop.start(pay("suspended", 120))
    shop.wait_for(session, "approval")
    with shop.services.sessions.transaction() as db:
        bundles.suspend(db, "clerk", suspended=True, by="ada", reason="look")
    try:
        with pytest.raises(NotEntitled, match="suspended"):
            shop.start(pay("nothing"))
        shop.services.sessions.approve(shop.item(session, "approval"), Decider("bo"), "fine")
        assert shop.wait(session, "finished")["turns"][0]["output"] == [{"refused": ["agent_suspended"]}]
    finally:
        with shop.services.sessions.transaction() as db:
            bundles.suspend(db, "clerk", suspended=False, by="ada", reason="looked")
    assert paid(shop, "suspended") == []


def put_in_force(shop: Shop) -> None:
    with shop.services.sessions.transaction() as db:
        deploy(db, load_project(shop.folder), shop.folder / ".remit" / "deploy.key", "person:ada")


# -- waiting is free -----------------------------------------------------------------------------------------------


def test_hundreds_of_sessions_wait_as_rows(shop: Shop) -> None:
    (worker,) = shop._workers
    for _ in range(30):  # warm
        start(shop, "asker", {})
    until(lambda: waiting(shop) >= 30)
    memory, threads, children = footprint(worker.pid)
    began = waiting(shop)
    for _ in range(200):
        start(shop, "asker", {})
    until(lambda: waiting(shop) >= began + 200, seconds=90)
    time.sleep(0.5)
    now = footprint(worker.pid)
    assert now[0] - memory < 30_000, "kB"
    assert now[1] <= threads + 8, "pools fill up to what they may have; sessions have none"
    assert now[2] <= children
    with shop.services.sessions.transaction() as db:
        row = db.execute("select count(*) as n from dbos.workflow_status where status in ('PENDING', 'ENQUEUED')")
        assert row.fetchone() == {"n": 0}, "the engine knows nothing of them"
        newest = db.execute(
            "select id, session_id from remit.inbox_items where kind = 'question' and status = 'open' "
            "order by id desc limit 1"
        ).fetchone()
    assert newest is not None
    shop.services.sessions.answer(newest["id"], Decider("ada"), "this")
    assert shop.wait(newest["session_id"], "finished")["turns"][0]["output"] == "this"


def waiting(shop: Shop) -> int:
    with shop.services.sessions.transaction() as db:
        row = db.execute(
            "select count(*) as n from remit.turns where status = 'waiting' and agent = 'asker'"
        ).fetchone()
    assert row is not None
    return int(row["n"])


def footprint(pid: int) -> tuple[int, int, int]:
    """Memory in kB, threads, and child processes, theirs included."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]), int(status["Threads"]), len(descendants(pid))


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def until(what: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.03)
