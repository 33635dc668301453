"""What the cockpit reads of agents, triggers, workflows, policies and people, for the workspaces of whoever asks.

`workspaces` is what somebody sees: a list, or None for all there are and ever were. Counts stop at `most` + 1, so that
no page takes longer because there is more. Functions take an open transaction and change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from remit.domain.sessions import Session
from remit.storage.sessions import Db, as_session
from remit.storage.triggers import Firing

_MOST_ITEMS = 10_000
"""How many open items are looked at, the newest; counts of what waits are exact as long as no more are open."""
LATELY = timedelta(days=1)
"""How long ago something may have failed to be shown as such."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How many sessions of an agent stand where."""

    running: int = 0
    waiting: int = 0
    paused: int = 0
    failed: int = 0
    """In the last day."""

    @property
    def open(self) -> int:
        """Those that have not ended."""
        return self.running + self.waiting + self.paused


@dataclass(frozen=True, slots=True)
class Suspension:
    """Why an agent may do nothing, or may again."""

    suspended: bool
    by: str
    reason: str
    at: datetime


def standing(db: Db, agents: list[str], workspaces: list[str] | None, most: int) -> dict[str, Standing]:
    """How many sessions of each of these agents stand where; each count stops at `most` + 1."""
    rows = db.execute(
        """select a.name as agent, s.status, n.count from unnest(%(agents)s::text[]) as a(name),
             unnest(array['running', 'waiting', 'paused']) as s(status), lateral (
               select count(*) as count from (
                 select 1 from remit.sessions x
                 where x.agent = a.name and x.status = s.status and x.status in ('running', 'waiting', 'paused')
                   and (%(workspaces)s::text[] is null or x.workspace = any(%(workspaces)s))
                 limit %(limit)s) y) n
           union all
           select a.name, 'failed', n.count from unnest(%(agents)s::text[]) as a(name), lateral (
               select count(*) as count from (
                 select 1 from remit.sessions x
                 where x.agent = a.name and x.status = 'failed' and x.updated_at > clock_timestamp() - %(lately)s
                   and (%(workspaces)s::text[] is null or x.workspace = any(%(workspaces)s))
                 limit %(limit)s) y) n""",
        {"agents": agents, "workspaces": workspaces, "lately": LATELY, "limit": most + 1},
    ).fetchall()
    found: dict[str, dict[str, int]] = {agent: {} for agent in agents}
    for row in rows:
        found[row["agent"]][row["status"]] = int(row["count"])
    return {agent: Standing(**counts) for agent, counts in found.items()}


def newest_sessions(db: Db, agent: str, workspaces: list[str] | None, limit: int = 8) -> list[Session]:
    """An agent's own sessions, newest first."""
    rows = db.execute(
        """select * from remit.sessions where agent = %(agent)s
             and (%(workspaces)s::text[] is null or workspace = any(%(workspaces)s))
           order by id desc limit %(limit)s""",
        {"agent": agent, "workspaces": workspaces, "limit": limit},
    ).fetchall()
    return [as_session(row) for row in rows]


def failed_lately(db: Db, agents: list[str], workspaces: list[str] | None, limit: int = 8) -> list[Session]:
    """Sessions of these agents that failed in the last day, the latest first."""
    rows = db.execute(
        """select x.* from unnest(%(agents)s::text[]) as a(name), lateral (
               select * from remit.sessions
               where agent = a.name and status = 'failed' and updated_at > clock_timestamp() - %(lately)s
                 and (%(workspaces)s::text[] is null or workspace = any(%(workspaces)s))
               order by updated_at desc limit %(limit)s) x
           order by x.updated_at desc limit %(limit)s""",
        {"agents": agents, "workspaces": workspaces, "lately": LATELY, "limit": limit},
    ).fetchall()
    return [as_session(row) for row in rows]


def waiting_actions(db: Db, agents: list[str], workspaces: list[str] | None, most: int) -> dict[tuple[str, str], int]:
    """How many open items wait for a person, by agent and action type; items about no action under an empty type."""
    rows = db.execute(
        """select s.agent, coalesce(i.detail ->> 'action', '') as action, count(*) as count
           from (select * from remit.inbox_items where status = 'open'
                   and (%(workspaces)s::text[] is null or workspace = any(%(workspaces)s))
                 order by id desc limit %(limit)s) i
           join remit.sessions s on s.id = i.session_id
           where s.agent = any(%(agents)s) group by 1, 2""",
        {"agents": agents, "workspaces": workspaces, "limit": _MOST_ITEMS},
    ).fetchall()
    return {(row["agent"], row["action"]): min(int(row["count"]), most + 1) for row in rows}


def suspensions(db: Db, agents: list[str]) -> dict[str, Suspension]:
    """What people last said about whether these agents may work; one that is not in it was never suspended."""
    rows = db.execute("select * from remit.agent_state where agent = any(%s)", (agents,)).fetchall()
    return {row.pop("agent"): Suspension(**row) for row in rows}


def firings(
    db: Db, trigger: str, *, status: str | None = None, before: tuple[datetime, str] | None = None, limit: int = 50
) -> list[Firing]:
    """What a trigger did and left out, newest first; `before` is time and key of the last one of the page before."""
    at, key = before if before is not None else (None, None)
    rows = db.execute(
        """select * from remit.firings where trigger = %(trigger)s
             and (%(status)s::text is null or status = %(status)s)
             and (%(at)s::timestamptz is null or at < %(at)s or (at = %(at)s and key < %(key)s))
             and (%(at)s::timestamptz is null or at <= %(at)s)
           order by at desc, key desc limit %(limit)s""",
        {"trigger": trigger, "status": status, "at": at, "key": key, "limit": limit},
    ).fetchall()
    return [Firing(**row) for row in rows]


def tokens(db: Db, subjects: list[str] | None) -> list[dict[str, Any]]:
    """Tokens that are valid now, newest first, without anything that could be used; `subjects` None: everybody's."""
    return db.execute(
        """select id, subject, issued_by, issued_at, expires_at from remit.tokens
           where revoked_at is null and expires_at > clock_timestamp()
             and (%(subjects)s::text[] is null or subject = any(%(subjects)s))
           order by id desc limit 1000""",
        {"subjects": subjects},
    ).fetchall()
