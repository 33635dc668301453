"""Keeps the record findable and counted, off the hot path: it reads the sealed log and never what is under way.

Every worker does it; in the database one at a time. No trouble here touches the work.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import psycopg

from remit.errors import RemitError
from remit.storage import rollups, tallies
from remit.storage.database import connect

log = logging.getLogger(__name__)

_EVERY = 1.0  # seconds between two looks at the log
_LONGEST_PAUSE = 30.0  # seconds, after it has failed again and again
_BATCH = 2_000  # leaves in one transaction


class Counting:
    """Counts the log of one database."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._failures = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Count again and again until told to stop."""
        while not stopping.is_set():
            pause = await asyncio.to_thread(self._look, stopping)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), pause)

    def _look(self, stopping: asyncio.Event) -> float:
        """Count what is new, unless told to stop. Returns how many seconds to wait before the next look."""
        try:
            while _BATCH in (self.count_once(), self.tally_once()) and not stopping.is_set():
                pass
        except (RemitError, psycopg.Error) as error:
            self._failures += 1
            if self._failures == 1:
                log.warning("the record cannot be counted, which is tried again: %s", error)
            return float(min(_LONGEST_PAUSE, _EVERY * 2 ** min(self._failures, 10)))
        self._failures = 0
        return _EVERY

    def count_once(self) -> int:
        """Count one batch. Returns how many leaves it had; 0 also while another process counts."""
        with connect(self._url) as db:
            return rollups.count(db, _BATCH)

    def tally_once(self) -> int:
        """Count policies and troubles in one batch of what `count_once` has counted. Returns as it does."""
        with connect(self._url) as db:
            return tallies.count(db, _BATCH)
