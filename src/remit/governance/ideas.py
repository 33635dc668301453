"""Ideas: what people would like to see. The agent's owner takes them up, ships them, or declines them with a reason.

A message in a session is an idea if it begins with `I want to see` or `idea:`, in upper or lower case. Nothing else is
guessed from what people write; agents pass ideas on with `remit.suggest`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from remit.domain.sessions import Session
from remit.errors import InvalidInput, NotEntitled, NotFound
from remit.governance import asking
from remit.governance.answers import Decider
from remit.governance.state import Governance
from remit.storage import ideas, sessions
from remit.storage.sessions import Db

MAX_WORDS = 4_000
"""Longest idea, in characters."""
_BEGINS = re.compile(r"\s*(?:idea:\s*|(?=i want to see\b))(\S.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class NewIdea:
    """What somebody would like to see, of which agent, and where it came up."""

    agent: str | None
    """None: the session's."""
    requester: str
    """`person:ID` or `agent:ID`."""
    words: str
    session_id: str | None = None
    action_id: str | None = None


def words_of(contents: Any) -> str | None:
    """The idea in a message, or None if it is none."""
    found = _BEGINS.match(contents) if isinstance(contents, str) else None
    return found[1].strip() if found is not None else None


def from_message(
    db: Db, governance: Governance, session: Session, agent: str, author: str, contents: Any
) -> str | None:
    """Keep a message to an agent that is an idea, in the transaction of the message.

    Returns the idea's id; None if it is none, or if there is nobody who could take it up.
    """
    words = words_of(contents)
    if words is None or not author.startswith("person:"):
        return None
    try:
        return str(submit(db, governance, NewIdea(agent, author, words[:MAX_WORDS], session.id))["id"])
    except (NotEntitled, NotFound):
        return None


def submit(db: Db, governance: Governance, new: NewIdea) -> dict[str, Any]:
    """Put an idea before the agent's owner. The same idea of the same person that is still open is returned as it is.

    Raises InvalidInput without words or an agent, NotFound where there is no such agent or session, NotEntitled if the
    requester does not see the agent's workspace or nobody is left who could take the idea up.
    """
    words = new.words.strip()
    if not words or len(words) > MAX_WORDS:
        raise InvalidInput(f"an idea has 1 to {MAX_WORDS:,} characters; this one has {len(words):,}")
    session = sessions.get(db, new.session_id) if new.session_id is not None else None
    name = new.agent or (session.agent if session is not None else _only(governance))
    version = governance.agent(name)
    if version is None:
        known = ", ".join(sorted(governance.project.agents)) or "none"
        raise NotFound(f"no agent {name!r} is deployed", advice=f"Deployed agents: {known}.")
    directory, spec = governance.project.directory, version.spec
    kind, _, person = new.requester.partition(":")
    if kind == "person":
        found = directory.person(person)
        if found is None or spec.workspace not in found.workspaces:
            raise NotEntitled(f"{person} does not see the workspace {spec.workspace}, in which {name} works")
        if session is not None and session.workspace not in found.workspaces:
            raise NotEntitled(f"{person} does not see the workspace {session.workspace} of that session")
    owners = asking.people_behind(directory, (spec.owner,)) or asking.people_behind(directory, (spec.escalation,))
    if not owners:
        raise NotEntitled(f"nobody is here who owns {name}, so nobody could take the idea up")
    return ideas.submit(
        db,
        ideas.OpenIdea(
            agent=name,
            workspace=spec.workspace,
            requester=new.requester,
            words=words,
            assignees=owners,
            session_id=new.session_id,
            action_id=new.action_id,
        ),
    )


def accept(db: Db, governance: Governance, idea_id: str, decider: Decider, reason: str = "") -> dict[str, Any]:
    """Take an idea up. `idea_id` may be its inbox item's."""
    return _decide(db, governance, idea_id, decider, "accepted", reason)


def ship(
    db: Db, governance: Governance, idea_id: str, decider: Decider, where: str, reason: str = ""
) -> dict[str, Any]:
    """Say that it is there, and in which version, output or release. Raises InvalidInput if nothing is named."""
    if not where.strip():
        raise InvalidInput("say where it is to be found: an agent's version, an output, a release")
    return _decide(db, governance, idea_id, decider, "shipped", reason, where.strip())


def decline(db: Db, governance: Governance, idea_id: str, decider: Decider, reason: str) -> dict[str, Any]:
    """Decline an idea, with the reason that its requester is told."""
    if not reason.strip():
        raise InvalidInput("say why: whoever had the idea is told")
    return _decide(db, governance, idea_id, decider, "declined", reason.strip())


def _decide(
    db: Db, governance: Governance, idea_id: str, decider: Decider, status: str, reason: str, where: str = ""
) -> dict[str, Any]:
    if idea_id.startswith("itm_"):
        idea_id = ideas.of_item(db, idea_id)
    idea = ideas.get(db, idea_id, lock=True)
    deciders = _deciders(governance, idea)
    if decider.person not in deciders:
        raise NotEntitled(f"{decider.person} may not decide this; ask {', '.join(deciders) or 'nobody is left'}")
    more = {"shipped_in": where} if where else {}
    return ideas.decide(db, idea, status, decider.decision(status, reason=reason, **more), reason, where)


def _deciders(governance: Governance, idea: dict[str, Any]) -> tuple[str, ...]:
    """The agent's owner of today, and whoever escalations of it go to if there is none."""
    directory, version = governance.project.directory, governance.agent(idea["agent"])
    if version is None:
        workspace = next((w for w in directory.workspaces if w.id == idea["workspace"]), None)
        manager = workspace.manager if workspace is not None else None
        return asking.people_behind(directory, (manager,)) if manager is not None else ()
    spec = version.spec
    return asking.people_behind(directory, (spec.owner,)) or asking.people_behind(directory, (spec.escalation,))


def _only(governance: Governance) -> str:
    names = sorted(governance.project.agents)
    if len(names) != 1:
        raise InvalidInput(
            "say which agent it is about",
            advice=f"Use `--agent` with one of: {', '.join(names) or 'none is deployed'}.",
        )
    return names[0]
