"""Governed actions a second, against plain durable steps of the engine and against pgbench.

All three use one PostgreSQL with fsync on. Governed: one worker process, fifty sessions at once, each action judged
by policy with schema, RACI, labels and caps, drawing on its session's own budget and on one day budget that all
share, written ahead, executed (a no-op), settled and recorded. Durable steps: the engine's own steps, fifty workflows
at once, nothing governed. pgbench: the same two transactions, admission and settlement, sent from C by fifty clients.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from bench import baselines, world
from bench.places import Place
from remit.domain import ids
from remit.domain.decisions import Actor, Clearance, Outcome
from remit.domain.intents import Admission, Intent
from remit.governance.gate import Gate
from remit.governance.judgement import Run
from remit.governance.policy import PolicyEngine
from remit.governance.state import Governance
from remit.runtime.attempts import Attempts
from remit.runtime.loops import LoopGuard
from remit.runtime.turn_road import TurnRoad, counts
from remit.storage import bundles, sessions
from remit.storage.database import connect
from remit.storage.ledger import Ledger, intent_json

SESSIONS = 50
ACTIONS = 100


class Fixed:
    """A snapshot that does not change."""

    def __init__(self, governance: Governance) -> None:
        self._governance = governance

    def current(self) -> Governance:
        """The snapshot."""
        return self._governance

    async def refresh(self) -> Governance:
        """The snapshot."""
        return self._governance


def snapshot(url: str) -> Governance:
    """The world, put into a database as if deployed."""
    project = world.project()
    with connect(url) as db:
        version = bundles.store(
            db,
            digest="0" * 64,
            files={},
            key_id="bench",
            signature=b"",
            by="bench",
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
                    agent=world.AGENT,
                    agent_version=agent.digest,
                    workspace="lab",
                    workflow=None,
                    principal="trigger:bench",
                    on_behalf_of=None,
                    trigger="bench",
                    request_id=f"r{number}",
                    title="",
                    simulated=False,
                    assisted=False,
                    input={},
                ),
            )
            db.execute("update remit.sessions set epoch = 1, executor = %s where id = %s", (executor, session_id))
            runs.append(
                Run(
                    session_id,
                    turn_id,
                    1,
                    Actor(world.AGENT, agent.digest),
                    "lab",
                    None,
                    "bench",
                    "trigger:bench",
                    frozenset(),
                )
            )
    return runs


async def _act(gate: Gate, source: Fixed, run: Run, first: int, actions: int) -> None:
    """One session's actions, one after the other."""
    attempts = Attempts(gate, source, lambda: None, lambda *_: None)  # type: ignore[arg-type,return-value]
    spec = source.current().project.agents[world.AGENT].spec
    road = TurnRoad(gate, source, attempts, run, {}, {}, LoopGuard(spec, counts({}), 0))

    async def execute(_clearance: Clearance) -> Outcome:
        return Outcome("succeeded", {"touched": True})

    for number in range(actions):
        done = await road.tool(
            str(first + number),
            world.ACTION,
            {"thing": f"t{number}", "amount": 12.5, "currency": "USD"},
            execute=execute,
        )
        assert done.status == "succeeded", done


async def governed(url: str, *, sessions_: int = SESSIONS, actions: int = ACTIONS) -> float:
    """Governed actions a second."""
    governance = snapshot(url)
    source = Fixed(governance)
    executor = ids.new_id("exe")
    ledger = Ledger(url, executor)
    gate = Gate(ledger, source)
    runs = open_runs(url, governance, executor, sessions_)
    await asyncio.gather(*(_act(gate, source, run, 1_000_000, 20) for run in runs[:5]))  # warm
    began = time.perf_counter()
    await asyncio.gather(*(_act(gate, source, run, 1, actions) for run in runs))
    took = time.perf_counter() - began
    await ledger.close()
    return sessions_ * actions / took


async def one_intent(url: str, governance: Governance) -> dict[str, Any]:
    """What admission of one such action is told, for pgbench to send."""
    kept: list[Intent] = []

    class Listening(Ledger):
        async def admit(self, intent: Intent) -> Admission:
            """Admit it, and keep it."""
            kept.append(intent)
            return await super().admit(intent)

    executor = ids.new_id("exe")
    ledger = Listening(url, executor)
    (run,) = open_runs(url, governance, executor, 1)
    await _act(Gate(ledger, Fixed(governance)), Fixed(governance), run, 1, 1)
    await ledger.close()
    (intent,) = kept
    template = intent_json(intent)
    for budget in template["budgets"]:
        budget["id"] = budget["id"].replace(run.session_id, "SESSION")
    return template


def measure(place: Place, *, rounds: int = 5) -> dict[str, Any]:
    """Medians of several rounds; in each, every contender runs once, on a fresh database of the same server."""
    seen: dict[str, list[float]] = {name: [] for name in ("governed", "steps", "pgbench", "pgbench_private")}
    for _ in range(rounds):
        url = place.database()
        seen["governed"].append(asyncio.run(governed(url)))
        seen["steps"].append(baselines.durable_steps(place.database()))
        url = place.database()
        governance = snapshot(url)
        template = asyncio.run(one_intent(url, governance))
        open_runs(url, governance, "pgbench", SESSIONS)
        seen["pgbench"].append(baselines.pgbench(url, template, shared=True))
        seen["pgbench_private"].append(baselines.pgbench(url, template, shared=False))
    medians = {name: statistics.median(found) for name, found in seen.items()}
    ratios = lambda name: statistics.median(  # noqa: E731
        [a / b for a, b in zip(seen["governed"], seen[name], strict=True)]
    )
    return {
        "governed_actions_per_s": round(medians["governed"]),
        "durable_steps_per_s": round(medians["steps"]),
        "pgbench_pairs_per_s": round(medians["pgbench"]),
        "pgbench_private_budgets_pairs_per_s": round(medians["pgbench_private"]),
        "governed_vs_durable_step_ratio": round(ratios("steps"), 2),
        "governed_vs_pgbench_ratio": round(ratios("pgbench"), 2),
        "governed_vs_pgbench_private_ratio": round(ratios("pgbench_private"), 2),
        "all": {name: [round(v) for v in found] for name, found in seen.items()},
    }
