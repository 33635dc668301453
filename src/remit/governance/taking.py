"""Taking and handing over: who of those that are asked is looking at an item, so that nobody does it twice.

Neither gives anybody a right: who may decide follows from the RACI entry and the directory alone. What an item's page
says is that somebody is at it, and whoever is handed something is told.
"""

from __future__ import annotations

from datetime import UTC, datetime

from remit.domain.inbox import InboxItem, ItemKind, ItemStatus
from remit.domain.records import Tag
from remit.errors import Conflict, InvalidInput, NotEntitled
from remit.governance.desk import Decider
from remit.governance.state import Governance
from remit.storage import inbox
from remit.storage.sessions import Db, record


def take(db: Db, item_id: str, who: Decider) -> InboxItem:
    """Say that one is looking at it. Raises Conflict if somebody else is, NotEntitled if one is not asked."""
    item = _open(db, item_id, who)
    taken = item.detail.get("taken_by")
    if taken not in {None, who.person}:
        raise Conflict(f"{taken} is looking at this already", advice="Ask them, or have it handed over to you.")
    inbox.amend(db, item_id, {"taken_by": who.person})
    _record(db, Tag.ITEM_TAKEN, item, who)
    return inbox.get(db, item_id)


def put_back(db: Db, item_id: str, who: Decider) -> InboxItem:
    """Say that one is not looking at it any more. Raises Conflict if one was not."""
    item = _open(db, item_id, who)
    if item.detail.get("taken_by") != who.person:
        raise Conflict("you have not taken this", advice="Look at it again.")
    inbox.amend(db, item_id, {"taken_by": None})
    _record(db, Tag.ITEM_TAKEN, item, who, put_back=True)
    return inbox.get(db, item_id)


def hand_over(db: Db, governance: Governance, item_id: str, who: Decider, to: str, reason: str) -> InboxItem:
    """Hand an item to somebody else, who is told why.

    An approval goes only to others who are asked for it; anything else to anybody active, who is asked as well from
    then on. Raises InvalidInput or NotEntitled.
    """
    item = _open(db, item_id, who)
    directory = governance.project.directory
    if not reason.strip():
        raise InvalidInput("say why you hand it over: whoever gets it is told")
    if to == who.person or not directory.is_active(to):
        raise InvalidInput(f"{to!r} is nobody whom this could be handed to")
    asked = item.assignees
    if to not in asked:
        if item.kind is ItemKind.APPROVAL:
            raise NotEntitled(
                f"{to} may not decide this; asked are {', '.join(asked)}",
                advice="Only somebody who is entitled can approve: hand it to one of them.",
            )
        asked = (*asked, to)
    handed = {"by": who.person, "to": to, "reason": reason.strip(), "at": datetime.now(UTC).isoformat()}
    inbox.amend(db, item_id, {"taken_by": to, "handed": [*item.detail.get("handed", ()), handed]}, asked)
    giver = directory.person(who.person)
    name = giver.name if giver is not None else who.person
    inbox.tell(db, to, item, f"{name} hands this to you: {item.summary}. {reason.strip()}")
    _record(db, Tag.ITEM_HANDED, item, who, to=to, reason=reason.strip())
    return inbox.get(db, item_id)


def _open(db: Db, item_id: str, who: Decider) -> InboxItem:
    item = inbox.get(db, item_id, lock=True)
    if item.status is not ItemStatus.OPEN:
        raise Conflict(f"{item_id} is {item.status} already", advice="Nothing was changed.")
    if who.person not in item.assignees:
        raise NotEntitled(f"{who.person} is not among those asked: {', '.join(item.assignees) or 'nobody'}")
    return item


def _record(db: Db, tag: Tag, item: InboxItem, who: Decider, **more: object) -> None:
    body = {"item": item.id, "by": who.person, "simulated": who.simulated, **more}
    record(db, tag, session=item.session_id or None, turn=item.turn_id, action=item.action_id, **body)
