"""Sessions, messages, turns and runs as rows. Functions take an open transaction and never commit."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from remit.domain import canonical, ids
from remit.domain.records import Tag
from remit.domain.sessions import Session, SessionStatus, TurnStatus, check_move
from remit.errors import NotFound
from remit.storage.database import safe_json, safe_text
from remit.storage.ledger import payload_id

Db = Connection[dict[str, Any]]
"""A synchronous connection whose rows are dicts, inside a transaction."""


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


@dataclass(frozen=True, slots=True)
class OwnedRun:
    """A run that has proved that it owns its turn: everything it needs to begin."""

    session_id: str
    turn_id: str
    epoch: int
    agent: str
    agent_version: str
    workspace: str
    workflow: str | None
    principal: str
    on_behalf_of: str | None
    assisted: bool
    trigger: str
    labels: frozenset[str]
    message_id: str
    started_at: datetime
    failures: int
    loop_allowance: int
    usd_micros: int
    tokens: int
    calls: int


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
    db.execute(
        """insert into remit.sessions (id, status, agent, agent_version, workspace, workflow, principal, on_behalf_of,
                                       trigger, request_id, title, simulated, assisted, parent_id)
           values (%s, 'running', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
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
        ),
    )
    turn_id, digest = add_turn(db, session_id, new.principal, new.agent, new.agent_version, new.input)
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


def add_turn(db: Db, session_id: str, author: str, agent: str, version: str, contents: Any) -> tuple[str, str]:
    """Write a message and the turn that answers it. Returns (turn id, digest of the contents)."""
    message_id, turn_id = ids.new_id("msg"), ids.new_id("turn")
    payload = payload_id(message_id, "m")
    digest = put_payload(db, payload, session_id, "message", contents)
    db.execute(
        "insert into remit.messages (id, session_id, author, to_agent, payload) values (%s, %s, %s, %s, %s)",
        (message_id, session_id, author, agent, payload),
    )
    db.execute(
        """insert into remit.turns (id, session_id, message_id, agent, agent_version, status)
           values (%s, %s, %s, %s, %s, 'queued')""",
        (turn_id, session_id, message_id, agent, version),
    )
    return turn_id, digest


def ask_for_run(db: Db, turn_id: str) -> int:
    """Count one more run of a turn and mark it queued. Returns the run's number; the caller enqueues it."""
    row = db.execute(
        """update remit.turns set run = run + 1, status = 'queued', waiting_for = '', resume_at = null
           where id = %s and status in ('queued', 'running', 'waiting') returning run, session_id""",
        (turn_id,),
    ).fetchone()
    if row is None:
        raise NotFound(f"no open turn {turn_id}")
    db.execute(
        "update remit.sessions set status = 'running', reason = '', updated_at = clock_timestamp() "
        "where id = %s and status = 'waiting'",
        (row["session_id"],),
    )
    return int(row["run"])


_OWN = """
with mine as (
    select 1 from dbos.workflow_status w, remit.executors e
    where w.workflow_uuid = %(workflow)s and w.status = 'PENDING' and w.executor_id = %(executor)s
      and e.id = %(executor)s and e.expires_at > clock_timestamp()
    for share of w
), turn as (
    update remit.turns t set status = 'running', started_at = coalesce(started_at, clock_timestamp()),
                             failures = failures + 1
    from mine where t.id = %(turn)s and t.status in ('queued', 'running', 'waiting') returning t.*
), session as (
    update remit.sessions s set epoch = epoch + 1, executor = %(executor)s, running_turn = turn.id
    from turn where s.id = turn.session_id and s.status = 'running' returning s.*
)
select s.id as session_id, t.id as turn_id, s.epoch, t.agent, t.agent_version, s.workspace, s.workflow, s.principal,
       s.on_behalf_of, s.assisted, s.trigger, s.labels, t.message_id, t.started_at, t.failures, t.loop_allowance,
       coalesce(x.usd, 0) as usd_micros, coalesce(x.tokens, 0) as tokens, coalesce(x.calls, 0) as calls
from session s, turn t
left join lateral (
    select sum(a.usd_micros)::bigint as usd, sum(a.input_tokens + a.output_tokens)::bigint as tokens,
           count(*) filter (where a.mode = 'tool' and a.attempt > 0) as calls
    from remit.turns o join remit.actions a on a.turn_id = o.id where o.session_id = t.session_id) x on true
"""


def begin_run(db: Db, *, workflow_id: str, turn_id: str, executor: str) -> OwnedRun | None:
    """Take the next epoch, in the transaction that proves ownership; None if this run is not the owner.

    The proof: the engine's row is pending with this executor, and this executor's lease is live. The turn's failure
    count is raised now and reset when the run ends, so that a run that kills its worker has been counted.
    """
    row = db.execute(_OWN, {"workflow": workflow_id, "turn": turn_id, "executor": executor}).fetchone()
    return OwnedRun(**{**row, "labels": frozenset(row["labels"])}) if row is not None else None


def end_run(
    db: Db,
    owned: OwnedRun,
    run: int,
    status: TurnStatus,
    *,
    waiting_for: str = "",
    resume_at: datetime | None = None,
    output: Any = None,
    error: str | None = None,
) -> bool:
    """Write how a run ended, unless a newer run has taken over. Returns False in that case.

    A turn that waits stays queued if another run was asked for meanwhile: an answer can arrive before its turn has
    finished asking.
    """
    session = db.execute(
        "select status, epoch from remit.sessions where id = %s for update", (owned.session_id,)
    ).fetchone()
    if session is None or session["epoch"] != owned.epoch:
        return False
    digest = None
    if status is TurnStatus.FINISHED:
        digest = put_payload(db, payload_id(owned.turn_id, "o"), owned.session_id, "output", output)
    settled = status is not TurnStatus.WAITING
    db.execute(
        """update remit.turns set
               status = case when %(status)s = 'waiting' and run > %(run)s then 'queued' else %(status)s end,
               waiting_for = %(waiting_for)s, resume_at = %(resume_at)s, failures = 0, error = %(error)s,
               output = case when %(status)s = 'finished' then %(output)s end,
               finished_at = case when %(settled)s then clock_timestamp() end
           where id = %(turn)s and status not in ('cancelled')""",
        {
            "status": status.value,
            "run": run,
            "waiting_for": waiting_for,
            "resume_at": resume_at,
            "error": safe_text(error, 4_000) if error else None,
            "output": payload_id(owned.turn_id, "o"),
            "settled": settled,
            "turn": owned.turn_id,
        },
    )
    _settle_session(db, owned.session_id, SessionStatus(session["status"]), error or waiting_for)
    tag = {
        TurnStatus.WAITING: Tag.TURN_WAITING,
        TurnStatus.FINISHED: Tag.TURN_FINISHED,
        TurnStatus.FAILED: Tag.TURN_FAILED,
    }.get(status)
    if tag is not None:
        record(
            db,
            tag,
            session=owned.session_id,
            turn=owned.turn_id,
            run=run,
            epoch=owned.epoch,
            waiting_for=waiting_for,
            output=digest,
        )
    return True


def _settle_session(db: Db, session_id: str, now: SessionStatus, reason: str) -> None:
    """Bring a session's status in line with its turns, unless a person has set it aside."""
    if now not in {SessionStatus.RUNNING, SessionStatus.WAITING}:
        return
    rows = db.execute("select status from remit.turns where session_id = %s order by id", (session_id,)).fetchall()
    open_ = {row["status"] for row in rows} & {"queued", "running", "waiting"}
    if open_ & {"queued", "running"}:
        status = SessionStatus.RUNNING
    elif open_:
        status = SessionStatus.WAITING
    else:
        status = SessionStatus.FAILED if rows[-1]["status"] == "failed" else SessionStatus.FINISHED
    db.execute(
        "update remit.sessions set status = %s, reason = %s, running_turn = null, updated_at = clock_timestamp() "
        "where id = %s",
        (status.value, safe_text(reason, 500), session_id),
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


def cancel(db: Db, session_id: str, *, by: str, reason: str) -> None:
    """Cancel a session for good: its open turns end, its open items are withdrawn, calls in flight still settle."""
    move(db, session_id, SessionStatus.CANCELLED, Tag.SESSION_CANCELLED, by=by, reason=reason)
    db.execute(
        """update remit.turns set status = 'cancelled', finished_at = clock_timestamp()
           where session_id = %s and status in ('queued', 'running', 'waiting')""",
        (session_id,),
    )
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


def unblock(db: Db, turn_id: str, budgets: tuple[str, ...], *, by: str) -> None:
    """Let stopped work go on: allow more repeats of the same call, forget failures, open blocked budgets."""
    row = db.execute(
        "update remit.turns set loop_allowance = loop_allowance + 1, failures = 0 where id = %s returning session_id",
        (turn_id,),
    ).fetchone()
    if budgets and row is not None:
        db.execute("update remit.budgets set blocked = false where id = any(%s)", (list(budgets),))
        record(db, Tag.BUDGET_RELEASED, session=row["session_id"], turn=turn_id, budgets=list(budgets), by=by)


def get(db: Db, session_id: str) -> Session:
    """One session. Raises NotFound."""
    row = db.execute("select * from remit.sessions where id = %s", (session_id,)).fetchone()
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
    )
