"""Who may run an external turn: one live process, never a worker, and nothing is done twice."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.governed.firm import ACTIONS, ASK, EXAMPLE, Firm

import remit
from remit.config.settings import Settings
from remit.errors import Conflict, InvalidInput
from remit.storage import executors, runs, sessions


def test_only_one_process_at_a_time(firm: Firm) -> None:
    async def twice() -> None:
        async with remit.governed(firm.folder, **ASK) as road:
            with pytest.raises(Conflict, match="another process is at work"):
                await firm.again(road.session_id)
            road.finish("first")

    asyncio.run(twice())
    assert firm.done == {}
    assert firm.one("select status from remit.turns") == "finished"


def test_a_process_whose_lease_ran_out_can_do_no_more(firm: Firm) -> None:
    async def overtaken() -> str:
        async with remit.governed(firm.folder, **ASK) as road:
            owner = firm.one("select executor from remit.sessions")
            with firm.services.sessions.transaction() as db:
                executors.leave(db, owner)
            assert (await firm.again(road.session_id)).status == "finished"
            paid = dict(firm.done)
            try:
                await firm.agent().run("Money back.", capabilities=[road.governance(ACTIONS)])
            finally:
                assert firm.done == paid, "the one that was taken over did nothing"
        return road.session_id

    with pytest.raises(Conflict, match="taken session"):
        asyncio.run(overtaken())
    assert firm.one("select status from remit.turns") == "finished"
    assert firm.done == {"charge": 1, "refund": 1}


def test_an_owner_that_was_taken_over_does_not_overwrite_the_end(firm: Firm) -> None:
    async def overtaken() -> None:
        async with remit.governed(firm.folder, **ASK) as road:
            with firm.services.sessions.transaction() as db:
                executors.leave(db, firm.one("select executor from remit.sessions"))
            await firm.again(road.session_id)
            road.finish("too late")

    with pytest.raises(Conflict, match="taken session"):
        asyncio.run(overtaken())
    assert firm.turns(firm.one("select id from remit.sessions"))[0]["output"] == "done"


def test_a_turn_whose_owner_died_waits_for_it(firm: Firm) -> None:
    code = f"""
import asyncio, os, remit
async def main():
    async with remit.governed({str(firm.folder)!r}, agent="refund-desk", input={{"customer": "ada"}},
                              principal="person:dov"):
        os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    died = subprocess.run([sys.executable, "-c", code], env={**os.environ, "REMIT_LEASE": "300ms"}, check=False)
    assert died.returncode == -9
    session = firm.one("select id from remit.sessions")
    assert firm.session(session)[0] == "running"
    with firm.services.sessions.transaction() as db:
        db.execute("update remit.sessions set updated_at = now() - interval '1 hour'")
        db.execute("update remit.executors set expires_at = clock_timestamp() + interval '1 hour'")
        assert executors.lost_turns(db, Settings().lease) == [], "its owner is alive"
        db.execute("update remit.executors set expires_at = clock_timestamp()")
        (lost,) = executors.lost_turns(db, Settings().lease)
        firm.services.sessions.resume_turn(db, lost)
    assert firm.session(session) == ("waiting", "owner")
    assert firm.one("select count(*) from dbos.workflow_status") == 0
    assert asyncio.run(firm.again(session)).status == "finished"


def test_a_process_that_dies_after_paying_pays_once(firm: Firm, tmp_path: Path) -> None:
    env = {**os.environ, "SHOP_BOOKS": str(tmp_path / "books.json"), "SHOP_COMPANY": str(firm.folder)}
    command = [sys.executable, str(EXAMPLE / "desk.py")]
    dying = {**env, "REMIT_KILL_AT": "call:after:4"}  # two answers, a look, and the refund
    assert subprocess.run([*command, "ada"], env=dying, check=False).returncode == -9
    session = firm.one("select id from remit.sessions")
    assert firm.statuses(session)[-1] == ("m2.t1", "cleared")
    with firm.services.sessions.transaction() as db:  # as if the clearance, the timeout and the lease had run out
        db.execute("update remit.actions set expires_at = clock_timestamp() where status = 'cleared'")
        db.execute("update remit.executors set expires_at = clock_timestamp()")
    done = subprocess.run([*command, "--session", session], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Your money is on its way.", done.stderr
    assert len(json.loads((tmp_path / "books.json").read_text())) == 1
    assert firm.one("select attempt from remit.actions where action = 'shop.refund'") == 2
    assert firm.one("select count(*) from remit.actions where mode = 'model'") == 3


def test_no_worker_can_take_such_a_turn(firm: Firm) -> None:
    firm.amount = 240
    turn = asyncio.run(firm.work()).turn_id
    with firm.services.sessions.transaction() as db:
        executors.register(db, "exe_w", Settings().lease * 100)
        db.execute("update remit.turns set kind = 'agent'")
        firm.services.sessions.resume_turn(db, turn)  # a run that must not be there
        db.execute("update remit.turns set kind = 'external'")
        db.execute("update dbos.workflow_status set status = 'PENDING', executor_id = 'exe_w'")
        asked = {"workflow_id": f"{turn}:2", "turn_id": turn, "executor": "exe_w"}
        assert runs.begin_run(db, **asked) is None
        db.execute("update remit.turns set kind = 'agent'")
        assert runs.begin_run(db, **asked) is not None, "an ordinary turn with the same rows is taken"


def test_a_worker_keeps_out_of_a_session_that_is_at_work(firm: Firm) -> None:
    async def held() -> None:
        async with remit.governed(firm.folder, **ASK) as road:
            with firm.services.sessions.transaction() as db:
                session = sessions.get(db, road.session_id)
                undo, _ = sessions.add_turn(
                    db, road.session_id, "person:bo", session.agent, session.agent_version, {}, kind="undo"
                )
                executors.register(db, "exe_w", Settings().lease * 100)
                firm.services.sessions.resume_turn(db, undo)
                db.execute("update dbos.workflow_status set status = 'PENDING', executor_id = 'exe_w'")
                asked = {"workflow_id": f"{undo}:1", "turn_id": undo, "executor": "exe_w"}
                assert runs.begin_run(db, **asked) is None
                executors.leave(db, firm.one("select executor from remit.sessions"))
                assert runs.begin_run(db, **asked) is not None
                db.rollback()

    asyncio.run(held())


def test_what_the_code_raises_fails_the_turn(firm: Firm) -> None:
    async def broken() -> None:
        async with remit.governed(firm.folder, **ASK):
            raise ZeroDivisionError("secret-0815")

    with pytest.raises(ZeroDivisionError):
        asyncio.run(broken())
    (turn,) = firm.turns(firm.one("select id from remit.sessions"))
    assert turn["status"] == "failed"
    assert turn["error"] == "the agent's code ended with ZeroDivisionError", "its words may hold anything"


def test_a_cancelled_block_waits_for_its_owner(firm: Firm) -> None:
    async def cancelled() -> None:
        async def held() -> None:
            async with remit.governed(firm.folder, **ASK):
                inside.set()
                await asyncio.sleep(60)

        inside = asyncio.Event()
        task = asyncio.create_task(held())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    session = firm.one("select id from remit.sessions")
    assert firm.session(session) == ("waiting", "owner")
    assert asyncio.run(firm.again(session)).status == "finished"


def test_a_paused_session_is_left_alone(firm: Firm) -> None:
    firm.amount = 240
    session = asyncio.run(firm.work()).session_id
    firm.services.sessions.pause(session, "bo", "wait")
    with pytest.raises(Conflict, match="is paused"):
        asyncio.run(firm.again(session))
    firm.services.sessions.resume(session, "bo", "go on")
    assert asyncio.run(firm.again(session)).waiting_for == "approval"


def test_workers_are_not_asked_to_run_it(firm: Firm) -> None:
    from remit.runtime.sessions import Start

    with pytest.raises(InvalidInput, match="external"):
        firm.services.sessions.start(Start("refund-desk", {"customer": "ada"}, "person:dov"))
