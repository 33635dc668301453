"""What the cockpit reads of agents, triggers, workflows, policies and people, for the workspaces of whoever asks.

`workspaces` is what somebody sees: a list, or None for all there are and ever were. Counts stop at `most` + 1, so that
no page takes longer because there is more. Functions take an open transaction and change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from remit.domain import ids
from remit.domain.sessions import Session
from remit.storage.sessions import Db, as_session
from remit.storage.triggers import Firing

RECENT = 10_000
"""How many of the newest actions are looked at, where it would take too long to look at all of a time."""
LATELY = timedelta(days=1)
"""How long ago something may have failed to be shown as such."""

# Looked up one by one: a join would read all sessions that there are.
_SEEN = """(%(workspaces)s::text[] is null or (
               select s.workspace = any(%(workspaces)s) from remit.sessions s where s.id = a.session_id))"""


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


@dataclass(frozen=True, slots=True)
class Named:
    """How often decisions named a policy."""

    policy: str
    times: int


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
        {"agents": agents, "workspaces": workspaces, "limit": RECENT},
    ).fetchall()
    return {(row["agent"], row["action"]): min(int(row["count"]), most + 1) for row in rows}


def troubled_actions(db: Db, agents: list[str], workspaces: list[str] | None) -> dict[tuple[str, str], dict[str, int]]:
    """How many of the last day's actions failed, were refused or are of unknown outcome, by agent and action type.

    Looks at no more than the newest 10,000 actions.
    """
    rows = db.execute(  # `_SEEN` is ours
        f"""with newest as materialized (
               select session_id, agent, action, status from remit.actions where id >= %(since)s
               order by id desc limit %(limit)s),
             bad as materialized (
               select session_id, agent, action, status, count(*) as count from newest
               where agent = any(%(agents)s) and status in ('failed', 'refused', 'unknown') group by 1, 2, 3, 4)
           select agent, action, status, sum(count) as count from bad a where {_SEEN} group by 1, 2, 3""",  # noqa: S608
        {"since": _since(db, LATELY), "agents": agents, "workspaces": workspaces, "limit": RECENT},
    ).fetchall()
    found: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows:
        found.setdefault((row["agent"], row["action"]), {})[row["status"]] = int(row["count"])
    return found


def named_policies(db: Db, workspaces: list[str] | None, days: int = 7) -> tuple[dict[str, Named], bool]:
    """How many decisions of the last days named each policy; and whether there were more than were looked at.

    Looks at no more than the newest 10,000 actions.
    """
    rows = db.execute(  # `_SEEN` is ours
        f"""with newest as materialized (
               select id, session_id, policy_ids from remit.actions where id >= %(since)s
               order by id desc limit %(limit)s),
             named as materialized (
               select a.session_id, policy, count(*) as times
               from newest a, unnest(a.policy_ids) as policy group by 1, 2)
           select policy, sum(times) as times from named a where {_SEEN} group by policy
           union all select '', count(*) from newest""",  # noqa: S608
        {"since": _since(db, timedelta(days=days)), "workspaces": workspaces, "limit": RECENT},
    ).fetchall()
    found = {row["policy"]: Named(row["policy"], int(row["times"])) for row in rows}
    return found, found.pop("").times >= RECENT


def decisions_naming(
    db: Db, policy: str, workspaces: list[str] | None, *, before: str | None = None, limit: int = 50, days: int = 7
) -> list[dict[str, Any]]:
    """The actions behind `named_policies`, newest first; `before` is the last id of the page before."""
    return db.execute(
        f"""with newest as materialized (
               select id, session_id, agent, action, status, policy_ids, created_at from remit.actions
               where id >= %(since)s order by id desc limit %(most)s)
           select id, session_id, agent, action, status, created_at from newest a
           where %(policy)s = any(policy_ids) and (%(before)s::text is null or id < %(before)s) and {_SEEN}
           order by id desc limit %(limit)s""",  # noqa: S608 - `_SEEN` is ours
        {
            "since": _since(db, timedelta(days=days)),
            "most": RECENT,
            "policy": policy,
            "before": before,
            "workspaces": workspaces,
            "limit": limit,
        },
    ).fetchall()


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


def _since(db: Db, ago: timedelta) -> str:
    """Sorts before every action of the time since then."""
    row = db.execute("select clock_timestamp() - %s as at", (ago,)).fetchone()
    assert row is not None, "a select returns a row"
    return ids.first_id("act", row["at"])
