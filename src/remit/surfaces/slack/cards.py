"""What stands in a message: a request with everything needed to decide, its outcome, or something told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from remit.domain.inbox import InboxItem, ItemKind, ItemStatus
from remit.domain.questions import Form, form_of
from remit.governance.cases import Case
from remit.surfaces.slack import blocks, text
from remit.surfaces.slack.blocks import Block

Clean = Callable[[Any], Any]
"""Leaves out of a value what the project declares as not to be shown."""

APPROVE, DENY, EDIT, ANSWER, CHOOSE, DETAILS = (
    f"remit_{verb}" for verb in ("approve", "deny", "edit", "answer", "choose", "details")
)
"""Buttons' ids. A choice's has its number behind it."""
_BUTTONS = 5
"""Choices that are drawn as buttons; more are a list in a form."""

_ASKED = {
    ItemKind.APPROVAL: "Approval needed",
    ItemKind.QUESTION: "A question for you",
    ItemKind.RECONCILIATION: "Did this happen?",
    ItemKind.ATTENTION: "Work has stopped",
    ItemKind.IDEA: "An idea for you",
}
_NOTICES = {
    "consulted": "For your information: you are consulted",
    "informed": "For your information: this was done",
}


@dataclass(frozen=True, slots=True)
class Card:
    """A message: blocks, and the line that a notification shows, escaped."""

    line: str
    blocks: list[Block]


def asked(case: Case, clean: Clean, *, person: str | None, zone: str = "UTC") -> Card:
    """A request, with buttons for whoever may answer; `person` None: in a channel, where anybody may try."""
    item = case.item
    if item.status is not ItemStatus.OPEN:
        return outcome(item)
    may = person is None or person in item.assignees
    found = [blocks.heading(_ASKED[item.kind]), blocks.paragraph(sentence(item))]
    found += blocks.facts([*facts(case, clean, zone)])[: blocks.MOST - 6]
    if item.detail.get("given"):
        found.append(blocks.context(f"Approved already for: {', '.join(item.detail['given'])}"))
    if may:
        found.append(blocks.actions(_buttons(item)))
    else:
        found.append(blocks.context(f"This is with {', '.join(item.assignees) or 'nobody'} now."))
    return Card(text.escaped(f"{_ASKED[item.kind]}: {sentence(item)}", 300), found)


def outcome(item: InboxItem) -> Card:
    """How a request ended, for everybody who was asked."""
    ended = ending(item)
    found = [blocks.paragraph(sentence(item)), blocks.paragraph(ended), blocks.context(item.id)]
    return Card(text.escaped(ended, 300), found)


def told(kind: str, title: str, said: str, *, agent: str, session: str | None) -> Card:
    """A notice, what an agent tells, or what came of a turn."""
    if kind == "notice":
        title = _NOTICES.get(title, "For your information")
    found = [blocks.heading(title)] if title else []
    found += [blocks.paragraph(part) for part in _parts(said)]
    signed = " · ".join(part for part in (agent, session if kind != "turn" else None) if part)
    if signed:
        found.append(blocks.context(signed))
    return Card(text.escaped(f"{title}: {said}" if title else said, 300) or "-", found)


def sentence(item: InboxItem) -> str:
    """The request in a sentence; of a question, the question."""
    question = item.detail.get("question")
    return text.text(question, 2_000) if isinstance(question, str) and question else text.line(item.summary, 500)


def ending(item: InboxItem) -> str:
    """How an item that is not open any more ended, in a sentence."""
    decision = item.decision or {}
    if item.status is ItemStatus.OPEN:
        return "This is still open."
    if item.status is ItemStatus.EXPIRED:
        return "Nobody answered in time: it has expired."
    if item.status is ItemStatus.WITHDRAWN:
        return "It is not needed any more: the work that asked for it has ended."
    who = text.line(str(decision.get("by") or "somebody"))
    if "value" in decision:
        said = f"Answered by {who}: {text.shown(decision['value'], 1_000)}"
    else:
        said = f"{_verdict(str(decision.get('verdict') or 'decided'))} by {who}."
    if decision.get("reason"):
        said += f" Reason: {text.text(str(decision['reason']), 1_000)}"
    return said


def facts(case: Case, clean: Clean, zone: str) -> Iterator[tuple[str, str]]:
    """Everything that is needed to decide, by name."""
    detail = case.item.detail
    if case.item.kind is not ItemKind.QUESTION:
        for name, value in (clean(case.args or {})).items():
            yield text.line(name, 60), text.shown(value, 600)
    if detail.get("context") is not None:
        yield "Context", text.shown(clean(detail["context"]))
    if isinstance(detail.get("confidence"), int | float):
        yield "The agent is sure", f"{detail['confidence']:.0%}"
    if detail.get("why"):
        yield "Why", text.text(str(detail["why"]), 1_000)
    for name, change in (clean(detail.get("changes")) or {}).items():
        now, then = text.shown(change["now"], 300), text.shown(change["then"], 300)
        if change.get("beside"):
            yield text.line(name, 60), f"{then}; there now, {text.line(change['beside'], 60)}: {now}"
        else:
            yield f"Changes {text.line(name, 60)}", f"{now} → {then}"
    if detail.get("current") is not None and not detail.get("changes"):
        yield "There now", text.shown(clean(detail["current"]), 1_000)
    for reason in detail.get("reasons") or ():
        yield "Asked because", text.text(f"{reason['code']}: {reason['text']}", 500)
    for policy in case.policies:
        yield "Policy", text.line(f"{policy.id} ({policy.where})", 300)
    if case.item.kind is ItemKind.APPROVAL:
        yield "Can be taken back", "yes" if case.reversible else "no"
    if case.item.expires_at is not None:
        yield "Answer until", text.moment(case.item.expires_at, zone)


def choices(item: InboxItem) -> Form | None:
    """The form of an item whose answers are few enough for buttons; None: it needs a form."""
    form = form_of(item)
    return form if form.kind in {"choice", "yes-no"} and 0 < len(form.options) <= _BUTTONS else None


def _buttons(item: InboxItem) -> list[Block]:
    details = blocks.button("Details", DETAILS, item.id)
    if item.kind is ItemKind.APPROVAL:
        return [
            blocks.button("Approve", APPROVE, item.id, style="primary"),
            blocks.button("Deny…", DENY, item.id, style="danger"),
            blocks.button("Edit…", EDIT, item.id),
            details,
        ]
    if item.kind is ItemKind.IDEA:
        return [details]
    few = choices(item)
    drawn = (
        [blocks.button(option.label, f"{CHOOSE}_{n}", item.id) for n, option in enumerate(few.options)] if few else []
    )
    return [*drawn, blocks.button("Answer…", ANSWER, item.id, style=None if drawn else "primary"), details]


def _verdict(verdict: str) -> str:
    words = {"happened": "Said to have happened", "did-not-happen": "Said not to have happened"}
    return words.get(verdict, verdict.replace("-", " ").capitalize())


def _parts(said: str) -> list[str]:
    """A long text in several blocks: at most four, cut at lines where possible."""
    left = said.strip() or "-"
    parts: list[str] = []
    while left and len(parts) < 4:
        if len(left) <= text.TEXT or len(parts) == 3:
            parts.append(left)
            break
        cut = left.rfind("\n", text.TEXT // 2, text.TEXT)
        cut = cut if cut > 0 else text.TEXT
        parts.append(left[:cut])
        left = left[cut:].strip("\n")
    return parts
