"""Runs of turns as rows: asking for one, proving that one owns its turn, and how it ended. Never commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from remit.domain.records import Tag
from remit.domain.sessions import SessionStatus, TurnStatus
from remit.errors import NotFound
from remit.storage import delegations
from remit.storage.database import safe_text
from remit.storage.ledger import payload_id
from remit.storage.sessions import Db, get_payload, put_payload, record, watch_doubts
from remit.storage.words import add_words


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
    """Who asked for this turn: the author of its message, or who asked through the agents that delegated it."""
    on_behalf_of: str | None
    assisted: bool
    trigger: str
    labels: frozenset[str]
    message_id: str
    kind: str
    run: int
    """Number of the newest run that was asked for, as of its beginning."""
    seed: str
    """What all chance of the turn follows from: its own id, or that of the turn that it was forked from."""
    started_at: datetime
    failures: int
    loop_allowance: int
    usd_micros: int
    tokens: int
    calls: int


def ask_for_run(db: Db, turn_id: str) -> tuple[str, int] | None:
    """Count one more run of a turn and mark it queued; the caller enqueues it.

    Returns (session id, the run's number), or None if there is nothing to enqueue: the turn has ended, or it is an
    external one, which is left to its owner.
    """
    row = db.execute(
        """update remit.turns set run = run + 1, status = 'queued', waiting_for = '', resume_at = null
           where id = %s and status in ('queued', 'running', 'waiting') and kind <> 'external'
           returning run, session_id""",
        (turn_id,),
    ).fetchone()
    if row is None:
        _leave_to_owner(db, turn_id)
        return None
    db.execute(
        "update remit.sessions set status = 'running', reason = '', updated_at = clock_timestamp() "
        "where id = %s and status = 'waiting'",
        (row["session_id"],),
    )
    return row["session_id"], int(row["run"])


def ask_for_first_runs(db: Db, turn_ids: Sequence[str]) -> list[tuple[str, str, int]]:
    """Count the first run of turns that have just been written, none of them external; the caller enqueues them.

    Returns (turn id, session id, the run's number) of each.
    """
    rows = db.execute(
        """update remit.turns set run = run + 1 where id = any(%s) and status = 'queued' and kind <> 'external'
           returning id, session_id, run""",
        (list(turn_ids),),
    ).fetchall()
    return [(row["id"], row["session_id"], int(row["run"])) for row in rows]


def _leave_to_owner(db: Db, turn_id: str) -> None:
    """An external turn that could go on waits for the process that owns it, unless that process is at it now."""
    row = db.execute(
        """with found as (
               select t.id, s.status, t.status = 'running' and exists (
                   select 1 from remit.executors e where e.id = s.executor and e.expires_at > clock_timestamp()
               ) as at_it
               from remit.turns t join remit.sessions s on s.id = t.session_id
               where t.id = %s and t.kind = 'external' and t.status in ('queued', 'running', 'waiting') for update of t)
           update remit.turns t set
               run = run + 1, resume_at = null,
               status = case when found.at_it then t.status else 'waiting' end,
               waiting_for = case when found.at_it then t.waiting_for else 'owner' end
           from found where t.id = found.id returning t.session_id, found.status, found.at_it""",
        (turn_id,),
    ).fetchone()
    if row is not None and not row["at_it"]:
        _settle_session(db, row["session_id"], SessionStatus(row["status"]), "owner")


_RUN = """
turn as (
    update remit.turns t set status = 'running', started_at = coalesce(started_at, clock_timestamp()),
                             failures = failures + 1, run = greatest(run, %(run)s)
    from mine, remit.sessions s
    where t.id = %(turn)s and t.status in ('queued', 'running', 'waiting')
      and s.id = t.session_id and s.status = any(%(statuses)s)  -- who may not begin must leave no trace
    returning t.*
), session as (
    update remit.sessions s set epoch = epoch + 1, executor = %(executor)s, running_turn = turn.id, status = 'running'
    from turn where s.id = turn.session_id and s.status = any(%(statuses)s) returning s.*
)
select s.id as session_id, t.id as turn_id, t.run, s.epoch, t.agent, t.agent_version, s.workspace, s.workflow,
       coalesce(t.requester, s.principal) as principal, s.trigger, s.labels, t.message_id, t.kind, t.failures,
       case when s.assisted then t.on_behalf_of else coalesce(t.on_behalf_of, s.on_behalf_of) end as on_behalf_of,
       s.assisted or t.on_behalf_of is not null as assisted,
       coalesce(t.seed_turn, t.id) as seed, coalesce(t.seed_at, t.started_at) as started_at, t.loop_allowance,
       coalesce(x.usd, 0) as usd_micros, coalesce(x.tokens, 0) as tokens,
       coalesce(x.calls, 0) as calls
from session s, turn t
left join lateral (
    select sum(a.usd_micros)::bigint as usd, sum(a.input_tokens + a.output_tokens)::bigint as tokens,
           count(*) filter (where a.mode in ('tool', 'model') and a.attempt > 0) as calls
    from remit.turns o join remit.actions a on a.turn_id = o.id where o.session_id = t.session_id) x on true
"""
_OWN = f"""
with mine as (
    select 1 from dbos.workflow_status w, remit.executors e, remit.turns t, remit.sessions s
    where w.workflow_uuid = %(workflow)s and w.status = 'PENDING' and w.executor_id = %(executor)s
      and e.id = %(executor)s and e.expires_at > clock_timestamp()
      and t.id = %(turn)s and t.kind <> 'external' and s.id = t.session_id
      and w.workflow_uuid = t.id || ':' || t.run
      and not exists (
          select 1 from remit.turns o, remit.executors x
          where o.id = s.running_turn and o.id <> t.id and o.status = 'running' and x.id = s.executor
            and x.expires_at > clock_timestamp())
    for share of w
), {_RUN}"""  # noqa: S608 - constants
_OWN_EXTERNAL = f"""
with mine as (
    select 1 from remit.executors e, remit.turns t, remit.sessions s
    where e.id = %(executor)s and e.expires_at > clock_timestamp()
      and t.id = %(turn)s and t.kind = 'external' and s.id = t.session_id
      and (s.running_turn is null or not exists (
          select 1 from remit.executors x where x.id = s.executor and x.expires_at > clock_timestamp()))
), {_RUN}"""  # noqa: S608 - constants


def begin_run(db: Db, *, workflow_id: str, turn_id: str, executor: str) -> OwnedRun | None:
    """Take the next epoch, in the transaction that proves ownership; None if this run is not the owner.

    The proof: the engine's row is pending with this executor, this executor's lease is live, no newer run was asked
    for, and no other turn of the session is at work on a live executor; a run that comes too early is asked for again.
    The turn's failure count is raised now and reset when the run ends, so that a run that kills its worker has been
    counted, and one that only gives way to a newer run has not.
    """
    row = db.execute(
        _OWN, {"workflow": workflow_id, "turn": turn_id, "executor": executor, "run": 0, "statuses": ["running"]}
    ).fetchone()
    return _owned(row) if row is not None else None


def begin_external_run(db: Db, *, turn_id: str, executor: str) -> OwnedRun | None:
    """Take the next epoch for a process that is no worker; None if somebody else is at work in the session.

    The engine knows nothing of such a turn. The proof: this executor's lease is live, the session names no executor
    with a live lease as being at work, and the session's row is locked before that is looked at.
    """
    db.execute(
        "select 1 from remit.sessions where id = (select session_id from remit.turns where id = %s) for update",
        (turn_id,),
    )
    row = db.execute(
        _OWN_EXTERNAL, {"turn": turn_id, "executor": executor, "run": 1, "statuses": ["running", "waiting"]}
    ).fetchone()
    return _owned(row) if row is not None else None


def _owned(row: dict[str, Any]) -> OwnedRun:
    return OwnedRun(**{**row, "labels": frozenset(row["labels"])})


_END = """
update remit.turns set
    status = case when %(status)s = 'waiting' and run > %(run)s and kind <> 'external' then 'queued'
                  else %(status)s end,
    waiting_for = case when %(status)s = 'waiting' and run > %(run)s and kind = 'external' then 'owner'
                       else %(waiting_for)s end,
    resume_at = %(resume_at)s, failures = 0, error = %(error)s, told_until = clock_timestamp(),
    output = case when %(status)s = 'finished' then %(output)s end,
    finished_at = case when %(settled)s then clock_timestamp() end
where id = %(turn)s and status not in ('cancelled')
"""


_ENDED_AS = {
    TurnStatus.WAITING: Tag.TURN_WAITING,
    TurnStatus.FINISHED: Tag.TURN_FINISHED,
    TurnStatus.FAILED: Tag.TURN_FAILED,
}


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
    finished asking. An external one then waits for its owner only.
    """
    session = db.execute(
        "select status, epoch from remit.sessions where id = %s for update", (owned.session_id,)
    ).fetchone()
    if session is None or session["epoch"] != owned.epoch:
        return False
    if status is TurnStatus.WAITING:
        resume_at = _next_time(db, owned.turn_id, waiting_for, resume_at)
    digest = None
    if status is TurnStatus.FINISHED:
        digest = put_payload(db, payload_id(owned.turn_id, "o"), owned.session_id, "output", output)
        add_words(db, owned.session_id, output)
    db.execute(
        _END,
        {
            "status": status.value,
            "run": run,
            "waiting_for": waiting_for,
            "resume_at": resume_at,
            "error": safe_text(error, 4_000) if error else None,
            "output": payload_id(owned.turn_id, "o"),
            "settled": status is not TurnStatus.WAITING,
            "turn": owned.turn_id,
        },
    )
    _settle_session(db, owned.session_id, SessionStatus(session["status"]), error or waiting_for)
    if status is not TurnStatus.WAITING:
        watch_doubts(db, owned.session_id)
    tag = _ENDED_AS.get(status)
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


def keep_delivered(db: Db, turn_id: str, delivered: tuple[str, ...]) -> None:
    """Keep in which order a finished program got its last results, so that it can be replayed to the same end."""
    db.execute("update remit.turns set delivered = %s where id = %s", (list(delivered), turn_id))


def seed_of(db: Db, turn_id: str) -> dict[str, Any]:
    """What a turn began with and how it ended, for its replay. Raises NotFound."""
    row = db.execute(
        """select t.id, t.session_id, t.message_id, t.agent, t.agent_version, t.kind, t.status, t.error, t.delivered,
                  coalesce(t.seed_turn, t.id) as seed, coalesce(t.seed_at, t.started_at) as started_at,
                  case when s.assisted then t.on_behalf_of else coalesce(t.on_behalf_of, s.on_behalf_of) end
                      as on_behalf_of
           from remit.turns t join remit.sessions s on s.id = t.session_id where t.id = %s""",
        (turn_id,),
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no turn {turn_id}")
    return {**row, "output": get_payload(db, payload_id(turn_id, "o"))}


def _next_time(db: Db, turn_id: str, waiting_for: str, resume_at: datetime | None) -> datetime | None:
    """When a timer resumes a turn that begins to wait: at once if what it waits for came while its run was ending."""
    if waiting_for == "reconciliation" and not _unknown(db, turn_id):
        return datetime.now(UTC)
    if waiting_for in {"stop", "pause", "attention"}:
        return resume_at
    look = delegations.next_look(db, turn_id)
    return min((at for at in (resume_at, look) if at is not None), default=None)


def _unknown(db: Db, turn_id: str) -> bool:
    """True if the outcome of any action of a turn is unknown; locks the turn, as late answers do."""
    db.execute("select 1 from remit.turns where id = %s for update", (turn_id,))
    row = db.execute("select 1 from remit.actions where turn_id = %s and status = 'unknown' limit 1", (turn_id,))
    return row.fetchone() is not None


def rest(db: Db, session_id: str) -> None:
    """Bring a session that was taken up again to rest, if none of its turns is at work or about to be."""
    row = db.execute(
        """select status, (select waiting_for from remit.turns where session_id = s.id and status = 'waiting'
                           order by id limit 1) as waiting_for
           from remit.sessions s where id = %s
             and not exists (select 1 from remit.turns where session_id = s.id and status in ('queued', 'running'))""",
        (session_id,),
    ).fetchone()
    if row is not None:
        _settle_session(db, session_id, SessionStatus(row["status"]), row["waiting_for"] or "")


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
