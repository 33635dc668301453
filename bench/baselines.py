"""What the governed road is compared with: the engine's plain durable steps, and pgbench."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.places import BINARIES, PYTHON
from remit.storage.database import connect

STEPS = """
import asyncio, sys, time
from dbos import DBOS, DBOSConfig
from dbos._serialization import DBOSPortableJSONSerializer

DBOS(config={"name": "steps", "system_database_url": sys.argv[1].replace("postgresql://", "postgresql+psycopg://"),
             "executor_id": "steps", "application_version": "1", "log_level": "ERROR", "run_migrations": False,
             "serializer": DBOSPortableJSONSerializer()})

@DBOS.step()
async def touch(n: int) -> int:
    return n

@DBOS.workflow()
async def run(n: int) -> int:
    for i in range(n):
        await touch(i)
    return n

async def main():
    DBOS.launch()
    async def one(n):
        handle = await DBOS.start_workflow_async(run, n)
        await handle.get_result()
    await asyncio.gather(*(one(4) for _ in range(5)))
    began = time.perf_counter()
    await asyncio.gather(*(one(int(sys.argv[3])) for _ in range(int(sys.argv[2]))))
    print(int(sys.argv[2]) * int(sys.argv[3]) / (time.perf_counter() - began))
    DBOS.destroy()

asyncio.run(main())
"""


def durable_steps(url: str, *, workflows: int = 50, steps: int = 20) -> float:
    """Plain durable steps of the engine a second: one process, fifty workflows at once, nothing governed."""
    done = subprocess.run(
        [PYTHON, "-c", STEPS, url, str(workflows), str(steps)], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        sys.exit(f"the baseline failed: {done.stderr[-2000:]}")
    return float(done.stdout.strip().splitlines()[-1])


def _seat_clients(url: str, template: dict[str, Any], clients: int, *, shared: bool) -> None:
    """One session for each client, with the intent that it sends again and again."""
    dropped = {"id", "session_id", "turn_id", "key", "nonce"}
    with connect(url) as db:
        rows = db.execute("select id from remit.sessions order by id desc limit %s", (clients,)).fetchall()
        db.execute(
            "create table if not exists bench_sessions "
            "(client integer primary key, session text, turn text, intent jsonb, body bytea)"
        )
        db.execute("delete from bench_sessions")
        for number, row in enumerate(rows):
            turn = db.execute("select id from remit.turns where session_id = %s", (row["id"],)).fetchone()
            assert turn is not None
            intent = {k: v for k, v in template.items() if k not in dropped}
            intent["budgets"] = [b for b in intent["budgets"] if shared or "SESSION" in b["id"]]
            text = json.dumps(intent).replace("SESSION", row["id"])
            db.execute(
                "insert into bench_sessions values (%s, %s, %s, %s, %s)",
                (number, row["id"], turn["id"], text, json.dumps({"thing": "t1", "amount": 12.5}).encode()),
            )


def pgbench(url: str, template: dict[str, Any], *, shared: bool, clients: int = 50, seconds: int = 8) -> float:
    """The same two transactions, admission and settlement, from C: pairs a second with fifty clients.

    Each client plays one session of its own. `template` is the intent of one governed action; `shared` keeps the day
    budget that all sessions draw on, which is then one row that every single transaction locks.
    """
    _seat_clients(url, template, clients, shared=shared)
    script = r"""
\set n random(1, 1000000000000)
select session, turn from bench_sessions where client = :client_id \gset
select remit.admit('pgbench', jsonb_build_array((select intent from bench_sessions where client = :client_id)
    || jsonb_build_object(
        'id', 'act_' || substr((:turn)::text, 6, 10) || 'x' || (:client_id)::text || 'x' || (:n)::text,
        'session_id', (:session)::text, 'turn_id', (:turn)::text, 'key', (:n)::text, 'nonce', (:n)::text)),
    array(select body from bench_sessions where client = :client_id), array['0123456789abcdef'::bytea]);
select remit.settle(jsonb_build_array(jsonb_build_object(
    'id', 'act_' || substr((:turn)::text, 6, 10) || 'x' || (:client_id)::text || 'x' || (:n)::text,
    'status', 'succeeded', 'usd', 0, 'input_tokens', 0, 'output_tokens', 0, 'informed', '[]'::jsonb,
    'owners', '[]'::jsonb)), array(select body from bench_sessions where client = :client_id),
    array['0123456789abcdef'::bytea]);
"""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "pair.sql"
        file.write_text(script)
        done = subprocess.run(
            [str(BINARIES / "pgbench"), "-n", "-f", str(file), "-c", str(clients), "-j", "2", "-T", str(seconds), "-M",
             "prepared", url],
            capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "LD_LIBRARY_PATH": str(BINARIES.parent / "lib")},
        )  # fmt: skip
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if found is None or done.returncode:
        sys.exit(f"pgbench failed: {done.stdout[-500:]} {done.stderr[-2000:]}")
    return float(found[1])
