"""Changes of parameters that wait for somebody's approval, and the cases to try them on. Never commits."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from remit.domain import canonical, ids
from remit.domain.inbox import InboxItem, ItemKind, ItemStatus
from remit.domain.records import Tag
from remit.errors import Conflict, InvalidInput
from remit.storage import inbox
from remit.storage.database import safe_json, safe_text
from remit.storage.ledger import payload_id
from remit.storage.sessions import Db, put_payload, record

WHY = "parameters"
"""What the detail of such an item says under `why`."""


def past_cases(db: Db, agent: str, limit: int) -> list[str]:
    """The newest finished turns of an agent, newest first."""
    rows = db.execute(
        """select id from remit.turns where agent = %s and status = 'finished' and kind = 'agent'
           order by id desc limit %s""",
        (agent, limit),
    )
    return [row["id"] for row in rows]


def propose(
    db: Db,
    *,
    agent: str,
    version: str,
    workspace: str,
    values: dict[str, dict[str, Any]],
    approvers: tuple[str, ...],
    by: str,
    simulated: bool,
    reason: str,
) -> str:
    """Ask for the approval of a change. Returns the inbox item's id. Raises Conflict if one is open already."""
    item_id = ids.new_id("itm")
    said = ", ".join(f"{name} from {change['before']} to {change['after']}" for name, change in values.items())
    row = db.execute(
        """insert into remit.inbox_items (id, kind, workspace, summary, assignees, detail, dedup_key)
           values (%s, 'attention', %s, %s, %s, %s, %s) on conflict do nothing returning id""",
        (
            item_id,
            workspace,
            safe_text(f"{by} asks to tune {agent}: {said}", 500),
            list(approvers),
            Jsonb(
                safe_json(
                    {
                        "why": WHY,
                        "agent": agent,
                        "version": version,
                        "values": canonical.plain(values),
                        "by": by,
                        "reason": reason,
                        "say": f"remit agents tune --apply {item_id}",
                    }
                )
            ),
            f"tune:{agent}",
        ),
    ).fetchone()
    if row is None:
        raise Conflict(
            f"another change of {agent}'s parameters waits for approval", advice="Have it applied or declined first."
        )
    _record(db, Tag.PARAMETERS_PROPOSED, agent, values, by, reason, item=item_id, simulated=simulated)
    return item_id


def proposal(db: Db, item_id: str) -> InboxItem:
    """A change that waits, locked. Raises InvalidInput if the item is none, Conflict if it was decided already."""
    item = inbox.get(db, item_id, lock=True)
    if item.kind is not ItemKind.ATTENTION or item.detail.get("why") != WHY:
        raise InvalidInput(f"{item_id} does not ask to tune an agent", advice="`remit inbox` says what it asks.")
    if item.status is not ItemStatus.OPEN:
        raise Conflict(f"{item_id} is {item.status} already, by {(item.decision or {}).get('by')}")
    return item


def decline(db: Db, item: InboxItem, *, by: str, simulated: bool, reason: str) -> None:
    """Close a locked change without making it."""
    detail = item.detail
    inbox.close(
        db, item.id, ItemStatus.DECIDED, {"verdict": "declined", "by": by, "reason": reason, "simulated": simulated}
    )
    _record(
        db, Tag.PARAMETERS_DECLINED, detail["agent"], detail["values"], by, reason, item=item.id, simulated=simulated
    )


def tuned(
    db: Db,
    *,
    agent: str,
    values: dict[str, dict[str, Any]],
    by: str,
    reason: str,
    simulated: bool,
    item: InboxItem | None = None,
    approved_by: str | None = None,
    **more: Any,
) -> None:
    """Record a change in the transaction that puts it in force, and close the item that asked for it."""
    if item is not None:
        decision = {"verdict": "approved", "by": approved_by, "reason": reason, "simulated": simulated}
        inbox.close(db, item.id, ItemStatus.DECIDED, decision)
        more["item"] = item.id
    _record(db, Tag.PARAMETERS_TUNED, agent, values, by, reason, simulated=simulated, approved_by=approved_by, **more)


def _record(db: Db, tag: Tag, agent: str, values: dict[str, dict[str, Any]], by: str, reason: str, **more: Any) -> None:
    words = put_payload(db, payload_id(ids.new_id("wrd"), "w"), None, "reason", reason)
    record(db, tag, agent=agent, values=canonical.plain(values), by=by, reason=words, **more)
