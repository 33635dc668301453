"""Whom a question goes to, at first and when nobody answers.

It is asked of whoever the agent names. If nobody of them is here any more, of the agent's escalation contact, then its
owner, then whoever is above them. A question that nobody could ever see is refused instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from remit.domain import canonical, ids
from remit.domain.agents import AgentSpec
from remit.domain.decisions import Reason, ReasonCode
from remit.domain.directory import Directory, PersonStatus
from remit.domain.inbox import InboxItem, ItemKind
from remit.domain.intents import NewItem
from remit.domain.questions import Question, Remember
from remit.storage.memories import Place

CHANNEL = "channel:"
"""Prefix of a reference to a surface's channel: anybody of the agent's workspace may answer there."""
PATIENCE = timedelta(hours=8)
"""How long a question waits before the next in the reporting line may answer it too."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a question goes to."""

    people: tuple[str, ...]
    climb: tuple[str, ...]
    """People above whom it goes on if nobody answers."""
    channel: str | None = None
    instead_of: str | None = None
    """The reference that was asked for, where nobody behind it is here any more."""


def whom(directory: Directory, agent: AgentSpec, reference: str | None) -> Asked | None:
    """The people who may answer, or None if there is nobody at all."""
    wanted = reference or agent.escalation
    if wanted.startswith(CHANNEL):
        members = tuple(
            p.id for p in directory.people if p.status is PersonStatus.ACTIVE and agent.workspace in p.workspaces
        )
        if members:
            return Asked(members, people_behind(directory, (agent.owner,)), wanted.removeprefix(CHANNEL))
    people = people_behind(directory, (wanted,))
    if people:
        return Asked(people, people)
    for other in (agent.escalation, agent.owner):
        people = people_behind(directory, (other,))
        if people:
            return Asked(people, people, instead_of=wanted)
    return None


def people_behind(directory: Directory, references: Iterable[str]) -> tuple[str, ...]:
    """Ids of the active people behind references, each once; of somebody who has left, the next active one above."""
    found: list[str] = []
    for reference in references:
        people = [p.id for p in directory.resolve(reference)]
        if not people and directory.person(reference) is not None:
            people = [p.id for p in list(directory.chain(reference))[:1]]
        found.extend(people)
    return tuple(dict.fromkeys(found))


def question_item(
    agent_name: str, question: Question, asked: Asked, remember: Remember, place: Place, *, now: datetime
) -> NewItem:
    """The inbox item of a question, with everything that a person needs to answer."""
    first = question.then[0].after if question.then else PATIENCE
    detail: dict[str, Any] = {
        "question": question.text,
        "schema": canonical.plain(question.schema),
        "context": canonical.plain(canonical.normalise(question.context)),
        "confidence": question.confidence,
        "climb": list(asked.climb),
        "remember": {
            "agent": agent_name,
            "workspace": place.workspace,
            "scope": place.scope,
            "subject": place.subject,
            "key": remember.key,
            "keep_days": remember.keep_days,
            "named": question.remember is not None,
        },
    }
    if asked.channel is not None:
        detail["channel"] = asked.channel
    if asked.instead_of is not None:
        detail["instead_of"] = asked.instead_of
    if question.then:
        detail["then"] = [{"to": s.to, "after": s.after.total_seconds()} for s in question.then]
    if question.has_default:
        detail["default"] = canonical.plain(canonical.normalise(question.default))
    return NewItem(
        id=ids.new_id("itm"),
        kind=ItemKind.QUESTION,
        summary=f"{agent_name} asks: {question.text}",
        roles=(),
        assignees=asked.people,
        escalate_at=now + first,
        expires_at=now + question.timeout if question.timeout is not None else None,
        detail=detail,
    )


def nobody(reference: str | None, agent_name: str) -> Reason:
    """Why a question is refused that would wait for ever unseen."""
    return Reason(
        ReasonCode.NOBODY_TO_ASK,
        f"nobody is here to answer: neither {reference or 'the escalation contact'} nor whoever owns {agent_name}",
    )


@dataclass(frozen=True, slots=True)
class Next:
    """The next step of an escalation."""

    people: tuple[str, ...]
    """Everybody who may answer from now on."""
    new: tuple[str, ...]
    """Of these, who could not before."""
    after: timedelta | None
    """When the step after this one comes; None: this was the last."""
    step: int
    """How many steps have been taken with this one."""


def escalated(directory: Directory, item: InboxItem) -> Next:
    """Who may answer as well, now that nobody has: the next declared step, else the next up the reporting line.

    A declared step behind which nobody is here any more is passed over. The reporting line is climbed one person
    further each time, until there is nobody above.
    """
    steps = item.detail.get("then")
    if steps:
        return _declared(directory, item, steps)
    start = list(item.detail.get("climb", item.assignees))
    taken = item.escalations + 1
    above = {m.id for p in start for m in list(directory.chain(p))[:taken]}
    more = {m.id for p in start for m in list(directory.chain(p))[: taken + 1]}
    here = {p for p in start if directory.is_active(p)}
    people = {*item.assignees, *here, *above}
    new = people - set(item.assignees)
    return Next(tuple(sorted(people)), tuple(sorted(new)), PATIENCE if more - people else None, taken)


def _declared(directory: Directory, item: InboxItem, steps: list[dict[str, Any]]) -> Next:
    for number in range(item.escalations, len(steps)):
        found = set(people_behind(directory, (steps[number]["to"],))) - set(item.assignees)
        if found:
            after = timedelta(seconds=steps[number + 1]["after"]) if number + 1 < len(steps) else None
            return Next(tuple(sorted({*item.assignees, *found})), tuple(sorted(found)), after, number + 1)
    return Next(item.assignees, (), None, len(steps))


def taken_over(directory: Directory, item: InboxItem, agent: AgentSpec | None) -> tuple[str, ...]:
    """Who answers an item instead of people who have all left: those above them, else the agent's own people."""
    above = people_behind(directory, item.assignees)
    if above:
        return above
    references = (agent.escalation, agent.owner) if agent is not None else ()
    return next((found for r in references if (found := people_behind(directory, (r,)))), ())
