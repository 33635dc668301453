"""What a link shows and does, whatever speaks HTTP: every refusal explains itself and says what to do instead."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from typing import Any

from remit.bootstrap import Services
from remit.domain.directory import Person
from remit.domain.inbox import InboxItem, ItemKind, ItemStatus
from remit.errors import InvalidInput, RemitError
from remit.governance.cases import Case, case
from remit.governance.desk import Decider
from remit.governance.links import LinkKey, find_link, use_link
from remit.storage import links
from remit.storage.links import LinkRow
from remit.surfaces.http import forms, words
from remit.surfaces.http.forms import Fields, Sent
from remit.surfaces.mail.facts import Fact, asked, facts, sentence
from remit.surfaces.mail.rules import by_link, elsewhere


@dataclass(frozen=True, slots=True)
class Page:
    """What the browser is shown."""

    status: int
    """HTTP status."""
    title: str
    lead: str
    """The request, or what there is to say, in a sentence."""
    note: str = ""
    """What came of it, or what to do."""
    tone: str = "plain"
    """`plain`, `good` or `bad`."""
    facts: tuple[Fact, ...] = ()
    fields: Fields | None = None
    """The form, where there is something to answer."""
    seal: str = ""
    reader: str = ""
    """For whom the page is."""


_UNKNOWN = Page(
    404,
    "This link does not work",
    "It is not one of ours, or not whole: mail programs sometimes break long links in two.",
    note="Open it from the mail again, or look into your inbox: remit inbox --person YOU",
    tone="bad",
)
_EXPIRED = Page(
    410,
    "This link has expired",
    "Links in mails work for a limited time only.",
    note="What still waits for you is in your inbox: remit inbox --person YOU",
    tone="bad",
)
_GONE = Page(
    403,
    "This link is nobody's any more",
    "The person to whom it was sent is not among the active people of the directory.",
    tone="bad",
)


class Links:
    """Looks at what links lead to, and acts by them."""

    def __init__(self, services: Services, key: LinkKey) -> None:
        self._services = services
        self._key = key

    def show(self, token: str) -> Page:
        """The page of a link. Changes nothing."""
        return self._page(token)

    def refuse(self, token: str, why: str) -> Page:
        """Refuse what was sent to a link by somebody else, and record it if there is such a link."""
        self._record(token, why)
        return Page(
            403,
            "This was not done",
            "It was not sent from the page behind the link.",
            note="Open the link in the mail and answer there.",
            tone="bad",
        )

    def act(self, token: str, sent: Sent) -> Page:
        """Do what was sent, for the person whose link it is. The page says 200 only if it was done."""
        if not hmac.compare_digest(self._key.seal(token).encode(), sent.seal.encode()):
            return self.refuse(token, "no_seal")
        page, row, found = self._look(token)
        if row is None or found is None:
            return page
        if row.used or found.item.status is not ItemStatus.OPEN:
            return replace(page, status=409)
        if not by_link(found):
            self._record(token, "login_needed")
            return replace(page, status=403, tone="bad")
        try:
            self._do(found.item, Decider(row.person), token, sent)
        except RemitError as error:
            if error.http_status == 403:
                self._record(token, error.code)
            again = self._page(token, sent)
            said = error.message if isinstance(error, InvalidInput) else f"{error.message}. {error.advice}"
            return replace(again, status=error.http_status, note=f"This was not taken: {said}", tone="bad")
        return self._page(token)

    def _do(self, item: InboxItem, who: Decider, token: str, sent: Sent) -> None:
        sessions, used = self._services.sessions, use_link(self._key, token)
        if item.kind is not ItemKind.APPROVAL:
            value = forms.answer(item, sent)
            sessions.answer(item.id, who, value, sent.reason, remember=sent.remember, via="mail", also=used)
        elif sent.verdict == "approve":
            sessions.approve(item.id, who, sent.reason or "approved by mail", via="mail", also=used)
        elif sent.verdict == "deny":
            if not sent.reason:
                raise InvalidInput("say why you deny it: the agent is told")
            sessions.deny(item.id, who, sent.reason, via="mail", also=used)
        else:
            raise InvalidInput("nothing was decided: choose Approve or Deny")

    def _page(self, token: str, sent: Sent | None = None) -> Page:
        return self._look(token, sent)[0]

    def _look(self, token: str, sent: Sent | None = None) -> tuple[Page, LinkRow | None, Case | None]:
        governance = self._services.deployments.load()
        with self._services.sessions.transaction() as db:
            row = find_link(db, self._key, token)
            if row is None:
                return _UNKNOWN, None, None
            person = governance.project.directory.person(row.person)
            if person is None or not governance.project.directory.is_active(person.id):
                return _GONE, None, None
            if not row.live:
                return _EXPIRED, None, None
            found = case(governance, db, row.item_id)
        return self._shown(found, row, person, token, sent), row, found

    def _shown(self, found: Case, row: LinkRow, person: Person, token: str, sent: Sent | None) -> Page:
        item = found.item
        page = Page(
            200,
            asked(item),
            sentence(item),
            facts=tuple(facts(found, _as_it_is, person.time_zone)),
            reader=person.name,
        )
        if item.status is not ItemStatus.OPEN:
            by_reader = (item.decision or {}).get("by") == person.id
            tone = "good" if by_reader and item.status is ItemStatus.DECIDED else "plain"
            title = "Thank you" if row.used and by_reader else "This is settled"
            return replace(page, title=title, note=words.outcome(item, person.time_zone), tone=tone)
        if row.used:
            return replace(page, title="Thank you", note="You have answered; others are still asked.", tone="good")
        if person.id not in item.assignees:
            return replace(page, note=f"Others are asked by now: {', '.join(item.assignees) or 'nobody'}.")
        if not by_link(found):
            return replace(page, note=elsewhere(found, slack=self._services.declared.slack is not None))
        fields = forms.fields_of(item, sent.given if sent is not None else {})
        return replace(page, fields=fields, seal=self._key.seal(token))

    def _record(self, token: str, why: str) -> None:
        with self._services.sessions.transaction() as db:
            row = find_link(db, self._key, token)
            if row is not None:
                links.refused(db, row, why)


def _as_it_is(value: Any) -> Any:
    """Whoever decides sees what is decided, whole; mails and exports leave out what the project says."""
    return value
