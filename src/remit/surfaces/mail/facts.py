"""What a mail or a page shows of a case: the same facts in the same order, so that both can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from remit.domain import canonical
from remit.domain.budgets import from_micros
from remit.domain.inbox import InboxItem, ItemKind
from remit.governance.cases import Case
from remit.surfaces.http import words

Clean = Callable[[Any], Any]
"""Leaves out of a value what the project declares as not to be shown."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and what it is; both fit to be shown as they are."""

    name: str
    value: str


_ASKED = {
    ItemKind.APPROVAL: "Your decision is asked for",
    ItemKind.QUESTION: "A question for you",
    ItemKind.RECONCILIATION: "Please look up whether this happened",
    ItemKind.ATTENTION: "Work has stopped and needs you",
    ItemKind.IDEA: "An idea for you",
}


def asked(item: InboxItem) -> str:
    """What a person is asked for, in a few words."""
    return _ASKED[item.kind]


def sentence(item: InboxItem) -> str:
    """The request in a sentence; of a question, the question."""
    question = item.detail.get("question")
    return words.text(question, 2_000) if isinstance(question, str) and question else words.line(item.summary, 500)


def facts(case: Case, clean: Clean, zone: str) -> list[Fact]:
    """Everything that is needed to decide, for somebody in that time zone."""
    return [fact for fact in (*_request(case, clean), *_reasons(case, clean), *_stakes(case, zone)) if fact.value]


def _request(case: Case, clean: Clean) -> Iterator[Fact]:
    args = clean(case.args) if case.args is not None else {}
    asked_args = clean(case.asked_args) if case.asked_args is not None else None
    if case.item.kind is not ItemKind.QUESTION:
        for name, value in args.items():
            yield Fact(words.line(name, 60), words.shown(value, 4_000))
    if asked_args is not None and asked_args != args and case.item.kind is ItemKind.APPROVAL:
        yield Fact("The agent had asked for", words.shown(asked_args, 4_000))


def _reasons(case: Case, clean: Clean) -> Iterator[Fact]:
    detail = case.item.detail
    if detail.get("context") is not None:
        yield Fact("Context", words.shown(clean(detail["context"]), 8_000))
    if isinstance(detail.get("confidence"), int | float):
        yield Fact("The agent is sure", f"{detail['confidence']:.0%}")
    yield Fact("Why", words.text(str(detail.get("why") or ""), 4_000))
    for name, change in (clean(detail.get("changes")) or {}).items():
        now, then = (words.shown(change[side], 1_000) for side in ("now", "then"))
        if change.get("beside"):
            yield Fact(words.line(name, 60), f"{then}; there now, {words.line(change['beside'], 60)}: {now}")
        else:
            yield Fact(f"Changes {words.line(name, 60)}", f"from {now} to {then}")
    if detail.get("current") is not None:
        yield Fact("There now", words.shown(clean(detail["current"]), 4_000))
    for reason in detail.get("reasons") or ():
        yield Fact("Asked because", words.text(f"{reason['code']}: {reason['text']}", 1_000))
    for policy in case.policies:
        yield Fact("Policy", words.line(f"{policy.id} ({policy.where})", 300))


def _stakes(case: Case, zone: str) -> Iterator[Fact]:
    for role, holders in case.raci.items():
        yield Fact(role.replace("_", " ").capitalize(), words.line(", ".join(holders), 300))
    if case.item.kind is ItemKind.APPROVAL:
        yield Fact("Risk", str(case.risk or ""))
        yield Fact("Can be taken back", "yes" if case.reversible else "no")
    past = [
        f"{found['created_at']:%Y-%m-%d} {found['status']}, by {(found['override'] or {}).get('by') or 'nobody'}"
        for found in case.history[:5]
    ]
    yield Fact("Decided before", words.text("\n".join(past)))
    if case.usd_micros:
        yield Fact("The session has cost", f"{canonical.dumps(from_micros(case.usd_micros)).decode()} USD")
    if case.item.session_id:
        yield Fact("Session", case.item.session_id)
    if case.item.expires_at is not None:
        yield Fact("Answer until", words.moment(case.item.expires_at, zone))
