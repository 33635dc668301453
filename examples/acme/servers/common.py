"""What the three servers of Acme share: storage, seed data, the command line, and how they are served.

Every server is a process of its own with a database file of its own (SQLite, write-ahead log) in the folder that
ACME_DATA names, or else in the current folder. The seed is loaded at the first start, and again with `--reset`.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from faults import FaultBox, FaultMiddleware, Rule
from pydantic import ValidationError

_SHARED_TABLES = """
CREATE TABLE IF NOT EXISTS faults (rule TEXT PRIMARY KEY, seen INTEGER NOT NULL, used INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, arguments TEXT NOT NULL, result TEXT NOT NULL);
"""


class Store:
    """One server's database file. A connection is opened for each piece of work, so threads need no care."""

    def __init__(self, name: str, tables: str, seed: Callable[[sqlite3.Connection], None]) -> None:
        self.name = name
        self._tables = tables + _SHARED_TABLES
        self._seed = seed
        self.data = Path()
        self.path = Path()
        self.seed_folder = Path(__file__).resolve().parent.parent / "seed"

    def open(self, data: Path, *, reset: bool = False) -> None:
        """Use this folder; create and seed the database if it is new, or start over with `reset`."""
        data.mkdir(parents=True, exist_ok=True)
        self.data, self.path = data, data / f"{self.name}.sqlite"
        _write_ahead_log(self.path)
        with self.work() as db:
            if reset:
                tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
                for (table,) in tables.fetchall():
                    db.execute(f'DROP TABLE "{table}"')
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'keys'").fetchone():
                for statement in filter(str.strip, self._tables.split(";")):
                    db.execute(statement)
                self._seed(db)

    @contextmanager
    def work(self) -> Iterator[sqlite3.Connection]:
        """One transaction: it holds the write lock from the start, and all of it stays or none of it."""
        with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def once(
        self, db: sqlite3.Connection, key: str, arguments: dict[str, Any], work: Callable[[], dict[str, Any]]
    ) -> tuple[dict[str, Any], bool]:
        """Do the work once for an idempotency key; True beside the result if it was done before.

        Raises ToolError where the key was used with other arguments. An empty key is no key: the work is done.
        """
        if not key:
            return work(), False
        given = json.dumps(arguments, sort_keys=True)
        known = db.execute("SELECT arguments, result FROM keys WHERE key = ?", (key,)).fetchone()
        if known is None:
            result = work()
            db.execute("INSERT INTO keys VALUES (?, ?, ?)", (key, given, json.dumps(result)))
            return result, False
        if known["arguments"] != given:
            raise ToolError(f"the idempotency key {key!r} was used before with other arguments; nothing was done")
        return json.loads(known["result"]), True

    def seed_rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of `NAME.json` among the seed."""
        rows: list[dict[str, Any]] = json.loads((self.seed_folder / f"{name}.json").read_text("utf-8"))
        return rows

    def known(self, db: sqlite3.Connection, key: str) -> dict[str, Any] | None:
        """What was done under an idempotency key, or None."""
        row = db.execute("SELECT result FROM keys WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row["result"])


def minor(amount: float | str) -> int:
    """An amount in major units as whole cents. Raises ToolError on anything finer, negative or not a number."""
    try:
        cents = Decimal(str(amount)) * 100
    except InvalidOperation:
        cents = Decimal("NaN")
    if not cents.is_finite() or cents != cents.to_integral_value() or cents <= 0 or cents >= 10**12:
        raise ToolError("an amount is a positive number with at most two decimal places, such as 120 or 99.50")
    return int(cents)


def major(cents: int) -> float:
    """Whole cents as an amount in major units."""
    return float(Decimal(cents) / 100)


def serve(server: FastMCP, store: Store, reports: dict[str, Callable[[], Any]] | None = None) -> None:
    """Read the command line and do what it says: serve, report, or arrange for trouble."""
    options = _arguments(store.name, reports or {})
    data = Path(options.data or os.environ.get("ACME_DATA") or ".")
    store.seed_folder = Path(options.seed) if options.seed else store.seed_folder
    store.open(data, reset=options.reset)
    box = FaultBox(store.data, store.path)
    report = next((run for name, run in (reports or {}).items() if getattr(options, name)), None)
    if options.fault or options.no_faults or report or (options.reset and not options.serve):
        _arrange(box, options)
        if report:
            print(json.dumps(report(), indent=2))
        return
    server.add_middleware(FaultMiddleware(box, None if options.http else os.dup(1)))
    if options.http:
        server.run("http", host="127.0.0.1", port=options.http, show_banner=False, log_level="ERROR")
    else:
        server.run("stdio", show_banner=False, log_level="ERROR")


def _arguments(name: str, reports: dict[str, Callable[[], Any]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"{name}.py", description=f"Acme's {name}, an MCP server.")
    parser.add_argument("--http", type=int, metavar="PORT", help="serve streamable HTTP on 127.0.0.1 (default: stdio)")
    parser.add_argument("--data", metavar="FOLDER", help="where the database file is (default: ACME_DATA, or here)")
    parser.add_argument("--seed", metavar="FOLDER", help="what it starts with (default: ../seed beside this file)")
    parser.add_argument("--reset", action="store_true", help="start over from the seed, then leave")
    parser.add_argument("--serve", action="store_true", help="with --reset: go on and serve")
    parser.add_argument("--fault", action="append", metavar="RULE", help="add a fault, a rule in JSON, then leave")
    parser.add_argument("--no-faults", action="store_true", help="remove all faults, then leave")
    for report, run in reports.items():
        parser.add_argument(f"--{report}", action="store_true", help=(run.__doc__ or "").strip())
    return parser.parse_args()


def _arrange(box: FaultBox, options: argparse.Namespace) -> None:
    if options.no_faults:
        box.clear()
    for text in options.fault or ():
        try:
            box.add(Rule.model_validate_json(text))
        except ValidationError as error:
            sys.exit(f"{text} is no rule: {error}")


def _write_ahead_log(path: Path) -> None:
    """Switch to write-ahead logging. SQLite gives up at once where two processes switch at the same moment."""
    for _ in range(200):
        try:
            with closing(sqlite3.connect(path, timeout=30)) as db:
                db.execute("PRAGMA journal_mode = WAL")
                return
        except sqlite3.OperationalError:
            time.sleep(0.01)
    raise ToolError(f"{path} stays locked")
