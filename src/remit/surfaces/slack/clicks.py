"""Buttons and forms: who clicked, whether they may, and what came of it.

Every decision goes to the same verbs as from the command line, which say who may decide. What is refused is told to
the one who clicked, with the reason and whom to ask; what is out of date is shown anew.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from remit.bootstrap import Services
from remit.domain.directory import Person
from remit.domain.inbox import InboxItem, ItemStatus
from remit.errors import Conflict, DatabaseUnavailable, NotEntitled, NotFound, RemitError
from remit.governance.desk import Decider
from remit.runtime.deliveries import RetryLater, Undeliverable
from remit.surfaces.slack import cards, forms, text
from remit.surfaces.slack.api import Api
from remit.surfaces.slack.blocks import Block
from remit.surfaces.slack.channel import SlackChannel
from remit.surfaces.slack.members import Member, Members

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a form keeps of the message from which it was opened."""

    item: str
    channel: str = ""
    ts: str = ""
    thread: str = ""
    direct: bool = True
    """False: the message stands where others see it too."""

    def __str__(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def read(cls, body: dict[str, Any]) -> Kept:
        """From a sent form."""
        return cls(**json.loads(body["view"]["private_metadata"]))

    @classmethod
    def of_click(cls, body: dict[str, Any]) -> Kept:
        """From a click in a message."""
        place = body.get("container") or {}
        channel = place.get("channel_id") or (body.get("channel") or {}).get("id", "")
        thread = place.get("thread_ts") or (body.get("message") or {}).get("thread_ts", "")
        value = body["actions"][0].get("value", "")
        direct = str(channel).startswith("D") and not thread
        return cls(str(value), str(channel), str(place.get("message_ts", "")), str(thread or ""), direct)


class Clicks:
    """What clicks and forms do."""

    def __init__(self, services: Services, api: Api, channel: SlackChannel, members: Members) -> None:
        self._services = services
        self._api = api
        self._channel = channel
        self._members = members

    # -- buttons -------------------------------------------------------------------------------------------------

    def approve(self, body: dict[str, Any]) -> None:
        """Say yes."""

        def do(kept: Kept, person: Person) -> None:
            self._services.sessions.approve(kept.item, _decider(person), "approved in Slack")

        self._click(body, do)

    def choose(self, body: dict[str, Any]) -> None:
        """Answer by one of a few buttons."""

        def do(kept: Kept, person: Person) -> None:
            form = cards.choices(self._item(kept.item))
            number = body["actions"][0]["action_id"].rpartition("_")[2]
            if form is None or not number.isdigit() or int(number) >= len(form.options):
                raise Conflict("that is not one of the answers")
            value = form.options[int(number)].value
            self._services.sessions.answer(kept.item, _decider(person), value, "answered in Slack")

        self._click(body, do)

    def open_form(self, body: dict[str, Any]) -> None:
        """Open the form behind Deny, Edit, Answer or Details."""

        def do(kept: Kept, person: Person) -> None:
            view = self._form(body["actions"][0]["action_id"], kept, person)
            self._api.call("views.open", {"trigger_id": body["trigger_id"], "view": view})

        self._click(body, do)

    def _form(self, action: str, kept: Kept, person: Person) -> Block:
        case, clean = self._channel.case_of(kept.item)
        if action == cards.DETAILS:
            if person.id not in case.item.assignees and case.item.workspace not in person.workspaces:
                raise NotEntitled(f"{person.id} is not in the workspace {case.item.workspace}")
            return forms.details(case, clean, person.time_zone)
        self._must_be_asked(case.item, person)
        match action:
            case cards.DENY:
                return forms.deny(case.item, str(kept))
            case cards.EDIT:
                return forms.edit(case, clean, str(kept))
            case _:
                return forms.answer(case.item, str(kept))

    def _click(self, body: dict[str, Any], do: Callable[[Kept, Person], None]) -> None:
        """Do something for whoever clicked, and tell them if it could not be done."""
        kept = Kept.of_click(body)
        try:
            do(kept, self._members.person(_member(body)))
        except Conflict as stale:
            self._whisper(kept, body, self._why_stale(kept, stale))
            self._refresh(kept, body)
        except RemitError as error:
            self._whisper(kept, body, _told(error))

    # -- forms ---------------------------------------------------------------------------------------------------

    def submit(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Do what a sent form says. Returns what Slack shows instead of closing it; None: it closes."""
        kept = Kept.read(body)
        values = body["view"]["state"]["values"]
        try:
            person = self._members.person(_member(body))
            self._submit(body["view"]["callback_id"], kept, person, values)
        except forms.FieldError as wrong:
            return {"response_action": "errors", "errors": {wrong.block: wrong.words}}
        except Conflict as stale:
            self._refresh(kept, body)
            return _instead("Out of date", self._why_stale(kept, stale))
        except RemitError as error:
            return _instead("Not done", _told(error))
        return None

    def _submit(self, callback: str, kept: Kept, person: Person, values: dict[str, Any]) -> None:
        verbs, decider = self._services.sessions, _decider(person)
        reason = forms.typed(values.get(forms.REASON, {}))
        match callback:
            case forms.DENIED:
                verbs.deny(kept.item, decider, reason)
            case forms.EDITED:
                case, clean = self._channel.case_of(kept.item)
                self._must_be_asked(case.item, person)
                args = forms.edited(case, clean, values)
                verbs.approve(kept.item, decider, reason or "approved in Slack, with changes", edited=args)
            case forms.ANSWERED:
                value, remember = forms.answered(self._item(kept.item), values)
                verbs.answer(kept.item, decider, value, reason, remember=remember)

    def search(self, body: dict[str, Any]) -> list[Block]:
        """The options of a long list that fit what somebody types."""
        try:
            person = self._members.person(_member(body))
            item = self._item(str(body.get("block_id", "")).partition(":")[2])
        except RemitError:
            return []
        return forms.found_options(item, str(body.get("value") or "")) if person.id in item.assignees else []

    # -- helpers -------------------------------------------------------------------------------------------------

    def _item(self, item_id: str) -> InboxItem:
        return self._channel.case_of(item_id)[0].item

    def _must_be_asked(self, item: InboxItem, person: Person) -> None:
        """No form is opened for what cannot be done; the desk judges once more when it is sent."""
        if item.status is not ItemStatus.OPEN:
            raise Conflict(f"{item.id} is {item.status} already")
        if person.id not in item.assignees:
            raise NotEntitled(f"{person.id} may not decide this; ask {', '.join(item.assignees) or 'nobody'}")

    def _why_stale(self, kept: Kept, error: Conflict) -> str:
        try:
            item = self._item(kept.item)
        except RemitError:
            return _told(error)
        if item.status is ItemStatus.OPEN:
            return _told(error)
        return f"This is out of date; your click changed nothing. {cards.ending(item)}"

    def _refresh(self, kept: Kept, body: dict[str, Any]) -> None:
        """Show the clicked message anew, should that not have happened yet."""
        if not kept.ts or not kept.channel:
            return
        try:
            person = self._members.person(_member(body)) if kept.direct else None
            self._channel.refresh(kept.item, {"channel": kept.channel, "ts": kept.ts}, person)
        except RemitError as error:
            log.info("a message about %s was not shown anew: %s", kept.item, error.message)

    def _whisper(self, kept: Kept, body: dict[str, Any], words: str) -> None:
        """Tell something to the one who clicked, and to nobody else."""
        self.whisper(kept.channel, _member(body).user, words, thread=kept.thread)

    def whisper(self, channel: str, user: str, words: str, *, thread: str = "") -> None:
        """Tell something to one member in a channel, and to nobody else."""
        told = {"channel": channel, "user": user, "text": text.escaped(words, 2_000), "parse": "none"}
        try:
            self._api.call("chat.postEphemeral", {**told, "thread_ts": thread} if thread else told)
        except (RetryLater, Undeliverable) as error:
            log.warning("a member of the team was not told why their click was refused: %s", error.message)


def _decider(person: Person) -> Decider:
    return Decider(person.id, via="slack")


def _member(body: dict[str, Any]) -> Member:
    """Whoever acts. A user of another team in a shared channel comes with that team's id."""
    user = body.get("user") or {}
    team = user.get("team_id") or (body.get("team") or {}).get("id") or ""
    return Member(str(team), str(user.get("id", "")))


def _told(error: RemitError) -> str:
    if isinstance(error, DatabaseUnavailable):
        return "Remit's database does not answer just now. Nothing was done; try again in a moment."
    if isinstance(error, NotFound):
        return "This is not known here any more. Nothing was done."
    return f"{error.message}. {error.advice}"


def _instead(title: str, words: str) -> dict[str, Any]:
    return {"response_action": "update", "view": forms.explained(title, words)}
