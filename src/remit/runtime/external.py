"""Turns that run in somebody else's process: the same rows, the same road, and no worker.

A `Host` is a process that owns such turns: it has a lease like a worker's, and takes a turn's next epoch in the
transaction that finds nobody else at work in the session. What suspends a turn ends the block and leaves rows; the
owner comes back with the session's id and runs the same code again from its top.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from pydantic_ai.messages import ModelMessage

from remit.config.settings import Settings
from remit.domain import canonical
from remit.domain.agents import AgentVersion
from remit.domain.connections import LocalConnection, ToolDefinition
from remit.domain.questions import Question
from remit.domain.records import Tag
from remit.domain.sessions import SessionStatus, TurnStatus
from remit.errors import Conflict, DatabaseUnavailable, InvalidInput, NotEntitled, RemitError
from remit.governance.deployments import Deployments
from remit.governance.gate import Gate
from remit.runtime.attempts import Attempts
from remit.runtime.builtins import Builtins
from remit.runtime.history import messages_of
from remit.runtime.leases import Lease
from remit.runtime.loops import LoopDetectedError, LoopGuard
from remit.runtime.model_agents.local_pins import PinnedGovernance
from remit.runtime.model_agents.messages import dump_messages, load_messages
from remit.runtime.road import Execute, Performed, RunSupersededError, TurnSuspendedError
from remit.runtime.sessions import Sessions, Start
from remit.runtime.turn_road import TurnRoad, counts
from remit.runtime.turn_rows import Ending, Opened, TurnRows
from remit.storage import runs, sessions
from remit.storage.ledger import Ledger

_STARTERS = ("person", "trigger", "agent")


@dataclass(frozen=True, slots=True)
class Ask:
    """What `governed` was asked for."""

    agent: str
    input: Any = None
    principal: str | None = None
    request_id: str | None = None
    title: str = ""
    session: str | None = None


class GovernedTurn:
    """The road of one governed turn, and how it ended. Implements `Road`.

    Within the block, give it to agents (`governance`), use its methods yourself, and say at the end what came out
    (`finish`). After the block, `status` is `finished` or `waiting`; `waiting_for` and `resume_at` say for what.
    """

    def __init__(self, host: Host, opened: Opened, version: AgentVersion, road: TurnRoad) -> None:
        self._host = host
        self._opened = opened
        self._version = version
        self._road = road
        self._output: Any = None
        self._messages: list[Any] | None = None
        self.status = TurnStatus.RUNNING
        self.waiting_for = ""
        self.resume_at: datetime | None = None

    @property
    def session_id(self) -> str:
        """The session: give it to `governed(session=…)` to go on later."""
        return self._opened.owned.session_id

    @property
    def turn_id(self) -> str:
        """The turn."""
        return self._opened.owned.turn_id

    @property
    def input(self) -> Any:
        """What the turn is to answer: the session's input, or the message that was added to it."""
        return canonical.plain(self._opened.given)

    @property
    def history(self) -> list[ModelMessage]:
        """The messages that the session's earlier turns have kept by `finish`."""
        return load_messages(messages_of(self._opened.history, self._opened.owned.agent))

    def governance(self, actions: Mapping[str, str], *, model: str | None = None, prefix: str = "") -> PinnedGovernance:
        """The capability for an agent of this turn: model, price and limits as the project declares them.

        `actions` maps names of function tools to action types. Their definitions must be those that were pinned.
        `model` is the name in remit.toml, where it is not the one that pydantic-ai gives the model. Agents that run
        side by side each take one with a `prefix` of its own.
        """
        return self._host.governance(self, self._version, actions, model, prefix)

    def finish(self, output: Any, messages: list[ModelMessage] | None = None) -> None:
        """Say what the turn's output is; it is written when the block ends without an exception.

        `messages` are kept for the session's later turns: `result.new_messages()` of pydantic-ai. Raises InvalidInput
        if the output is no JSON value.
        """
        self._output = canonical.normalise(output, what="output")
        self._messages = None if messages is None else dump_messages(messages)

    # -- Road ----------------------------------------------------------------------------------------------------

    async def tool(
        self,
        key: str,
        action: str,
        args: dict[str, Any],
        *,
        provider_call_id: str | None = None,
        reason: str = "",
        delivered: tuple[str, ...] = (),
        execute: Execute | None = None,
    ) -> Performed:
        """See `Road.tool`."""
        self._must_live()
        return await self._road.tool(
            key,
            action,
            args,
            provider_call_id=provider_call_id,
            reason=reason,
            delivered=delivered,
            execute=execute,
        )

    async def model(
        self, key: str, model: str, args: dict[str, Any], *, input_bytes: int, output_limit: int, execute: Execute
    ) -> Performed:
        """See `Road.model`."""
        self._must_live()
        return await self._road.model(
            key, model, args, input_bytes=input_bytes, output_limit=output_limit, execute=execute
        )

    async def invalid(
        self, key: str, action: str, raw_args: str, error: str, *, provider_call_id: str | None = None
    ) -> Performed:
        """See `Road.invalid`."""
        self._must_live()
        return await self._road.invalid(key, action, raw_args, error, provider_call_id=provider_call_id)

    async def ask(self, key: str, question: Question, *, delivered: tuple[str, ...] = ()) -> Performed:
        """See `Road.ask`."""
        self._must_live()
        return await self._road.ask(key, question, delivered=delivered)

    async def note(self, key: str, kind: str, value: Any, *, delivered: tuple[str, ...] = ()) -> Any:
        """See `Road.note`."""
        self._must_live()
        return await self._road.note(key, kind, value, delivered=delivered)

    def _must_live(self) -> None:
        if self._host.lease_lost or self.status is not TurnStatus.RUNNING:
            raise RunSupersededError

    # -- the end -------------------------------------------------------------------------------------------------

    def result(self) -> tuple[Any, list[Any] | None]:
        """What `finish` was told."""
        return self._output, self._messages

    def ended(self, ending: Ending) -> None:
        """Say how the block ended."""
        self.status, self.waiting_for, self.resume_at = ending.status, ending.waiting_for, ending.resume_at


class Host:
    """A process that owns external turns. One serves one event loop; its turns may run side by side."""

    def __init__(
        self,
        executor: str,
        settings: Settings,
        url: str,
        deployments: Deployments,
        verbs: Sessions,
        ledger: Ledger,
        gate: Gate,
        attempts: Attempts,
        *,
        simulated: bool,
    ) -> None:
        self._executor = executor
        self._deployments = deployments
        self._verbs = verbs
        self._ledger = ledger
        self._gate = gate
        self._attempts = attempts
        self._simulated = simulated
        self._builtins = Builtins(verbs, deployments)
        self._rows = TurnRows(url, deployments, verbs.resume_turn)
        self._lease = Lease(url, executor, settings)

    @property
    def lease_lost(self) -> bool:
        """True once this process has been without the database for so long that others may take over."""
        return self._lease.lost

    async def open(self) -> None:
        """Announce this process. Raises DatabaseUnavailable."""
        await asyncio.to_thread(self._lease.begin)

    async def close(self) -> None:
        """Leave in good order."""
        await asyncio.to_thread(self._lease.end)

    def governance(
        self, turn: GovernedTurn, version: AgentVersion, actions: Mapping[str, str], model: str | None, prefix: str
    ) -> PinnedGovernance:
        """See `GovernedTurn.governance`."""
        project = self._deployments.current().project
        local = {name for name, spec in project.connections.items() if isinstance(spec, LocalConnection)}
        pinned: dict[str, ToolDefinition | None] = {
            tool: project.tool(action) for tool, action in actions.items() if action.partition(".")[0] in local
        }
        spec = project.settings.models.get(version.spec.model or "")
        return PinnedGovernance(
            turn,
            pinned,
            actions=actions,
            model=model,
            price=spec.price if spec is not None else None,
            max_output_tokens=version.spec.max_output_tokens,
            max_model_requests=version.spec.max_model_requests,
            prefix=prefix,
        )

    @asynccontextmanager
    async def turn(self, ask: Ask) -> AsyncIterator[GovernedTurn]:
        """Run a turn in the block: a session's first one, its open one, or its next one. See `bootstrap.governed`."""
        turn, owned = await self._open(ask)
        try:
            yield turn
        except ExceptionGroup as group:
            wait = _suspension(group)
            if wait is None:
                await self._end(turn, owned, _failed(group))
                raise
            await self._end(turn, owned, await self._waiting(owned, wait))
        except RunSupersededError:
            raise Conflict(
                f"another process has taken session {turn.session_id} over; this one stopped between two actions",
                advice="Nothing is done twice. Look at the session before you go on with it.",
            ) from None
        except TurnSuspendedError as wait:
            await self._end(turn, owned, await self._waiting(owned, wait))
        except (DatabaseUnavailable, psycopg.OperationalError):
            raise  # how it ended cannot be written; once the lease has run out, the turn waits for its owner
        except Exception as error:
            await self._end(turn, owned, _failed(error))
            raise
        except BaseException:
            # Cancelled or interrupted: nothing is wrong with the turn, and its owner may go on with it.
            await self._end(turn, owned, Ending(TurnStatus.WAITING, waiting_for="owner"))
            raise
        else:
            output, messages = turn.result()
            if messages is not None:
                await asyncio.to_thread(self._rows.keep_messages, owned, messages)
            await self._end(turn, owned, Ending(TurnStatus.FINISHED, output=output))

    # -- rows ----------------------------------------------------------------------------------------------------

    async def _open(self, ask: Ask) -> tuple[GovernedTurn, runs.OwnedRun]:
        owned, (given, approvals, history) = await asyncio.to_thread(self._begin, ask)
        opened = Opened(owned, given, await self._ledger.turn(owned.turn_id), approvals, history)
        version = await asyncio.to_thread(self._deployments.version, owned.agent, owned.agent_version)
        road = TurnRoad(
            self._gate,
            self._deployments,
            self._attempts,
            await asyncio.to_thread(self._rows.gate_run, owned),
            opened.rows,
            opened.approvals,
            LoopGuard(version.spec, counts(opened.rows), owned.loop_allowance),
            builtins=self._builtins,
        )
        return GovernedTurn(self, opened, version, road), owned

    def _begin(self, ask: Ask) -> tuple[runs.OwnedRun, Any]:
        """Find or write the turn and take it, in one transaction."""
        self._check(ask)
        with self._verbs.transaction() as db:
            turn_id = self._first_turn(db, ask) if ask.session is None else self._next_turn(db, ask, ask.session)
            owned = runs.begin_external_run(db, turn_id=turn_id, executor=self._executor)
            if owned is None:
                raise Conflict(
                    "another process is at work in this session, or this process has lost its lease",
                    advice="Wait until it has ended; a process that died is out after its lease.",
                )
            return owned, self._rows.known(db, owned)

    def _check(self, ask: Ask) -> None:
        if ask.principal is None:
            if ask.session is None or ask.input is not None:
                raise InvalidInput(
                    "say who asks for this work", advice='Give `principal`, for example "person:dana.kim".'
                )
            return
        kind, _, name = ask.principal.partition(":")
        if kind not in _STARTERS or not name:
            raise InvalidInput(
                f"{ask.principal!r} is nobody", advice='Write "person:ID", "trigger:NAME" or "agent:NAME".'
            )
        if kind == "person" and not self._deployments.load().project.directory.is_active(name):
            raise NotEntitled(f"{name!r} is not an active person of the directory")

    def _first_turn(self, db: sessions.Db, ask: Ask) -> str:
        assert ask.principal is not None, "checked before"
        _, turn_id = self._verbs.start_external(
            db,
            Start(
                agent=ask.agent,
                input={} if ask.input is None else ask.input,
                principal=ask.principal,
                trigger="external",
                request_id=ask.request_id,
                title=ask.title,
                simulated=self._simulated and ask.principal.startswith("person:"),
            ),
        )
        return turn_id

    def _next_turn(self, db: sessions.Db, ask: Ask, session_id: str) -> str:
        """The session's open turn, or a new one that answers `input`."""
        session = sessions.get(db, session_id)
        if session.agent != ask.agent:
            raise InvalidInput(f"session {session_id} is one of the agent {session.agent}")
        if session.status in {SessionStatus.PAUSED, SessionStatus.CANCELLED}:
            raise Conflict(f"session {session_id} is {session.status}")
        turn_id = sessions.open_external_turn(db, session_id)
        if turn_id is not None:
            if ask.input is not None:
                raise Conflict(
                    f"session {session_id} has a turn that is not answered yet",
                    advice="Go on with it first: leave `input` out.",
                )
            return turn_id
        if ask.input is None or ask.principal is None:
            raise Conflict(f"session {session_id} is {session.status}", advice="Give `input` to say something new.")
        turn_id, digest = sessions.add_turn(
            db,
            session_id,
            ask.principal,
            session.agent,
            session.agent_version,
            canonical.normalise(ask.input, what="input"),
            kind="external",
        )
        sessions.record(db, Tag.SESSION_MESSAGE, session=session_id, turn=turn_id, by=ask.principal, message=digest)
        sessions.reopen(db, session_id)
        return turn_id

    async def _waiting(self, owned: runs.OwnedRun, wait: TurnSuspendedError) -> Ending:
        if isinstance(wait, LoopDetectedError):
            await asyncio.to_thread(self._rows.ask_owner, owned, wait.summary, wait.detail)
        return Ending(TurnStatus.WAITING, waiting_for=wait.waiting_for, resume_at=wait.resume_at)

    async def _end(self, turn: GovernedTurn, owned: runs.OwnedRun, ending: Ending) -> None:
        turn.ended(ending)
        if not await asyncio.to_thread(self._rows.end, owned, owned.run, ending):
            raise Conflict(
                f"another process has taken session {turn.session_id} over before this one could write how it ended",
                advice="Nothing is done twice. Look at the session before you go on with it.",
            )


def _failed(error: Exception) -> Ending:
    """What went wrong. Of an error of the agent's own code only the kind is kept: its words may hold anything."""
    if isinstance(error, RemitError):
        return Ending(TurnStatus.FAILED, error=f"{error.code}: {error.message}")
    return Ending(TurnStatus.FAILED, error=f"the agent's code ended with {type(error).__name__}")


def _suspension(group: ExceptionGroup[Exception]) -> TurnSuspendedError | None:
    """The suspension in a group, as a task group of the agent's own code wraps it."""
    found: BaseException | None = group.subgroup(TurnSuspendedError)
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, TurnSuspendedError) else None
