"""Messages and the turns that answer them, as rows. Functions take an open transaction and never commit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from remit.domain import ids
from remit.errors import NotFound
from remit.storage.contents import Db, get_payload, put_payload
from remit.storage.ledger import payload_id
from remit.storage.words import add_words


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a forked turn begins with."""

    actions: tuple[str, ...] = ()
    seed_turn: str | None = None
    seed_at: datetime | None = None


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
    inherited: Inherited = Inherited(),
) -> tuple[str, str]:
    """Write a message and the turn that answers it. Returns (turn id, digest of the contents).

    In an assisted session the turn acts on behalf of the message's author, and of nobody else, unless `on_behalf_of`
    names the person for whom a session is started. `requester` is the author unless somebody else asked through them.
    """
    message_id, turn_id = ids.new_id("msg"), ids.new_id("turn")
    payload = payload_id(message_id, "m")
    digest = put_payload(db, payload, session_id, "message", contents)
    db.execute(
        """insert into remit.messages (id, session_id, author, to_agent, payload, guest)
           select %(message)s, s.id, %(author)s, %(agent)s, %(payload)s, s.principal <> %(author)s
           from remit.sessions s where s.id = %(session)s""",
        {"message": message_id, "session": session_id, "author": author, "agent": agent, "payload": payload},
    )
    db.execute(
        """insert into remit.turns (id, session_id, message_id, agent, agent_version, kind, status, requester,
                                    inherits, seed_turn, seed_at, on_behalf_of, guest)
           select %(turn)s, s.id, %(message)s, %(agent)s, %(version)s, %(kind)s, 'queued', %(requester)s,
                  %(inherits)s, %(seed_turn)s, %(seed_at)s,
                  coalesce(%(person)s::text, case when s.assisted and %(author)s like 'person:_%%'
                                                  then substr(%(author)s, length('person:') + 1) end),
                  s.agent <> %(agent)s
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
    add_words(db, session_id, contents)
    return turn_id, digest


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
             and (status in ('queued', 'running')
                  or (status = 'waiting' and waiting_for in ('pause', 'stop', 'delegation', '')))
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


@dataclass(frozen=True, slots=True)
class Earlier:
    """A turn that a session had before, as its later turns know it."""

    turn: str
    agent: str
    author: str
    said: Any
    output: Any
    messages: list[Any] | None
    """What a model agent said and heard; None for a program, and while the turn has not finished."""


def history(db: Db, session_id: str, before_turn: str) -> list[Earlier]:
    """A session's earlier turns that have finished, oldest first; of a fork, those that it inherits come first."""
    rows = db.execute(
        """select t.id, t.agent, m.author, m.payload, t.output
           from remit.sessions s
           join remit.turns t on t.id = any(s.inherits) or (t.session_id = s.id and t.id < %s)
           join remit.messages m on m.id = t.message_id
           where s.id = %s and t.kind <> 'undo' and t.status = 'finished'
           order by array_position(s.inherits, t.id) nulls last, t.id""",
        (before_turn, session_id),
    ).fetchall()
    return [
        Earlier(
            turn=row["id"],
            agent=row["agent"],
            author=row["author"],
            said=get_payload(db, row["payload"]),
            output=get_payload(db, row["output"]) if row["output"] else None,
            messages=get_payload(db, payload_id(row["id"], "h")),
        )
        for row in rows
    ]


def is_later(db: Db, session_id: str, turn_id: str) -> bool:
    """True if a session had turns before this one, finished or not; this never changes."""
    row = db.execute(
        """select cardinality(s.inherits) > 0
                  or exists (select 1 from remit.turns t where t.session_id = s.id and t.id < %s) as later
           from remit.sessions s where s.id = %s""",
        (turn_id, session_id),
    ).fetchone()
    return row is not None and bool(row["later"])


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


def turn_status(db: Db, turn_id: str) -> str:
    """Where a turn stands. Raises NotFound."""
    row = db.execute("select status from remit.turns where id = %s", (turn_id,)).fetchone()
    if row is None:
        raise NotFound(f"there is no turn {turn_id}")
    return str(row["status"])
