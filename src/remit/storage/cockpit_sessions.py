"""A session and its actions as the cockpit shows them: bounded, in pages, and never one query for each row.

Functions take an open transaction and never commit. Who may see a session is asked before they are called.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from remit.domain import canonical
from remit.errors import NotFound
from remit.storage.ledger import payload_id
from remit.storage.sessions import Db

PROBLEMS = ("failed", "refused", "unknown")
"""How an action stands that somebody should look at."""
OPEN = ("waiting", "limited", "cleared", "unknown")
"""How an action stands that is not settled."""
_MOST_BYTES = 20_000

_ROW = """a.id, a.turn_id, a.session_id, a.key, a.mode, a.action, a.agent, a.status, a.reasons, a.attempt, a.error,
    a.item_id, a.override, a.undone_by, a.usd_micros, a.input_tokens + a.output_tokens as tokens, a.created_at,
    a.first_cleared_at, a.cleared_at, a.settled_at"""


@dataclass(frozen=True, slots=True)
class Contents:
    """What was said, given or returned, as much of it as a page shows."""

    value: Any = None
    """Ordinary JSON; of what is cut off, its text as far as it goes."""
    bytes: int = 0
    """How long it is as a whole."""
    cut: bool = False
    erased: bool = False


NOTHING = Contents()


def contents(db: Db, payloads: Iterable[str | None], most: int = _MOST_BYTES) -> dict[str, Contents]:
    """Contents by id, in one query; those that there are none of are missing."""
    rows = db.execute(
        """select id, bytes, body is null as erased, case when bytes <= %(most)s then body end as body,
                  case when bytes > %(most)s then substring(body from 1 for %(most)s) end as beginning
           from remit.payloads where id = any(%(ids)s)""",
        {"ids": sorted({p for p in payloads if p is not None}), "most": most},
    ).fetchall()
    return {row["id"]: _contents(row) for row in rows}


def _contents(row: dict[str, Any]) -> Contents:
    if row["erased"]:
        return Contents(None, row["bytes"], erased=True)
    if row["body"] is None:
        return Contents(bytes(row["beginning"]).decode("utf-8", "ignore"), row["bytes"], cut=True)
    return Contents(canonical.plain(canonical.parse(bytes(row["body"]))), row["bytes"])


def first_inputs(db: Db, session_ids: list[str], most: int = 2_000) -> dict[str, Any]:
    """What sessions began with, by session id, in one query; without what is erased or has more than `most` bytes."""
    rows = db.execute(
        """select s.id, p.body from unnest(%(ids)s::text[]) as s(id)
           cross join lateral (select payload from remit.messages m where m.session_id = s.id order by m.id limit 1) m
           join remit.payloads p on p.id = m.payload where p.body is not null and p.bytes <= %(most)s""",
        {"ids": session_ids, "most": most},
    ).fetchall()
    return {row["id"]: canonical.plain(canonical.parse(bytes(row["body"]))) for row in rows}


def whom(db: Db, session_ids: Iterable[str]) -> dict[str, str]:
    """For whom sessions work, by their id; those that work for nobody in particular are left out."""
    rows = db.execute(
        "select id, on_behalf_of from remit.sessions where id = any(%s) and on_behalf_of is not null",
        (sorted(set(session_ids)),),
    )
    return {row["id"]: row["on_behalf_of"] for row in rows}


def totals(db: Db, session_id: str) -> dict[str, Any]:
    """What a session has done so far: `actions`, `problems`, `open`, `usd_micros`, `tokens`, `turns`."""
    row = db.execute(
        """select count(a.id) as actions, count(a.id) filter (where a.status = any(%(problems)s)) as problems,
                  count(a.id) filter (where a.status = any(%(open)s)) as open,
                  coalesce(sum(a.usd_micros), 0)::bigint as usd_micros,
                  coalesce(sum(a.input_tokens + a.output_tokens), 0)::bigint as tokens,
                  (select count(*) from remit.turns where session_id = %(session)s) as turns
           from remit.turns t join remit.actions a on a.turn_id = t.id
           where t.session_id = %(session)s and a.mode <> 'note'""",
        {"session": session_id, "problems": list(PROBLEMS), "open": list(OPEN)},
    ).fetchone()
    assert row is not None, "a count returns a row"
    return row


def turns(db: Db, session_id: str, *, before: str | None = None, limit: int = 20) -> list[dict[str, Any]]:
    """The newest turns, oldest of them first, each with `said`, `given_back`, and what it `did` by status."""
    rows = db.execute(
        """select t.id, t.session_id, t.agent, t.agent_version, t.kind, t.status, t.waiting_for, t.run, t.error,
                  t.output, t.on_behalf_of, t.created_at, t.started_at, t.finished_at, t.resume_at,
                  cardinality(t.inherits) as inherited, m.author, m.payload
           from remit.turns t join remit.messages m on m.id = t.message_id
           where t.session_id = %(session)s and (%(before)s::text is null or t.id < %(before)s)
           order by t.id desc limit %(limit)s""",
        {"session": session_id, "before": before, "limit": limit},
    ).fetchall()
    found = contents(db, [p for row in rows for p in (row["payload"], row["output"])])
    did: dict[str, dict[str, int]] = {}
    for count in db.execute(
        """select turn_id, status, count(*) as n from remit.actions
           where turn_id = any(%s) and mode <> 'note' group by turn_id, status order by turn_id, n desc""",
        ([row["id"] for row in rows],),
    ):
        did.setdefault(count["turn_id"], {})[count["status"]] = count["n"]
    notable = _notable(db, [row["id"] for row in rows])
    return [
        {
            **row,
            "said": found.get(row["payload"], NOTHING),
            "given_back": found.get(row["output"], NOTHING),
            "did": did.get(row["id"], {}),
            "notable": notable.get(row["id"], []),
        }
        for row in reversed(rows)
    ]


def _notable(db: Db, turn_ids: list[str], most: int = 6) -> dict[str, list[dict[str, Any]]]:
    """Of each turn a few calls and questions in their order: those with a problem, those that wait, the newest."""
    rows = db.execute(
        f"""select * from (
                select {_ROW}, row_number() over (partition by a.turn_id order by
                    (a.status = any(%s)) desc, (a.item_id is not null) desc, a.created_at desc, a.id desc) as place
                from remit.actions a where a.turn_id = any(%s) and a.mode in ('tool', 'ask')) x
            where place <= %s order by created_at, id""",  # noqa: S608 - constants
        ([*PROBLEMS, *OPEN], turn_ids, most),
    ).fetchall()
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["turn_id"], []).append(row)
    return found


def actions(
    db: Db, session_id: str, *, which: str = "", turn: str | None = None, before: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """The newest actions of a session, oldest of them first; kept values are none.

    `which` is `problems`, `open` or empty for all of them; `before` is the id of the first one of the page after.
    """
    statuses = {"problems": list(PROBLEMS), "open": list(OPEN)}.get(which)
    rows = db.execute(
        f"""select {_ROW}, child.id as child, child.workspace as child_workspace,
                   child.agent as child_agent, child.status as child_status, child.created_at as child_created_at,
                   child.updated_at as child_updated_at
            from remit.turns t join remit.actions a on a.turn_id = t.id
            left join remit.sessions child on child.origin_action = a.id
            where t.session_id = %(session)s and a.mode <> 'note'
              and (%(turn)s::text is null or t.id = %(turn)s)
              and (%(statuses)s::text[] is null or a.status = any(%(statuses)s))
              and (%(before)s::text is null or (a.created_at, a.id) <
                   (select b.created_at, b.id from remit.actions b where b.id = %(before)s))
            order by a.created_at desc, a.id desc limit %(limit)s""",  # noqa: S608 - constants
        {"session": session_id, "turn": turn, "statuses": statuses, "before": before, "limit": limit},
    ).fetchall()
    return rows[::-1]


def waits(db: Db, session_id: str, turn_ids: list[str]) -> list[dict[str, Any]]:
    """When turns stood still: `turn_id`, `why`, `since`, `ready_at` (it could go on) and `until` (it went on).

    What it waited for is known from the record; that it went on, from the first thing that it did then.
    """
    return db.execute(
        """select r.turn_id, r.body::json ->> 'waiting_for' as why, r.at as since, ready.at as ready_at,
                  next.at as until
           from remit.records r
           left join lateral (select at from remit.records n
                              where n.session_id = r.session_id and n.id > r.id and n.turn_id = r.turn_id
                                and (n.tag like 'person:%%' or n.tag like 'clock:%%')
                              order by n.id limit 1) ready on true
           left join lateral (select at from remit.records n
                              where n.session_id = r.session_id and n.id > r.id and n.turn_id = r.turn_id
                                and (n.tag like 'gate:%%' or n.tag like 'runtime:turn:%%'
                                     or n.tag like 'runtime:note:%%')
                              order by n.id limit 1) next on true
           where r.session_id = %s and r.tag = 'runtime:turn:waiting' and r.turn_id = any(%s)
           order by r.id limit 500""",
        (session_id, turn_ids),
    ).fetchall()


def related(db: Db, session_id: str, workspaces: list[str] | None, limit: int = 50) -> dict[str, list[dict[str, Any]]]:
    """The sessions that a session has delegated, `children`, and those forked from it, `forks`; oldest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, column in (("children", "parent_id"), ("forks", "forked_from")):
        found[name] = db.execute(
            f"""select id, agent, status, title, reason, created_at, updated_at, origin_turn from remit.sessions
                where {column} = %s and (%s::text[] is null or workspace = any(%s))
                order by id limit %s""",  # noqa: S608 - constants
            (session_id, workspaces, workspaces, limit),
        ).fetchall()
    return found


def inherited(db: Db, session_id: str) -> int:
    """How many turns of other sessions a session has as its history."""
    row = db.execute("select cardinality(inherits) as n from remit.sessions where id = %s", (session_id,)).fetchone()
    return int(row["n"]) if row is not None else 0


@dataclass(frozen=True, slots=True)
class Story:
    """One action with everything that is kept of it."""

    row: dict[str, Any]
    args: Contents
    """As decided and executed."""
    asked: Contents
    """As the agent asked."""
    result: Contents
    approvals: list[dict[str, Any]]
    items: list[dict[str, Any]]
    previous: str | None
    next: str | None
    """The actions before and behind it in its turn."""
    undoes: str | None
    """The action that this one takes back."""
    child: str | None
    """The session that it has delegated."""


def workspace_of(db: Db, action_id: str) -> str:
    """The workspace of the session that an action belongs to. Raises NotFound."""
    row = db.execute(
        """select s.workspace from remit.actions a join remit.sessions s on s.id = a.session_id where a.id = %s""",
        (action_id,),
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no action {action_id}", advice="The timeline of a session lists its actions.")
    return str(row["workspace"])


def story(db: Db, action_id: str) -> Story:
    """Everything about one action. Raises NotFound."""
    row = db.execute(
        """select a.*, a.first_cleared_at is not null as cleared, t.kind as turn_kind, t.agent as turn_agent,
                  s.workspace, s.title, s.agent as session_agent, s.status as session_status
           from remit.actions a join remit.turns t on t.id = a.turn_id join remit.sessions s on s.id = t.session_id
           where a.id = %s""",
        (action_id,),
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no action {action_id}", advice="The timeline of a session lists its actions.")
    found = contents(db, [payload_id(action_id, letter) for letter in "aer"])
    asked = found.get(payload_id(action_id, "a"), NOTHING)
    edited = row["args_digest"] != row["asked_digest"]
    return Story(
        row=row,
        args=found.get(payload_id(action_id, "e"), NOTHING) if edited else asked,
        asked=asked,
        result=found.get(payload_id(action_id, "r"), NOTHING),
        approvals=db.execute(
            """select role, person, item_id, at, expires_at, used_at, args_digest = %s as for_these
               from remit.approvals where action_id = %s order by at""",
            (row["args_digest"], action_id),
        ).fetchall(),
        items=db.execute(
            """select id, kind, status, summary, decision, created_at, decided_at from remit.inbox_items
               where action_id = %s order by id limit 20""",
            (action_id,),
        ).fetchall(),
        previous=_beside(db, row, "<", "desc"),
        next=_beside(db, row, ">", ""),
        undoes=_undoes(db, row),
        child=_child(db, action_id),
    )


def _beside(db: Db, row: dict[str, Any], side: str, order: str) -> str | None:
    found = db.execute(
        f"""select id from remit.actions where turn_id = %s and mode <> 'note' and (created_at, id) {side} (%s, %s)
            order by created_at {order}, id {order} limit 1""",  # noqa: S608 - `side` and `order` are ours
        (row["turn_id"], row["created_at"], row["id"]),
    ).fetchone()
    return found["id"] if found is not None else None


def _undoes(db: Db, row: dict[str, Any]) -> str | None:
    """The action that this one takes back; only a turn that undoes has such actions."""
    if row["turn_kind"] != "undo":
        return None
    found = db.execute(
        """select a.id from remit.turns t join remit.actions a on a.turn_id = t.id
           where t.session_id = %s and a.undone_by = %s""",
        (row["session_id"], row["id"]),
    ).fetchone()
    return found["id"] if found is not None else None


def _child(db: Db, action_id: str) -> str | None:
    found = db.execute("select id from remit.sessions where origin_action = %s", (action_id,)).fetchone()
    return found["id"] if found is not None else None


def actions_of_type(
    db: Db, types: list[str], workspaces: list[str] | None, *, limit: int = 20, among: int = 500
) -> list[dict[str, Any]]:
    """The newest actions of these types that somebody sees, of each type among the newest `among` of all workspaces."""
    return db.execute(
        f"""select {_ROW}, s.workspace, s.title from (
                select newest.id from unnest(%(types)s::text[]) as wanted (action)
                cross join lateral (select x.id, x.session_id from remit.actions x where x.action = wanted.action
                                    order by x.id desc limit %(among)s) newest
                join remit.sessions o on o.id = newest.session_id
                where %(workspaces)s::text[] is null or o.workspace = any(%(workspaces)s)
                order by newest.id desc limit %(limit)s) found
            join remit.actions a on a.id = found.id join remit.sessions s on s.id = a.session_id
            order by a.id desc""",  # noqa: S608 - constants
        {
            "types": types,
            "workspaces": workspaces,
            "limit": limit,
            "among": limit if workspaces is None else among,
        },
    ).fetchall()


def whereabouts(db: Db, identifier: str) -> tuple[str, str | None] | None:
    """Of an id that somebody has: the page of what it names, and its workspace; None if it names nothing."""
    pages = {
        "ses": ("select '/sessions/' || id as page, workspace from remit.sessions where id = %s"),
        "turn": """select '/sessions/' || s.id || '/timeline?turn=' || t.id as page, s.workspace
                   from remit.turns t join remit.sessions s on s.id = t.session_id where t.id = %s""",
        "act": """select '/actions/' || a.id as page, s.workspace
                  from remit.actions a join remit.sessions s on s.id = a.session_id where a.id = %s""",
        "itm": "select '/inbox/' || id as page, workspace from remit.inbox_items where id = %s",
        "out": """select '/sessions/' || session_id || '/results#' || id as page, workspace
                  from remit.outputs where id = %s""",
    }
    query = pages.get(identifier.partition("_")[0])
    row = db.execute(query, (identifier,)).fetchone() if query is not None else None
    return (row["page"], row["workspace"]) if row is not None else None


def bare_turns(db: Db, session_id: str, turn_ids: list[str], *, newest: bool, limit: int = 50) -> list[dict[str, Any]]:
    """Turns without what was said in them, oldest first: the named ones, or as many of the newest."""
    rows = db.execute(
        """select t.id, t.session_id, t.agent, t.kind, t.status, t.waiting_for, t.run, t.failures, t.error,
                  t.created_at, t.started_at, t.finished_at, m.author
           from remit.turns t join remit.messages m on m.id = t.message_id
           where t.session_id = %s and (t.id = any(%s) or %s) order by t.id desc limit %s""",
        (session_id, turn_ids, newest, max(limit, len(turn_ids))),
    ).fetchall()
    return rows[::-1]
