"""What is sent to people, as rows: made, claimed, sent, shown anew. Functions take an open transaction, never commit.

A delivery's id is made of what it tells to whom, so that the same thing is told once however many processes look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg.types.json import Jsonb

from remit.domain.records import Tag
from remit.storage.database import safe_json, safe_text
from remit.storage.ledger import payload_id
from remit.storage.sessions import Db, put_payload, record

_NEWS = timedelta(days=7)
"""How old what nobody waits for may be and still be told."""
_LATELY = timedelta(minutes=2)
"""How old what most looks look at may be."""
_TALK = timedelta(days=30)
"""How long after the last message in a conversation later turns of its session are told there."""
_STANDS = "i.status || ':' || i.xmin"
"""The version of an item that a message shows: its status, and the transaction that wrote its row last."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """One message on one surface, to one person or one channel or into one conversation."""

    surface: str
    dedup: str
    session_id: str
    action_id: str
    person: str | None = None
    channel: str | None = None
    thread: str | None = None


def make_due(
    db: Db,
    surface: str,
    people: Sequence[str],
    *,
    channels: bool,
    fallback: str | None = None,
    lately: bool = False,
) -> int:
    """Make a due delivery for everything that these people have not been told on a surface. Returns how many.

    People are told of open items that they may answer and of notices. With `channels`, the channels that items name
    and the conversations that are sessions are told as well, and `fallback` what nobody in particular is asked.
    `lately`: of notices and turns only what has come up in the last minutes, which costs little.
    """
    db.execute("insert into remit.surfaces (surface) values (%s) on conflict do nothing", (surface,))
    values = {
        "surface": surface,
        "people": list(people),
        "channels": channels,
        "fallback": fallback,
        "news": _LATELY if lately else _NEWS,
        "talk": _TALK,
    }
    made = sum(db.execute(sql, values).rowcount for sql in (_ITEMS, _NOTICES))
    if channels:
        made += sum(db.execute(sql, values).rowcount for sql in (_CHANNELS, _QUESTIONS, _TURNS))
    return made


# Whoever takes part in the conversation in which a question is asked does not get it a second time. What is asked in a
# channel goes to one who is in charge as well, where there are no channels or when nobody there has answered.
_ITEMS = """
insert into remit.deliveries (id, surface, kind, dedup, person, item_id, session_id, action_id)
select remit.delivery_id(x.dedup), %(surface)s, 'item', x.dedup, x.person, x.id, x.session_id, x.action_id
from (select i.id, i.session_id, i.action_id, p as person, 'item:' || %(surface)s || ':' || i.id || ':' || p as dedup
      from remit.inbox_items i cross join unnest(i.assignees) p
      where i.status = 'open' and p = any(%(people)s)
        and (i.detail ->> 'channel' is null
             or (not %(channels)s or i.escalations > 0) and i.detail -> 'climb' ? p)
        and not (i.kind = 'question' and exists (
                select 1 from remit.threads t join remit.messages m on m.session_id = t.session_id
                where t.session_id = i.session_id and t.surface = %(surface)s and m.author = 'person:' || p))) x
where not exists (select 1 from remit.deliveries d where d.dedup = x.dedup)
on conflict do nothing"""

_NOTICES = """
insert into remit.deliveries (id, surface, kind, dedup, person, notice_id, item_id, session_id, action_id)
select remit.delivery_id(x.dedup), %(surface)s, 'notice', x.dedup, x.person, x.id, x.item_id, x.session_id, x.action_id
from (select n.*, 'notice:' || %(surface)s || ':' || n.id as dedup
      from remit.notices n join remit.surfaces s on s.surface = %(surface)s
      where n.at > greatest(s.since, clock_timestamp() - %(news)s) and n.seen_at is null
        and n.person = any(%(people)s)) x
where not exists (select 1 from remit.deliveries d where d.dedup = x.dedup)
on conflict do nothing"""

_CHANNELS = """
insert into remit.deliveries (id, surface, kind, dedup, channel, item_id, session_id, action_id)
select remit.delivery_id(x.dedup), %(surface)s, 'item', x.dedup, x.channel, x.id, x.session_id, x.action_id
from (select i.*, 'item:' || %(surface)s || ':' || i.id || ':#' || i.channel as dedup
      from (select id, session_id, action_id, coalesce(detail ->> 'channel',
                       case when assignees = '{}' then %(fallback)s::text end) as channel
            from remit.inbox_items where status = 'open') i) x
where x.channel is not null and not exists (select 1 from remit.deliveries d where d.dedup = x.dedup)
on conflict do nothing"""

_QUESTIONS = """
insert into remit.deliveries (id, surface, kind, dedup, thread, item_id, session_id, action_id)
select remit.delivery_id(x.dedup), %(surface)s, 'item', x.dedup, x.ref, x.id, x.session_id, x.action_id
from (select i.id, i.session_id, i.action_id, t.ref, 'item:' || %(surface)s || ':' || i.id || ':@' || t.ref as dedup
      from remit.inbox_items i join remit.threads t on t.session_id = i.session_id and t.surface = %(surface)s
      where i.status = 'open' and i.kind = 'question') x
where not exists (select 1 from remit.deliveries d where d.dedup = x.dedup)
on conflict do nothing"""

_TURNS = """
insert into remit.deliveries (id, surface, kind, dedup, thread, session_id, turn_id)
select remit.delivery_id(x.dedup), %(surface)s, 'turn', x.dedup, x.ref, x.session_id, x.turn_id
from (select t.id as turn_id, t.session_id, h.ref, 'turn:' || %(surface)s || ':' || t.id || ':' || h.ref as dedup
      from remit.threads h join remit.turns t on t.session_id = h.session_id
      where h.surface = %(surface)s and h.active_at > clock_timestamp() - %(talk)s
        and t.status in ('finished', 'failed', 'cancelled')
        and t.finished_at > greatest(h.created_at, clock_timestamp() - %(news)s)) x
where not exists (select 1 from remit.deliveries d where d.dedup = x.dedup)
on conflict do nothing"""


def add_messages(
    db: Db, messages: Sequence[NewMessage], *, title: str, text: str, session_id: str, turn_id: str, action_id: str
) -> None:
    """Keep what an agent tells people, and make it due; nothing if this action did so before."""
    body = payload_id(action_id, "t")
    digest = put_payload(db, body, session_id, "message", {"title": title, "text": text})
    for new in messages:
        db.execute(
            """insert into remit.deliveries (id, surface, kind, dedup, person, channel, thread, session_id, action_id,
                                             body)
               values (remit.delivery_id(%s), %s, 'message', %s, %s, %s, %s, %s, %s, %s) on conflict do nothing""",
            (
                new.dedup,
                new.surface,
                new.dedup,
                new.person,
                new.channel,
                new.thread,
                new.session_id,
                new.action_id,
                body,
            ),
        )
    record(
        db,
        Tag.PEOPLE_TOLD,
        session=session_id,
        turn=turn_id,
        action=action_id,
        people=sorted({m.person for m in messages if m.person is not None}),
        channels=sorted({m.channel for m in messages if m.channel is not None}),
        surfaces=sorted({m.surface for m in messages}),
        contents=digest,
    )


def told(db: Db, action_id: str) -> list[dict[str, Any]]:
    """Whom an action has told before, for when it is carried out again."""
    return db.execute(
        """select surface, person, channel, thread from remit.deliveries
           where action_id = %s and kind = 'message' order by id""",
        (action_id,),
    ).fetchall()


def claim(db: Db, surface: str, *, limit: int, hold: timedelta) -> list[dict[str, Any]]:
    """Due deliveries for this process alone, oldest first. Another may have them after `hold`, should this one die."""
    return db.execute(
        """update remit.deliveries d set next_at = clock_timestamp() + %(hold)s, attempts = attempts + 1
           from (select id from remit.deliveries
                 where surface = %(surface)s and status = 'due' and next_at <= clock_timestamp()
                 order by next_at, created_at limit %(limit)s for update skip locked) x
           where d.id = x.id returning d.*""",
        {"surface": surface, "limit": limit, "hold": hold},
    ).fetchall()


def claim_outdated(db: Db, surface: str, *, limit: int, hold: timedelta) -> list[dict[str, Any]]:
    """Sent messages whose item stands otherwise than they show, for this process alone, with `stands`."""
    return db.execute(
        f"""update remit.deliveries d set next_at = clock_timestamp() + %(hold)s
            from (select o.id, {_STANDS} as stands from remit.deliveries o join remit.inbox_items i on i.id = o.item_id
                  where o.surface = %(surface)s and o.status = 'sent' and o.kind = 'item' and not o.final
                    and o.next_at <= clock_timestamp() and o.shown <> {_STANDS}
                  order by o.next_at limit %(limit)s for update of o skip locked) x
            where d.id = x.id returning d.*, x.stands""",  # noqa: S608 - a constant
        {"surface": surface, "limit": limit, "hold": hold},
    ).fetchall()


def stands(db: Db, item_id: str) -> str:
    """How an item stands: what a message about it shows."""
    row = db.execute(f"select {_STANDS} as stands from remit.inbox_items i where id = %s", (item_id,)).fetchone()  # noqa: S608
    return str(row["stands"]) if row is not None else ""


def sent(db: Db, row: Mapping[str, Any], ref: Mapping[str, Any], *, shown: str) -> None:
    """A message has arrived on its surface, at `ref`."""
    done = db.execute(
        """update remit.deliveries set status = 'sent', sent_at = clock_timestamp(), next_at = clock_timestamp(),
                  ref = %s, shown = %s, error = '' where id = %s and status = 'due'""",
        (Jsonb(safe_json(dict(ref))), shown, row["id"]),
    )
    if done.rowcount:
        _record(db, Tag.DELIVERY_SENT, row)


def dropped(db: Db, row: Mapping[str, Any], why: str) -> None:
    """A message is not sent: nobody needs it any more, or nobody can be reached there."""
    done = db.execute(
        "update remit.deliveries set status = 'dropped', error = %s where id = %s and status = 'due'",
        (safe_text(why, 500), row["id"]),
    )
    if done.rowcount:
        _record(db, Tag.DELIVERY_DROPPED, row, why=why)


def later(db: Db, delivery: str, wait: timedelta, why: str) -> None:
    """It could not be sent or shown anew now: try again after `wait`."""
    db.execute(
        "update remit.deliveries set next_at = clock_timestamp() + %s, error = %s where id = %s",
        (wait, safe_text(why, 500), delivery),
    )


def unclaim(db: Db, delivery: str, wait: timedelta) -> None:
    """It was claimed and not tried: it counts as no attempt."""
    db.execute(
        """update remit.deliveries set next_at = clock_timestamp() + %s, attempts = greatest(attempts - 1, 0)
           where id = %s and status = 'due'""",
        (wait, delivery),
    )


def shown(db: Db, delivery: str, stood: str, *, final: bool, error: str = "") -> None:
    """A sent message shows its item as it stood. `final`: nothing will change any more."""
    db.execute(
        "update remit.deliveries set shown = %s, final = %s, next_at = clock_timestamp(), error = %s where id = %s",
        (stood, final, safe_text(error, 500), delivery),
    )


def of_item(db: Db, item_id: str) -> list[dict[str, Any]]:
    """What was sent about an item, and how it went."""
    return db.execute("select * from remit.deliveries where item_id = %s order by id", (item_id,)).fetchall()


def asked_at(db: Db, surface: str, channel: str, ts: str) -> str | None:
    """The item that the message at a place of a surface asks about, or None."""
    row = db.execute(
        """select item_id from remit.deliveries
           where ref ->> 'ts' = %s and ref ->> 'channel' = %s and surface = %s and kind = 'item'""",
        (ts, channel, surface),
    ).fetchone()
    return row["item_id"] if row is not None else None


def notice(db: Db, notice_id: int) -> dict[str, Any] | None:
    """One notice."""
    return db.execute("select * from remit.notices where id = %s", (notice_id,)).fetchone()


def turn(db: Db, turn_id: str) -> dict[str, Any] | None:
    """A turn whose outcome is told: its agent, status, error and the payload of its output."""
    return db.execute("select id, agent, status, error, output from remit.turns where id = %s", (turn_id,)).fetchone()


# -- conversations -------------------------------------------------------------------------------------------------


def session_of(db: Db, surface: str, ref: str) -> str | None:
    """The session that a conversation on a surface is."""
    row = db.execute("select session_id from remit.threads where surface = %s and ref = %s", (surface, ref)).fetchone()
    return row["session_id"] if row is not None else None


def bind(db: Db, surface: str, ref: str, session_id: str) -> None:
    """Make a conversation on a surface a session's."""
    db.execute("insert into remit.threads (surface, ref, session_id) values (%s, %s, %s)", (surface, ref, session_id))


def touch(db: Db, surface: str, ref: str) -> None:
    """Somebody wrote in a conversation."""
    db.execute("update remit.threads set active_at = clock_timestamp() where surface = %s and ref = %s", (surface, ref))


def thread_of(db: Db, surface: str, session_id: str) -> str | None:
    """The newest conversation of a session on a surface."""
    row = db.execute(
        "select ref from remit.threads where surface = %s and session_id = %s order by created_at desc limit 1",
        (surface, session_id),
    ).fetchone()
    return row["ref"] if row is not None else None


def _record(db: Db, tag: Tag, row: Mapping[str, Any], **more: Any) -> None:
    record(
        db,
        tag,
        session=row["session_id"],
        turn=row["turn_id"],
        action=row["action_id"],
        delivery=row["id"],
        surface=row["surface"],
        kind=row["kind"],
        person=row["person"],
        channel=row["channel"],
        item=row["item_id"],
        **more,
    )
