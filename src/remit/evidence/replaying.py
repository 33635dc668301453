"""Is a program deterministic? Its recorded turns are run again, every request answered from the ledger, none made."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from remit.domain import canonical
from remit.domain.agents import AgentVersion
from remit.domain.intents import LedgerRow
from remit.errors import InvalidInput, ProgramDiverged, RemitError
from remit.evidence.trial import Trial
from remit.governance.deployments import Deployments
from remit.runtime.program_turn import recorded, replayed_reply, source_of
from remit.runtime.programs import ProgramHost, ProgramOutcome, Reply, Request, TurnSeed, describe
from remit.runtime.road import TurnSuspendedError
from remit.storage import runs, sessions
from remit.storage.database import connect
from remit.storage.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Replayed:
    """How one turn went when it was run again on what was recorded."""

    session_id: str
    turn_id: str
    agent: str
    agent_version: str
    same: bool
    """True if the program asked for the same, in the same order, and gave back the same."""
    requests: int
    """How many recorded requests there were to be compared."""
    waits_at: int | None = None
    """The request that nobody has answered yet, where the replay had to end."""
    differs: str = ""
    """What is different, in a sentence."""
    output: Any = None
    """What it gave back now."""
    missing: str = ""
    """The first request of which nothing was recorded, where the replay had to end."""


class Replays:
    """Runs recorded turns again. `host` is this process's own; nothing outside it is reached."""

    def __init__(self, url: str, deployments: Deployments, host: ProgramHost) -> None:
        self._url = url
        self._deployments = deployments
        self._host = host
        self._ledger = Ledger(url, "replay")

    async def close(self) -> None:
        """Let go of connections; the host is the caller's."""
        await self._ledger.close()

    async def turn(self, turn_id: str, *, parameters: Mapping[str, Any] | None = None) -> Replayed:
        """Run a turn again on what was recorded, perhaps with other values of its agent's parameters.

        Raises InvalidInput if no program ran it, NotFound if there is none.
        """
        seed = await asyncio.to_thread(self._seed, turn_id)
        version = await asyncio.to_thread(self._deployments.version, seed["agent"], seed["agent_version"])
        if not version.is_program or seed["kind"] != "agent" or seed["started_at"] is None:
            raise InvalidInput(
                f"turn {turn_id} was not run by a program",
                advice="Only programs can be run again on what was recorded.",
            )
        rows = await self._ledger.turn(turn_id)
        trial = None if parameters is None else Trial()
        base = Replayed(seed["session_id"], turn_id, version.agent, version.digest, same=True, requests=len(rows))
        try:
            outcome = await self._run(version, seed, rows, parameters, trial)
        except _NotRecordedError as new:
            said = f"request {new.request.ordinal} is new: {describe(new.request.op, new.request.payload)}"
            return replace(base, same=False, differs=said, missing=said)
        except TurnSuspendedError as wait:
            return replace(base, waits_at=int(wait.waiting_for))
        except ProgramDiverged as diverged:
            return replace(base, same=False, differs=diverged.message)
        except RemitError as error:
            return _ended(base, seed, None, f"{error.code}: {error.message}")
        ended = _ended(base, seed, outcome.output, None)
        return ended if trial is None else trial.judged(ended, rows)

    def _seed(self, turn_id: str) -> dict[str, Any]:
        with connect(self._url) as db:
            seed = runs.seed_of(db, turn_id)
            return {**seed, "given": sessions.message_of(db, seed["message_id"])}

    async def _run(
        self,
        version: AgentVersion,
        seed: dict[str, Any],
        rows: dict[str, LedgerRow],
        parameters: Mapping[str, Any] | None,
        trial: Trial | None,
    ) -> ProgramOutcome:
        async def answer(request: Request) -> Reply:
            row = rows.get(str(request.ordinal))
            if row is None or (trial is not None and not trial.takes(request, row)):
                raise _NotRecordedError(request)
            reply = replayed_reply(row, request)
            if reply is None:
                raise TurnSuspendedError(str(request.ordinal))
            return reply

        source = source_of(version)
        if parameters is not None:
            source = replace(source, parameters={**source.parameters, **parameters})
        calls = recorded(rows.values())
        if trial is not None:
            # What it puts out may well be other than before: only what it asks of the world is held to the record.
            shown = {int(key) for key, row in rows.items() if key.isdigit() and trial.shows(row)}
            calls = [replace(c, payload_digest=None, reply=None) if c.ordinal in shown else c for c in calls]
        return await self._host.run(
            source,
            TurnSeed(seed["id"], seed["started_at"], seed["seed"], seed["on_behalf_of"]),
            seed["given"],
            calls,
            answer,
            tail=tuple(int(key) for key in seed["delivered"]),
        )


class _NotRecordedError(RemitError):
    """The program asked for something of which nothing was recorded."""

    code = "not_recorded"
    advice = "Nothing was executed."

    def __init__(self, request: Request) -> None:
        super().__init__(f"nothing was recorded of request {request.ordinal}")
        self.request = request


def _ended(base: Replayed, seed: dict[str, Any], output: Any, error: str | None) -> Replayed:
    """Compare how it ended now with how it ended then, if it has ended."""
    plain = canonical.plain(output)
    if error != seed["error"] and seed["status"] in {"finished", "failed"}:
        said = f"it ended with {error or 'an output'}; before with {seed['error'] or 'an output'}"
        return replace(base, same=False, differs=said, output=plain)
    before = canonical.plain(seed["output"])
    if seed["status"] == "finished" and plain != before:
        return replace(base, same=False, differs=f"the output differs: {_difference(before, plain)}", output=plain)
    return replace(base, output=plain)


def _difference(before: Any, now: Any, path: str = "") -> str:
    """The first place where two values differ, in words."""
    where = f"at {path}: " if path else ""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in [*before, *(n for n in now if n not in before)]:
            inner = f"{path}.{name}" if path else str(name)
            if name not in before or name not in now:
                return f"at {inner}: {'new' if name not in before else 'missing'}"
            if before[name] != now[name]:
                return _difference(before[name], now[name], inner)
    if isinstance(before, list) and isinstance(now, list):
        for index, (old, new) in enumerate(zip(before, now, strict=False)):
            if old != new:
                return _difference(old, new, f"{path}.{index}" if path else str(index))
        return f"{where}{len(before)} entries before, {len(now)} now"
    return f"{where}{_short(before)} before, {_short(now)} now"


def _short(value: Any) -> str:
    text = canonical.dumps(canonical.normalise(value)).decode()
    return text if len(text) <= 80 else f"{text[:79]}…"
