"""Reads turns with everything that happened in them, for exports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from remit.domain.records import Tag
from remit.storage.ledger import payload_id
from remit.storage.sessions import Db

_TURNS = """
    select t.id, t.session_id, t.agent, t.agent_version, t.status, t.output, t.error, t.created_at, t.started_at,
           t.finished_at, m.author, m.payload, s.workflow, s.workspace, s.principal, s.on_behalf_of, s.trigger,
           s.request_id, s.title, s.simulated, s.parent_id
    from remit.turns t join remit.sessions s on s.id = t.session_id join remit.messages m on m.id = t.message_id
    where t.id > %(after)s and (%(session)s::text is null or t.session_id = %(session)s)
    order by t.id limit %(limit)s
"""
_ACTIONS = """
    select id, turn_id, key, mode, action, status, reasons, policy_ids, policy_version, roles, attempt, usd_micros,
           input_tokens, output_tokens, why, error, override, undone_by, created_at, settled_at
    from remit.actions where turn_id = any(%s) order by turn_id, created_at, id
"""
_ITEMS = """
    select id, kind, turn_id, action_id, decision, decided_at from remit.inbox_items
    where session_id = any(%s) and turn_id = any(%s) and status = 'decided' order by decided_at, id
"""
_APPROVALS = """
    select action_id, role, person, at, used_at from remit.approvals where action_id = any(%s) order by at, role
"""
_ASKED = """
    select action_id, body::jsonb -> 'reasons' as reasons, body::jsonb -> 'policy_ids' as policy_ids
    from remit.records where session_id = any(%s) and turn_id = any(%s) and tag = any(%s) order by id
"""
_HOLDS_UP = [Tag.ACTION_WAITING.value, Tag.ACTION_REFUSED.value]


@dataclass(frozen=True, slots=True)
class Contents:
    """A payload as it stands: body and salt are None once it was erased."""

    id: str
    digest: bytes
    salt: bytes | None
    body: bytes | None


@dataclass(slots=True)
class Run:
    """One turn with its actions and what people decided about them; rows as the tables have them."""

    turn: dict[str, Any]
    actions: list[dict[str, Any]] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    approvals: list[dict[str, Any]] = field(default_factory=list)
    held_up: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Action id to reasons and policy ids of the first time that it was asked about or refused."""
    contents: dict[str, Contents] = field(default_factory=dict)
    """Payload id to contents, of message, output, arguments and results."""

    def of(self, payload: str | None) -> Contents | None:
        """Contents by payload id."""
        return self.contents.get(payload) if payload else None

    def arguments(self, action_id: str) -> Contents | None:
        """What an action was called with: as edited, else as asked."""
        return self.of(payload_id(action_id, "e")) or self.of(payload_id(action_id, "a"))

    def result(self, action_id: str) -> Contents | None:
        """What an action gave back."""
        return self.of(payload_id(action_id, "r"))


def see_one_moment(db: Db) -> None:
    """Make the transaction that has just begun see the database as it is now, whatever others commit meanwhile."""
    db.execute("set transaction isolation level repeatable read")


def read_runs(db: Db, session_id: str | None = None, *, batch: int = 100) -> Iterator[Run]:
    """Turns in the order in which they were asked for, of one session or of all, `batch` at a time."""
    after = ""
    while True:
        turns = db.execute(_TURNS, {"after": after, "session": session_id, "limit": batch}).fetchall()
        if not turns:
            return
        yield from _complete(db, turns)
        after = turns[-1]["id"]


def read_contents(db: Db, session_id: str | None = None, *, batch: int = 200) -> Iterator[Contents]:
    """Every payload, or those of one session, in the order of their ids."""
    after = ""
    while True:
        rows = db.execute(
            "select id, digest, salt, body from remit.payloads where id > %(after)s"
            " and (%(session)s::text is null or session_id = %(session)s) order by id limit %(limit)s",
            {"after": after, "session": session_id, "limit": batch},
        ).fetchall()
        if not rows:
            return
        yield from map(_contents, rows)
        after = rows[-1]["id"]


def session_exists(db: Db, session_id: str) -> bool:
    """True if there is such a session."""
    return db.execute("select 1 from remit.sessions where id = %s", (session_id,)).fetchone() is not None


def _complete(db: Db, turns: list[dict[str, Any]]) -> list[Run]:
    runs = {turn["id"]: Run(turn) for turn in turns}
    ids, sessions = list(runs), sorted({turn["session_id"] for turn in turns})
    of_action: dict[str, Run] = {}
    wanted: dict[str, list[Run]] = defaultdict(list)
    for run in runs.values():
        for payload in (run.turn["payload"], run.turn["output"]):
            if payload:
                wanted[payload].append(run)
    for action in db.execute(_ACTIONS, (ids,)).fetchall():
        run = runs[action["turn_id"]]
        run.actions.append(action)
        of_action[action["id"]] = run
        for part in "aer":
            wanted[payload_id(action["id"], part)].append(run)
    for item in db.execute(_ITEMS, (sessions, ids)).fetchall():
        runs[item["turn_id"]].items.append(item)
    for approval in db.execute(_APPROVALS, (list(of_action),)).fetchall():
        of_action[approval["action_id"]].approvals.append(approval)
    for asked in db.execute(_ASKED, (sessions, ids, _HOLDS_UP)).fetchall():
        if (holder := of_action.get(asked["action_id"])) is not None:
            holder.held_up.setdefault(asked["action_id"], asked)
    payloads = "select id, digest, salt, body from remit.payloads where id = any(%s)"
    for contents in map(_contents, db.execute(payloads, (list(wanted),)).fetchall()):
        for run in wanted[contents.id]:
            run.contents[contents.id] = contents
    return list(runs.values())


def _contents(row: dict[str, Any]) -> Contents:
    salt, body = row["salt"], row["body"]
    return Contents(
        row["id"], bytes(row["digest"]), None if salt is None else bytes(salt), None if body is None else bytes(body)
    )
