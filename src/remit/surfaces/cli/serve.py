"""Processes that stay: everything for a project, or one worker."""

from __future__ import annotations

import asyncio
import getpass
import importlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from remit.surfaces.cli import common


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"up": up, "server": server, "worker": worker, "login": login}


_ready = click.option(
    "--ready-file", type=click.Path(dir_okay=False, path_type=Path), help="Written when work can begin."
)


_host = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
_port = click.option(
    "--port", type=click.IntRange(0, 65_535), help="Port to listen on; default: 8270, or any other if that is taken."
)


@click.command("up")
@common.folder_argument
@_host
@_port
@_ready
def up(folder: Path, host: str, port: int | None, ready_file: Path | None) -> None:
    """Run everything for a project: its database, a worker, the sealer of its record and the HTTP server.

    In development the project is deployed first if its files differ from what is in force.
    """
    _logging()
    with common.services(folder) as services:
        if services.declared.project.development:
            from remit.surfaces.cli.project import deploy_if_changed  # noqa: PLC0415

            said = deploy_if_changed(services)
            if said:
                click.echo(said)
        listening = _server(services, host, port)
        click.echo(f"Listening on {listening.url}")
        if port is None and listening.port != listening.usual:
            click.echo(f"Port {listening.usual} is taken by something else; name another with `--port`.", err=True)
        if services.local:
            click.echo(f"Open {login_link(services, listening.url, None)} (works once, for a quarter of an hour)")
        greeting = f"Remit works for {services.declared.project.name}. Ctrl-C ends it."
        _serve(services, ready_file, greeting, (listening,))


@click.command("server")
@common.folder_argument
@_host
@_port
@_ready
def server(folder: Path, host: str, port: int | None, ready_file: Path | None) -> None:
    """Run the HTTP server and the surfaces alone; workers do the work."""
    _logging()
    with common.services(folder) as services:
        listening = _server(services, host, port)

        async def run(stopping: asyncio.Event, ready: Callable[[], None]) -> None:
            ready()
            await listening(stopping)

        greeting = f"The server of {services.declared.project.name} listens on {listening.url}. Ctrl-C ends it."
        _until_told(run, ready_file, greeting)


@click.command("worker")
@common.folder_argument
@_ready
def worker(folder: Path, ready_file: Path | None) -> None:
    """Run one worker; several may share a database."""
    _logging()
    with common.services(folder) as services:
        _serve(services, ready_file, f"A worker for {services.declared.project.name}. Ctrl-C ends it.")


@click.command("login")
@click.option("--person", metavar="PERSON", help="For whom; without it, in development, whoever opens it says who.")
@click.option("--url", help="Where the server is reached; default: `[server] url` of remit.toml.")
@common.project_option
def login(person: str | None, url: str | None, folder: Path) -> None:
    """Make a link that logs somebody into the cockpit, once, within a quarter of an hour."""
    with common.services(folder) as services:
        common.must_be_local(services)
        click.echo(login_link(services, url or services.declared.server.url, person))


def login_link(services: Any, url: str, person: str | None) -> str:
    """A one-time link into the cockpit that is reached at an address."""
    return f"{url.rstrip('/')}/login/{services.logins.offer(person, f'local:{getpass.getuser()}')}"


def _server(services: Any, host: str, port: int | None) -> Any:
    """The HTTP server, listening. It puts the surfaces together and stands above them, so it is found by its name."""
    return importlib.import_module("remit.asgi").Server(services, host, port)


def _serve(services: Any, ready_file: Path | None, greeting: str, more: tuple[Any, ...] = ()) -> None:
    async def work(stopping: asyncio.Event, ready: Callable[[], None]) -> None:
        await services.work(stopping, ready, more=more)

    _until_told(work, ready_file, greeting)


def _until_told(
    run: Callable[[asyncio.Event, Callable[[], None]], Awaitable[None]], ready_file: Path | None, greeting: str
) -> None:
    """Run something until a signal ends it; the second signal ends it at once."""
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)  # left by one that was killed

    stopping = asyncio.Event()

    def ready() -> None:
        if stopping.is_set():
            return  # told to stop while it was starting
        click.echo(greeting)
        if ready_file is not None:
            ready_file.write_text(f"{os.getpid()}\n", encoding="utf-8")

    async def serve() -> None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            if stopping.is_set():
                os._exit(130)  # asked twice: at once
            click.echo("Finishing what is under way…", err=True)
            stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        await run(stopping, ready)

    try:
        asyncio.run(serve())
    finally:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


def _logging() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
