"""A way to the database that can be blocked: what a client meets when the server hangs, or is gone."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict


class Proxy:
    """Forwards connections to a PostgreSQL. `url` is the way through it, `direct` the way past it.

    `hang()` keeps connections open and passes nothing on; `cut()` ends them and refuses new ones; `open()` ends both.
    """

    def __init__(self, url: str) -> None:
        self.direct = url
        parts = conninfo_to_dict(url)
        self._target = parts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        port = self._listener.getsockname()[1]
        login = f"{quote(str(parts['user']))}:{quote(str(parts.get('password') or ''))}"
        self.url = f"postgresql://{login}@127.0.0.1:{port}/{parts['dbname']}?sslmode=disable"
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._way = threading.Event()
        self._way.set()
        self._cut = self._end = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hang(self) -> None:
        """Pass nothing on any more, and say nothing."""
        self._way.clear()

    def cut(self) -> None:
        """End every connection, and every new one at once."""
        self._cut = True
        with self._lock:
            for one in list(self._pairs):
                self._drop(one)

    def open(self) -> None:
        """Let everything through again."""
        self._cut = False
        self._way.set()

    def close(self) -> None:
        """End it all."""
        self._end = True
        self._way.set()
        self._thread.join(10)
        self.cut()
        self._listener.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._end:
            self._way.wait()
            for key, _ in self._selector.select(0.05):
                if not self._way.is_set():
                    break
                with self._lock:
                    self._accept() if key.fileobj is self._listener else self._forward(key.fileobj)  # type: ignore[arg-type]

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            ours, _ = self._listener.accept()
            if self._cut:
                ours.close()
                return
            theirs = self._connect()
            for one, other in ((ours, theirs), (theirs, ours)):
                self._pairs[one] = other
                self._selector.register(one, selectors.EVENT_READ)

    def _connect(self) -> socket.socket:
        host, port = str(self._target.get("host") or "127.0.0.1"), int(self._target.get("port") or 5432)
        if host.startswith("/"):
            theirs = socket.socket(socket.AF_UNIX)
            theirs.connect(f"{host}/.s.PGSQL.{port}")
            return theirs
        return socket.create_connection((host, port))

    def _forward(self, one: socket.socket) -> None:
        if one not in self._pairs:
            return
        try:
            data = one.recv(1 << 16)
            if data:
                self._pairs[one].sendall(data)
                return
        except OSError:
            pass
        self._drop(one)

    def _drop(self, one: socket.socket) -> None:
        other = self._pairs.pop(one, None)
        if other is None:
            return
        self._pairs.pop(other, None)
        for end in (one, other):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(end)
            end.close()
