"""How a running system behaves: waiting sessions, stops, a worker that dies. Real workers, on the tests' small shop."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from tests.acceptance.nursery import Nursery
from tests.acceptance.shop import Shop, open_shop

from bench.places import Place
from remit.governance.desk import Decider


@contextmanager
def shop(place: Place, **changed: str) -> Iterator[Shop]:
    """The tests' shop on a database of its own; `changed` replaces files by name with `__` for `/`."""
    with (
        TemporaryDirectory(prefix="remit-bench-") as folder,
        closing(Nursery()) as nursery,
        open_shop(Path(folder) / "shop", place.database(), nursery, **changed) as company,
    ):
        yield company


def waiting(place: Place, *, count: int = 10_000) -> dict[str, Any]:
    """What many waiting sessions cost a worker, and how soon an answer starts its turn.

    One session waits for real; the others are copies of its rows, which is all that a waiting session is.
    """
    with shop(place) as company:
        worker = company.worker()
        session = company.start({"tool": "pay", "who": "ivy", "amount": 120, "currency": "USD"})
        company.wait(session, "waiting")
        before = _look(company, worker.pid)
        _clone(company.services.url, session, count - 1)
        time.sleep(2)
        after = _look(company, worker.pid)
        answers = []
        for _ in range(5):
            asked = company.start({"tool": "pay", "who": "ivy", "amount": 120, "currency": "USD"})
            company.wait(asked, "waiting")
            item = company.item(asked, "approval")
            company.services.sessions.approve(item, Decider("bo"), "fine")
            answers.append(_until_running(company, asked))
        return {
            "waiting_sessions": count,
            "memory_growth_mb": round((after["rss_kb"] - before["rss_kb"]) / 1024, 1),
            "threads_before": before["threads"],
            "threads_after": after["threads"],
            "children_before": before["children"],
            "children_after": after["children"],
            "idle_transactions_per_s_before": before["transactions_per_s"],
            "idle_transactions_per_s_after": after["transactions_per_s"],
            "answer_to_running_s": round(statistics.median(answers), 3),
        }


def stopping(place: Place, *, sessions: int = 500) -> dict[str, Any]:
    """Stop everything while many sessions run: nothing is cleared after it, and how long until turns have ended."""
    with shop(place) as company:
        company.worker(REMIT_WORKER_CONCURRENCY="50")
        for _ in range(sessions):
            company.start(*_steps(150))
        with psycopg.connect(company.services.url, autocommit=True) as db:
            until = time.monotonic() + 60
            while _running(db) < 45 and time.monotonic() < until:
                time.sleep(0.05)
            time.sleep(1)
            began = time.perf_counter()
            company.services.sessions.stop("all", "", "bench", "bo")
            committed = time.perf_counter()
            cleared, at_work = _cleared(db), _turns(db, "running")
            while at_work & _turns(db, "running") and time.perf_counter() - committed < 30:
                time.sleep(0.02)
            ended = time.perf_counter()
            time.sleep(1)
            return {
                "sessions": sessions,
                "turns_at_work": len(at_work),
                "stop_took_s": round(committed - began, 3),
                "turns_ended_after_s": round(ended - committed, 3),
                "cleared_after_commit": _cleared(db) - cleared,
            }


def failover(place: Place) -> dict[str, Any]:
    """Kill one of two workers with -9: how long until its turns go on, with free slots and under a backlog."""
    found = {}
    for name, backlog in (("free_slots", 0), ("backlog", 200)):
        with shop(place) as company:
            slots = "20" if backlog == 0 else "5"
            doomed = company.worker(REMIT_WORKER_CONCURRENCY=slots, REMIT_LEASE="4s", REMIT_HEARTBEAT="1s")
            mine = [company.start(*_steps(400)) for _ in range(5)]
            with psycopg.connect(company.services.url, autocommit=True) as db:
                while _running(db) < 5:
                    time.sleep(0.05)
                others = [company.start(*_steps(40)) for _ in range(backlog)]
                company.worker(REMIT_WORKER_CONCURRENCY=slots, REMIT_LEASE="4s", REMIT_HEARTBEAT="1s")
                epochs = _epochs(db, mine)
                began = time.perf_counter()
                os.kill(doomed.pid, signal.SIGKILL)
                while any(e <= epochs[s] for s, e in _epochs(db, mine).items()) and time.perf_counter() - began < 60:
                    time.sleep(0.05)
                found[name] = {"all_taken_over_s": round(time.perf_counter() - began, 2), "waiting_behind": len(others)}
    return found


def _steps(count: int) -> list[dict[str, Any]]:
    return [{"tool": "hand_out", "who": f"p{n}", "amount": 1} for n in range(count)]


def _running(db: psycopg.Connection[Any]) -> int:
    row = db.execute("select count(*) from remit.turns where status = 'running'").fetchone()
    return int(row[0]) if row else 0


def _turns(db: psycopg.Connection[Any], status: str) -> set[str]:
    return {row[0] for row in db.execute("select id from remit.turns where status = %s", (status,))}


def _cleared(db: psycopg.Connection[Any]) -> int:
    row = db.execute("select count(*) from remit.actions where attempt > 0").fetchone()
    return int(row[0]) if row else 0


def _epochs(db: psycopg.Connection[Any], sessions: list[str]) -> dict[str, int]:
    return dict(db.execute("select id, epoch from remit.sessions where id = any(%s)", (sessions,)).fetchall())


def _until_running(company: Shop, session: str) -> float:
    began = time.perf_counter()
    with psycopg.connect(company.services.url, autocommit=True) as db:
        first = _epochs(db, [session])[session]
        while _epochs(db, [session])[session] == first and time.perf_counter() - began < 10:
            time.sleep(0.005)
    return time.perf_counter() - began


def _look(company: Shop, pid: int) -> dict[str, Any]:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    children = sum(
        1
        for path in Path("/proc").glob("[0-9]*/stat")
        if path.exists() and path.read_text().rsplit(") ", 1)[1].split()[1] == str(pid)
    )
    return {
        "rss_kb": int(status["VmRSS"].split()[0]),
        "threads": int(status["Threads"]),
        "children": children,
        "transactions_per_s": _rate(company),
    }


def _rate(company: Shop, seconds: float = 5) -> float:
    with psycopg.connect(company.services.url, autocommit=True) as db:
        ask = "select sum(xact_commit)::bigint from pg_stat_database where datname = current_database()"
        first = db.execute(ask).fetchone()
        time.sleep(seconds)
        last = db.execute(ask).fetchone()
    return round((last[0] - first[0]) / seconds, 1) if first and last else 0.0


def _clone(url: str, session: str, count: int) -> None:
    """Copy the rows of a waiting session; ids get a number at their end."""
    tables = {
        "sessions": ("id",),
        "messages": ("id", "session_id"),
        "turns": ("id", "session_id", "message_id"),
        "actions": ("id", "turn_id", "session_id", "item_id"),
        "inbox_items": ("id", "session_id", "turn_id", "action_id"),
    }
    with psycopg.connect(url, autocommit=True) as db:
        for table, keys in tables.items():
            where = "id = %(session)s" if table == "sessions" else "session_id = %(session)s"
            columns = [
                row[0]
                for row in db.execute(
                    "select column_name from information_schema.columns where table_schema = 'remit' "
                    "and table_name = %s order by ordinal_position",
                    (table,),
                )
            ]
            picked = ", ".join(f"{c} || 'x' || n" if c in keys else c for c in columns)
            db.execute(
                f"insert into remit.{table} ({', '.join(columns)}) select {picked} from remit.{table}, "
                f"generate_series(1, %(count)s) n where {where}",
                {"session": session, "count": count},
            )
        db.execute("analyze")
