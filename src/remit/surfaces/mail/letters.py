"""The mails that people get, as plain text and as simple HTML. Nothing in them is fetched from anywhere."""

from __future__ import annotations

from dataclasses import dataclass

from remit.domain.directory import Person
from remit.domain.inbox import InboxItem
from remit.governance.cases import Case
from remit.surfaces.http import words
from remit.surfaces.mail.facts import Clean, Fact, asked, facts, sentence
from remit.surfaces.mail.templating import TEMPLATES

_FACT = 1_500
"""Most characters of one fact in a mail; the page behind the link shows more of it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail's words."""

    subject: str
    lead: str
    """What this is about, in a sentence or a text."""
    facts: tuple[Fact, ...] = ()
    link: str | None = None
    """Where to look at it and answer."""
    how: str = ""
    """What the link is good for, and what else can be done."""

    @property
    def plain(self) -> str:
        """The mail as plain text. Values of several lines are marked, so that they cannot pass for more of the mail."""
        parts = [_quoted(self.lead) if "\n" in self.lead else self.lead]
        if self.facts:
            parts.append("\n".join(map(_plain_fact, self.facts)))
        if self.link is not None:
            parts.append(self.link)
        return "\n\n".join(part for part in (*parts, self.how) if part) + "\n"

    @property
    def html(self) -> str:
        """The mail as HTML; everything that somebody wrote is escaped."""
        return TEMPLATES.get_template("letter.html").render(letter=self)


def ask(case: Case, person: Person, *, link: str, until: str, elsewhere: str, clean: Clean) -> Letter:
    """The mail that asks a person. `until`: how long the link works; `elsewhere`: how to decide what it does not."""
    item = case.item
    shown = [Fact(f.name, words.text(f.value, _FACT)) for f in facts(case, clean, person.time_zone)]
    how = f"The link is yours alone and works once, until {until}. Do not forward this mail."
    if elsewhere:
        how = f"The link shows all of it, until {until}. {elsewhere}"
    return Letter(words.line(f"{asked(item)}: {sentence(item)}", 150), sentence(item), tuple(shown), link, how)


def told(subject: str, text: str, *, agent: str, session_id: str | None) -> Letter:
    """The mail that tells a person something and asks nothing."""
    first = next((found for found in text.splitlines() if found.strip()), "") or "A message for you"
    title = subject or first
    who = (Fact("From", agent),) if agent else ()
    where = (Fact("Session", session_id),) if session_id else ()
    return Letter(words.line(f"{agent}: {title}" if agent else title, 150), words.text(text), (*who, *where))


def ended(item: InboxItem, person: Person) -> Letter:
    """The mail that tells how something ended that a person was asked, so that they need not look at it any more."""
    subject = words.line(f"Re: {asked(item)}: {sentence(item)}", 150)
    return Letter(
        subject,
        words.outcome(item, person.time_zone),
        (Fact("It was about", sentence(item)),),
        how="Nothing is asked of you any more; the link in the earlier mail decides nothing now.",
    )


def _quoted(text: str) -> str:
    return "\n".join(f"| {found}" for found in text.split("\n"))


def _plain_fact(fact: Fact) -> str:
    return f"{fact.name}:\n{_quoted(fact.value)}" if "\n" in fact.value else f"{fact.name}: {fact.value}"
