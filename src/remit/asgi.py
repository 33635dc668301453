"""The HTTP server: puts together what the surfaces offer. Nothing here decides anything.

`app` makes an ASGI application; a `Server` serves it until told to stop, beside a worker or alone.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route

from remit.errors import ConfigurationError, DatabaseUnavailable
from remit.storage import sessions

if TYPE_CHECKING:
    from remit.bootstrap import Services

PORT = 8270
"""Where the server usually listens."""


def app(services: Services) -> Starlette:
    """The application for one project."""
    return Starlette(routes=_health(services))


class Server:
    """Listens on an address from the moment it is made, and serves once its chore runs."""

    def __init__(self, services: Services, host: str, port: int | None) -> None:
        """Take the address. `port` None is the usual one, or any other if that is taken; 0 is any.

        Raises ConfigurationError if the address cannot be had.
        """
        self._socket = _listen(host, PORT if port is None else port, others=port is None)
        self._config = uvicorn.Config(
            app(services), log_level="warning", lifespan="off", access_log=False, timeout_graceful_shutdown=5
        )
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._socket.getsockname()[1]}"
        """Where it listens."""

    async def __call__(self, stopping: asyncio.Event) -> None:
        """Serve until told to stop, and finish the requests that are under way."""
        listening = _Quiet(self._config)
        serving = asyncio.create_task(listening.serve(sockets=[self._socket]))
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        listening.should_exit = True
        waiting.cancel()
        await serving


class _Quiet(uvicorn.Server):
    """Leaves signals to the process that it is a part of."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int, *, others: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        if others:
            return _listen(host, 0, others=False)
        raise ConfigurationError(
            f"{host}:{port} cannot be listened on: {error.strerror or error}",
            advice="Give another `--port`, or end what listens there.",
        ) from None
    listening.set_inheritable(False)
    return listening


def _health(services: Services) -> list[BaseRoute]:
    def healthy(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    def ready(_: Request) -> PlainTextResponse:
        """Ready is who reaches the database."""
        try:
            with services.sessions.transaction() as db:
                sessions.now(db)
        except (DatabaseUnavailable, psycopg.Error):
            return PlainTextResponse("the database cannot be reached\n", status_code=503)
        return PlainTextResponse("ok\n")

    return [Route("/healthz", healthy), Route("/readyz", ready)]
