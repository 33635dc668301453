"""How soon a long session goes on after an answer, and how that grows with its length."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from tests.acceptance.shop import FILES, Shop

from bench.living import shop
from bench.places import Place
from remit.domain import canonical, ids
from remit.governance.desk import Decider
from remit.runtime.programs.calls import request_digest
from remit.runtime.sessions import Start

SIZES = (250, 500, 1_000, 2_000, 4_000)
_EVERY = 10  # every tenth action was a question, so every tenth was waited for
_PROGRAM = """
async def run(session):
    for number in range(1, session.input["actions"] + 1):
        if number % 10 == 0:
            await session.ask("Go on?", schema={"type": "string"}, context=number)
        else:
            await session.call("till.pay", who=f"p{number}", amount=1, currency="USD")
    return number
"""
_AGENT = (
    FILES["agents/clerk/agent.yaml"]
    .replace("title: Clerk", "title: Long")
    .replace("session: {calls: 500, usd: 50}", "session: {calls: 50000}")
    .replace("tools: [", "turn_action_limit: 100000\nrepeat_limit: 1000\ntools: [")
)


def resuming(place: Place, sizes: tuple[int, ...] = SIZES) -> list[dict[str, Any]]:
    """For each size: seconds from the last answer until the turn has gone through everything before it and ended."""
    policy = FILES["policies/shop.cedar"].replace('principal == Agent::"clerk", action in', "principal, action in")
    files = {"agents__long__agent.yaml": _AGENT, "agents__long__program.py": _PROGRAM, "policies__shop.cedar": policy}
    with shop(place, **files) as company:
        worker = company.worker()
        return [_resume(company, size, worker.pid) for size in sizes]


def _resume(company: Shop, size: int, worker: int) -> dict[str, Any]:
    """One session whose history up to its last question is written as a run would have, and then really goes on."""
    session = company.services.sessions.start(Start("long", {"actions": size}, "person:dov"))
    company.wait_for(session, "question")  # its tenth action
    turn = company.session(session)["turns"][0]["id"]
    with psycopg.connect(company.services.url) as db:
        _write_history(db, turn, size)
    taken = []
    for _ in range(2):  # the first answer leads to the last question, the second to the end
        item = company.item(session, "question")
        began, used = time.perf_counter(), _cpu(worker)
        company.services.sessions.answer(item, Decider("ada"), "yes", "bench")
        while _open(company, session) in {None, item}:
            time.sleep(0.005)
        taken.append((time.perf_counter() - began, _cpu(worker) - used))
    seconds, cpu = taken[-1]
    return {"actions": size, "waits": size // _EVERY, "resume_s": round(seconds, 3), "worker_cpu_s": round(cpu, 2)}


def _cpu(pid: int) -> float:
    """Seconds of processor time that a process and all below it have used, those that have ended among them."""
    stats = [found / "stat" for found in Path("/proc").iterdir() if found.name.isdigit()]
    parents, used = {}, {}
    for stat in stats:
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
            used[int(stat.parent.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    below = {pid}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return sum(used.get(found, 0.0) for found in below)


def _open(company: Shop, session: str) -> str | None:
    """The open question of a session; "done" once it has finished."""
    with psycopg.connect(company.services.url) as db:
        row = db.execute(
            """select s.status, (select id from remit.inbox_items where session_id = s.id and status = 'open')
               from remit.sessions s where s.id = %s""",
            (session,),
        ).fetchone()
    assert row is not None, "the session is there"
    return "done" if row[0] == "finished" else row[1]


def _write_history(db: psycopg.Connection[Any], turn: str, size: int) -> None:
    """Copies of the first calls and the question, from the eleventh action to the last but one."""
    for number in range(11, size):
        asks = number % _EVERY == 0
        action = ids.action_id(turn, str(number))
        source = ids.action_id(turn, "10" if asks else "1")
        if asks:
            asked = {"text": "Go on?", "schema": {"type": "string"}, "to": None, "context": number, "confidence": None}
            args, request = asked, request_digest("ask", asked)
        else:
            args = canonical.normalise({"who": f"p{number}", "amount": 1, "currency": "USD"})
            request = request_digest("call", {"action": "till.pay", "args": args, "reason": ""})
        body = canonical.dumps(canonical.normalise(args))
        db.execute(
            """insert into remit.actions (id, turn_id, session_id, key, mode, action, agent, agent_version,
                   asked_digest, args_digest, asker_digest, status, attempt, settled_at, delivered)
               select %s, turn_id, session_id, %s, mode, action, agent, agent_version, %s, %s, %s, 'succeeded', 1,
                      clock_timestamp(), %s from remit.actions where id = %s""",
            (action, str(number), canonical.digest_bytes(body), canonical.digest_bytes(body), request,
             [str(number - 1)], source),
        )  # fmt: skip
        for part, contents in (("a", body), ("r", canonical.dumps("yes" if asks else args))):
            db.execute(
                "select remit.put_payload(%s, null, 'bench', %s, %s)",
                (f"pay_{action.partition('_')[2]}{part}", os.urandom(16), contents),
            )
