"""Counts how often decisions named each policy, and where actions went wrong; and finds what is behind each count.

It follows storage/rollups.py over the same leaves in the same way: how far it has come is written in the transaction
that counts, so each leaf is counted exactly once. It goes by a number of its own, so that a database which counted its
record before these counts existed has them made from the first leaf on.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from remit.storage import rollups
from remit.storage.rollups import Window
from remit.storage.sessions import Db

TROUBLES = ("failed", "refused", "denied", "expired", "unknown")
"""Outcomes that something went wrong, in the order in which they are shown."""
_LOCK = 7236349126
"""Advisory lock: one counting transaction at a time over all processes."""
_NAME = "tallies"

# An action is of unknown outcome once at most, and known once at most. The record of the one may lie behind that of the
# other, because leaves are in the order in which transactions began to write: it is looked for in the record itself.
_COUNT = f"""
    with batch as materialized (
        select f.leaf_index, f.at, f.tag, coalesce(f.workspace, '') as workspace, f.session_id, f.action_id, f.agent,
               f.action, f.outcome,
               case when f.tag like 'gate:action:%%' then r.body::jsonb -> 'policy_ids' end as named
        from remit.record_facets f left join remit.records r on r.id = f.record_id and r.at = f.at
        where f.leaf_index >= %(from)s and f.leaf_index < %(until)s and f.action_id is not null),
    naming as materialized (
        select distinct left(x.policy, 200) as policy, b.workspace, b.leaf_index, b.at from batch b,
               jsonb_array_elements_text(case jsonb_typeof(b.named) when 'array' then b.named end) as x(policy)),
    named as (
        insert into remit.policy_namings (policy, workspace, leaf_index)
        select policy, workspace, leaf_index from naming order by policy, workspace, leaf_index),
    policies as (
        insert into remit.policy_counts as p
        select date_trunc('day', at, 'UTC'), workspace, policy, count(*) from naming group by 1, 2, 3
        on conflict (at, workspace, policy) do update set n = p.n + excluded.n),
    changed as materialized (
        select at, workspace, agent, action, outcome, 1 as n from batch where outcome = any(%(troubles)s)
        union all
        select u.at, b.workspace, b.agent, b.action, 'unknown', -1 from batch b, lateral (
            select r.at from remit.records r where r.session_id = b.session_id and r.action_id = b.action_id
               and r.tag = 'runtime:action:unknown' order by r.id desc limit 1) u
        where b.tag = 'person:action:reconciled' and b.outcome <> 'unknown'),
    troubles as (
        insert into remit.trouble_counts as t
        select g.grain, c.agent, date_trunc(g.grain, c.at, 'UTC'), c.workspace, c.action, c.outcome, sum(c.n)
        from changed c, (values ('hour'), ('day')) as g(grain) group by 1, 2, 3, 4, 5, 6
        on conflict (grain, agent, at, workspace, action, outcome) do update set n = t.n + excluded.n)
    update remit.cursors set position = %(until)s where name = '{_NAME}'
"""  # noqa: S608 - a constant


def count(db: Db, limit: int = 2_000) -> int:
    """Count the next leaves that have facets, at most `limit`. Returns how many; 0 also while another process counts.

    The caller commits: what was counted and how far it goes is one transaction.
    """
    row = db.execute("select pg_try_advisory_xact_lock(%s) as mine", (_LOCK,)).fetchone()
    if row is None or not row["mine"]:
        return 0
    # Only under the lock, so that what another process committed just now is seen.
    db.execute("insert into remit.cursors (name, position) values (%s, 0) on conflict do nothing", (_NAME,))
    start = counted(db)
    until = min(start + limit, rollups.counted(db))
    if until <= start:
        return 0
    db.execute("set local jit = off")
    db.execute(_COUNT, {"from": start, "until": until, "troubles": list(TROUBLES)})
    return until - start


def counted(db: Db) -> int:
    """How many leaves are counted."""
    row = db.execute("select position from remit.cursors where name = %s", (_NAME,)).fetchone()
    return 0 if row is None else int(row["position"])


def newest(db: Db) -> datetime | None:
    """When the newest record that is counted was written."""
    row = db.execute("select at from remit.record_facets where leaf_index = %s", (counted(db) - 1,)).fetchone()
    return None if row is None else row["at"]


# Reading -------------------------------------------------------------------------------------------------------------

_IN = """at >= %(since)s and at < %(until)s and (%(workspaces)s::text[] is null or workspace = any(%(workspaces)s))"""


def policies(db: Db, window: Window) -> dict[str, int]:
    """How many decisions of some UTC days named each policy; one that none named is not in it."""
    rows = db.execute(
        f"select policy, sum(n)::bigint as n from remit.policy_counts where {_IN} group by policy",  # noqa: S608 - ours
        window.asked(),
    ).fetchall()
    return {row["policy"]: int(row["n"]) for row in rows}


def decisions(
    db: Db, policy: str, window: Window, *, before: int | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """The decisions behind one of `policies`, newest first; `before` is the last leaf of the page before."""
    return db.execute(
        f"""with places as (select distinct workspace from remit.policy_counts where policy = %(policy)s and {_IN}),
             page as (
               select f.* from places p, lateral (
                 select f.leaf_index, f.at, f.action_id, f.session_id, f.agent, f.action, f.outcome
                 from remit.policy_namings n join remit.record_facets f using (leaf_index)
                 where n.policy = %(policy)s and n.workspace = p.workspace and n.leaf_index < %(before)s
                   and f.at >= %(since)s and f.at < %(until)s
                 order by n.leaf_index desc limit %(limit)s) f)
           select * from page order by leaf_index desc limit %(limit)s""",  # noqa: S608 - ours
        {**window.asked(), "policy": policy, "before": _last(before), "limit": limit},
    ).fetchall()


def troubles(db: Db, agents: list[str], window: Window) -> dict[tuple[str, str], dict[str, int]]:
    """How many actions of these agents went wrong in a window and how, by agent and action type."""
    rows = db.execute(
        f"""select agent, action, outcome, sum(n)::bigint as n from remit.trouble_counts
            where grain = %(step)s and agent = any(%(agents)s) and {_IN}
            group by agent, action, outcome having sum(n) > 0""",  # noqa: S608 - ours
        {**window.asked(), "step": window.step, "agents": agents},
    ).fetchall()
    found: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows:
        found.setdefault((row["agent"], row["action"]), {})[row["outcome"]] = int(row["n"])
    return found


def troubled(
    db: Db, action: str, outcome: str, window: Window, *, before: int | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """The actions behind one of `troubles` of the window's agent, newest first."""
    return db.execute(
        """select f.leaf_index, f.at, f.action_id, f.session_id, f.agent, f.action, f.outcome
           from remit.record_facets f left join remit.actions a on a.id = f.action_id
           where f.agent = %(agent)s and f.action = %(action)s and f.outcome = %(outcome)s
             and f.outcome in ('failed', 'refused', 'denied', 'expired', 'unknown')
             and f.leaf_index < %(before)s and f.at >= %(since)s and f.at < %(until)s
             and (%(workspaces)s::text[] is null or f.workspace = any(%(workspaces)s))
             and (f.outcome <> 'unknown' or a.status = 'unknown')
           order by f.leaf_index desc limit %(limit)s""",
        {**window.asked(), "action": action, "outcome": outcome, "before": _last(before), "limit": limit},
    ).fetchall()


def _last(before: int | None) -> int:
    return 2**62 if before is None else before
