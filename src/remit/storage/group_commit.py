"""Group commit: requests that arrive while a round trip is under way share the next one.

Alone, a request leaves at once; under load, dozens share one transaction, one commit and one lock of a row that they
all need, so a budget shared by every session is locked once for all of them. A batch never waits to be filled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class GroupCommit(Generic[Request, Answer]):
    """Collects requests and runs them in batches of at most `limit`, one batch at a time.

    `run` gets the requests in the order in which they arrived and returns their answers in the same order. If it
    raises, every request of that batch raises the same.
    """

    def __init__(self, run: Callable[[list[Request]], Awaitable[list[Answer]]], *, limit: int = 64) -> None:
        self._run = run
        self._limit = limit
        self._queue: deque[tuple[Request, asyncio.Future[Answer]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, request: Request) -> Answer:
        """Run a request with whatever else is waiting. A cancelled caller's request is still run."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append((request, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(self._limit, len(self._queue)))]
            try:
                answers = await self._run([request for request, _ in batch])
            except BaseException as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                        future.exception()  # a caller that was cancelled never fetches it
                if isinstance(error, Exception):
                    continue
                raise
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
