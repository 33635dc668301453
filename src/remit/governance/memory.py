"""Who may see what is remembered, and who may correct, review and erase it.

An agent sees what is remembered for itself, for its workspace, and for the one person whom its work concerns; never
anything of another workspace. Whom the work concerns is read from the turn, not from what the agent says: the person on
whose behalf it acts, else whoever asked for the work in the end.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from remit.domain.agents import AgentSpec
from remit.errors import InvalidInput, NotEntitled
from remit.governance.judgement import Run
from remit.governance.state import Governance
from remit.storage.memories import Place


def place_of(run: Run, scope: str, subject: str | None) -> Place:
    """Where a run's agent remembers and recalls. Raises NotEntitled for another's, InvalidInput for no scope."""
    if scope == "person":
        return Place(run.workspace, scope, _person(concerned(run), subject))
    own = {"agent": run.actor.agent, "workspace": run.workspace}.get(scope)
    if own is None:
        raise InvalidInput(f"there is no scope {scope[:40]!r}: it is agent, workspace or person")
    if subject not in {None, "", own}:
        raise NotEntitled(f"with scope {scope} an agent sees what is remembered for its own {scope} only")
    return Place(run.workspace, scope, own)


def concerned(run: Run) -> str | None:
    """The person whom a turn's work concerns, if there is one."""
    if run.actor.on_behalf_of is not None:
        return run.actor.on_behalf_of
    kind, _, person = run.principal.partition(":")
    return person if kind == "person" else None


def _person(person: str | None, subject: str | None) -> str:
    if person is None:
        raise NotEntitled("this work concerns no particular person, so nothing is remembered for one")
    if subject not in {None, "", person}:
        raise NotEntitled(f"this work concerns {person}; it sees nothing that is remembered for somebody else")
    return person


def keep_for(agent: AgentSpec, days: int | None) -> timedelta:
    """How long something is kept. Raises InvalidInput if that is longer than agent.yaml allows."""
    wanted = timedelta(days=days) if days is not None else agent.memory.keep
    if not timedelta(0) < wanted <= agent.memory.longest:
        raise InvalidInput(
            f"this agent keeps nothing for {days} days: at most {agent.memory.longest.days}",
            advice="Keep it for less, or raise `memory: {longest: …}` in agent.yaml.",
        )
    return wanted


def keep_at_most(agent: AgentSpec, days: int | None) -> timedelta:
    """As `keep_for`, but no longer than agent.yaml allows by now: a question may have waited since it was asked."""
    return min(timedelta(days=days) if days is not None else agent.memory.keep, agent.memory.longest)


def reviewers(governance: Governance, memory: dict[str, Any]) -> tuple[str, ...]:
    """The active people who may review, correct and erase a memory: the agent's owner, its reviewers, the person."""
    directory = governance.project.directory
    version = governance.agent(memory["agent"])
    references = (version.spec.owner, *version.spec.memory.reviewers) if version is not None else ()
    found = [p.id for ref in references for p in directory.resolve(ref)]
    if memory["scope"] == "person" and directory.is_active(memory["subject"]):
        found.append(memory["subject"])
    if not found:  # the agent is gone: whoever answers for its workspace
        workspace = next((w for w in directory.workspaces if w.id == memory["workspace"]), None)
        found = [p.id for p in directory.resolve(workspace.manager)] if workspace is not None else []
    return tuple(dict.fromkeys(found))


def must_review(governance: Governance, memory: dict[str, Any], person: str) -> None:
    """Raises NotEntitled unless this person may review, correct and erase this memory."""
    allowed = reviewers(governance, memory)
    if person not in allowed:
        raise NotEntitled(
            f"{person} may not decide about memory {memory['id']}; ask {', '.join(allowed) or 'nobody is left'}"
        )


def may_see(governance: Governance, memory: dict[str, Any], person: str) -> bool:
    """True if this person may read a memory's contents.

    Those of a person's: that person and the reviewers. Of others: everybody in the workspace as well.
    """
    if person in reviewers(governance, memory):
        return True
    found = governance.project.directory.person(person)
    return memory["scope"] != "person" and found is not None and memory["workspace"] in found.workspaces
