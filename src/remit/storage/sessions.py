"""Sessions as rows: how one comes to be and is moved. Functions take an open transaction and never commit.

What happens in them is in `storage/turns.py`; its functions and those of `storage/contents.py` are given here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from remit.domain import ids
from remit.domain.records import Tag
from remit.domain.sessions import Session, SessionStatus, check_move
from remit.errors import NotFound
from remit.storage.contents import Db, get_payload, put_payload, record
from remit.storage.database import safe_text
from remit.storage.turns import (
    Inherited,
    add_turn,
    author_of,
    history,
    is_later,
    keep_history,
    message_of,
    open_external_turn,
    open_turns,
    requester,
    turn_status,
    turns,
    version_used,
)
from remit.storage.words import add_words

__all__ = [
    "Db",
    "Fork",
    "Inherited",
    "NewSession",
    "Origin",
    "add_turn",
    "author_of",
    "get_payload",
    "history",
    "is_later",
    "keep_history",
    "message_of",
    "open_external_turn",
    "open_turns",
    "put_payload",
    "record",
    "requester",
    "turn_status",
    "turns",
    "version_used",
]


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
class Fork:
    """Where a session goes on from."""

    session: str
    point: str
    """`TURN` or `TURN:KEY`; empty where it begins with a new message."""
    turns: tuple[str, ...]
    """Turns of other sessions that it has as its history, oldest first."""
    agent: str
    agent_version: str
    """Who answers its first message; the session's own agent may be another one."""
    inherited: Inherited


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
    fork: Fork | None = None


def create(db: Db, new: NewSession) -> tuple[str, str]:
    """Write a session, its first message and its first turn. Returns (session id, turn id)."""
    session_id, fork = ids.new_id("ses"), new.fork
    _insert(db, session_id, new)
    add_words(db, session_id, new.title)
    turn_id, digest = add_turn(
        db,
        session_id,
        new.principal,
        new.agent if fork is None else fork.agent,
        new.agent_version if fork is None else fork.agent_version,
        new.input,
        kind=new.kind,
        on_behalf_of=new.on_behalf_of if new.assisted else None,
        requester=new.requester,
        inherited=Inherited() if fork is None else fork.inherited,
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


def _insert(db: Db, session_id: str, new: NewSession) -> None:
    origin, fork = new.origin, new.fork
    db.execute(
        """insert into remit.sessions (id, status, agent, agent_version, workspace, workflow, principal, on_behalf_of,
                                       trigger, request_id, title, simulated, assisted, parent_id, labels,
                                       origin_turn, origin_action, depth, origin_waits, due_at,
                                       forked_from, fork_point, inherits)
           values (%s, 'running', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
                   clock_timestamp() + %s * interval '1 second', %s, %s, %s)""",
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
            fork.session if fork is not None else None,
            fork.point if fork is not None else None,
            list(fork.turns) if fork is not None else [],
        ),
    )


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
    return as_session(row)


def is_assisted(db: Db, session_id: str) -> bool:
    """True if a session's turns act only through the people who wrote to them."""
    row = db.execute("select assisted from remit.sessions where id = %s", (session_id,)).fetchone()
    return row is not None and row["assisted"]


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
    return [as_session(row) for row in rows]


def as_session(row: dict[str, Any]) -> Session:
    """A session's row."""
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


def now(db: Db) -> datetime:
    """The database's clock."""
    row = db.execute("select clock_timestamp() as now").fetchone()
    assert row is not None, "a select of a function returns a row"
    return cast("datetime", row["now"])
