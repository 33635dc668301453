"""An office for tests of what people are told: the world of the road's tests, with sessions' verbs and a surface."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from tests.integration.road.world import Snapshots, World

from remit.domain.agents import AgentVersion
from remit.domain.directory import Person
from remit.domain.inbox import InboxItem
from remit.domain.questions import Question
from remit.governance.judgement import Run
from remit.governance.state import Governance
from remit.runtime.deliveries import Delivery, Dispatcher, RetryLater
from remit.runtime.road import TurnSuspendedError
from remit.runtime.sessions import Sessions


class Deployed:
    """What `Deployments` is to a process, on the world's snapshots."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def current(self) -> Governance:
        return self.load()

    def load(self) -> Governance:
        return self._snapshots._newest  # the tests' own snapshots

    def version(self, agent: str, _digest: str) -> AgentVersion:
        return self.load().project.agents[agent]


class Board:
    """A surface in memory: a wall that people's messages are pinned to. It may be away."""

    surface = "board"
    fallback: str | None = None
    converses = True

    def __init__(self, *people: str) -> None:
        self.people = set(people)
        self.pinned: list[Delivery] = []
        self.updated: list[tuple[str, InboxItem]] = []
        self.away: Exception | None = None

    def covers(self, person: Person | None, channel: str | None) -> bool:
        return channel is not None if person is None else person.id in self.people

    async def send(self, delivery: Delivery) -> Mapping[str, Any]:
        if self.away is not None:
            raise self.away
        self.pinned.append(delivery)
        return {"place": len(self.pinned)}

    async def update(self, delivery: Delivery, ref: Mapping[str, Any], item: InboxItem) -> None:
        if self.away is not None:
            raise self.away
        assert ref["place"] > 0
        self.updated.append((delivery.id, item))

    def told(self) -> list[tuple[str, str | None]]:
        """What hangs there: kind and person, channel or conversation."""
        found = [(d.kind, d.person.id if d.person else d.channel or d.thread) for d in self.pinned]
        return sorted(found, key=str)


class Office:
    """A world whose people are told."""

    def __init__(self, world: World, *channels: Any, hold: timedelta = timedelta(minutes=2)) -> None:
        self.world = world
        self.deployed: Any = Deployed(world.snapshots)
        self.sessions = Sessions(world.url, self.deployed, lambda *_: None)
        self.channels = channels
        self.dispatcher = Dispatcher(self.sessions, self.deployed, channels, hold=hold)

    def tell(self) -> None:
        """Tell everything that is due now."""

        async def all_of_it() -> None:
            for channel in self.channels:
                while (await self.dispatcher.step(channel))[0]:
                    pass

        asyncio.run(all_of_it())

    def asks(self, amount: int = 200, *, principal: str = "person:dov") -> Run:
        """A session that waits for an approval: 200 by whoever is accountable."""
        run = self.world.run(principal=principal)
        self.world.waits(run, "till.pay", {"who": "kim", "amount": amount, "currency": "USD", "key": "k"})
        return run

    def question(self, schema: dict[str, Any], *, run: Run | None = None, **more: Any) -> Run:
        """A session that waits for an answer."""
        run = run or self.world.run()

        async def ask() -> None:
            road = await self.world.road(run)
            await road.ask("9", Question("Which one?", schema, **more))

        try:
            self.world.do(ask())
        except TurnSuspendedError:
            return run
        raise AssertionError("it did not wait")

    def overdue(self) -> None:
        """Let everything that waits for its next attempt, or for its holder, be due now."""
        self.world.db.execute("update remit.deliveries set next_at = clock_timestamp()")

    def rows(self) -> list[dict[str, Any]]:
        """All deliveries."""
        return self.world.rows("select * from remit.deliveries order by created_at, id")


@contextmanager
def away(board: Board, *, after: float | None = None) -> Any:
    """The surface does not answer for the time of the block."""
    board.away = RetryLater("nobody answers", after)
    try:
        yield
    finally:
        board.away = None
