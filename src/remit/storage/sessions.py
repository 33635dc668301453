"""Sessions, messages, turns and runs as rows. Functions take an open transaction and never commit."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from psycopg import Connection
from psycopg.types.json import Jsonb

from remit.domain import canonical, ids
from remit.domain.records import Tag
from remit.domain.sessions import Session, SessionStatus, check_move
from remit.errors import NotFound
from remit.storage.database import safe_json, safe_text
from remit.storage.ledger import payload_id

Db = Connection[dict[str, Any]]
"""A synchronous connection whose rows are dicts, inside a transaction."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The delegation that a session is the work of."""

    turn: str
    action: str
    depth: int
    """How many delegations led to it."""
    waits: bool
    """True: the turn waits for its outcome."""
    within_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a forked turn begins with."""

    actions: tuple[str, ...] = ()
    seed_turn: str | None = None
    seed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a trigger asks for."""

    agent: str
    agent_version: str
    workspace: str
    workflow: str | None
    principal: str
    on_behalf_of: str | None
    trigger: str
    request_id: str | None
    title: str
    simulated: bool
    assisted: bool
    input: Any
    parent_id: str | None = None
    kind: str = "agent"
    """Of its first turn: `external` if a process that is no worker runs it."""
    requester: str | None = None
    """Who asked for it in the end; None: the principal."""
    origin: Origin | None = None
    """What delegated it."""
    labels: frozenset[str] = frozenset()
    depth: int = 0
    """How many events led to it, where no delegation says so."""


def record(
    db: Db, tag: Tag, *, session: str | None = None, turn: str | None = None, action: str | None = None, **body: Any
) -> None:
    """Append an audit record in the transaction of what it describes."""
    db.execute(
        "select remit.append_record(%s, %s, %s, %s, %s)", (tag.value, session, turn, action, Jsonb(safe_json(body)))
    )


def put_payload(db: Db, payload: str, session: str | None, kind: str, value: Any) -> str:
    """Store contents and return their salted digest, in hexadecimal, for a record."""
    salt, body = os.urandom(16), canonical.dumps(canonical.normalise(value))
    db.execute("select remit.put_payload(%s, %s, %s, %s, %s)", (payload, session, kind, salt, body))
    return canonical.digest_bytes(salt + body)


def get_payload(db: Db, payload: str) -> Any:
    """Contents by id; None where there are none or they were erased."""
    row = db.execute("select body from remit.payloads where id = %s", (payload,)).fetchone()
    return canonical.parse(bytes(row["body"])) if row and row["body"] is not None else None


def create(db: Db, new: NewSession) -> tuple[str, str]:
    """Write a session, its first message and its first turn. Returns (session id, turn id)."""
    session_id = ids.new_id("ses")
    origin = new.origin
    db.execute(
        """insert into remit.sessions (id, status, agent, agent_version, workspace, workflow, principal, on_behalf_of,
                                       trigger, request_id, title, simulated, assisted, parent_id, labels,
                                       origin_turn, origin_action, depth, origin_waits, due_at)
           values (%s, 'running', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
                   clock_timestamp() + %s * interval '1 second')""",
        (
            session_id,
            new.agent,
            new.agent_version,
            new.workspace,
            new.workflow,
            new.principal,
            new.on_behalf_of,
            new.trigger,
            safe_text(new.request_id or session_id, 200),
            safe_text(new.title, 200),
            new.simulated,
            new.assisted,
            new.parent_id,
            sorted(new.labels),
            origin.turn if origin is not None else None,
            origin.action if origin is not None else None,
            origin.depth if origin is not None else new.depth,
            origin is not None and origin.waits,
            origin.within_seconds if origin is not None else None,
        ),
    )
    turn_id, digest = add_turn(
        db,
        session_id,
        new.principal,
        new.agent,
        new.agent_version,
        new.input,
        kind=new.kind,
        on_behalf_of=new.on_behalf_of if new.assisted else None,
        requester=new.requester,
    )
    record(
        db,
        Tag.SESSION_STARTED,
        session=session_id,
        turn=turn_id,
        agent=new.agent,
        agent_version=new.agent_version,
        workspace=new.workspace,
        workflow=new.workflow,
        principal=new.principal,
        on_behalf_of=new.on_behalf_of,
        trigger=new.trigger,
        request_id=new.request_id or session_id,
        simulated=new.simulated,
        input=digest,
    )
    return session_id, turn_id


def add_turn(
    db: Db,
    session_id: str,
    author: str,
    agent: str,
    version: str,
    contents: Any,
    *,
    kind: str = "agent",
    on_behalf_of: str | None = None,
    requester: str | None = None,
    inherited: Inherited = Inherited(),  # noqa: B008 - immutable
) -> tuple[str, str]:
    """Write a message and the turn that answers it. Returns (turn id, digest of the contents).

    In an assisted session the turn acts on behalf of the message's author, and of nobody else, unless `on_behalf_of`
    names the person for whom a session is started. `requester` is the author unless somebody else asked through them.
    """
    message_id, turn_id = ids.new_id("msg"), ids.new_id("turn")
    payload = payload_id(message_id, "m")
    digest = put_payload(db, payload, session_id, "message", contents)
    db.execute(
        "insert into remit.messages (id, session_id, author, to_agent, payload) values (%s, %s, %s, %s, %s)",
        (message_id, session_id, author, agent, payload),
    )
    db.execute(
        """insert into remit.turns (id, session_id, message_id, agent, agent_version, kind, status, requester,
                                    inherits, seed_turn, seed_at, on_behalf_of)
           select %(turn)s, s.id, %(message)s, %(agent)s, %(version)s, %(kind)s, 'queued', %(requester)s,
                  %(inherits)s, %(seed_turn)s, %(seed_at)s,
                  coalesce(%(person)s::text, case when s.assisted and %(author)s like 'person:_%%'
                                                  then substr(%(author)s, length('person:') + 1) end)
           from remit.sessions s where s.id = %(session)s""",
        {
            "turn": turn_id,
            "session": session_id,
            "message": message_id,
            "agent": agent,
            "version": version,
            "kind": kind,
            "requester": requester or author,
            "inherits": list(inherited.actions),
            "seed_turn": inherited.seed_turn,
            "seed_at": inherited.seed_at,
            "person": on_behalf_of,
            "author": author,
        },
    )
    return turn_id, digest


def move(db: Db, session_id: str, new: SessionStatus, tag: Tag, *, by: str, reason: str) -> SessionStatus:
    """Pause, resume or cancel: a legal move of a session, recorded. Returns the status that it had."""
    row = db.execute("select status from remit.sessions where id = %s for update", (session_id,)).fetchone()
    if row is None:
        raise NotFound(f"there is no session {session_id}")
    old = SessionStatus(row["status"])
    check_move(session_id, old, new)
    db.execute(
        "update remit.sessions set status = %s, reason = %s, updated_at = clock_timestamp() where id = %s",
        (new.value, safe_text(reason, 500), session_id),
    )
    record(db, tag, session=session_id, by=by, before=old.value)
    return old


def cancel(db: Db, session_id: str, *, by: str, reason: str) -> list[str]:
    """Cancel a session for good: its open turns end, its open items are withdrawn, calls in flight still settle.

    Returns the turns that this has ended.
    """
    move(db, session_id, SessionStatus.CANCELLED, Tag.SESSION_CANCELLED, by=by, reason=reason)
    ended = db.execute(
        """update remit.turns set status = 'cancelled', finished_at = clock_timestamp()
           where session_id = %s and status in ('queued', 'running', 'waiting') returning id""",
        (session_id,),
    ).fetchall()
    db.execute(
        """update remit.actions set status = 'cancelled', settled_at = clock_timestamp()
           where status in ('waiting', 'limited') and turn_id in (select id from remit.turns where session_id = %s)""",
        (session_id,),
    )
    rows = db.execute(
        """update remit.inbox_items set status = 'withdrawn', decided_at = clock_timestamp()
           where session_id = %s and status = 'open' and kind <> 'reconciliation' returning id""",
        (session_id,),
    ).fetchall()
    for row in rows:
        record(db, Tag.ITEM_WITHDRAWN, session=session_id, item=row["id"], why="session cancelled")
    watch_doubts(db, session_id)
    return [row["id"] for row in ended]


def watch_doubts(db: Db, session_id: str) -> None:
    """Have the clock look at ended turns with calls still under way, once those can be under way no longer.

    A worker that lives settles such a call by then; one that died never does, and no run will ask for it again.
    """
    db.execute(
        """update remit.turns t set resume_at = x.at
           from (select a.turn_id, max(a.expires_at) + interval '1 second' as at
                 from remit.turns o join remit.actions a on a.turn_id = o.id
                 where o.session_id = %s and a.status = 'cleared' group by a.turn_id) x
           where t.id = x.turn_id and t.status in ('finished', 'failed', 'cancelled')""",
        (session_id,),
    )


def reopen(db: Db, session_id: str) -> None:
    """A message makes a session run again, also one that had finished or failed."""
    db.execute(
        """update remit.sessions set status = 'running', reason = '', updated_at = clock_timestamp()
           where id = %s and status in ('waiting', 'finished', 'failed')""",
        (session_id,),
    )


def open_among(db: Db, session_ids: list[str]) -> list[str]:
    """Those of the sessions that are running or waiting, in the given order; locked."""
    found = []
    for session_id in session_ids:
        row = db.execute("select status from remit.sessions where id = %s for update", (session_id,)).fetchone()
        if row is not None and row["status"] in {"running", "waiting"}:
            found.append(session_id)
    return found


def version_used(db: Db, session_id: str, agent: str) -> str | None:
    """The version of an agent that has answered in a session; None if it has not."""
    row = db.execute(
        "select agent_version from remit.turns where session_id = %s and agent = %s order by id limit 1",
        (session_id, agent),
    ).fetchone()
    return row["agent_version"] if row is not None else None


def requester(db: Db, turn_id: str | None, otherwise: str) -> str:
    """Who asked for a turn in the end, also through agents: the one person who may not approve what it asks for."""
    row = db.execute("select requester from remit.turns where id = %s", (turn_id,)).fetchone()
    return str(row["requester"]) if row is not None and row["requester"] else otherwise


def open_turns(db: Db, session_id: str) -> list[str]:
    """Turns that need a run once a paused session goes on: those that wait for nobody and nothing else."""
    rows = db.execute(
        """select id from remit.turns where session_id = %s
             and (status in ('queued', 'running') or (status = 'waiting' and waiting_for in ('pause', 'stop', 'delegation', '')))
           order by id""",
        (session_id,),
    ).fetchall()
    return [row["id"] for row in rows]


def open_external_turn(db: Db, session_id: str) -> str | None:
    """The oldest turn of a session that its owner has to go on with; None if there is none."""
    row = db.execute(
        """select id from remit.turns where session_id = %s and kind = 'external'
             and status in ('queued', 'running', 'waiting') order by id limit 1""",
        (session_id,),
    ).fetchone()
    return row["id"] if row is not None else None


def unblock(db: Db, turn_id: str, budgets: tuple[str, ...], *, by: str) -> None:
    """Let stopped work go on: allow more repeats of the same call, forget failures, open blocked budgets."""
    row = db.execute(
        "update remit.turns set loop_allowance = loop_allowance + 1, failures = 0 where id = %s returning session_id",
        (turn_id,),
    ).fetchone()
    if budgets and row is not None:
        db.execute("update remit.budgets set blocked = false where id = any(%s)", (list(budgets),))
        record(db, Tag.BUDGET_RELEASED, session=row["session_id"], turn=turn_id, budgets=list(budgets), by=by)


def get(db: Db, session_id: str, *, lock: bool = False) -> Session:
    """One session, locked if asked. Raises NotFound."""
    row = db.execute(
        f"select * from remit.sessions where id = %s {'for update' if lock else ''}",  # noqa: S608 - two constants
        (session_id,),
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no session {session_id}")
    return _session(row)


def listing(
    db: Db,
    *,
    status: str | None = None,
    agent: str | None = None,
    workspace: str | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[Session]:
    """Sessions, newest first, in pages: `before` is the last id of the page before."""
    rows = db.execute(
        """select * from remit.sessions
           where (%(status)s::text is null or status = %(status)s) and (%(agent)s::text is null or agent = %(agent)s)
             and (%(workspace)s::text is null or workspace = %(workspace)s)
             and (%(before)s::text is null or id < %(before)s)
           order by id desc limit %(limit)s""",
        {"status": status, "agent": agent, "workspace": workspace, "before": before, "limit": limit},
    ).fetchall()
    return [_session(row) for row in rows]


def message_of(db: Db, message_id: str) -> Any:
    """What a message says."""
    return get_payload(db, payload_id(message_id, "m"))


def author_of(db: Db, message_id: str) -> str:
    """Who wrote a message."""
    row = db.execute("select author from remit.messages where id = %s", (message_id,)).fetchone()
    return row["author"] if row is not None else ""


def keep_history(db: Db, session_id: str, turn_id: str, messages: list[Any]) -> None:
    """Keep what a model agent's turn said and heard, for the session's later turns."""
    put_payload(db, payload_id(turn_id, "h"), session_id, "history", messages)


def history(db: Db, session_id: str, before_turn: str) -> list[Any]:
    """The messages of a session's earlier turns, oldest first."""
    rows = db.execute(
        "select id from remit.turns where session_id = %s and id < %s and kind <> 'undo' order by id",
        (session_id, before_turn),
    ).fetchall()
    kept = (get_payload(db, payload_id(row["id"], "h")) for row in rows)
    return [message for messages in kept if messages for message in messages]


def turns(db: Db, session_id: str) -> list[dict[str, Any]]:
    """The turns of a session in order, with their messages and outputs."""
    rows = db.execute(
        """select t.*, m.author, m.created_at as said_at, m.payload from remit.turns t
           join remit.messages m on m.id = t.message_id where t.session_id = %s order by t.id""",
        (session_id,),
    ).fetchall()
    for row in rows:
        row["input"] = get_payload(db, row.pop("payload"))
        row["output"] = get_payload(db, row["output"]) if row["output"] else None
    return rows


def _session(row: dict[str, Any]) -> Session:
    return Session(
        id=row["id"],
        status=SessionStatus(row["status"]),
        agent=row["agent"],
        agent_version=row["agent_version"],
        workspace=row["workspace"],
        workflow=row["workflow"],
        principal=row["principal"],
        on_behalf_of=row["on_behalf_of"],
        trigger=row["trigger"],
        request_id=row["request_id"],
        title=row["title"],
        simulated=row["simulated"],
        labels=frozenset(row["labels"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        reason=row["reason"],
        parent_id=row["parent_id"],
        depth=row["depth"],
        forked_from=row["forked_from"],
        fork_point=row["fork_point"],
    )


def turn_status(db: Db, turn_id: str) -> str:
    """Where a turn stands. Raises NotFound."""
    row = db.execute("select status from remit.turns where id = %s", (turn_id,)).fetchone()
    if row is None:
        raise NotFound(f"there is no turn {turn_id}")
    return str(row["status"])


def now(db: Db) -> datetime:
    """The database's clock."""
    row = db.execute("select clock_timestamp() as now").fetchone()
    assert row is not None, "a select of a function returns a row"
    return cast("datetime", row["now"])
