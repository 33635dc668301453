"""Triggers under load: many due in the same second, and webhooks answered while work runs. A real worker and server."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.acceptance.nursery import Nursery
from tests.acceptance.shop import SPEED, Shop, open_shop

from bench.places import Place

_KEY = b"sesame"
_HOOK = """
triggers:
  hook: {kind: webhook, agent: clerk, input: {steps: $body.steps}, verify: {scheme: github, secret: "env:HOOK"}}
"""
_SCHEDULES = '  t{n}: {{kind: schedule, agent: clerk, cron: "0 0 1 1 *", input: {{steps: [{{tool: peek}}]}}}}\n'


@contextmanager
def _shop(place: Place, triggers: str) -> Iterator[Shop]:
    with (
        TemporaryDirectory(prefix="remit-bench-") as folder,
        closing(Nursery()) as nursery,
        open_shop(Path(folder) / "shop", place.database(), nursery, **{"triggers.yaml": triggers}) as company,
    ):
        yield company


def measure(place: Place) -> dict[str, Any]:
    """Both."""
    return {"due": due(place), "hooks": hooks(place)}


def due(place: Place, *, count: int = 500) -> dict[str, Any]:
    """So many schedules become due in one moment, with one idle worker: until all are enqueued, until one acts.

    Seconds are those of the database: from the moment they were due to the commit that enqueued the last, and to
    the first action let through.
    """
    triggers = "triggers:\n" + "".join(_SCHEDULES.format(n=n) for n in range(count))
    with _shop(place, triggers) as company:
        company.worker()
        _until(company, "select count(*) = %s as done from remit.trigger_clocks", count)
        with company.services.sessions.transaction() as db:
            row = db.execute("select clock_timestamp() as now").fetchone()
            assert row is not None
            began: datetime = row["now"]
            db.execute("update remit.trigger_clocks set next_at = '2026-01-01T00:00:00Z'")
        _until(company, "select count(*) >= %s as done from remit.firings where status = 'started'", count)
        _until(company, "select count(*) > %s as done from remit.actions where cleared_at is not null", 0)
        with company.services.sessions.transaction() as db:
            row = db.execute(
                """select (select max(at) from remit.firings) as enqueued,
                          (select min(cleared_at) from remit.actions) as acted,
                          (select count(*) from remit.firings) as firings,
                          (select count(*) from remit.sessions) as sessions,
                          (select count(distinct queue_partition_key) from dbos.workflow_status) as runs"""
            ).fetchone()
        assert row is not None
        assert (row["firings"], row["sessions"], row["runs"]) == (count, count, count)
        return {
            "due_at_once": count,
            "all_enqueued_s": round((row["enqueued"] - began).total_seconds(), 2),
            "first_action_s": round((row["acted"] - began).total_seconds(), 2),
        }


def hooks(place: Place, *, each_second: int = 50, seconds: int = 10) -> dict[str, Any]:
    """How soon webhooks are answered at a steady rate, while a worker works on what they start.

    The server is a process of its own, as `remit server` runs it; every message starts a session that acts.
    """
    with _shop(place, _HOOK) as company:
        company.worker()
        with _server(company) as port:
            for number in range(5):
                _post(port, f"warm-{number}")
            taken = _steadily(port, each_second, seconds)
        with company.services.sessions.transaction() as db:
            row = db.execute("select count(*) filter (where status = 'finished') as n from remit.sessions").fetchone()
        assert row is not None
        taken.sort()
        return {
            "webhooks_per_s": each_second,
            "answered": len(taken),
            "p50_ms": round(statistics.median(taken) * 1000, 1),
            "p95_ms": round(taken[int(len(taken) * 0.95)] * 1000, 1),
            "sessions_finished_meanwhile": row["n"],
        }


@contextmanager
def _server(company: Shop) -> Iterator[int]:
    """`remit server` on the company; its port."""
    ready = company.folder / "server-ready"
    command = [sys.executable, "-m", "remit", "server", str(company.folder), "--port", "0", "--ready-file", str(ready)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **SPEED, "HOOK": _KEY.decode()}
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        while "listens on" not in line:
            assert line, "the server ended"
            line = process.stdout.readline()
        yield int(line.partition("listens on ")[2].split()[0].rstrip(".").rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(30)


def _post(port: int, message: str) -> float:
    """Send one message on a connection of its own; seconds until it was answered."""
    body = json.dumps({"steps": [{"tool": "peek"}], "id": message}).encode()
    headers = {
        "X-GitHub-Delivery": message,
        "X-Hub-Signature-256": "sha256=" + hmac.new(_KEY, body, hashlib.sha256).hexdigest(),
    }
    began = time.perf_counter()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", "/hooks/hook", body, headers)
        answer = connection.getresponse()
        answer.read()
    assert answer.status == 202, answer.status
    return time.perf_counter() - began


def _steadily(port: int, each_second: int, seconds: int) -> list[float]:
    """Send at a rate that does not wait for answers; seconds that each took."""
    taken: list[float] = []
    threads = []
    began = time.perf_counter()
    for number in range(each_second * seconds):
        time.sleep(max(0.0, began + number / each_second - time.perf_counter()))
        thread = threading.Thread(target=lambda n=number: taken.append(_post(port, f"m-{n}")))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
    assert len(taken) == each_second * seconds, "some were not answered"
    return taken


def _until(company: Shop, what: str, number: int) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with company.services.sessions.transaction() as db:
            row = db.execute(what, (number,)).fetchone()
        if row is not None and row["done"]:
            return
        time.sleep(0.05)
    raise TimeoutError(what)
