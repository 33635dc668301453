"""The cockpit's pages over a large company: how long the server takes, and what open tabs cost.

Runs alone too: `python -m bench.cockpit [SESSIONS]`. At the full size it puts its figures into the results of the
newest whole run; smaller ones are only printed.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from starlette.testclient import TestClient
from tests.acceptance.cockpit.office import DIRECTORY, Office
from tests.acceptance.shop import FILES, Shop

from bench import report, tabs
from bench.living import shop
from bench.places import Place, place
from remit.storage import rollups, tallies
from remit.storage.database import connect, keeping_connections

RESULTS = Path(__file__).parent / "results" / "latest.json"
SESSIONS = 100_000
ROUNDS = 40
_CROWD = Path(__file__).with_name("crowd.sql")
_BUSY = ("records", "actions", "leaves", "record_facets", "inbox_items", "sessions", "turns", "payloads", "messages")
_PLACES = ("shop", "vault", "north", "south")
_TILL = ("pay", "unpay", "hand_out", "wire", "find", "peek")
_AGENT = """
title: Agent
purpose: Does what is due on an account.
owner: bo
escalation: ada
workspace: {where}
workflow: accounts
tools: [{tools}]
"""
COMPANY = {
    "directory.yaml": DIRECTORY.replace(
        "workspaces: [{id: shop", "workspaces: [{id: north, title: North}, {id: south, title: South}, {id: shop"
    ),
    "workflows.yaml": "workflows:\n  accounts:\n    title: Accounts\n    owner: bo\n    steps:\n"
    + "".join(f"      - {{title: Step {n}, layer: execute, action: till.{n}}}\n" for n in _TILL),
} | {
    f"agents__agent_{n + 1:02}__{file}": text
    for n in range(20)
    for file, text in {
        "agent.yaml": _AGENT.format(where=_PLACES[n % 4], tools=", ".join(f"till.{t}" for t in _TILL)),
        "program.py": FILES["agents/clerk/program.py"],
    }.items()
}
"""Twenty agents of one workflow in four workspaces, whose past crowd.sql makes up."""
PAGES: dict[str, tuple[str, ...]] = {
    "inbox": ("/inbox", "/inbox?tab=open", "/inbox?tab=open&workspace=north", "/inbox?tab=decided", "/inbox?tab=all"),
    "session list": ("/sessions", "/sessions?status=waiting", "/sessions?workspace=north"),
    "session page": ("/sessions/{session}",),
    "audit explorer": (
        "/audit",
        "/audit?tag=gate%3Aaction%3Acleared",
        "/audit?tag=person%3A",
        "/audit?agent=agent_03&outcome=failed",
        "/audit?who=bo",
        "/audit?action=till.find&since={earlier}&until={later}",
        "/audit?session={session}",
    ),
    "search": ("/search?q=account", "/search?q=account+4711", "/search?q=nothing", "/sessions?text=account+4711"),
    "outputs": (
        "/outputs",
        "/outputs?status=disputed",
        "/outputs?status=all&workspace=north",
        "/outputs?status=rejected&agent=agent_03",
    ),
    "workflows": (
        "/workflows",
        "/workflows?span=30d",
        "/workflows/actions?agent=agent_01&action=till.find&outcome=failed&span=30d",
    ),
    "policies": ("/policies", "/policies?span=90d", "/policies/decisions?policy=writes&span=90d"),
    "insights": ("/insights?span=24h", "/insights?span=7d", "/insights?span=30d", "/insights?span=90d"),
}
"""Each page in the ways in which it is asked for; the figure is the slowest way's."""


def measure(here: Place, sessions: int = SESSIONS) -> dict[str, Any]:
    """Fill a database and ask for every page, as somebody who sees all and as somebody who sees one workspace."""
    with shop(here, **COMPANY) as company:
        filled = fill(company.services.database.url("owner"), sessions)
        with keeping_connections(company.services.url):
            pages = {name: _page(company, ways) for name, ways in PAGES.items()}
            idle = tabs.measure(Office(company, None))
        return {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "load": round(os.getloadavg()[0], 2),
            **filled,
            "rounds": ROUNDS,
            "pages_p95_ms": {name: p95 for name, p95 in pages.items() if p95 is not None},
            "idle_tabs": idle,
        }


def fill(url: str, sessions: int) -> dict[str, Any]:
    """Write the company's past, and count it as a worker would."""
    began = time.perf_counter()
    with psycopg.connect(url) as db:
        db.execute("set synchronous_commit = off")
        db.execute("set work_mem = '256MB'")
        db.execute("set maintenance_work_mem = '512MB'")
        indexes = _take_indexes(db)
        db.execute(_CROWD.read_text("utf-8").replace("%(sessions)s", str(sessions)).replace("%%", "%"))
        for name in [n for n in indexes if "record_facets" not in n]:
            db.execute(indexes.pop(name))
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("analyze")
    counting, leaves = time.perf_counter(), 0
    with connect(url) as db:
        db.execute("set local work_mem = '256MB'")
        while done := rollups.count(db, 250_000):
            leaves += done
    with connect(url) as db:
        while tallies.count(db, 250_000):
            pass
    counted = time.perf_counter()
    with psycopg.connect(url, autocommit=True) as db:
        for statement in indexes.values():
            db.execute(statement)
        db.execute("vacuum analyze")
    return {
        "sessions": sessions,
        "actions": sessions * 10,
        "records": leaves,
        "counted_leaves_per_s": round(leaves / (counted - counting)),
        "filled_s": round(time.perf_counter() - began, 1),
    }


def _take_indexes(db: psycopg.Connection[Any]) -> dict[str, str]:
    """Drop what makes writing slow; returns the statements that bring it back."""
    rows = db.execute(
        """select c.relname, pg_get_indexdef(i.indexrelid) from pg_index i join pg_class c on c.oid = i.indexrelid
           join pg_class t on t.oid = i.indrelid
           where t.relname = any(%s) and t.relnamespace = 'remit'::regnamespace
             and not exists (select 1 from pg_constraint k where k.conindid = i.indexrelid)
             and not exists (select 1 from pg_constraint k where k.confrelid = t.oid and k.conindid = i.indexrelid)""",
        (list(_BUSY),),
    ).fetchall()
    for name, _ in rows:
        db.execute(f"drop index remit.{name}")
    return {name: statement.replace(" ON ONLY ", " ON ") for name, statement in rows}


def _page(company: Shop, ways: tuple[str, ...]) -> float | None:
    """The slowest way's p95 in milliseconds; None if there is no such page."""
    slowest = 0.0
    office = Office(company, None)
    known = _known(company)
    for person in ("ada", "rita"):
        client = office.client(person)
        for way in ways:
            address = way.format(**known)
            if client.get(address).status_code != 200:
                return None
            median, p95 = _times(client, address)
            print(f"  {person} {address}: {median} ms, p95 {p95} ms", file=sys.stderr, flush=True)
            slowest = max(slowest, p95)
    return slowest


def _known(company: Shop) -> dict[str, str]:
    with company.services.sessions.transaction() as db:
        row = db.execute(
            """select id, to_char(now() - interval '60 days', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as earlier,
                      to_char(now() - interval '50 days', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as later
               from remit.sessions where workspace = 'shop' order by id desc limit 1 offset 100"""
        ).fetchone()
    assert row is not None, "the database was just filled"
    return {"session": row["id"], "earlier": row["earlier"], "later": row["later"]}


def _times(client: TestClient, address: str) -> tuple[float, float]:
    """Median and p95 in milliseconds; far apart, they say that the machine does something else too."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        client.get(address)
        taken.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(taken), 1), round(statistics.quantiles(taken, n=20)[-1], 1)


def main() -> None:
    """Measure at the size given, and print."""
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else SESSIONS
    print(f"load average {os.getloadavg()[0]:.2f}", file=sys.stderr)
    with place() as here:
        found = measure(here, sessions)
    print(json.dumps(found, indent=2))
    if sessions == SESSIONS:
        kept = json.loads(RESULTS.read_text("utf-8"))
        kept["cockpit"] = found
        RESULTS.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
        report.write(kept)


if __name__ == "__main__":
    main()
