"""Ideas as rows: what somebody would like to see, until it is shipped or declined. Never commits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from remit.domain import canonical, ids
from remit.domain.inbox import ItemStatus
from remit.domain.records import Tag
from remit.errors import Conflict, NotFound
from remit.storage import inbox
from remit.storage.database import safe_json, safe_text
from remit.storage.ledger import payload_id
from remit.storage.sessions import Db, get_payload, put_payload, record


@dataclass(frozen=True, slots=True)
class OpenIdea:
    """An idea with everything that its row and its inbox item say."""

    agent: str
    workspace: str
    requester: str
    words: str
    assignees: tuple[str, ...]
    session_id: str | None
    turn_id: str | None = None
    action_id: str | None = None


def submit(db: Db, new: OpenIdea) -> dict[str, Any]:
    """Keep an idea and open its inbox item, once for the same words of the same person to the same agent."""
    normal = " ".join(new.words.split()).casefold()
    dedup = canonical.digest([new.agent, new.requester, normal])
    db.execute("select pg_advisory_xact_lock(hashtextextended(%s, 2))", (dedup,))
    # An action that is repeated after a crash finds its own idea, whatever became of it meanwhile.
    idea_id = f"idea_{new.action_id.removeprefix('act_')}" if new.action_id else ids.new_id("idea")
    known = db.execute(
        """select * from remit.ideas where id = %s or (dedup = %s and status in ('open', 'accepted'))
           order by id = %s desc""",
        (idea_id, dedup, idea_id),
    ).fetchone()
    if known is not None:
        return _with_words(db, known)
    item_id = ids.new_id("itm")
    payload = payload_id(idea_id, "i")
    digest = put_payload(db, payload, new.session_id, "idea", new.words)
    detail = {"idea": new.words, "idea_id": idea_id, "agent": new.agent, "requester": new.requester}
    db.execute(
        """insert into remit.inbox_items
               (id, kind, session_id, turn_id, action_id, workspace, summary, assignees, detail)
           values (%s, 'idea', %s, %s, %s, %s, %s, %s, %s)""",
        (
            item_id,
            new.session_id,
            new.turn_id,
            new.action_id,
            new.workspace,
            safe_text(f"{new.requester.partition(':')[2]} would like to see: {new.words}", 500),
            list(new.assignees),
            Jsonb(safe_json(detail)),
        ),
    )
    db.execute(
        """insert into remit.ideas (id, item_id, session_id, agent, workspace, requester, words, dedup)
           values (%s, %s, %s, %s, %s, %s, %s, %s)""",
        (idea_id, item_id, new.session_id, new.agent, new.workspace, new.requester, payload, dedup),
    )
    record(
        db,
        Tag.IDEA_SUBMITTED,
        session=new.session_id,
        turn=new.turn_id,
        action=new.action_id,
        idea=idea_id,
        item=item_id,
        agent=new.agent,
        by=new.requester,
        contents=digest,
    )
    return get(db, idea_id)


def get(db: Db, idea_id: str, *, lock: bool = False) -> dict[str, Any]:
    """One idea with its words. Raises NotFound."""
    row = db.execute(
        f"select * from remit.ideas where id = %s {'for update' if lock else ''}",  # noqa: S608 - two constants
        (idea_id,),
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no idea {idea_id}", advice="`remit ideas` lists them.")
    return _with_words(db, row)


def of_item(db: Db, item_id: str) -> str:
    """The idea that an inbox item asks about. Raises NotFound."""
    row = db.execute("select id from remit.ideas where item_id = %s", (item_id,)).fetchone()
    if row is None:
        raise NotFound(f"{item_id} is about no idea", advice="`remit ideas` lists them.")
    return str(row["id"])


def listing(
    db: Db,
    *,
    status: str | None = None,
    undecided: bool = False,
    agent: str | None = None,
    requester: str | None = None,
    session_id: str | None = None,
    workspaces: list[str] | None = None,
    before: str | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Ideas of these workspaces (None: all) with their words, newest first; `undecided`: not shipped or declined."""
    rows = db.execute(
        """select * from remit.ideas
           where (%(status)s::text is null or status = %(status)s)
             and (not %(undecided)s or status in ('open', 'accepted'))
             and (%(agent)s::text is null or agent = %(agent)s)
             and (%(requester)s::text is null or requester = %(requester)s)
             and (%(session)s::text is null or session_id = %(session)s)
             and (%(workspaces)s::text[] is null or workspace = any(%(workspaces)s))
             and (%(before)s::text is null or id < %(before)s)
           order by id desc limit %(limit)s""",
        {
            "status": status,
            "undecided": undecided,
            "agent": agent,
            "requester": requester,
            "session": session_id,
            "workspaces": workspaces,
            "before": before,
            "limit": limit,
        },
    ).fetchall()
    return [_with_words(db, row) for row in rows]


_STEPS = {
    "accepted": (Tag.IDEA_ACCEPTED, {"open"}),
    "shipped": (Tag.IDEA_SHIPPED, {"open", "accepted"}),
    "declined": (Tag.IDEA_DECLINED, {"open", "accepted"}),
}


def decide(
    db: Db, idea: dict[str, Any], status: str, decision: dict[str, Any], reason: str, shipped_in: str = ""
) -> dict[str, Any]:
    """Move a locked idea on, close its inbox item, and tell whoever had it. Raises Conflict where it has ended."""
    tag, before = _STEPS[status]
    if idea["status"] not in before:
        by, at = idea["decided_by"], idea["decided_at"]
        raise Conflict(f"{idea['id']} is {idea['status']} already, by {by}, {at:%Y-%m-%d %H:%M} UTC")
    by = decision["by"]
    db.execute(
        """update remit.ideas set status = %s, decided_by = %s, reason = %s, shipped_in = %s,
                                  decided_at = clock_timestamp() where id = %s""",
        (status, by, safe_text(reason, 2_000), safe_text(shipped_in, 500), idea["id"]),
    )
    db.execute("select 1 from remit.inbox_items where id = %s for update", (idea["item_id"],))
    if inbox.get(db, idea["item_id"]).status is ItemStatus.OPEN:
        inbox.close(db, idea["item_id"], ItemStatus.DECIDED, decision)
    words = put_payload(db, payload_id(idea["id"], f"d{status}"), idea["session_id"], "reason", reason)
    record(
        db,
        tag,
        session=idea["session_id"],
        idea=idea["id"],
        item=idea["item_id"],
        by=by,
        simulated=decision["simulated"],
        via=decision["via"],
        shipped_in=shipped_in,
        reason=words,
    )
    kind, _, person = idea["requester"].partition(":")
    if kind == "person":
        where = f" in {shipped_in}" if shipped_in else ""
        said = f"Your idea was {status}{where} by {by}: {idea['words'] or ''}" + (f" ({reason})" if reason else "")
        db.execute(
            "insert into remit.notices (person, kind, session_id, item_id, text) values (%s, 'told', %s, %s, %s)",
            (person, idea["session_id"], idea["item_id"], safe_text(said, 2_000)),
        )
    return get(db, idea["id"])


def _with_words(db: Db, row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "words": get_payload(db, row["words"])}
