"""The lease of a process that is no worker: renewed by a thread, and never a reason to end somebody else's program."""

from __future__ import annotations

import logging
import threading

from remit.config.settings import Settings
from remit.errors import DatabaseUnavailable
from remit.storage import executors
from remit.storage.database import connect

log = logging.getLogger(__name__)


class Lease:
    """Says that this process lives. Once it has run out, another process may take over, and `lost` is True for good."""

    def __init__(self, url: str, executor: str, settings: Settings) -> None:
        self._url = url
        self._executor = executor
        self._lease = settings.lease
        self._pause = settings.heartbeat.total_seconds()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="remit-lease", daemon=True)
        self.lost = False

    def begin(self) -> None:
        """Announce this process. Raises DatabaseUnavailable."""
        with connect(self._url) as db:
            executors.register(db, self._executor, self._lease)
        self._thread.start()

    def end(self) -> None:
        """Leave in good order, so that nobody waits for the lease to run out."""
        self._left.set()
        self._thread.join()
        try:
            with connect(self._url) as db:
                executors.leave(db, self._executor)
        except DatabaseUnavailable as error:
            log.warning("the lease is left to run out: %s", error.message)

    def _beat(self) -> None:
        while not self._left.wait(self._pause):
            try:
                with connect(self._url, autocommit=True) as db:
                    while not self._left.wait(self._pause):
                        if not executors.renew(db, self._executor, self._lease):
                            self.lost = True
                            log.warning("the lease of this process ran out; others may take its sessions over")
                            return
            except Exception as error:  # noqa: BLE001 - whatever keeps the lease from being renewed counts alike
                log.warning("the lease could not be renewed: %s", error)
