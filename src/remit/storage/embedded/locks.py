"""File locks by which processes share one server. The kernel drops them however a process ends.

`start.lock` is held by whoever starts or stops the server. Every client holds `clients` and `members` shared. The
server's supervisor waits for `clients` to become free, which wakes it when the last client has died. Who else lives is
asked of `members`, which is only touched under `start.lock`, so that the supervisor's waiting disturbs no answer. All
processes of a server hold `alive`, which tells even of those out of sight, in another container or of another user.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from remit.errors import DatabaseUnavailable

#: Longest a command waits for another one to start or stop the server, in seconds.
LOCK_PATIENCE = 180.0

_MODE = 0o600


@contextlib.contextmanager
def exclusive(path: Path, patience: float = LOCK_PATIENCE) -> Iterator[None]:
    """Hold the lock at `path`. Raises DatabaseUnavailable when others keep it for `patience` seconds."""
    descriptor = _open(path)
    try:
        deadline = time.monotonic() + patience
        while not _try(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"another process has been starting or stopping the embedded database for {patience:g} s",
                    advice=f"Find it with `fuser {path}`, end it, and try again.",
                )
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def is_free(path: Path, patience: float) -> bool:
    """Say whether nobody holds the lock at `path`, or nobody does any more within `patience` seconds."""
    try:
        with exclusive(path, patience):
            return True
    except DatabaseUnavailable:
        return False


class Presence:
    """The locks that make this process a client. Enter and leave only under the start lock."""

    def __init__(self, clients: Path, members: Path) -> None:
        self._clients = _open(clients)
        try:
            self._members = _open(members)
        except OSError:
            os.close(self._clients)
            raise
        #: Whether nobody else was a client when this one came.
        self.first = _try(self._members, fcntl.LOCK_EX)
        fcntl.flock(self._members, fcntl.LOCK_SH)
        fcntl.flock(self._clients, fcntl.LOCK_SH)
        self.held = True
        _presences.add(self)

    def last(self) -> bool:
        """Say whether nobody else is a client; from then on this one is not counted either."""
        return _try(self._members, fcntl.LOCK_EX)

    def leave(self) -> None:
        """Stop being a client."""
        if self.held:
            self.held = False
            os.close(self._clients)
            os.close(self._members)


_presences: weakref.WeakSet[Presence] = weakref.WeakSet()


def _forget_in_child() -> None:
    """A forked child shares the open files, and would keep its parent's membership alive beyond the parent's death."""
    for presence in list(_presences):
        presence.leave()


os.register_at_fork(after_in_child=_forget_in_child)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
