"""Governed actions a second, against plain durable steps of the engine and against pgbench.

All three use one PostgreSQL with fsync on. Governed: one worker process, fifty sessions at once, each action judged
by policy with schema, RACI, labels and caps, drawing on its session's own budget and on one day budget that all
share, written ahead, executed (a no-op), settled and recorded. Durable steps: the engine's own steps, fifty workflows
at once, nothing governed. pgbench: the same two transactions, admission and settlement, sent from C by fifty clients.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from bench import world
from remit.domain import canonical, ids
from remit.domain.decisions import Actor, Clearance, Outcome
from remit.governance.deployments import Deployments, deploy
from remit.governance.gate import Gate
from remit.governance.judgement import Run
from remit.governance.policy import PolicyEngine
from remit.governance.signing import generate_key
from remit.governance.state import Governance
from remit.runtime.attempts import Attempts
from remit.runtime.loops import LoopGuard
from remit.runtime.turn_road import TurnRoad, counts
from remit.storage import bundles, sessions
from remit.storage.database import connect
from remit.storage.ledger import Ledger

SESSIONS = 50
ACTIONS = 100


class Fixed:
    """A snapshot that does not change."""

    def __init__(self, governance: Governance) -> None:
        self._governance = governance

    def current(self) -> Governance:
        return self._governance

    async def refresh(self) -> Governance:
        return self._governance


def snapshot(url: str) -> Governance:
    """The world, put into a database as if deployed."""
    project = world.project()
    with connect(url) as db:
        version = bundles.store(
            db, digest="0" * 64, files={}, key_id="bench", signature=b"", by="bench",
            agents={world.AGENT: project.agents[world.AGENT].digest},
        )
    specs = {name: a.spec for name, a in project.agents.items()}
    policy = PolicyEngine.load(project.policies, project.actions, project.tool, project.directory, specs)
    return Governance(version, "0" * 64, project, policy)


def open_runs(url: str, governance: Governance, executor: str, count: int) -> list[Run]:
    """Sessions that this process owns, ready to act."""
    agent = governance.project.agents[world.AGENT]
    runs = []
    with connect(url) as db:
        for number in range(count):
            session_id, turn_id = sessions.create(
                db,
                sessions.NewSession(
                    agent=world.AGENT, agent_version=agent.digest, workspace="lab", workflow=None,
                    principal="trigger:bench", on_behalf_of=None, trigger="bench", request_id=f"r{number}", title="",
                    simulated=False, assisted=False, input={},
                ),
            )
            db.execute("update remit.sessions set epoch = 1, executor = %s where id = %s", (executor, session_id))
            runs.append(
                Run(session_id, turn_id, 1, Actor(world.AGENT, agent.digest), "lab", None, "bench", "trigger:bench",
                    frozenset())
            )
    return runs


async def governed(url: str, *, sessions_: int = SESSIONS, actions: int = ACTIONS) -> float:
    """Governed actions a second."""
    governance = snapshot(url)
    source = Fixed(governance)
    executor = ids.new_id("exe")
    ledger = Ledger(url, executor)
    gate = Gate(ledger, source)
    attempts = Attempts(gate, source, lambda: None, lambda *_: None)  # type: ignore[arg-type,return-value]
    runs = open_runs(url, governance, executor, sessions_)
    spec = governance.project.agents[world.AGENT].spec

    async def execute(_clearance: Clearance) -> Outcome:
        return Outcome("succeeded", {"touched": True})

    async def one(run: Run, offset: int) -> None:
        road = TurnRoad(gate, source, attempts, run, {}, {}, LoopGuard(spec, counts({}), 0))
        for number in range(actions):
            done = await road.tool(
                str(offset + number), world.ACTION, {"thing": f"t{number}", "amount": 12.5, "currency": "USD"},
                execute=execute,
            )
            assert done.status == "succeeded", done

    await asyncio.gather(*(one(run, 1_000_000) for run in runs[:5]))  # warm
    began = time.perf_counter()
    await asyncio.gather(*(one(run, 1) for run in runs))
    took = time.perf_counter() - began
    await ledger.close()
    return sessions_ * actions / took


if __name__ == "__main__":
    from remit.storage import migrate

    url = sys.argv[1]
    migrate.migrate(url)
    for _ in range(3):
        print(round(asyncio.run(governed(url))), "governed actions/s")
