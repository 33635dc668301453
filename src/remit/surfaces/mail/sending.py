"""The channel of mails: one mail for each person and each thing that they are asked or told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

from remit.bootstrap import Services
from remit.config.secrets import SecretResolver
from remit.domain.addresses import parse_address
from remit.domain.directory import Person
from remit.domain.inbox import InboxItem, ItemStatus
from remit.domain.project import MailSection
from remit.errors import InvalidInput
from remit.evidence.runs import Redactor
from remit.governance.cases import case
from remit.governance.links import LinkKey, ensure_link_key, make_link
from remit.runtime.deliveries import Delivery, Undeliverable
from remit.surfaces.http import words
from remit.surfaces.mail import envelopes, letters
from remit.surfaces.mail.letters import Letter
from remit.surfaces.mail.post import Post
from remit.surfaces.mail.rules import by_link, elsewhere


class MailChannel:
    """Tells people by mail what waits for them. See `remit.runtime.deliveries.Channel`."""

    surface = "mail"
    fallback = None
    converses = False

    def __init__(
        self, services: Services, settings: MailSection, *, post: Post | None = None, key: LinkKey | None = None
    ) -> None:
        self._services = services
        self._settings = settings
        self._sender = parse_address(settings.sender)
        self._post = post or Post(settings, _secrets(services))
        self._key = key or ensure_link_key(services.state)

    def covers(self, person: Person | None, channel: str | None) -> bool:
        """True for people with an address; there are no channels."""
        return channel is None and person is not None and person.email is not None

    async def send(self, delivery: Delivery) -> Mapping[str, Any]:
        """Send it and return the Message-ID. Raises RetryLater or Undeliverable."""
        person = _person(delivery)
        letter = await asyncio.to_thread(self._letter, delivery, person)
        message = self._message(delivery, person, letter, key=delivery.id, at=delivery.created_at)
        await self._hand_over(message, person)
        return {"message_id": message["Message-ID"], "to": person.email}

    async def update(self, delivery: Delivery, ref: Mapping[str, Any], item: InboxItem) -> None:
        """Tell how it ended, as an answer to the first mail; whoever decided it needs no mail. Raises as `send` does.

        A mail cannot be changed, so whatever else changes while the item is open is left to the page behind the link.
        """
        if item.status is ItemStatus.OPEN:
            return
        person = _person(delivery)
        if (item.decision or {}).get("by") == person.id:
            return
        letter = letters.ended(item, person)
        message = self._message(delivery, person, letter, key=f"{delivery.id} ended", at=datetime.now(UTC))
        envelopes.reply_to(message, str(ref["message_id"]))
        await self._hand_over(message, person)

    def _letter(self, delivery: Delivery, person: Person) -> Letter:
        if delivery.item is None:
            return letters.told(delivery.title, delivery.text, agent=delivery.agent, session_id=delivery.session_id)
        governance = self._services.deployments.load()
        clean = Redactor({name: found.redact for name, found in governance.project.actions.items()}).clean
        with self._services.sessions.transaction() as db:
            found = case(governance, db, delivery.item.id)
            lifetime = timedelta(hours=self._settings.link_hours)
            token, until = make_link(db, self._key, found.item.id, person.id, lifetime)
        return letters.ask(
            found,
            person,
            link=f"{self._services.declared.server.url.rstrip('/')}/links/{token}",
            until=words.moment(until, person.time_zone),
            elsewhere="" if by_link(found) else elsewhere(found, slack=self._services.declared.slack is not None),
            clean=clean,
        )

    def _message(self, delivery: Delivery, person: Person, letter: Letter, *, key: str, at: datetime) -> EmailMessage:
        try:
            return envelopes.message(
                letter,
                sender=self._sender,
                project=self._services.declared.project.name,
                to=parse_address(person.email or ""),
                name=person.name,
                at=at,
                key=key,
                thread=delivery.session_id or (delivery.item.id if delivery.item is not None else delivery.id),
            )
        except InvalidInput as wrong:
            raise Undeliverable(wrong.message) from None

    async def _hand_over(self, message: EmailMessage, person: Person) -> None:
        to = parse_address(person.email or "")
        await self._post.send(message, self._sender.addr_spec, to.addr_spec)


def _person(delivery: Delivery) -> Person:
    if delivery.person is None:
        raise Undeliverable("a mail needs a person to go to")
    return delivery.person


def _secrets(services: Services) -> Callable[[str], str]:
    resolver = SecretResolver(services.folder)
    return lambda reference: resolver.resolve(reference).reveal()
