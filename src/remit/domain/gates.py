"""The six gates: what an agent must have before it may work as a managed agent, each judged by rule.

Pure: the project's files and the directory as they are now go in, results come out. Whether some policy bounds a
write is asked of the policy engine through a callable. The gates are judged at `remit check`, before every
deployment, and again when somebody leaves or a scope changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from remit.domain.actions import ActionType, Effect
from remit.domain.agents import AgentVersion
from remit.domain.directory import Directory
from remit.domain.project import Project

Bounded = Callable[[str], bool]
"""True if at least one policy names this action type, or bounds what it may do."""


class Gate(StrEnum):
    """The six questions, in the order in which they are asked."""

    PERSISTENT_WORK = "persistent_work"
    """Does this work have to go on without anybody watching?"""
    CLEAR_OWNER = "clear_owner"
    """Does one living person answer for it?"""
    GOVERNED_IDENTITY = "governed_identity"
    """Is it exactly known what runs, and in which workspace?"""
    SCOPED_ACCESS = "scoped_access"
    """Is everything it can reach named, pinned, classified and bounded?"""
    HUMAN_ESCALATION = "human_escalation"
    """Is there somebody to ask when it is stuck?"""
    AUDIT_TRAIL = "audit_trail"
    """Can everything it does be answered for afterwards?"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a gate found. `blocking` is False for advice that does not keep the gate shut."""

    text: str
    mend: str
    blocking: bool = True


@dataclass(frozen=True, slots=True)
class GateResult:
    """How one gate was judged. `passed` holds if no finding blocks."""

    gate: Gate
    findings: tuple[Finding, ...] = ()

    @property
    def passed(self) -> bool:
        """True if nothing that was found keeps the gate shut."""
        return not any(f.blocking for f in self.findings)


def judge_gates(project: Project, agent_name: str, *, bounded: Bounded, triggered: bool = False) -> list[GateResult]:
    """Judge all six gates for one agent of the project, in order.

    `bounded` says whether policy bounds an action type; an exception in it counts as no. `triggered` says that a
    schedule, webhook or event starts this agent. Raises KeyError if the project has no such agent.
    """
    agent = project.agents[agent_name]
    asked: tuple[tuple[Gate, Iterator[Finding]], ...] = (
        (Gate.PERSISTENT_WORK, _persistent_work(agent, triggered=triggered)),
        (Gate.CLEAR_OWNER, _clear_owner(project, agent)),
        (Gate.GOVERNED_IDENTITY, _governed_identity(project, agent)),
        (Gate.SCOPED_ACCESS, _scoped_access(project, agent, bounded)),
        (Gate.HUMAN_ESCALATION, _human_escalation(project, agent)),
        (Gate.AUDIT_TRAIL, _audit_trail(project, agent)),
    )
    return [GateResult(gate, tuple(findings)) for gate, findings in asked]


def raci_findings(directory: Directory, name: str, action: ActionType) -> Iterator[Finding]:
    """What is missing from those who answer for an action type: every needed role must lead to somebody active.

    The gate asks this again before every write, because people leave.
    """
    if action.effect is not Effect.WRITE:
        return
    if action.raci is None:
        yield Finding(f"nobody answers for {name}", "give it `raci` with accountable, system_owner and risk_owner")
        return
    needed = ("accountable", "system_owner", "risk_owner")
    for role, references in action.raci.holders().items():
        for reference in references:
            if not directory.resolve(reference):
                yield Finding(
                    f"the {role.replace('_', ' ')} of {name} is {_who(directory, reference)}",
                    f"name somebody active as `raci.{role}` of {name}",
                    blocking=role in needed,
                )


def raci_is_live(directory: Directory, name: str, action: ActionType) -> bool:
    """True if accountable, system owner and risk owner of a write all lead to active people; reads need none."""
    return not any(finding.blocking for finding in raci_findings(directory, name, action))


def _persistent_work(agent: AgentVersion, *, triggered: bool) -> Iterator[Finding]:
    if not triggered and not agent.spec.persistent.strip():
        yield Finding(
            "nothing says why this work has to go on by itself",
            "say so in `persistent`; if a person is always there, make it `layer: assisted`",
        )


def _clear_owner(project: Project, agent: AgentVersion) -> Iterator[Finding]:
    owner = agent.spec.owner
    if not project.directory.resolve(owner):
        yield Finding(f"the owner is {_who(project.directory, owner)}", "name somebody active as `owner`")


def _governed_identity(project: Project, agent: AgentVersion) -> Iterator[Finding]:
    if not agent.digest:
        yield Finding("this state of the agent has no digest", "deploy it from its files")
    if agent.spec.workspace not in {w.id for w in project.directory.workspaces}:
        yield Finding(
            f"the workspace {agent.spec.workspace} does not exist", "add it to the directory, or name another one"
        )
    if agent.spec.external:
        yield Finding(
            "the agent's code is not part of its version: what runs is known to those who run it",
            "let a worker run it, from a prompt or a program, if that has to be proved",
            blocking=False,
        )
    if agent.spec.layer != "managed":
        yield Finding(
            "the agent is assisted: it acts only through the person it works with",
            "set `layer: managed` if it is to act as itself",
        )


def _scoped_access(project: Project, agent: AgentVersion, bounded: Bounded) -> Iterator[Finding]:
    if not agent.spec.tools:
        yield Finding("the allow-list is empty", "name under `tools` what the agent may use")
    for name in agent.spec.tools:
        action = project.actions.get(name)
        if action is None:
            yield Finding(f"{name} is not classified", f"describe {name} among the action types")
        if project.tool(name) is None:
            yield Finding(f"the definition of {name} is not pinned", "run `remit connections pin`")
        if action is not None and action.effect is Effect.WRITE and not _is_bounded(bounded, name):
            yield Finding(
                f"no policy bounds {name}, which writes", f'write a policy that names Action::"{name}" or its group'
            )


def _human_escalation(project: Project, agent: AgentVersion) -> Iterator[Finding]:
    contact = agent.spec.escalation
    if not project.directory.resolve(contact):
        yield Finding(
            f"the escalation contact is {_who(project.directory, contact)}", "name somebody active as `escalation`"
        )


def _audit_trail(project: Project, agent: AgentVersion) -> Iterator[Finding]:
    for name in agent.spec.tools:
        action = project.actions.get(name)
        if action is not None:
            yield from raci_findings(project.directory, name, action)
    if not project.settings.audit.checkpoints:
        yield Finding(
            "checkpoints go to no place outside the database: nobody could see the record cut off or rewritten",
            "name one in remit.toml under `[audit] checkpoints`",
            blocking=False,
        )


def _is_bounded(bounded: Bounded, name: str) -> bool:
    try:
        return bounded(name)
    except Exception:  # noqa: BLE001 - what cannot be judged is not bounded
        return False


def _who(directory: Directory, reference: str) -> str:
    """A reference that leads to nobody, in words."""
    if reference.startswith("role:"):
        return f"the role {reference.removeprefix('role:')}, which nobody active holds"
    return f"{reference}, who has left" if directory.person(reference) else f"{reference}, who is not in the directory"
