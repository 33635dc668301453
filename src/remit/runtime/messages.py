"""What people say in sessions: to whom it is addressed, how a plain text becomes an input, and who may say it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from remit.domain import canonical
from remit.domain.agents import AgentVersion
from remit.domain.sessions import Session, SessionStatus
from remit.errors import Conflict, InvalidInput, NotEntitled
from remit.governance.state import Governance

_ADDRESSED = re.compile(r"@([a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9_-])?)[:,]?(?:\s+(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Said:
    """A message, read: to which agent (None: the session's own), and what."""

    to: str | None
    contents: Any


def read(contents: Any) -> Said:
    """Read a message. A text that begins with `@agent` is addressed to that agent, and the rest is what it says.

    The rest is JSON where it is a JSON object or list, else text. A text that begins with a space is never addressed.
    Raises InvalidInput if nothing is said.
    """
    if not isinstance(contents, str):
        return Said(None, contents)
    if not contents.strip():
        raise InvalidInput("there is nothing to say", advice="Write a text, or a JSON object.")
    found = _ADDRESSED.fullmatch(contents)
    if found is None:
        return Said(None, contents)
    rest = (found[2] or "").strip()
    if not rest:
        raise InvalidInput(
            f"there is nothing to say to @{found[1]}", advice="Write what it is to do behind the agent's name."
        )
    return Said(found[1], typed(rest))


def typed(text: str) -> Any:
    """What somebody has typed: JSON where it is a JSON object or list, else text."""
    if text.lstrip().startswith(("{", "[")):
        try:
            return canonical.parse(text, what="message")
        except InvalidInput:
            return text  # it only begins like JSON
    return text


def fitted(version: AgentVersion, given: Any) -> Any:
    """The input of a session or of a program's turn, canonical. Raises InvalidInput if it does not fit the agent.

    A text stands for the one input that it can be: the text itself where the agent's schema takes it, else an object
    with the text as its only required property, where that is text, or as its property `text`.
    """
    value = canonical.normalise(given, what="input")
    canonical.check_unicode(value, what="input")
    problem = _problem(version, value)
    if problem is None:
        return value
    if isinstance(value, str):
        for name in _places_of_text(version.spec.input):
            if _problem(version, {name: value}) is None:
                return {name: value}
        raise InvalidInput(
            f"agent {version.agent} takes no plain text: its input is more than one text",
            advice=f"Write a JSON object; `remit agents show {version.agent}` prints the JSON Schema of its input.",
        )
    raise InvalidInput(
        f"the input does not fit agent {version.agent}: {problem}",
        advice=f"`remit agents show {version.agent}` prints the JSON Schema of its input.",
    )


def _problem(version: AgentVersion, value: Any) -> str | None:
    error = next(Draft202012Validator(version.spec.input).iter_errors(value), None)
    if error is None:
        return None
    where = "/".join(map(str, error.absolute_path))
    return f"{where + ': ' if where else ''}{error.message[:300]}"


def _places_of_text(schema: dict[str, Any]) -> list[str]:
    required = schema.get("required")
    only = [required[0]] if isinstance(required, list) and len(required) == 1 else []
    return [*only, "text"]


def answered_by(version: AgentVersion, contents: Any) -> Any:
    """What a turn of this agent is given. A program gets its input, a model whatever was said."""
    if version.is_program:
        return fitted(version, contents)
    value = canonical.normalise(contents, what="message")
    canonical.check_unicode(value, what="message")
    return value


def addressed(governance: Governance, session: Session, name: str) -> AgentVersion:
    """The agent of the session's workspace that a message is addressed to, as it is deployed now.

    Raises InvalidInput if there is none; an agent of another workspace is none. NotEntitled if it is suspended.
    """
    agents = governance.project.agents
    here = sorted(
        agent
        for agent, found in agents.items()
        if found.spec.workspace == session.workspace and not found.spec.external
    )
    if name not in here:
        raise InvalidInput(
            f"no agent @{name} can be addressed in session {session.id}",
            advice=f"Agents here: {', '.join(here) or 'none'}. A text that begins with a space is addressed to nobody.",
        )
    if name in governance.suspended:
        raise NotEntitled(f"agent {name} is suspended", advice=f"`remit agents resume {name}` takes it back.")
    return agents[name]


def check_author(governance: Governance, session: Session, author: str) -> None:
    """Raise NotEntitled unless a person may write in a session: active, and of its workspace or who started it."""
    kind, _, person = author.partition(":")
    if kind != "person":
        return
    directory = governance.project.directory
    found = directory.person(person)
    if found is None or not directory.is_active(person):
        raise NotEntitled(f"{person!r} is not an active person of the directory")
    if session.workspace not in found.workspaces and session.principal != author:
        raise NotEntitled(
            f"{person} is not in the workspace of session {session.id}",
            advice="Ask whoever started it, or somebody who keeps directory.yaml, to let you in.",
        )


def check_open(session: Session) -> None:
    """Raise Conflict where nothing can be said in a session."""
    if session.status is SessionStatus.PAUSED:
        raise Conflict(
            f"session {session.id} is paused", advice=f"Take it up first: `remit session resume {session.id}`."
        )
    if session.status is SessionStatus.CANCELLED:
        raise Conflict(
            f"session {session.id} is cancelled, for good",
            advice=f"Go on from it in a new one: `remit session fork {session.id} --message …`.",
        )
