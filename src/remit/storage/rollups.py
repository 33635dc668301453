"""Counts the sealed log: what each leaf is about, how many of each kind an hour had, and what they cost.

The log's leaves have no gaps and never change their order, so one number says how far the counting has come. It is
written in the transaction that counts: a crash in between takes both back, and each leaf is counted exactly once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from remit.domain.insights import PACE, WAITS
from remit.domain.records import Tag
from remit.storage.sessions import Db

_LOCK = 7236349125
"""Advisory lock: one counting transaction at a time over all processes."""
_NAME = "rollups"

_DECISIONS = (Tag.APPROVAL_GIVEN, Tag.APPROVAL_EDITED, Tag.APPROVAL_DENIED, Tag.ITEM_ANSWERED)

_LEAVES = """
    select l.leaf_index, r.id as record_id, r.at, r.tag, r.session_id, r.action_id, r.body::jsonb as body
    from remit.leaves l join remit.records r on r.id = l.record_id and r.at = l.record_at
    where l.leaf_index >= %(from)s and l.leaf_index < %(until)s
"""
# What is read of actions, items and sessions has been settled by the time that the record of it is sealed.
_SHAPED = """
    select b.leaf_index, b.record_id, b.at, b.tag, b.session_id, b.action_id,
           coalesce(s.workspace, case b.body ->> 'scope' when 'workspace' then b.body ->> 'target' end) as workspace,
           left(coalesce(a.agent, b.body ->> 'agent', s.agent, ''), 200) as agent,
           left(coalesce(a.action, b.body ->> 'action', ''), 200) as action,
           left(regexp_replace(coalesce(b.body ->> 'by', b.body ->> 'person', b.body ->> 'principal', ''),
                               '^person:', ''), 200) as who,
           case b.tag
               when 'gate:action:cleared' then 'cleared'
               when 'gate:action:repeated' then 'repeated'
               when 'gate:action:waiting' then 'waiting'
               when 'gate:action:limited' then 'limited'
               when 'gate:action:refused' then case b.body ->> 'code' when 'approval_denied' then 'denied'
                   when 'approval_expired' then 'expired' when 'question_expired' then 'expired' else 'refused' end
               when 'runtime:action:unknown' then 'unknown'
               when 'runtime:action:settled' then coalesce(b.body ->> 'status', '')
               when 'person:action:reconciled' then coalesce(b.body ->> 'status', '')
               when 'person:item:answered' then case when a.mode = 'ask' then 'answered' else '' end
               else '' end as outcome,
           case when b.tag = 'runtime:turn:finished' then case when exists (
                       select 1 from remit.records e where e.session_id = b.session_id and e.id < b.record_id
                         and e.tag = 'runtime:turn:finished') then '' else 'first' end
                when a.id is null or b.tag not like '%%:action:%%' and b.tag <> 'person:item:answered' then ''
                when a.mode = 'model' then 'model'
                when case when b.tag in ('gate:action:cleared', 'gate:action:repeated')
                          then coalesce(jsonb_array_length(b.body -> 'approved_roles'), 0) > 0
                          else a.item_id is not null end then 'asked'
                else 'auto' end as road,
           case when b.tag in ('runtime:action:settled', 'person:action:reconciled')
                     and coalesce(b.body ->> 'status', '') <> 'unknown' then a.usd_micros end as usd_micros,
           case when b.tag in ('runtime:action:settled', 'person:action:reconciled') then a.input_tokens end
               as input_tokens,
           case when b.tag in ('runtime:action:settled', 'person:action:reconciled') then a.output_tokens end
               as output_tokens,
           coalesce(b.body ->> 'item', a.item_id) as item_id
    from batch b
    left join remit.sessions s on s.id = b.session_id
    left join remit.actions a on a.id = b.action_id
"""
_JUDGED = """
    select x.*,
           case when i.id is not null then width_bucket(extract(epoch from x.at - i.created_at)::float8, %(waits)s) end
               as waited,
           case when i.id is null then ''
                when v.opened_at is null then 'elsewhere'
                when extract(epoch from x.at - v.opened_at) < least(%(longest)s, greatest(%(shortest)s,
                     (length(i.summary) + coalesce(length(i.detail ->> 'question'), 0) + coalesce(p.bytes, 0))
                     / %(characters)s)) then 'fast'
                when v.details_at is null or v.details_at > x.at then 'unopened'
                else 'read' end as pace
    from shaped x
    left join remit.inbox_items i on x.tag = any(%(decisions)s) and i.id = x.item_id
    left join remit.item_views v on v.item_id = i.id and v.person = x.who
    left join remit.payloads p on p.id = 'pay_' || substr(i.action_id, 5) || 'a'
"""
_COUNT = f"""
    with batch as materialized ({_LEAVES}), shaped as materialized ({_SHAPED}), judged as materialized ({_JUDGED}),
    found as (
        insert into remit.record_facets (leaf_index, record_id, at, tag, workspace, session_id, action_id, agent,
                                         action, who, outcome, road, waited, pace)
        select leaf_index, record_id, at, tag, workspace, session_id, action_id, agent, action, who, outcome, road,
               waited, pace from judged order by leaf_index),
    hours as (
        insert into remit.rollup_hours as h (hour, first_leaf, last_leaf)
        select date_trunc('hour', at, 'UTC'), min(leaf_index), max(leaf_index) from judged group by 1
        on conflict (hour) do update set first_leaf = least(h.first_leaf, excluded.first_leaf),
                                         last_leaf = greatest(h.last_leaf, excluded.last_leaf)),
    counted as (
        insert into remit.rollups as r
        select g.grain, case g.step when 'ever' then 'epoch'::timestamptz else date_trunc(g.step, j.at, 'UTC') end,
               coalesce(j.workspace, ''), case when g.by_agent then j.agent else '' end,
               case when g.by_action then j.action else '' end, j.tag, j.outcome, j.road, count(*),
               coalesce(sum(j.usd_micros), 0), coalesce(sum(j.input_tokens), 0), coalesce(sum(j.output_tokens), 0)
        from judged j, (values ('hour', 'hour', true, true), ('day', 'day', true, false),
                               ('hour_all', 'hour', false, false), ('day_all', 'day', false, false),
                               ('ever', 'ever', false, false)) as g(grain, step, by_agent, by_action)
        group by 1, 2, 3, 4, 5, 6, 7, 8
        on conflict (grain, agent, at, workspace, action, tag, outcome, road) do update
        set n = r.n + excluded.n, usd_micros = r.usd_micros + excluded.usd_micros,
            input_tokens = r.input_tokens + excluded.input_tokens,
            output_tokens = r.output_tokens + excluded.output_tokens),
    decided as (
        insert into remit.rollup_decisions as d
        select g.grain, date_trunc(g.step, j.at, 'UTC'), coalesce(j.workspace, ''),
               case when g.by_agent then j.agent else '' end, k.who, k.tag, k.pace, k.waited, count(*)
        from judged j, (values ('hour', 'hour', true), ('day', 'day', true), ('hour_all', 'hour', false),
                               ('day_all', 'day', false)) as g(grain, step, by_agent),
             lateral (values (j.who, j.tag, j.pace, -1), ('', '', '', j.waited)) as k(who, tag, pace, waited)
        where j.pace <> '' group by 1, 2, 3, 4, 5, 6, 7, 8
        on conflict (grain, agent, at, workspace, who, tag, pace, waited) do update set n = d.n + excluded.n)
    update remit.cursors set position = %(until)s where name = '{_NAME}'
"""  # noqa: S608 - constants


def count(db: Db, limit: int = 2_000) -> int:
    """Count the next leaves, at most `limit`. Returns how many there were; 0 also while another process counts.

    The caller commits: what was counted and how far it goes is one transaction.
    """
    row = db.execute("select pg_try_advisory_xact_lock(%s) as mine", (_LOCK,)).fetchone()
    if row is None or not row["mine"]:
        return 0
    start = _position(db)
    row = db.execute("select coalesce(max(leaf_index) + 1, 0) as size from remit.leaves").fetchone()
    until = min(start + limit, int(row["size"]) if row is not None else 0)
    if until <= start:
        return 0
    db.execute("set local jit = off")  # a few leaves at a time: compiling would take longer than counting
    db.execute(
        _COUNT,
        {
            "from": start,
            "until": until,
            "waits": [float(seconds) for seconds in WAITS],
            "decisions": [tag.value for tag in _DECISIONS],
            "characters": PACE.characters_per_second,
            "shortest": PACE.shortest,
            "longest": PACE.longest,
        },
    )
    return until - start


def _position(db: Db) -> int:
    """The first leaf that is not counted. Only called under the lock."""
    row = db.execute("select position from remit.cursors where name = %s", (_NAME,)).fetchone()
    if row is None:
        db.execute("insert into remit.cursors (name, position) values (%s, 0)", (_NAME,))
        return 0
    return int(row["position"])


def counted(db: Db) -> int:
    """How many leaves are counted."""
    row = db.execute("select position from remit.cursors where name = %s", (_NAME,)).fetchone()
    return 0 if row is None else int(row["position"])


# Reading -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """Which counts are read: by hours or by UTC days, of some workspaces, of one agent or of all."""

    step: Literal["hour", "day"]
    since: datetime
    until: datetime
    """Exclusive."""
    workspaces: list[str] | None = None
    """None: the whole company."""
    agent: str = ""

    def asked(self) -> dict[str, Any]:
        """The parameters of a query."""
        grain = self.step if self.agent else f"{self.step}_all"
        return {**asdict(self), "grain": grain}


_IN = """grain = %(grain)s and agent = %(agent)s and at >= %(since)s and at < %(until)s
      and (%(workspaces)s::text[] is null or workspace = any(%(workspaces)s))"""


def kinds(db: Db, window: Window) -> list[dict[str, Any]]:
    """How many records of each kind there were in a window, and what they cost, by its hours or days."""
    return db.execute(
        f"""select at, tag, outcome, road, sum(n)::bigint as n, sum(usd_micros)::bigint as usd_micros,
                   sum(input_tokens)::bigint as input_tokens, sum(output_tokens)::bigint as output_tokens
            from remit.rollups where {_IN} group by at, tag, outcome, road""",  # noqa: S608 - a constant
        window.asked(),
    ).fetchall()


def decisions(db: Db, window: Window) -> list[dict[str, Any]]:
    """How people decided in a window: by whom and how looked at; and, with `who` empty, after what wait."""
    return db.execute(
        f"""select who, tag, pace, waited, sum(n)::bigint as n from remit.rollup_decisions
            where {_IN} group by who, tag, pace, waited""",  # noqa: S608 - a constant
        window.asked(),
    ).fetchall()


def spenders(db: Db, window: Window, most: int = 12) -> list[dict[str, Any]]:
    """What each agent's actions cost in a window, the dearest first."""
    return db.execute(
        """select agent, sum(usd_micros)::bigint as usd_micros from remit.rollups
           where grain = %(step)s and at >= %(since)s and at < %(until)s and usd_micros > 0
             and (%(workspaces)s::text[] is null or workspace = any(%(workspaces)s))
             and (%(agent)s = '' or agent = %(agent)s)
           group by agent order by 2 desc, 1 limit %(most)s""",
        {**asdict(window), "most": most},
    ).fetchall()


def ever(db: Db) -> list[dict[str, Any]]:
    """How many records of each kind there ever were, by workspace."""
    return db.execute(
        """select workspace, tag, outcome, road, n, usd_micros, input_tokens, output_tokens
           from remit.rollups where grain = 'ever' order by workspace, tag, outcome, road"""
    ).fetchall()


def newest(db: Db) -> datetime | None:
    """When the newest record that is counted was written."""
    row = db.execute("select at from remit.record_facets order by leaf_index desc limit 1").fetchone()
    return None if row is None else row["at"]
