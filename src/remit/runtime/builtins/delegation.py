"""`remit.delegate`: another agent does a piece of work in a session of its own.

The action starts the session, once. Where it waits, what came of the session is looked up whenever the turn comes by,
and kept with the turn at its first use, so that every replay is told the same.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from remit.domain.agents import AgentVersion
from remit.domain.decisions import ActionStatus
from remit.errors import Conflict, InvalidInput, NotEntitled
from remit.governance.state import Governance
from remit.runtime.messages import fitted
from remit.runtime.road import Performed, TurnSuspendedError
from remit.storage import delegations, sessions

if TYPE_CHECKING:
    from remit.runtime.builtins.registry import Invocation
    from remit.runtime.sessions import Sessions

DEEPEST = 8
"""Most delegations between a session and the work that somebody started."""


def delegate(call: Invocation) -> dict[str, Any]:
    """Start the session, or find the one that an earlier attempt of the same action started."""
    with call.sessions.transaction() as db:
        known = delegations.started_by(db, call.action_id)
        if known is not None:
            return {"session": known}
        version = _taker(call.deployments.load(), call.args["agent"], call.run.workspace)
        parent = delegations.lock_parent(db, call.run.session_id)
        if parent["status"] == "cancelled":
            raise Conflict("the session that delegates was cancelled")
        _check_chain(delegations.agents_above(db, call.run.turn_id), parent["depth"], version.agent)
        session_id, turn_id = sessions.create(db, _new(call, version, parent))
        call.sessions.resume_turn(db, turn_id)
        return {"session": session_id}


def look(verbs: Sessions, session_id: str, parent: str) -> dict[str, Any]:
    """What came of a delegated session, as the parent's turn keeps it. Cancels it if its time is over.

    Raises TurnSuspendedError while it has not ended.
    """
    with verbs.transaction() as db:
        child = delegations.look(db, session_id)
    if child.overdue:
        try:
            verbs.cancel(session_id, "clock", "not done in the time that was given for it")
        except Conflict:  # it has ended meanwhile
            pass
        else:
            return _kept(child, "cancelled", error="it was not done in the time that was given for it")
        with verbs.transaction() as db:
            child = delegations.look(db, session_id)
    if not child.ended:
        raise TurnSuspendedError("delegation")
    with verbs.transaction() as db:
        delegations.take_labels(db, parent, session_id)
    if child.status == "finished":
        return _kept(child, child.status, output=child.output)
    return _kept(child, child.status, error=child.error or f"it was {child.status}")


def told(performed: Performed, kept: dict[str, Any], *, replayed: bool) -> Performed:
    """What the delegating agent gets."""
    at = datetime.fromisoformat(kept["at"])
    result = {"session": kept["session"], "status": kept["status"], "output": kept.get("output")}
    if kept["status"] == "finished":
        return Performed(performed.action_id, ActionStatus.SUCCEEDED, result, at=at, replayed=replayed)
    error = f"agent {kept['agent']} has not done it in session {kept['session']}: {kept['error']}"
    return Performed(performed.action_id, ActionStatus.FAILED, result, error, at=at, replayed=replayed)


def _kept(child: delegations.Child, status: str, **more: Any) -> dict[str, Any]:
    return {"session": child.session_id, "agent": child.agent, "status": status, "at": child.at.isoformat(), **more}


def _taker(governance: Governance, name: str, workspace: str) -> AgentVersion:
    """The agent that is to do it. One of another workspace is as unknown as one that does not exist."""
    version = governance.agent(name)
    if version is None or version.spec.workspace != workspace:
        raise InvalidInput(f"there is no agent {name} here to delegate to")
    if name in governance.suspended:
        raise NotEntitled(f"agent {name} is suspended")
    if version.spec.external:
        raise InvalidInput(f"no worker runs the agent {name}: it is external")
    return version


def _check_chain(above: list[str], depth: int, agent: str) -> None:
    if agent in above:
        chain = " to ".join([*reversed(above), agent])
        raise InvalidInput(f"this delegation goes in a circle: {chain}")
    if depth + 1 > DEEPEST:
        raise InvalidInput(f"this is delegated through more than {DEEPEST} sessions already")


def _new(call: Invocation, version: AgentVersion, parent: dict[str, Any]) -> sessions.NewSession:
    """The session: whoever asked for the parent's turn asks for this one, and what narrowed that narrows this."""
    actor, run = call.run.actor, call.run
    assisted = actor.assisted or version.spec.layer == "assisted"
    person = actor.on_behalf_of
    if assisted and person is None:
        if not run.principal.startswith("person:"):
            raise InvalidInput(f"agent {version.agent} acts only through a person, and nobody asked for this work")
        person = run.principal.removeprefix("person:")
    return sessions.NewSession(
        agent=version.agent,
        agent_version=version.digest,
        workspace=version.spec.workspace,
        workflow=version.spec.workflow,
        principal=f"agent:{actor.agent}",
        on_behalf_of=person,
        trigger="agent",
        request_id=None,
        title=call.args.get("title", ""),
        simulated=parent["simulated"],
        assisted=assisted,
        input=fitted(version, call.args["input"]),
        parent_id=run.session_id,
        requester=run.principal,
        labels=frozenset(parent["labels"]),
        origin=sessions.Origin(
            turn=run.turn_id,
            action=call.action_id,
            depth=parent["depth"] + 1,
            waits=call.args.get("wait", True),
            within_seconds=call.args.get("within_seconds"),
        ),
    )
