"""The policy engine: load a project's policies once, then judge any number of actions. Pure; no input, output or clock.

How approval works. Cedar knows permit and forbid only. A policy that wants a human says `@approval("role")` and forbids
unless `context.approved_by` contains that role. An action is judged with nobody's approval first. Where only such
policies forbid it, it is judged again as if all the roles they name had approved: a permit then means "needs approval
by these roles", anything else stays forbidden.

An approval is bound to the `determining_digest` of the verdict that asked for it: the texts of the policies that asked,
and the roles. When it comes back, `judge(question, approved=roles)` starts again from nobody's approval, finds out anew
who is to be asked, and permits only if all of them have approved. Given `bound_to`, the digest must also be the same,
so that an approval for other policies than those that ask now counts for nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cedarpy

from remit.domain import canonical
from remit.domain.actions import ActionType
from remit.domain.agents import AgentSpec
from remit.domain.decisions import Reason, ReasonCode, Verdict
from remit.domain.directory import Directory
from remit.errors import Problem, ProjectInvalid
from remit.governance.policy.actors import entities, uid
from remit.governance.policy.catalogue import ActionPlan, Catalogue, Tools, Where, compile_catalogue
from remit.governance.policy.evaluation import Slice
from remit.governance.policy.question import PolicyQuestion
from remit.governance.policy.reading import Policy
from remit.governance.policy.shapes import UnfitError, look
from remit.governance.policy.validation import read_policies, validate
from remit.governance.policy.vocabulary import PRINCIPALS

_CACHED = 10_000
_SHOWN = 3
"""Most problems of one kind at one place that are shown."""

Kind = Literal["permit", "forbid", "needs_approval"]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A policy whose conditions held for a question. `determining`: it is among those that made the verdict."""

    policy: Policy
    principal: str
    """`Agent::refund-desk`, or the person's in an assisted session."""
    determining: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a verdict is what it is."""

    verdict: Verdict
    considered: tuple[str, ...]
    """Ids of all policies that speak about this action."""
    spoken: tuple[Spoken, ...]
    requests: tuple[dict[str, Any], ...]
    """What the engine was asked, one for each principal; `context` is a dict. Empty where it could not be asked."""


@dataclass(frozen=True, slots=True)
class _Finding:
    """What was found for one principal: the policies that decided, and those of them that ask for an approval."""

    kind: Kind
    policies: tuple[Policy, ...]
    asking: tuple[Policy, ...] = ()


class PolicyEngine:
    """All policies of one project version. Made by `load`."""

    def __init__(
        self,
        policies: list[Policy],
        catalogue: Catalogue,
        directory: Directory,
        agents: Mapping[str, AgentSpec],
        problems: list[Problem],
    ) -> None:
        self.policies: dict[str, Policy] = {p.id: p for p in policies}
        """Every policy by its `@id`."""
        self.problems = problems
        """Warnings; an engine with errors is never made."""
        self.schema_text = catalogue.schema(catalogue.plans)
        """The generated Cedar schema of the whole project, for people and editors."""
        texts = [p.statement.text for p in policies]
        self.version = hashlib.sha256(canonical.dumps([*texts, self.schema_text])).hexdigest()
        """SHA-256 over the policies' texts and the schema."""
        self._catalogue = catalogue
        self._directory = directory
        self._agents = agents
        self._principals = cedarpy.Schema.from_str(PRINCIPALS)
        self._slices: dict[str, Slice] = {}
        self._actors: dict[tuple[str, str, str | None], cedarpy.Entities] = {}
        self._verdicts: dict[tuple[tuple[_Finding, ...], frozenset[str], str | None], Verdict] = {}

    @classmethod
    def load(
        cls,
        policies: Mapping[str, str],
        actions: Mapping[str, ActionType],
        tools: Tools,
        directory: Directory,
        agents: Mapping[str, AgentSpec],
        *,
        where: Where | None = None,
    ) -> PolicyEngine:
        """Read and check everything. Raises ProjectInvalid with all problems if any is an error.

        `policies` is path to Cedar text, `tools` gives a tool's pinned definition, `where` the place of an action type.
        """
        read, catalogue, problems = _compile(policies, actions, tools, directory, where)
        if any(p.severity == "error" for p in problems):
            raise ProjectInvalid(problems)
        return cls(read, catalogue, directory, agents, problems)

    @staticmethod
    def check(
        policies: Mapping[str, str],
        actions: Mapping[str, ActionType],
        tools: Tools,
        directory: Directory,
        *,
        where: Where | None = None,
    ) -> list[Problem]:
        """Everything that is wrong with the policies, errors and warnings, in the order of the files."""
        return _compile(policies, actions, tools, directory, where)[2]

    def judge(
        self, question: PolicyQuestion, approved: frozenset[str] = frozenset(), *, bound_to: str | None = None
    ) -> Verdict:
        """Permit, forbid, or needs approval by roles. Never raises for anything that an agent can put into arguments.

        `approved` are roles that have approved this very action; `bound_to` is the digest that their approval was given
        for. A permit that rests on approvals carries their roles and digest.
        """
        plan = self._catalogue.plans.get(question.action)
        if plan is None:
            return _refused(ReasonCode.ACTION_UNCLASSIFIED, f"no file says what {question.action} does")
        try:
            requests = self._requests(plan, question)
            findings = [self._find(plan, question, request) for request in requests]
        except UnfitError as unfit:
            return _refused(unfit.code, unfit.text)
        except Exception as error:  # noqa: BLE001 - whatever an evaluation runs into is a refusal
            return _refused(ReasonCode.POLICY_ERROR, f"policy could not be evaluated: {error}")
        # A verdict depends on nothing but these, and few policies decide most actions.
        key = (tuple(findings), approved, bound_to)
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._verdict(findings, approved, bound_to)
            _store(self._verdicts, key, verdict)
        return verdict

    def explain(
        self, question: PolicyQuestion, approved: frozenset[str] = frozenset(), *, bound_to: str | None = None
    ) -> Explanation:
        """The verdict of `judge`, with every policy that spoke, whether it decided or not."""
        verdict = self.judge(question, approved, bound_to=bound_to)
        plan = self._catalogue.plans.get(question.action)
        if plan is None:
            return Explanation(verdict, (), (), ())
        considered = tuple(p.id for p in plan.slice)
        try:
            requests = self._requests(plan, question)
        except Exception:  # noqa: BLE001 - the verdict already says what it was
            return Explanation(verdict, considered, (), ())
        actor = self._actor(plan, question)
        if verdict.kind == "permit":
            requests = [_approved(r, r["context"], sorted(approved)) for r in requests]
        spoken = tuple(
            Spoken(policy, f"{r['principal']['type']}::{r['principal']['id']}", policy.id in verdict.policy_ids)
            for r in requests
            for policy in self._slice(plan).satisfied(_encoded(r), actor)
        )
        return Explanation(verdict, considered, spoken, tuple(requests))

    def speaking_about(self, action: str) -> tuple[Policy, ...]:
        """All policies that are looked at for an action type; none if no file classifies it."""
        plan = self._catalogue.plans.get(action)
        return tuple(plan.slice) if plan is not None else ()

    def _requests(self, plan: ActionPlan, question: PolicyQuestion) -> list[dict[str, Any]]:
        """What the engine is asked: for the agent, and for the person where the agent acts only through one."""
        if question.agent not in self._agents:
            raise UnfitError(ReasonCode.AGENT_UNKNOWN, f"no agent {question.agent} is deployed")
        if question.person is None:
            if question.assisted:
                raise UnfitError(ReasonCode.PERSON_UNKNOWN, "the agent acts only through a person, and there is none")
        elif self._directory.person(question.person) is None:
            raise UnfitError(ReasonCode.PERSON_UNKNOWN, f"the directory has nobody called {question.person}")
        for path in plan.absent:
            if look(question.args, path) is not None:
                raise UnfitError(
                    ReasonCode.POLICY_ERROR,
                    f"a policy judges by {'.'.join(path)}, which the tool's definition does not describe",
                )
        request = {
            "principal": uid("Agent", question.agent),
            "action": uid("Action", plan.name),
            "resource": uid(plan.resource.entity_type, plan.resource_id(question.args)),
            "context": plan.context.build(plan.type, question),
        }
        if not question.assisted:
            return [request]
        return [request, {**request, "principal": uid("Person", question.person or "")}]

    def _find(self, plan: ActionPlan, question: PolicyQuestion, request: dict[str, Any]) -> _Finding:
        """Judge one principal: with nobody's approval, then as if everyone who is asked had approved."""
        actor = self._actor(plan, question)
        slice_ = self._slice(plan)
        answer = slice_.whole.evaluate(_encoded(request), actor)
        asking: dict[str, Policy] = {}
        # Every forbid that holds speaks at once, so the second evaluation is the last one; should another policy ask
        # then, the loop asks for it as well, and it ends because `asking` only grows.
        while not answer.trouble and not answer.allowed and answer.spoke:
            new = {p.id: p for p in answer.spoke if p.roles and p.id not in asking}
            plain = tuple(p for p in answer.spoke if not p.roles)
            if plain or not new:
                return _Finding("forbid", plain or answer.spoke)
            asking |= new
            roles = sorted({r for p in asking.values() for r in p.roles})
            context = plan.asking.build(plan.type, question)
            answer = slice_.asking.evaluate(_encoded(_approved(request, context, roles)), actor)
        if answer.trouble:
            raise UnfitError(ReasonCode.POLICY_ERROR, f"policy could not be evaluated: {answer.trouble}")
        if not answer.allowed:
            return _Finding("forbid", ())
        if asking:
            return _Finding("needs_approval", answer.spoke, tuple(asking.values()))
        return _Finding("permit", answer.spoke)

    def _verdict(self, findings: list[_Finding], approved: frozenset[str], bound_to: str | None) -> Verdict:
        """One verdict of all principals' findings: the strictest, with the reasons of all that are as strict."""
        forbidding = [f for f in findings if f.kind == "forbid"]
        if forbidding:
            policies = _distinct(p for f in forbidding for p in f.policies)
            reasons = [
                Reason(p.reason_code(ReasonCode.POLICY_FORBIDS), p.sentence("forbids this"), p.id) for p in policies
            ]
            if not all(f.policies for f in forbidding):
                reasons.append(Reason(ReasonCode.NO_POLICY_PERMITS, "no policy permits this"))
            return Verdict("forbid", tuple(reasons), _ids(policies), (), _digest(policies, ()))
        asking = _distinct(p for f in findings for p in f.asking)
        permitting = _distinct(p for f in findings for p in f.policies)
        if not asking:
            reasons = [
                Reason(p.annotations["reason"], p.sentence("permits this"), p.id)
                for p in permitting
                if "reason" in p.annotations
            ]
            return Verdict("permit", tuple(reasons), _ids(permitting), (), _digest(permitting, ()))
        roles = tuple(sorted({r for p in asking for r in p.roles}))
        digest = _digest(asking, roles)
        reasons = [
            Reason(p.reason_code(ReasonCode.NEEDS_APPROVAL), p.sentence("asks for approval"), p.id) for p in asking
        ]
        if approved.issuperset(roles) and bound_to in {None, digest}:
            return Verdict("permit", tuple(reasons), _ids((*asking, *permitting)), roles, digest)
        return Verdict("needs_approval", tuple(reasons), _ids(asking), roles, digest)

    def _slice(self, plan: ActionPlan) -> Slice:
        """The action's policies, parsed at their first use."""
        if plan.name not in self._slices:
            self._slices[plan.name] = Slice(plan, self._catalogue)
        return self._slices[plan.name]

    def _actor(self, plan: ActionPlan, question: PolicyQuestion) -> cedarpy.Entities:
        """The actor's entities, parsed at their first use; with the action's groups where a policy looks at those."""
        key = (plan.name if plan.reads_groups else "", question.agent, question.person)
        actor = self._actors.get(key)
        if actor is None:
            person = self._directory.person(question.person) if question.person is not None else None
            made = json.dumps(entities(question.agent, self._agents[question.agent], person))
            schema = self._slice(plan).schema if plan.reads_groups else self._principals
            actor = cedarpy.Entities.from_json_str(made, schema)
            _store(self._actors, key, actor)
        return actor


def _compile(
    texts: Mapping[str, str],
    actions: Mapping[str, ActionType],
    tools: Tools,
    directory: Directory,
    where: Where | None,
) -> tuple[list[Policy], Catalogue, list[Problem]]:
    policies, problems = read_policies(dict(texts))
    catalogue, found = compile_catalogue(policies, dict(actions), tools, where or (lambda _: ("actions.yaml", 1, 1)))
    problems += found
    problems += validate(policies, catalogue, frozenset(r.id for r in directory.roles), problems)
    return policies, catalogue, _merged(problems)


def _merged(problems: list[Problem]) -> list[Problem]:
    """In the order of the files; what one policy gets wrong for many actions is one problem."""
    alike: dict[tuple[str, int, int, str, str], list[str]] = {}
    for p in sorted(set(problems), key=lambda p: (p.file, p.line, p.column, p.message)):
        alike.setdefault((p.file, p.line, p.column, p.mend, p.severity), []).append(p.message)
    merged: list[Problem] = []
    for (file, line, column, mend, severity), messages in alike.items():
        shown = messages[:_SHOWN]
        if len(messages) > _SHOWN:
            shown[-1] += f" (and {len(messages) - _SHOWN} more like this)"
        merged += [Problem(file, line, column, message, mend, severity) for message in shown]
    return merged


def _approved(request: dict[str, Any], context: dict[str, Any], roles: list[str]) -> dict[str, Any]:
    """The same request with these roles' approval, where anything reads it."""
    return {**request, "context": {**context, "approved_by": roles} if "approved_by" in context else context}


def _encoded(request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "context": json.dumps(request["context"])}


def _digest(policies: tuple[Policy, ...], roles: tuple[str, ...]) -> str:
    """SHA-256 over the sorted texts of some policies and the roles that they ask."""
    return canonical.digest({"policies": sorted(p.statement.text for p in policies), "roles": sorted(roles)})


def _refused(code: ReasonCode, text: str) -> Verdict:
    return Verdict("forbid", (Reason(code, text),), ())


def _distinct(policies: Iterable[Policy]) -> tuple[Policy, ...]:
    """Each policy once, in the order of their ids."""
    found = {p.id: p for p in policies}
    return tuple(found[i] for i in sorted(found))


def _ids(policies: Iterable[Policy]) -> tuple[str, ...]:
    return tuple(p.id for p in policies)


def _store(cache: dict[Any, Any], key: Any, value: Any) -> None:
    if len(cache) >= _CACHED:
        cache.clear()
    cache[key] = value
