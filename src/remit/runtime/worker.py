"""A worker process: a lease, the engine, the clock, and a watch for workers that died.

Several workers share one database. Each has an id of its own and a lease that it renews; when a lease runs out, the
others take over what its holder was running, and the holder, should it still be alive, exits.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from remit.config.settings import Settings
from remit.domain.ids import new_id
from remit.errors import DatabaseUnavailable, RemitError
from remit.runtime.engine import Engine
from remit.runtime.sessions import Sessions
from remit.storage import executors
from remit.storage.database import connect

log = logging.getLogger(__name__)

_CLOCK = 0.5  # seconds between two looks at what is due
_WATCH = 1.0  # seconds between two looks for dead workers
_HOUSEKEEPING = 3600.0  # seconds between two looks for partitions that will be needed
_LOST = timedelta(seconds=5)  # a turn without a run for this long is given another
EXIT_LEASE_LOST = 70


def executor_id() -> str:
    """A new id for this process; never used twice."""
    return new_id("exe")


class Worker:
    """Runs turns until it is told to stop."""

    def __init__(
        self,
        url: str,
        executor: str,
        settings: Settings,
        verbs: Sessions,
        run_turn: Callable[[str, int], Awaitable[None]],
        *,
        chores: tuple[Callable[[asyncio.Event], Awaitable[None]], ...] = (),
    ) -> None:
        self._url = url
        self._executor = executor
        self._settings = settings
        self._verbs = verbs
        self._run_turn = run_turn
        self._chores = chores
        self._running: set[asyncio.Task[None]] = set()
        self._left = threading.Event()

    async def run(self, stopping: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stopping` is set, then finish what is under way (at most thirty seconds)."""
        with connect(self._url) as db:
            executors.register(db, self._executor, self._settings.lease)
        heart = threading.Thread(target=self._beat, name="remit-lease", daemon=True)
        heart.start()
        engine = Engine(
            self._url,
            self._executor,
            self._tracked,
            concurrency=self._settings.worker_concurrency,
            poll=self._settings.queue_poll,
        )
        await asyncio.to_thread(engine.launch, asyncio.get_running_loop())
        tasks = [
            asyncio.create_task(_every(_CLOCK, stopping, self._tick)),
            asyncio.create_task(_every(_WATCH, stopping, lambda: self._watch(engine))),
            asyncio.create_task(_every(_HOUSEKEEPING, stopping, self._keep_house)),
            *(asyncio.create_task(_as_coroutine(chore(stopping))) for chore in self._chores),
        ]
        ready()
        await stopping.wait()
        if self._running:
            await asyncio.wait(self._running, timeout=30)
        await asyncio.to_thread(engine.close)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._left.set()
        with connect(self._url) as db:
            executors.leave(db, self._executor)

    async def _tracked(self, turn_id: str, number: int) -> None:
        task = asyncio.current_task()
        assert task is not None, "the engine runs turns as tasks"
        self._running.add(task)
        try:
            await self._run_turn(turn_id, number)
        except RemitError as error:
            log.warning("run %s:%s ended without an outcome: %s", turn_id, number, error.message)
        except Exception:
            log.exception("run %s:%s ended without an outcome; it is tried again", turn_id, number)
        finally:
            self._running.discard(task)

    def _beat(self) -> None:
        """Renew the lease from a thread of its own; a process whose lease ran out must not go on."""
        renewed = time.monotonic()
        while not self._left.wait(self._settings.heartbeat.total_seconds()):
            try:
                with connect(self._url, autocommit=True) as db:
                    while not self._left.wait(self._settings.heartbeat.total_seconds()):
                        if not executors.renew(db, self._executor, self._settings.lease):
                            self._exit("another worker has taken over, because this one's lease ran out")
                        renewed = time.monotonic()
            except Exception as error:  # noqa: BLE001 - whatever keeps the lease from being renewed counts alike
                log.warning("the lease could not be renewed: %s", error)
            if time.monotonic() - renewed > 10 * self._settings.lease.total_seconds():
                self._exit("the database has been away for longer than ten leases")

    @staticmethod
    def _exit(why: str) -> None:
        log.critical("%s; this worker exits", why)
        os._exit(EXIT_LEASE_LOST)

    async def _keep_house(self) -> None:
        def keep() -> None:
            with connect(self._url) as db:
                executors.ensure_partitions(db)

        await asyncio.to_thread(keep)

    async def _tick(self) -> None:
        await asyncio.to_thread(self._verbs.tick)

    async def _watch(self, engine: Engine) -> None:
        await asyncio.to_thread(self._take_over, engine)

    def _take_over(self, engine: Engine) -> None:
        """Hand the runs of dead workers to the living, and give lost turns another run."""
        with connect(self._url) as db:
            dead = executors.dead_with_work(db)
        if dead:
            taken = engine.recover(dead)
            with connect(self._url) as db:
                for executor in dead:
                    executors.note_recovery(db, executor, self._executor, taken)
            log.warning("worker %s is gone; %s of its runs go on elsewhere", ", ".join(dead), len(taken))
        with self._verbs.transaction() as db:
            for turn_id in executors.lost_turns(db, _LOST):
                self._verbs.resume_turn(db, turn_id)


async def _every(seconds: float, stopping: asyncio.Event, do: Callable[[], Awaitable[None]]) -> None:
    """Do something again and again until told to stop; a failure is logged and the next round tries again."""
    while not stopping.is_set():
        try:
            await do()
        except DatabaseUnavailable as error:
            log.warning("%s", error.message)
        except Exception:
            log.exception("a chore failed; it is tried again")
        try:
            await asyncio.wait_for(stopping.wait(), seconds)
        except TimeoutError:
            continue


async def _as_coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable
