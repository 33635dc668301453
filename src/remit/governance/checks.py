"""The checks that need no lock: who acts, with what, who answers for it, and whether the arguments are whole.

Each check returns the `Reason` to refuse, or None. They stand in the order in which the gate makes them.
"""

from __future__ import annotations

from typing import Any

from remit.domain import canonical
from remit.domain.actions import ActionType, Effect
from remit.domain.agents import AgentSpec
from remit.domain.decisions import Actor, Call, Reason, ReasonCode
from remit.errors import InvalidInput
from remit.governance import limits
from remit.governance.state import Governance


def identity(governance: Governance, actor: Actor) -> Reason | None:
    """1 identity: the agent is deployed and not suspended; the person it acts through is still here."""
    agent = actor.agent
    if governance.agent(agent) is None:
        return Reason(ReasonCode.AGENT_UNKNOWN, f"no agent {agent} is deployed")
    if agent in governance.suspended:
        return Reason(ReasonCode.AGENT_SUSPENDED, f"agent {agent} is suspended")
    person = actor.on_behalf_of
    if actor.assisted and person is None:
        return Reason(ReasonCode.PERSON_UNKNOWN, f"{agent} acts only through a person, and nobody asked for this")
    if person is not None and not governance.project.directory.is_active(person):
        return Reason(ReasonCode.PERSON_UNKNOWN, f"{person}, on whose behalf it acts, is not an active person")
    return None


def scope(
    governance: Governance, agent: AgentSpec | None, call: Call, action_type: ActionType | None, *, changed: bool
) -> Reason | None:
    """3 scope: on the allow-list, classified, pinned, and unchanged since it was pinned."""
    if call.mode == "model":
        return _model_scope(governance, agent, call)
    if agent is None or not _listed(governance, agent, call):
        return Reason(ReasonCode.NOT_IN_SCOPE, f"{call.action} is not on this agent's list of tools")
    if action_type is None:
        return Reason(ReasonCode.ACTION_UNCLASSIFIED, f"no file says what {call.action} does, so it is forbidden")
    if governance.project.tool(call.action) is None:
        return Reason(ReasonCode.TOOL_NOT_PINNED, f"{call.action} is not pinned; run `remit connections pin`")
    if changed:
        return Reason(
            ReasonCode.TOOL_CHANGED, f"{call.action} has changed since it was pinned; review it and pin it again"
        )
    return None


def _listed(governance: Governance, agent: AgentSpec, call: Call) -> bool:
    """On the allow-list, or declared as lookup, undo or current state by an action type that is."""
    if call.implied_by is None:
        return call.action in agent.tools
    parent = governance.action_type(call.implied_by)
    declared = (parent.lookup, parent.undo, parent.current) if parent is not None else ()
    return call.implied_by in agent.tools and call.action in {d.tool for d in declared if d is not None}


def _model_scope(governance: Governance, agent: AgentSpec | None, call: Call) -> Reason | None:
    model = call.args.get("model")
    if agent is None or model != agent.model:
        return Reason(ReasonCode.NOT_IN_SCOPE, f"the model {model} is not this agent's")
    spec = governance.project.settings.models.get(str(model))
    if (spec is None or spec.price is None) and limits.money_budget_covers(governance.project, agent):
        return Reason(
            ReasonCode.MODEL_WITHOUT_PRICE, f"the model {model} has no price in remit.toml, and a budget limits money"
        )
    return None


def raci(governance: Governance, action_type: ActionType | None, call: Call) -> Reason | None:
    """4 RACI: nothing is changed in the world without somebody live to answer for it."""
    if action_type is None or action_type.effect is Effect.READ:
        return None
    if action_type.raci is None:
        return Reason(ReasonCode.RACI_INCOMPLETE, f"nobody answers for {call.action}")
    for role in ("accountable", "system_owner", "risk_owner"):
        if not governance.project.directory.resolve(getattr(action_type.raci, role)):
            return Reason(ReasonCode.RACI_INCOMPLETE, f"the {role.replace('_', ' ')} of {call.action} is nobody active")
    return None


def arguments(
    governance: Governance, call: Call, args: dict[str, Any], action_type: ActionType | None
) -> Reason | None:
    """The arguments are what the pinned tool takes, and hold what the action type requires."""
    if call.mode == "model" or action_type is None:
        return None
    try:
        canonical.check_unicode(args, what="arguments")
    except InvalidInput as wrong:
        return Reason(ReasonCode.ARGUMENTS_INVALID, wrong.message)
    missing = next((name for name in action_type.require if args.get(name) is None), None)
    if missing is not None:
        return Reason(ReasonCode.ARGUMENT_REQUIRED, f"`{missing}` must be given")
    validator = governance.validator(call.action)
    error = next(validator.iter_errors(args), None) if validator is not None else None
    if error is not None:
        where = "/".join(map(str, error.absolute_path))
        return Reason(ReasonCode.ARGUMENTS_INVALID, f"{where or 'the arguments'}: {error.message[:300]}")
    return None
