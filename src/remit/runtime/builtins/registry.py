"""Which function carries out which built-in tool."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from remit.domain.agents import AgentVersion
from remit.domain.builtins import CONNECTION
from remit.domain.decisions import Clearance, Outcome
from remit.errors import DatabaseUnavailable, ProgramDiverged, RemitError
from remit.governance.deployments import Deployments
from remit.governance.judgement import Run
from remit.runtime.builtins import (
    asking,
    code,
    delegation,
    ideas,
    knowledge,
    matching,
    memory,
    outputs,
    reasons,
    skills,
    telling,
)
from remit.runtime.road import Execute, Road, TurnSuspendedError
from remit.runtime.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Invocation:
    """One cleared call of a built-in tool, with everything that it may need."""

    clearance: Clearance
    run: Run
    key: str
    """Place of the call in its turn; calls that it makes itself stand below it, as `KEY.1`, `KEY.2` and so on."""
    road: Road
    """For calls that it makes itself: they are judged like the agent's own."""
    sessions: Sessions
    deployments: Deployments

    @property
    def action_id(self) -> str:
        """The action's id, which makes what it writes unique."""
        return self.clearance.action_id

    @property
    def args(self) -> dict[str, Any]:
        """The canonical arguments as judged; they fit the tool's schema."""
        return self.clearance.args

    @property
    def version(self) -> AgentVersion:
        """The agent's version that runs this turn."""
        return self.deployments.version(self.run.actor.agent, self.run.actor.agent_version)


Tool = Callable[[Invocation], Any | Awaitable[Any]]
"""Carries out one call and returns its result, JSON. A plain function may block; it is run in a thread. Whatever it
raises as a RemitError is told to the agent as a failure."""

TOOLS: dict[str, Tool] = {
    "ask": asking.ask,
    "delegate": delegation.delegate,
    "load_skill": skills.load_skill,
    "match": matching.match,
    "publish": outputs.publish,
    "reasons": reasons.reasons,
    "recall": memory.recall,
    "remember": memory.remember,
    "run_code": code.run_code,
    "search_knowledge": knowledge.search_knowledge,
    "suggest": ideas.suggest,
    "tell": telling.tell,
}


class Builtins:
    """The built-in tools of one worker process."""

    def __init__(self, sessions: Sessions, deployments: Deployments) -> None:
        self.sessions = sessions
        """The verbs of sessions."""
        self._deployments = deployments

    def executor(self, road: Road, run: Run, key: str) -> Execute:
        """What executes a cleared call of a built-in tool at this place of a turn."""

        async def execute(clearance: Clearance) -> Outcome:
            tool = TOOLS.get(clearance.action.removeprefix(f"{CONNECTION}."))
            if tool is None:
                return Outcome("failed", error=f"there is no built-in tool {clearance.action}")
            invocation = Invocation(clearance, run, key, road, self.sessions, self._deployments)
            return await _outcome(tool, invocation)

        return execute


async def _outcome(tool: Tool, invocation: Invocation) -> Outcome:
    try:
        if asyncio.iscoroutinefunction(tool):
            return Outcome("succeeded", result=await tool(invocation))
        return Outcome("succeeded", result=await asyncio.to_thread(tool, invocation))
    except (TurnSuspendedError, DatabaseUnavailable, ProgramDiverged):
        raise
    except RemitError as error:
        return Outcome("failed", error=error.message)
