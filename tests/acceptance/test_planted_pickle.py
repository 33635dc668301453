"""Whoever can write to the engine's tables still cannot run code: a planted pickle is refused, and nothing is lost."""

from __future__ import annotations

import base64
import os
import pickle
from pathlib import Path
from typing import Any

from tests.acceptance.shop import Shop

PAY = {"tool": "pay", "who": "ivy", "amount": 20, "currency": "USD"}


class Touch:
    """A value whose unpickling makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> Any:
        return (os.mknod, (self._path,))


def plant(shop: Shop, marks: Path) -> int:
    """Put a pickle in the place of every value that the engine keeps serialized. Returns in how many rows."""
    text = base64.b64encode(pickle.dumps({"args": (Touch(marks),), "kwargs": {}})).decode()
    planted = 0
    with shop.services.sessions.transaction() as db:
        columns = db.execute(
            """select c.table_name as table, array_agg(c.column_name::text) as columns
               from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
               where c.table_schema = 'dbos' and t.table_type = 'BASE TABLE'
                     and c.column_name in ('inputs', 'serialization')
               group by 1"""
        ).fetchall()
        for table in columns:
            serialization = ", serialization = 'py_pickle'" if "serialization" in table["columns"] else ""
            if "inputs" in table["columns"]:
                planted += db.execute(f"update dbos.{table['table']} set inputs = %s{serialization}", (text,)).rowcount
    return planted


def test_a_planted_pickle_is_never_read(shop: Shop, tmp_path: Path) -> None:
    marks = tmp_path / "ran"
    planted = shop.start(PAY)
    assert plant(shop, marks) > 0
    sound = shop.start({**PAY, "who": "joe"})
    shop.worker()
    shop.wait(sound, "finished")
    # Its run could not be read, so the watchdog asks for another: the turn itself is in our own tables, unharmed.
    shop.wait(planted, "finished")
    assert not marks.exists()
    assert sorted(b["who"] for b in shop.books()) == ["ivy", "joe"]
    pickle.loads(base64.b64decode(base64.b64encode(pickle.dumps(Touch(marks)))))
    assert marks.exists(), "the plant would have grown"
