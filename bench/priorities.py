"""The daily lists of 200 people: examples/acme as it is, its real servers, one worker, and everything governed.

From the moment in which the schedule fires for all of them until the last has their list: reads in bulk, ranking, the
rows with their reasons, the list kept as an output, the message written down (a worker alone sends none). `total` is
the whole company's 300 accounts, shared out; `each` gives everybody 300 of their own, 60,000 in all.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from remit.bootstrap import Services, open_services
from remit.storage import sessions
from remit.surfaces.cli.project import deploy_if_changed

ACME = Path(__file__).resolve().parents[1] / "examples" / "acme"
PEOPLE, ACCOUNTS = 200, 300
LONGEST = 300.0
_TABLES = {
    "crm": (("accounts", "account_id"), ("deals", "account_id"), ("activities", "account_id")),
    "helpdesk": (("account_tickets", "account_id"),),
    "revenue": (("revenue", "account_id"),),
}


def measure(*, each: bool = False) -> dict[str, Any]:
    """Seconds from the schedule's firing until the last of the lists, and what they were made of."""
    with TemporaryDirectory(prefix="remit-priorities-") as name:
        folder = Path(name) / "acme"
        shutil.copytree(ACME, folder, ignore=shutil.ignore_patterns(".remit", "__pycache__"))
        _hire(folder)
        for system in _TABLES:
            _fill(folder, system, each=each)
        with open_services(folder) as services, _worker(folder):
            deploy_if_changed(services)
            _finished(services, _fire(services, "seller001"))  # what starts with the first use
            began = time.monotonic()
            lists = _fire(services, None)
            fired = time.monotonic() - began
            outputs = _finished(services, lists)
            took = time.monotonic() - began
            with services.sessions.transaction() as db:
                count = "select count(*) as n from remit.actions where session_id = any(%s)"
                actions = db.execute(count, (lists,)).fetchone()
    assert actions is not None
    return {
        "people": len(lists),
        "accounts_each": round(sum(o["accounts"] for o in outputs) / len(outputs), 1),
        "rows": sum(len(o["priorities"]) + len(o["quiet"]) for o in outputs),
        "actions": actions["n"],
        "fired_s": round(fired, 2),
        "seconds": round(took, 2),
    }


def _hire(folder: Path) -> None:
    """Two hundred sellers instead of Acme's six."""
    file = folder / "directory.yaml"
    sellers = "".join(
        f"  - {{id: seller{n:03}, name: Seller {n}, email: seller{n:03}@acme.example, manager: ingrid.solberg,"
        f" slack: TACME0001/U9{n:03}, roles: [sales-floor], workspaces: [sales]}}\n"
        for n in range(1, PEOPLE + 1)
    )
    roles = "roles:\n  - {id: sales-floor, title: Looks after accounts}\n"
    file.write_text(file.read_text().replace("roles:\n", roles, 1).rstrip() + "\n" + sellers)
    triggers = folder / "triggers.yaml"
    triggers.write_text(triggers.read_text().replace('["role:sales"]', '["role:sales-floor"]'))
    for limit in ("agents/daily-priorities/agent.yaml", "workflows.yaml"):
        text = (folder / limit).read_text()
        (folder / limit).write_text(
            text.replace("calls: 5000", "calls: 100000").replace("calls: 10000", "calls: 100000")
        )


def _fill(folder: Path, system: str, *, each: bool) -> None:
    """Let the server seed its books; then share the accounts out, or give everybody a copy of them all."""
    data = folder / ".remit" / "connections" / system
    command = [sys.executable, str(folder / "servers" / f"{system}.py"), "--data", str(data), "--reset"]
    subprocess.run(command, check=True, cwd=folder)
    with closing(sqlite3.connect(data / f"{system}.sqlite")) as db, db:
        if system == "crm":
            db.execute("DELETE FROM accounts WHERE account_id > ?", (f"acc_{1000 + ACCOUNTS}",))
            for number in range(1, PEOPLE + 1):
                person = (f"seller{number:03}", f"Seller {number}", "ingrid.solberg", 1, "Europe/Berlin")
                db.execute("INSERT INTO users VALUES (?, ?, ?, ?, ?)", person)
            db.execute("UPDATE accounts SET owner = printf('seller%03d', (rowid % ?) + 1)", (PEOPLE,))
        if each:
            _copy(db, system)


def _copy(db: sqlite3.Connection, system: str) -> None:
    for table, column in _TABLES[system]:
        names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        kept = [n for n in names if n != "number"]
        rows = db.execute(f"SELECT {', '.join(kept)} FROM {table} WHERE {column} IS NOT NULL").fetchall()
        db.execute(f"DELETE FROM {table}")
        insert = f"INSERT INTO {table} ({', '.join(kept)}) VALUES ({', '.join('?' * len(kept))})"
        own = {column, "deal_id", "ticket_id"}
        for number in range(1, PEOPLE + 1):
            tail, owner = f"_{number}", f"seller{number:03}"
            db.executemany(
                insert,
                [
                    [owner if n == "owner" else f"{v}{tail}" if n in own else v for n, v in zip(kept, row, strict=True)]
                    for row in rows
                ],
            )


@contextmanager
def _worker(folder: Path) -> Iterator[None]:
    ready = folder / ".remit" / "worker.ready"
    command = [sys.executable, "-m", "remit", "worker", str(folder), "--ready-file", str(ready)]
    with (folder / ".remit" / "worker.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def _fire(services: Services, person: str | None) -> list[str]:
    fired = services.triggers.fire("priorities", "kofi.mensah", person=person, simulated=True)
    found = [one.session_id for one in fired if one.session_id is not None]
    assert len(found) == len(fired), [one.reason for one in fired if one.session_id is None][:1]
    return found


def _finished(services: Services, wanted: list[str]) -> list[dict[str, Any]]:
    until = time.monotonic() + LONGEST
    open_ones = "select count(*) as n from remit.sessions where id = any(%s) and status <> 'finished'"
    while True:
        with services.sessions.transaction() as db:
            left = db.execute(open_ones, (wanted,)).fetchone()
            if left is not None and not left["n"]:
                return [sessions.turns(db, one)[-1]["output"] for one in wanted]
        if time.monotonic() > until:
            raise TimeoutError(f"{left} lists are not made after {LONGEST:.0f} s")
        time.sleep(0.05)


if __name__ == "__main__":
    print(json.dumps({"total": measure(), **({"each": measure(each=True)} if "--each" in sys.argv else {})}, indent=1))
