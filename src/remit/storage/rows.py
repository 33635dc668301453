"""Rows that programs put out, read back from the ledger's notes. Never commits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from remit.domain import canonical
from remit.domain.decisions import Reason
from remit.domain.rows import ExplainedRow, Origin
from remit.storage.ledger import payload_id
from remit.storage.sessions import Db, get_payload


def of_session(db: Db, session_id: str) -> list[ExplainedRow]:
    """Every row of a session whose contents were not erased, newest turn first, in the order of their lists."""
    notes = db.execute(
        f"""select a.id, t.id as turn_id, a.key, p.body from remit.turns t
            join lateral ({_OF_TURN}) a on true
            join remit.payloads p on p.id = 'pay_' || substr(a.id, 5) || 'r'
            where t.session_id = %s and a.mode = 'note' and p.body is not null
            order by t.id desc, length(a.key), a.key""",  # noqa: S608 - constants
        (session_id,),
    ).fetchall()
    counts: Counter[tuple[str, str]] = Counter()
    return [row for note in notes for row in _rows(note, counts)]


def requests(db: Db, turn_id: str) -> list[dict[str, Any]]:
    """What a program asked of tools and people in a turn, in order: `request`, `id`, `action` and `status`."""
    found = db.execute(
        f"""select a.key::int as request, a.id, a.action, a.status from remit.turns t
            join lateral ({_OF_TURN}) a on true
            where t.id = %s and a.mode in ('tool', 'ask', 'model') and a.key ~ '^[0-9]{{1,9}}$'
            order by a.key::int""",  # noqa: S608 - constants
        (turn_id,),
    )
    return found.fetchall()


def result(db: Db, action_id: str) -> Any:
    """What came back from an action, as ordinary JSON; None if nothing did, or it was erased."""
    return canonical.plain(get_payload(db, payload_id(action_id, "r")))


# Of a forked turn also what it inherits, under the keys that it had there.
_OF_TURN = """
select id, key, mode, action, status from remit.actions where turn_id = t.id
union all select id, key, mode, action, status from remit.actions where id = any(t.inherits)"""


def _rows(note: dict[str, Any], counts: Counter[tuple[str, str]]) -> Iterator[ExplainedRow]:
    kept = canonical.parse(bytes(note["body"]), what="row")
    match kept:
        case {"kind": "rows", "value": {"name": str(name), "rows": list(rows), "at": str(at)}}:
            for row in rows:
                yield _row(note, name, at, row, counts)
        case {"kind": "emit", "value": {"name": str(name), "value": value, "reasons": list(reasons)}}:
            yield _row(note, name, "", _emitted(value, reasons), counts)


def _emitted(value: Any, reasons: list[Any]) -> dict[str, Any]:
    """A value that was put out by `session.emit`, as a row."""
    said = value if isinstance(value, dict) else {}
    key, title = said.get("key") or said.get("id") or "", said.get("title") or said.get("name") or ""
    return {"key": str(key), "rank": None, "title": str(title), "row": value, "reasons": reasons, "from": []}


def _row(
    note: dict[str, Any], name: str, at: str, row: dict[str, Any], counts: Counter[tuple[str, str]]
) -> ExplainedRow:
    counts[note["turn_id"], name] += 1
    return ExplainedRow(
        turn_id=note["turn_id"],
        action_id=note["id"],
        request=int(note["key"]) if note["key"].isdigit() else 0,
        name=name,
        key=row["key"],
        rank=row["rank"] or counts[note["turn_id"], name],
        title=row["title"],
        row=canonical.plain(row["row"]),
        reasons=tuple(Reason(r["code"], r["text"], r["policy_id"]) for r in row["reasons"]),
        origins=tuple(Origin(o["request"], o["action"], o["path"]) for o in row["from"]),
        at=at,
    )
