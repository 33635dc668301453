"""The records of a fake, in a file of its own: each call is one transaction, and a key does a thing once."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from remit.config.connection_templates import KEY_ARGUMENT, ConnectionTemplate, ToolTemplate

_TABLES = (
    """create table if not exists records (
           collection text, id text, number integer, body text, primary key (collection, id))""",
    "create table if not exists keys (key text primary key, request text not null, answer text not null)",
)
_MOST = 50  # records in one answer, where nothing else is asked for


class Refused(Exception):
    """The fake says no, in words for whoever called."""


class Store:
    """One fake's records and what it does with them."""

    def __init__(self, template: ConnectionTemplate, file: Path) -> None:
        self._template = template
        self._file = file

    def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Do what a tool does. Raises Refused."""
        tool = self._template.tools.get(name)
        if tool is None:
            raise Refused(f"there is no tool {name}")
        error = next(Draft202012Validator(tool.input_schema()).iter_errors(arguments), None)
        if error is not None:
            raise Refused(f"the arguments do not fit: {error.message}")
        given = {k: v for k, v in arguments.items() if k != KEY_ARGUMENT}
        with self._work() as db:
            if not tool.writes:
                return self._read(db, tool, given)
            return self._once(db, name, tool, given, arguments.get(KEY_ARGUMENT))

    def _once(
        self, db: sqlite3.Connection, name: str, tool: ToolTemplate, given: dict[str, Any], key: str | None
    ) -> dict[str, Any]:
        request = hashlib.sha256(json.dumps([name, given], sort_keys=True).encode()).hexdigest()
        if key:
            known = db.execute("select request, answer from keys where key = ?", (key,)).fetchone()
            if known is not None:
                if known[0] != request:
                    raise Refused("this idempotency key was used for another request; nothing was done")
                answer: dict[str, Any] = json.loads(known[1])
                return answer
        answer = self._write(db, tool, given)
        if key:
            db.execute("insert into keys values (?, ?, ?)", (key, request, json.dumps(answer)))
        return answer

    # -- reading -------------------------------------------------------------------------------------------------

    def _read(self, db: sqlite3.Connection, tool: ToolTemplate, given: dict[str, Any]) -> dict[str, Any]:
        if tool.verb == "get":
            return {self._one(tool): self._get(db, tool.collection, given[tool.by])}
        wanted = {k: v for k, v in given.items() if k not in {"limit", "query"}}
        found = [r for r in self._all(db, tool.collection) if all(_fits(r.get(k), v) for k, v in wanted.items())]
        if tool.verb == "search":
            words = given["query"].casefold().split()
            found = [r for r in found if _has_all(" ".join(str(r.get(f, "")) for f in tool.search_in), words)]
        return {tool.collection: found[: given.get("limit", _MOST)], "total": len(found)}

    def _all(self, db: sqlite3.Connection, collection: str) -> list[dict[str, Any]]:
        rows = db.execute("select body from records where collection = ? order by number", (collection,))
        return [json.loads(body) for (body,) in rows]

    def _get(self, db: sqlite3.Connection, collection: str, record: str) -> dict[str, Any]:
        row = db.execute("select body from records where collection = ? and id = ?", (collection, record)).fetchone()
        if row is None:
            raise Refused(f"there is no {self._template.collections[collection].one} {record}")
        body: dict[str, Any] = json.loads(row[0])
        return body

    # -- writing -------------------------------------------------------------------------------------------------

    def _write(self, db: sqlite3.Connection, tool: ToolTemplate, given: dict[str, Any]) -> dict[str, Any]:
        for argument, collection in tool.refers.items():
            if given.get(argument) is not None:
                self._get(db, collection, given[argument])
        if tool.verb == "create":
            return {self._one(tool): self._create(db, tool, given)}
        before = self._get(db, tool.collection, given[tool.by])
        if tool.verb == "delete":
            db.execute("delete from records where collection = ? and id = ?", (tool.collection, before["id"]))
            return {self._one(tool): before, "deleted": True}
        after = {k: v for k, v in {**before, **given["fields"]}.items() if v is not None}
        self._put(db, tool.collection, after)
        return {self._one(tool): after, "before": {name: before.get(name) for name in given["fields"]}}

    def _create(self, db: sqlite3.Connection, tool: ToolTemplate, given: dict[str, Any]) -> dict[str, Any]:
        for argument, place in tool.takes.items():
            referring, _, field = place.partition(".")
            collection = tool.refers[referring]
            source = self._get(db, collection, given[referring])
            left = Decimal(str(source.get(field, 0))) - Decimal(str(given[argument]))
            if left < 0 or Decimal(str(given[argument])) <= 0:
                raise Refused(f"{given[argument]} cannot be taken: {source.get(field, 0)} is left")
            self._put(db, collection, {**source, field: _number(left)})
        number = db.execute("select coalesce(max(number), 0) + 1 from records").fetchone()[0]
        prefix = self._template.collections[tool.collection].prefix
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = {"id": f"{prefix}{1000 + number}", **tool.sets, **given, "created_at": now}
        self._put(db, tool.collection, record, number)
        return record

    def _put(self, db: sqlite3.Connection, collection: str, record: dict[str, Any], number: int | None = None) -> None:
        db.execute(
            """insert into records values (?, ?, ?, ?)
               on conflict (collection, id) do update set body = excluded.body""",
            (collection, record["id"], number or 0, json.dumps(record)),
        )

    # -- the file ------------------------------------------------------------------------------------------------

    def _one(self, tool: ToolTemplate) -> str:
        return self._template.collections[tool.collection].one

    @contextmanager
    def _work(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it stays, or none of it."""
        with closing(sqlite3.connect(self._file, timeout=30, isolation_level=None)) as db:
            db.execute("begin immediate")
            try:
                for table in _TABLES:
                    db.execute(table)
                self._seed(db)
                yield db
            except BaseException:
                db.execute("rollback")
                raise
            db.execute("commit")

    def _seed(self, db: sqlite3.Connection) -> None:
        if db.execute("pragma user_version").fetchone()[0]:
            return
        number = 0
        for name, collection in self._template.collections.items():
            for record in collection.seed:
                number += 1
                self._put(db, name, record, number)
        db.execute("pragma user_version = 1")


def _fits(value: Any, wanted: Any) -> bool:
    return wanted in value if isinstance(value, list) else bool(value == wanted)


def _has_all(text: str, words: list[str]) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words)


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)
