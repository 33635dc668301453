"""Actions as people and surfaces see them. Functions take an open transaction and never commit.

The hot path is in `storage/ledger.py`; this module reads the ledger and writes what people decide about an action.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from remit.domain import canonical
from remit.domain.decisions import Reason
from remit.domain.intents import Settlement
from remit.domain.records import Tag
from remit.errors import Conflict, NotFound
from remit.storage.contents import get_payloads
from remit.storage.database import safe_json
from remit.storage.ledger import payload_id, settlement_json
from remit.storage.sessions import Db, get_payload, put_payload, record

COLUMNS = """id, turn_id, session_id, key, mode, action, agent, agent_version, on_behalf_of, asked_digest, args_digest,
    status, reasons, policy_ids, policy_version, roles, attempt, cleared_at, settled_at, usd_micros, input_tokens,
    output_tokens, business_key, why, error, item_id, override, undone_by, created_at"""
"""What is read of an action, beside its contents."""


def get(db: Db, action_id: str) -> dict[str, Any]:
    """One action with its arguments (as executed), the arguments as asked, and its result. Raises NotFound."""
    row = db.execute(f"select {COLUMNS} from remit.actions where id = %s", (action_id,)).fetchone()  # noqa: S608
    if row is None:
        raise NotFound(f"there is no action {action_id}", advice="`remit session show ID` lists a session's actions.")
    return with_contents(db, row)


def of_session(db: Db, session_id: str) -> list[dict[str, Any]]:
    """The actions of a session in the order in which they were asked for, with their contents."""
    rows = db.execute(
        f"""select {COLUMNS} from remit.actions
            where turn_id in (select id from remit.turns where session_id = %s) order by created_at, id""",  # noqa: S608
        (session_id,),
    ).fetchall()
    return with_contents_of_all(db, rows)


def used(db: Db, session_id: str, *, before: str | None = None) -> dict[str, int]:
    """What the actions of a session have used: `usd_micros`, `tokens`, `actions`; `before` takes those below an id."""
    row = db.execute(
        """select coalesce(sum(usd_micros), 0)::bigint as usd_micros,
                  coalesce(sum(input_tokens + output_tokens), 0)::bigint as tokens, count(*) as actions
           from remit.actions where turn_id in (select id from remit.turns where session_id = %(session)s)
             and (%(before)s::text is null or id < %(before)s)""",
        {"session": session_id, "before": before},
    ).fetchone()
    assert row is not None, "a count returns a row"
    return row


def with_contents(db: Db, row: dict[str, Any]) -> dict[str, Any]:
    """An action's row with `args`, `asked_args` and `result` beside it."""
    (found,) = with_contents_of_all(db, [row])
    return found


def with_contents_of_all(db: Db, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What `with_contents` gives, for many rows in one query."""
    found = get_payloads(db, [payload_id(row["id"], letter) for row in rows for letter in "aer"])
    shown = []
    for row in rows:
        asked, edited, result = (found.get(payload_id(row["id"], letter)) for letter in "aer")
        if row["args_digest"] == row["asked_digest"] or edited is None:
            edited = asked
        shown.append({**row, "asked_args": asked, "args": edited, "result": result})
    return shown


def edit(db: Db, action_id: str, args: dict[str, Any]) -> str:
    """Keep the arguments as a person changed them. Returns the digest of the contents, for the record."""
    db.execute("select 1 from remit.actions where id = %s for update", (action_id,))
    previous = payload_id(action_id, "e")
    if get_payload(db, previous) is not None:
        raise Conflict(f"action {action_id} was already edited once", advice="Deny it and let the agent ask again.")
    return put_payload(db, previous, None, "edited arguments", args)


def refuse(db: Db, action_id: str, reason: Reason, override: dict[str, Any]) -> None:
    """End a waiting action as refused, because a person or the clock said so. Raises Conflict if it is not waiting."""
    row = db.execute(
        """update remit.actions set status = 'refused', settled_at = clock_timestamp(), override = %s,
               reasons = reasons || %s
           where id = %s and status in ('waiting', 'limited') returning session_id, turn_id""",
        (
            Jsonb(safe_json(override)),
            Jsonb([safe_json({"code": reason.code, "text": reason.text, "policy_id": reason.policy_id})]),
            action_id,
        ),
    ).fetchone()
    if row is None:
        raise Conflict(f"action {action_id} does not wait any more")
    record(
        db,
        Tag.ACTION_REFUSED,
        session=row["session_id"],
        turn=row["turn_id"],
        action=action_id,
        code=reason.code,
        by=override.get("by"),
    )


def override(db: Db, action_id: str, value: dict[str, Any]) -> None:
    """Keep what a person decided about an action, beside it; `edited_by`, once there, stays."""
    db.execute(
        """update remit.actions set override = %s || jsonb_strip_nulls(jsonb_build_object(
               'edited_by', coalesce(%s::jsonb -> 'edited_by', override -> 'edited_by'))) where id = %s""",
        (Jsonb(safe_json(value)), Jsonb(safe_json(value)), action_id),
    )


def answer(db: Db, action_id: str, value: Any, override: dict[str, Any]) -> None:
    """End a question with its answer."""
    row = db.execute(
        """update remit.actions set status = 'succeeded', settled_at = clock_timestamp(), override = %s
           where id = %s and status = 'waiting' and mode = 'ask' returning session_id, turn_id""",
        (Jsonb(safe_json(override)), action_id),
    ).fetchone()
    if row is None:
        raise Conflict(f"question {action_id} does not wait any more")
    digest = put_payload(db, payload_id(action_id, "r"), row["session_id"], "result", value)
    record(
        db,
        Tag.ITEM_ANSWERED,
        session=row["session_id"],
        turn=row["turn_id"],
        action=action_id,
        by=override.get("by"),
        result=digest,
    )


def settle(db: Db, settlement: Settlement) -> str:
    """Settle an action from a person's knowledge: `settled`, `already` or `missing`."""
    row = db.execute(
        "select remit.settle(%s::jsonb, %s, %s) as answers",
        (json.dumps([settlement_json(settlement)]), [settlement.body], [os.urandom(16)]),
    ).fetchone()
    assert row is not None, "a select of a function returns a row"
    return str(row["answers"][0]["answer"])


def doubtful(db: Db) -> list[dict[str, Any]]:
    """Calls that were under way when their turn ended, whose outcome nobody has written in time."""
    rows = db.execute(
        f"""select {COLUMNS}, reservations from remit.actions where status = 'cleared' and turn_id in (
                select id from remit.turns
                where resume_at <= clock_timestamp() and status in ('finished', 'failed', 'cancelled'))
            order by id limit 100"""  # noqa: S608 - constants
    ).fetchall()
    if not rows:
        db.execute(
            """update remit.turns set resume_at = null
               where resume_at <= clock_timestamp() and status in ('finished', 'failed', 'cancelled')"""
        )
    return [with_contents(db, row) for row in rows]


def history(db: Db, action: str, *, before: str, workspace: str | None = None, limit: int = 10) -> list[dict[str, Any]]:
    """Like decisions: what became of earlier actions of this type that a person was asked about, in a workspace."""
    return db.execute(
        """select a.id, a.session_id, a.status, a.override, a.created_at, a.reasons
           from remit.actions a join remit.sessions s on s.id = a.session_id
           where a.action = %(action)s and a.id <> %(before)s and a.item_id is not null and a.override is not null
             and (%(workspace)s::text is null or s.workspace = %(workspace)s)
           order by a.id desc limit %(limit)s""",
        {"action": action, "before": before, "workspace": workspace, "limit": limit},
    ).fetchall()


def mark_undone(db: Db, action_id: str, by_action: str, by: str) -> None:
    """Write down that an action was taken back by another one."""
    row = db.execute(
        "update remit.actions set undone_by = %s where id = %s and undone_by is null returning session_id, turn_id",
        (by_action, action_id),
    ).fetchone()
    if row is None:
        raise Conflict(f"action {action_id} was already undone")
    record(
        db,
        Tag.ACTION_UNDONE,
        session=row["session_id"],
        turn=row["turn_id"],
        action=action_id,
        by_action=by_action,
        by=by,
    )


def parse_arguments(text: str) -> dict[str, Any]:
    """Arguments given by a person as JSON text. Raises InvalidInput."""
    value = canonical.parse(text, what="arguments")
    if not isinstance(value, dict):
        raise Conflict("arguments are a JSON object", advice='Give them as {"amount": 90, …}.')
    return value
