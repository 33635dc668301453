"""The HTTP server: puts together what the surfaces offer. Nothing here decides anything.

`app` makes an ASGI application; a `Server` serves it until told to stop, beside a worker or alone.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from remit.errors import ConfigurationError, DatabaseUnavailable
from remit.runtime.deliveries import Channel, Dispatcher
from remit.storage import sessions
from remit.storage.database import keeping_connections
from remit.surfaces import mail, slack, webhooks
from remit.surfaces.api import app as api
from remit.surfaces.http import metrics
from remit.surfaces.http.live import Live
from remit.surfaces.web.app import application

if TYPE_CHECKING:
    from remit.bootstrap import Chore, Services

log = logging.getLogger(__name__)

PORT = 8270
"""Where the server usually listens."""


@dataclass
class Surfaces:
    """What the surfaces that are turned on offer together."""

    routes: list[BaseRoute] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    """Ways to tell people something."""
    chores: list[Chore] = field(default_factory=list)
    """What goes on beside the requests."""


def surfaces(services: Services) -> Surfaces:
    """The surfaces of one project. Raises ConfigurationError where one is turned on and cannot be."""
    found = Surfaces(
        routes=[*_health(services), *metrics.routes(services), *webhooks.routes(services), *mail.routes(services)]
    )
    post = mail.channel(services)
    if post is not None:
        found.channels.append(post)
    chat = slack.surface(services)
    if chat is not None:
        found.routes += chat.routes()
        found.channels.append(chat.channel)
        found.chores += chat.chores()
    if found.channels:
        found.chores.append(Dispatcher(services.sessions, services.deployments, found.channels).run)
    found.routes.append(_mounted(api.PATH, api.application(services)))
    live = Live(services)
    found.chores.append(live.run)
    found.routes.append(_mounted("/", application(services, live)))  # last: it has an answer for every path
    return found


def _mounted(path: str, application: ASGIApp) -> Mount:
    """An application under a path, for every address below it: also for one with the end of a line in it."""
    mount = Mount(path, application)
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)
    return mount


def app(services: Services) -> Starlette:
    """The application for one project."""
    return Starlette(routes=surfaces(services).routes)


class Server:
    """Listens on an address from the moment it is made, and serves once its chore runs."""

    def __init__(self, services: Services, host: str, port: int | None) -> None:
        """Take the address. `port` None is the usual one, or any other if that is taken; 0 is any.

        Raises ConfigurationError if the address cannot be had.
        """
        offered = surfaces(services)
        self._chores = offered.chores
        self._database = services.url
        self._socket = _listen(host, PORT if port is None else port, others=port is None)
        self._config = uvicorn.Config(
            Starlette(routes=offered.routes),
            log_level="warning",
            lifespan="off",
            access_log=False,
            timeout_graceful_shutdown=5,
        )
        self.port: int = self._socket.getsockname()[1]
        self.usual = PORT
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        """Where it listens."""

    async def __call__(self, stopping: asyncio.Event) -> None:
        """Serve and do the surfaces' chores until told to stop, and finish what is under way."""
        with keeping_connections(self._database):
            await self._serve(stopping)

    async def _serve(self, stopping: asyncio.Event) -> None:
        listening = _Quiet(self._config)
        serving = asyncio.create_task(listening.serve(sockets=[self._socket]))
        chores = [asyncio.create_task(_kept_up(chore, stopping)) for chore in self._chores]
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        listening.should_exit = True
        waiting.cancel()
        await asyncio.gather(serving, *chores)


async def _kept_up(chore: Callable[[asyncio.Event], Awaitable[None]], stopping: asyncio.Event) -> None:
    """A chore of a surface; one that fails is begun again, and takes neither the server nor the others along."""
    while not stopping.is_set():
        try:
            await chore(stopping)
        except Exception:
            log.exception("a surface's chore failed; it begins again")
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), 1)


class _Quiet(uvicorn.Server):
    """Leaves signals to the process that it is a part of."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int, *, others: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP: else asyncio leaves out TCP_NODELAY, and every answer waits 40 ms for the reader's acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
    listening.listen(2_048)  # who comes before the server runs waits, instead of being turned away
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
