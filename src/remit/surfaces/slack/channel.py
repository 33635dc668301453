"""The channel of Slack: direct messages, channels, and the threads that sessions are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from remit.bootstrap import Services
from remit.domain.directory import Person
from remit.domain.inbox import InboxItem
from remit.domain.project import SlackSection
from remit.evidence.runs import Redactor
from remit.governance.cases import Case, case
from remit.runtime.deliveries import Delivery, RetryLater, is_channel
from remit.surfaces.slack import cards
from remit.surfaces.slack.api import Api
from remit.surfaces.slack.cards import Card

_EVENT = "remit_delivery"
_EARLIER = 120  # seconds before a delivery was made in which its message cannot stand: clocks differ
_UNREADABLE = frozenset({"missing_scope", "not_in_channel", "channel_not_found", "thread_not_found"})
_ID = frozenset("CGDU")


class SlackChannel:
    """Tells people in Slack what waits for them. See `remit.runtime.deliveries.Channel`."""

    surface = "slack"
    converses = True

    def __init__(self, services: Services, settings: SlackSection, api: Api) -> None:
        self._services = services
        self._settings = settings
        self._api = api
        self._direct: dict[str, str] = {}
        self._known = False

    @property
    def fallback(self) -> str | None:
        """The channel for what nobody in particular is asked."""
        return self._settings.channel

    def covers(self, person: Person | None, channel: str | None) -> bool:
        """True for members of the team whom the directory names, and for channels."""
        if person is not None:
            return person.slack is not None and person.slack.startswith(f"{self._settings.team}/")
        return channel is not None and is_channel(channel)

    async def send(self, delivery: Delivery) -> Mapping[str, Any]:
        """Post it and return its channel and time stamp. Raises RetryLater or Undeliverable."""
        return await asyncio.to_thread(self._send, delivery)

    async def update(self, delivery: Delivery, ref: Mapping[str, Any], item: InboxItem) -> None:
        """Put the item as it stands now, or its outcome, in the message's place. Raises as `send` does."""
        await asyncio.to_thread(self.refresh, item.id, ref, delivery.person)

    def refresh(self, item_id: str, ref: Mapping[str, Any], person: Person | None) -> None:
        """Show an item anew in a message that a person sees; None: everybody in a channel does."""
        card = self._card(item_id, person)
        shown = {"channel": ref["channel"], "ts": ref["ts"], "text": card.line, "blocks": card.blocks}
        self._api.call("chat.update", shown)

    def case_of(self, item_id: str) -> tuple[Case, cards.Clean]:
        """An item's case, and what leaves declared fields out of it. Raises NotFound."""
        governance = self._services.deployments.load()
        declared = {name: found.redact for name, found in governance.project.actions.items()}
        with self._services.sessions.transaction() as db:
            return case(governance, db, item_id), Redactor(declared).clean

    def _send(self, delivery: Delivery) -> dict[str, Any]:
        self._check_team()
        channel, thread = self._place(delivery)
        if delivery.attempts > 1:
            found = self._arrived(delivery, channel, thread)
            if found is not None:
                return found
        if delivery.item is not None:
            card = self._card(delivery.item.id, delivery.person)
        else:
            card = cards.told(
                delivery.kind, delivery.title, delivery.text, agent=delivery.agent, session=delivery.session_id
            )
        message = {
            "channel": channel,
            "text": card.line,
            "blocks": card.blocks,
            "metadata": {"event_type": _EVENT, "event_payload": {"id": delivery.id}},
            "mrkdwn": False,
            "link_names": False,
            "parse": "none",
            "unfurl_links": False,
            "unfurl_media": False,
        }
        answer = self._api.call("chat.postMessage", message if thread is None else {**message, "thread_ts": thread})
        return {"channel": answer["channel"], "ts": answer["ts"]}

    def _card(self, item_id: str, person: Person | None) -> Card:
        found, clean = self.case_of(item_id)
        zone = person.time_zone if person is not None else "UTC"
        return cards.asked(found, clean, person=person.id if person is not None else None, zone=zone)

    def _place(self, delivery: Delivery) -> tuple[str, str | None]:
        """Channel and thread that a message belongs into."""
        if delivery.thread is not None:
            _, channel, thread = delivery.thread.split("/")
            return channel, thread
        if delivery.person is not None:
            return self._direct_message(delivery.person), None
        channel = delivery.channel or ""
        known = channel[:1] in _ID and len(channel) > 6 and channel.isupper()
        return (channel if known or channel.startswith("#") else f"#{channel}"), None

    def _direct_message(self, person: Person) -> str:
        user = (person.slack or "").partition("/")[2]
        if user not in self._direct:
            self._direct[user] = str(self._api.call("conversations.open", {"users": user})["channel"]["id"])
        return self._direct[user]

    def _arrived(self, delivery: Delivery, channel: str, thread: str | None) -> dict[str, Any] | None:
        """Where the message stands if an earlier attempt got through, which a lost answer leaves open."""
        if channel.startswith("#"):
            return None  # only ids can be read; a message to a name is at worst there twice
        since = str(delivery.created_at.timestamp() - _EARLIER)
        wanted = {"channel": channel, "limit": 200, "include_all_metadata": "true", "oldest": since}
        if thread is None:
            answer = self._api.call("conversations.history", wanted, nothing_if=_UNREADABLE)
        else:
            answer = self._api.call("conversations.replies", {**wanted, "ts": thread}, nothing_if=_UNREADABLE)
        for message in answer.get("messages", ()):
            metadata = message.get("metadata") or {}
            if metadata.get("event_type") == _EVENT and metadata.get("event_payload", {}).get("id") == delivery.id:
                return {"channel": channel, "ts": message["ts"]}
        return None

    def _check_team(self) -> None:
        """Send nothing with a token of another team. Raises RetryLater: somebody can mend it meanwhile."""
        if self._known:
            return
        team = self._api.call("auth.test").get("team_id")
        if team != self._settings.team:
            raise RetryLater(f"[slack] bot_token belongs to team {team}, and remit.toml says {self._settings.team}", 60)
        self._known = True
