"""What a trace is made of: ended turns and settled actions, in the order of the sealed log. One reader at a time.

The log's leaves have no gaps and never change their order, so a number says how far a reader has come; identity values
and times of records would not, because transactions commit in another order than they begin.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from remit.domain import canonical
from remit.domain.records import Tag
from remit.storage.sessions import Db

_LOCK = 7236349120
"""Advisory lock: one reader over all processes."""
_NAME = "traces"
_SETTLED = (Tag.ACTION_SETTLED.value, Tag.ACTION_REFUSED.value, Tag.ACTION_RECONCILED.value)
_ENDED = (Tag.TURN_FINISHED.value, Tag.TURN_FAILED.value)

_LEAVES = """
    select l.leaf_index, r.tag, r.session_id, r.turn_id, r.action_id, r.at < clock_timestamp() - %(horizon)s as old
    from remit.leaves l join remit.records r on r.id = l.record_id and r.at = l.record_at
    where l.leaf_index >= %(position)s order by l.leaf_index limit %(limit)s
"""
_ACTIONS = """
    select a.id, a.turn_id, a.session_id, a.key, a.mode, a.action, a.agent, a.agent_version, a.status, a.reasons,
           a.policy_ids, a.policy_version, a.roles, a.attempt, a.usd_micros, a.input_tokens, a.output_tokens,
           a.provider_call_id, a.error, a.override, a.created_at, a.cleared_at, a.settled_at,
           p.body as given, case when %(contents)s then e.body end as edited,
           case when %(contents)s then r.body end as result
    from remit.actions a
    left join remit.payloads p
        on p.id = 'pay_' || substr(a.id, 5) || 'a' and (a.mode = 'model' or %(contents)s)
    left join remit.payloads e on e.id = 'pay_' || substr(a.id, 5) || 'e' and %(contents)s
    left join remit.payloads r on r.id = 'pay_' || substr(a.id, 5) || 'r' and %(contents)s
    where a.id = any(%(ids)s) and a.mode in ('tool', 'model') and a.settled_at is not null
      and a.status in ('succeeded', 'failed', 'refused')
    order by a.settled_at, a.id
"""
_TURNS = """
    select t.id, t.session_id, t.agent, t.agent_version, t.kind, t.status, t.run, t.error, t.created_at, t.started_at,
           t.finished_at, s.workspace, s.workflow, s.trigger, s.request_id, s.simulated,
           coalesce(x.usd_micros, 0) as usd_micros, coalesce(x.input_tokens, 0) as input_tokens,
           coalesce(x.output_tokens, 0) as output_tokens, g.body as given, o.body as result
    from remit.turns t join remit.sessions s on s.id = t.session_id join remit.messages m on m.id = t.message_id
    left join lateral (
        select sum(a.usd_micros)::bigint as usd_micros, sum(a.input_tokens)::bigint as input_tokens,
               sum(a.output_tokens)::bigint as output_tokens
        from remit.actions a where a.turn_id = t.id) x on true
    left join remit.payloads g on g.id = m.payload and %(contents)s
    left join remit.payloads o on o.id = t.output and %(contents)s
    where t.finished_at is not null
      and (t.id = any(%(ids)s) or (t.status = 'cancelled' and t.session_id = any(%(cancelled)s)))
    order by t.finished_at, t.id
"""


@dataclass(frozen=True, slots=True)
class TraceBatch:
    """What a stretch of the log says. `actions` have `model`; both have `given` and `result` if contents were asked."""

    actions: list[dict[str, Any]]
    turns: list[dict[str, Any]]
    until: int
    """Where the next batch begins."""
    leaves: int
    """How many leaves were read."""


def take_lead(db: Db) -> bool:
    """Become the one reader for as long as this connection lives; False: somebody else is.

    The connection must not be in a transaction: an open one would hold up the sealer.
    """
    row = db.execute("select pg_try_advisory_lock(%s) as mine", (_LOCK,)).fetchone()
    return row is not None and bool(row["mine"])


def position(db: Db) -> int:
    """Where to go on; at the very first time after everything that there is now."""
    row = db.execute("select position from remit.cursors where name = %s", (_NAME,)).fetchone()
    if row is None:
        row = db.execute(
            """insert into remit.cursors (name, position)
               select %s, coalesce(max(leaf_index) + 1, 0) from remit.leaves returning position""",
            (_NAME,),
        ).fetchone()
    assert row is not None, "an insert returns its row"
    return int(row["position"])


def advance(db: Db, until: int) -> None:
    """Write down how far the reader has come."""
    db.execute("update remit.cursors set position = %s where name = %s and position < %s", (until, _NAME, until))


def next_batch(db: Db, start: int, *, limit: int, horizon: timedelta, contents: bool) -> TraceBatch:
    """The next stretch of the log. What is older than `horizon` is passed over."""
    leaves = db.execute(_LEAVES, {"position": start, "limit": limit, "horizon": horizon}).fetchall()
    fresh = [leaf for leaf in leaves if not leaf["old"]]
    actions = [leaf["action_id"] for leaf in fresh if leaf["tag"] in _SETTLED]
    turns = [leaf["turn_id"] for leaf in fresh if leaf["tag"] in _ENDED]
    cancelled = [leaf["session_id"] for leaf in fresh if leaf["tag"] == Tag.SESSION_CANCELLED.value]
    asked = {"contents": contents}
    found = db.execute(_ACTIONS, {**asked, "ids": actions}).fetchall() if actions else []
    ended = db.execute(_TURNS, {**asked, "ids": turns, "cancelled": cancelled}).fetchall() if turns or cancelled else []
    return TraceBatch(
        [_action(row, contents=contents) for row in found],
        [{**row, "given": _value(row["given"]), "result": _value(row["result"])} for row in ended],
        leaves[-1]["leaf_index"] + 1 if leaves else start,
        len(leaves),
    )


def _action(row: dict[str, Any], *, contents: bool) -> dict[str, Any]:
    given, edited = _value(row["given"]), _value(row.pop("edited"))
    model = given.get("model") if row["mode"] == "model" and isinstance(given, dict) else None
    shown = (given if edited is None else edited) if contents else None
    return {**row, "model": model, "given": shown, "result": _value(row["result"])}


def _value(body: Any) -> Any:
    """A stored value with JSON's plain types; None where there is none or it was erased."""
    return None if body is None else canonical.plain(canonical.parse(bytes(body), what="stored value"))
