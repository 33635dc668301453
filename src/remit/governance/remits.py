"""An agent's remit in plain words: what it may see and touch, what it must never do, and who has to agree.

It is derived from what decides: the allow-list, the action types and the policies in force. Conditions of policies are
not worked out here, because they depend on what is asked; every rule is named with the policy that makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from remit.domain.actions import MODEL_REQUEST, ActionType, Cap, Effect, Label
from remit.domain.directory import Person
from remit.domain.gates import GateResult, judge_gates
from remit.governance import approvals as approving
from remit.governance.explaining import actions_of
from remit.governance.policy.actors import entities
from remit.governance.policy.reading import Policy
from remit.governance.policy_report import bounded_by
from remit.governance.state import Governance


@dataclass(frozen=True, slots=True)
class Power:
    """One action type that an agent can take."""

    action: str
    title: str
    effect: Effect | None
    """None: no file classifies it, so it is forbidden."""
    implied: bool
    """True: not on the allow-list, but what a listed tool needs to be looked up, undone or shown."""
    permitted: bool
    """True if some policy may permit it to this agent; otherwise it is always refused."""
    bounds: tuple[str, ...]
    """How far it goes, in words."""
    kind: ActionType | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy that forbids, or that asks somebody, and the action types of the agent that it speaks about."""

    policy: Policy
    says: str
    actions: tuple[str, ...]
    people: tuple[Person, ...] = ()
    """Who may answer now, where it asks."""


@dataclass(frozen=True, slots=True)
class Remit:
    """What an agent may do."""

    sees: tuple[Power, ...]
    touches: tuple[Power, ...]
    shut: tuple[Power, ...]
    """On its list, and yet always refused: nothing classifies or permits it."""
    never: tuple[str, ...]
    """As its files say it."""
    asks: tuple[Rule, ...]
    forbids: tuple[Rule, ...]


def remit_of(governance: Governance, agent: str) -> Remit:
    """The remit of a deployed agent. Raises KeyError if there is none."""
    powers = [_power(governance, agent, name) for name in actions_of(governance, agent)]
    open_ = [p for p in powers if p.effect is not None and p.permitted]
    return Remit(
        sees=tuple(p for p in open_ if p.effect is Effect.READ),
        touches=tuple(p for p in open_ if p.effect is Effect.WRITE),
        shut=tuple(p for p in powers if p not in open_),
        never=governance.project.agents[agent].spec.never,
        asks=tuple(_rules(governance, agent, [p.action for p in open_], asking=True)),
        forbids=tuple(_rules(governance, agent, [p.action for p in open_], asking=False)),
    )


def policies_about(governance: Governance, agent: str, action: str) -> tuple[Policy, ...]:
    """The policies that may speak where this agent takes this action."""
    belongs = _belongs(governance, agent)
    return tuple(p for p in governance.policy.speaking_about(action) if p.principal.covers(belongs))


def gates_of(governance: Governance, agent: str) -> list[GateResult]:
    """The six gates of a deployed agent, judged by what is in force and whether something starts it."""
    project = governance.project
    bounded = bounded_by(tuple(governance.policy.policies.values()), project)
    triggered = any(trigger.agent == agent for trigger in project.triggers.values())
    return judge_gates(project, agent, bounded=bounded, triggered=triggered)


def may_approve(governance: Governance, agents: Iterable[str]) -> dict[str, dict[str, set[str]]]:
    """Who may be asked to approve what: person to action type to the roles for which they would answer."""
    found: dict[str, dict[str, set[str]]] = {}
    for agent in agents:
        spec = governance.project.agents[agent].spec
        for action in actions_of(governance, agent):
            roles = {r for p in policies_about(governance, agent, action) for r in p.roles}
            for role in roles:
                kind = governance.action_type(action)
                for person in approving.entitled(governance.project.directory, role, kind, spec):
                    found.setdefault(person.id, {}).setdefault(action, set()).add(role)
    return found


def bounds_of(kind: ActionType) -> tuple[str, ...]:
    """How far an action of a type goes, in words."""
    said = [*_caps(kind.caps.each, "at once"), *_caps(kind.caps.per_day, "a day")]
    if kind.rate is not None:
        said.append(f"at most {kind.rate.per_second:g} a second")
    if kind.concurrency is not None:
        said.append(f"at most {kind.concurrency} at the same time")
    if Label.PRIVATE in kind.reads:
        said.append("reads private content")
    if Label.UNTRUSTED in kind.reads:
        said.append("reads what outsiders may have written")
    if Label.EXTERNAL in kind.sends:
        said.append("reaches people outside the company")
    if kind.effect is Effect.WRITE:
        said.append("can be taken back" if kind.reversible else "cannot be taken back")
    return tuple(said)


def _caps(caps: tuple[Cap, ...], when: str) -> Iterator[str]:
    if caps:
        yield f"at most {' or '.join(f'{c.amount:,f} {c.currency}' for c in caps)} {when}"


def _power(governance: Governance, agent: str, action: str) -> Power:
    kind = governance.action_type(action)
    spec = governance.project.agents[agent].spec
    return Power(
        action,
        kind.title if kind is not None else action,
        kind.effect if kind is not None else None,
        implied=action not in spec.tools and action != MODEL_REQUEST,
        permitted=any(p.effect == "permit" for p in policies_about(governance, agent, action)),
        bounds=bounds_of(kind) if kind is not None else (),
        kind=kind,
    )


def _rules(governance: Governance, agent: str, actions: list[str], *, asking: bool) -> Iterator[Rule]:
    spec = governance.project.agents[agent].spec
    found: dict[str, list[str]] = {}
    for action in actions:
        for policy in policies_about(governance, agent, action):
            if policy.effect == "forbid" and bool(policy.roles) == asking:
                found.setdefault(policy.id, []).append(action)
    for policy_id, about in sorted(found.items()):
        policy = governance.policy.policies[policy_id]
        people = [
            person
            for role in policy.roles
            for action in about
            for person in approving.entitled(governance.project.directory, role, governance.action_type(action), spec)
        ]
        says = policy.sentence("asks for approval" if asking else "forbids this")
        yield Rule(policy, says, tuple(about), tuple(dict.fromkeys(people)))


def _belongs(governance: Governance, agent: str) -> frozenset[tuple[str, str]]:
    """The agent and what it belongs to, as the policy engine sees it."""
    made = entities(agent, governance.project.agents[agent].spec, None)
    return frozenset((e["uid"]["type"], e["uid"]["id"]) for e in made)
