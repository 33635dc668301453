"""One run of a turn: prove ownership, drive the agent along the road, write down how it ended."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import psycopg

from remit.domain import ids
from remit.domain.agents import AgentVersion
from remit.domain.decisions import ActionStatus
from remit.domain.sessions import TurnStatus
from remit.domain.templates import filled
from remit.errors import ConfigurationError, Conflict, DatabaseUnavailable, RemitError
from remit.governance.deployments import Deployments
from remit.governance.gate import Gate
from remit.runtime.attempts import Attempts
from remit.runtime.boundaries import passing
from remit.runtime.builtins import Builtins
from remit.runtime.connections import agent_view
from remit.runtime.history import messages_of
from remit.runtime.loops import LoopDetectedError, LoopGuard
from remit.runtime.model_agents import run_model_turn
from remit.runtime.program_turn import run_program_turn
from remit.runtime.programs import ProgramHost, ProgramHostLost
from remit.runtime.road import RunSupersededError, TurnSuspendedError
from remit.runtime.surroundings import Surroundings
from remit.runtime.turn_road import TurnRoad, counts
from remit.runtime.turn_rows import Ending, Opened, TurnRows
from remit.storage import actions, runs, sessions, stops
from remit.storage.database import connect
from remit.storage.ledger import Ledger
from remit.storage.runs import OwnedRun

log = logging.getLogger(__name__)

_MOST_FAILURES = 3  # runs in a row that died before the owner is asked


class TurnRunner:
    """Runs turns for one worker process."""

    def __init__(
        self,
        url: str,
        executor: str,
        deployments: Deployments,
        ledger: Ledger,
        gate: Gate,
        attempts: Attempts,
        programs: ProgramHost,
        surroundings: Surroundings,
        builtins: Builtins,
    ) -> None:
        self._url = url
        self._executor = executor
        self._deployments = deployments
        self._ledger = ledger
        self._gate = gate
        self._attempts = attempts
        self._programs = programs
        self._surroundings = surroundings
        self._builtins = builtins
        self._rows = TurnRows(url, deployments, builtins.sessions.resume_turn)

    async def run(self, turn_id: str, number: int) -> None:
        """Run a turn once more. Ends silently if this process does not own the run, or a newer one takes over.

        Raises DatabaseUnavailable if how it ended could not be written; the watchdog then asks for another run.
        """
        passing("run:before_epoch")
        opened = await self._open(turn_id, number)
        if opened is None:
            return
        passing("run:after_epoch")
        try:
            ending = await self._ending(opened)
        except RunSupersededError:
            return
        passing("run:before_end")
        await asyncio.to_thread(self._rows.end, opened.owned, number, ending)
        passing("run:after_end")

    async def _ending(self, opened: Opened) -> Ending:
        """Drive the turn and say how that ended. What is nobody's fault but ours is raised: the run is tried again."""
        try:
            if opened.owned.failures > _MOST_FAILURES:
                return await asyncio.to_thread(self._give_up, opened.owned)
            if opened.stopped:
                return Ending(TurnStatus.WAITING, waiting_for="stop")
            return await self._drive(opened)
        except RunSupersededError:
            raise
        except LoopDetectedError as loop:
            await asyncio.to_thread(self._rows.ask_owner, opened.owned, loop.summary, loop.detail)
            return Ending(TurnStatus.WAITING, waiting_for="attention")
        except TurnSuspendedError as wait:
            return Ending(TurnStatus.WAITING, waiting_for=wait.waiting_for, resume_at=wait.resume_at)
        except (DatabaseUnavailable, psycopg.OperationalError, ProgramHostLost):
            raise
        except RemitError as error:
            return Ending(TurnStatus.FAILED, error=f"{error.code}: {error.message}")

    async def _drive(self, opened: Opened) -> Ending:
        owned = opened.owned
        version = await asyncio.to_thread(self._deployments.version, owned.agent, owned.agent_version)
        run = await asyncio.to_thread(self._rows.gate_run, owned)
        road = TurnRoad(
            self._gate,
            self._deployments,
            self._attempts,
            run,
            opened.rows,
            opened.approvals,
            LoopGuard(version.spec, counts(opened.rows), owned.loop_allowance),
            builtins=self._builtins,
        )
        if owned.kind == "undo":
            return Ending(TurnStatus.FINISHED, output=await self._undo(opened, road))
        if version.is_program:
            outcome = await run_program_turn(
                self._programs, version, owned, opened.given, road, opened.rows, self._surroundings.models()
            )
            delivered = tuple(map(str, outcome.delivered))
            return Ending(TurnStatus.FINISHED, output=outcome.output, delivered=delivered)
        return Ending(TurnStatus.FINISHED, output=await self._drive_model(opened, version, road))

    async def _drive_model(self, opened: Opened, version: AgentVersion, road: TurnRoad) -> Any:
        name = version.spec.model
        if name is None:
            raise ConfigurationError(f"agent {version.agent} has neither a program nor a model")
        models, project = self._surroundings.models(), self._deployments.current().project
        tools = {}
        for action in version.spec.tools:
            definition, action_type = project.tool(action), project.actions.get(action)
            if definition is not None and action_type is not None:
                tools[action] = agent_view(definition, action_type)
        turn = await run_model_turn(
            version.spec,
            version,
            models.get(name),
            tools,
            await self._history(opened, road),
            opened.given,
            road,
            now=opened.owned.started_at,
            model_spec=models.spec(name),
        )
        await asyncio.to_thread(self._rows.keep_messages, opened.owned, turn.messages)
        return turn.output

    @staticmethod
    async def _history(opened: Opened, road: TurnRoad) -> list[Any]:
        """What the model is told of earlier turns: of those that had finished when this one first began."""
        if not opened.later:
            return []
        kept = set(await road.note("history", "history", [turn.turn for turn in opened.history]))
        return messages_of([turn for turn in opened.history if turn.turn in kept], opened.owned.agent)

    async def _undo(self, opened: Opened, road: TurnRoad) -> Any:
        """Take an action back by the call that its type declares."""
        with connect(self._url) as db:
            action = actions.get(db, opened.given["undo"])
        if action["undone_by"] not in {None, ids.action_id(opened.owned.turn_id, "1")}:
            raise Conflict(f"action {action['id']} is undone already")
        action_type = self._deployments.current().action_type(action["action"])
        undo = action_type.undo if action_type is not None else None
        if undo is None:
            raise ConfigurationError(f"{action['action']} declares no undo any more")
        args = filled(undo.arguments, {"args": action["args"], "result": action["result"]})
        done = await road.tool("1", undo.tool, args, reason=opened.given["reason"], implied_by=action["action"])
        if done.status is not ActionStatus.SUCCEEDED:
            why = done.error or "; ".join(r.text for r in done.reasons)
            raise ConfigurationError(f"{action['id']} was not undone: {why}", advice="Mend it in the other system.")
        if action["undone_by"] is None:
            with connect(self._url) as db:
                actions.mark_undone(db, action["id"], done.action_id, self._author(db, opened.owned))
        return {"undone": action["id"], "by": done.action_id, "result": done.result}

    # -- rows ----------------------------------------------------------------------------------------------------

    async def _open(self, turn_id: str, number: int) -> Opened | None:
        def begin() -> Opened | None:
            with connect(self._url) as db:
                owned = runs.begin_run(db, workflow_id=f"{turn_id}:{number}", turn_id=turn_id, executor=self._executor)
                if owned is None:
                    return None
                given, approvals, history = self._rows.known(db, owned)
                later = sessions.is_later(db, owned.session_id, turn_id)
                stopped = stops.covers(db, owned.workspace, owned.agent)
                return Opened(owned, given, {}, approvals, history, later, stopped)

        opened = await asyncio.to_thread(begin)
        return None if opened is None else replace(opened, rows=await self._ledger.turn(turn_id))

    def _give_up(self, owned: OwnedRun) -> Ending:
        summary = f"A turn of {owned.agent} has died {owned.failures - 1} times in a row; may it be tried again?"
        self._rows.ask_owner(owned, summary, {"why": "turn_keeps_dying", "failures": owned.failures - 1})
        return Ending(TurnStatus.WAITING, waiting_for="attention")

    @staticmethod
    def _author(db: sessions.Db, owned: OwnedRun) -> str:
        return sessions.author_of(db, owned.message_id)
