"""Processes that stay: everything for a project, or one worker."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Any

import click

from remit.surfaces.cli import common


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"up": up, "worker": worker}


_ready = click.option(
    "--ready-file", type=click.Path(dir_okay=False, path_type=Path), help="Written when work can begin."
)


@click.command("up")
@common.folder_argument
@_ready
def up(folder: Path, ready_file: Path | None) -> None:
    """Run everything for a project: its database, a worker and the sealer of its record.

    In development the project is deployed first if its files differ from what is in force.
    """
    _logging()
    with common.services(folder) as services:
        if services.declared.project.development:
            from remit.surfaces.cli.project import deploy_if_changed  # noqa: PLC0415

            said = deploy_if_changed(services)
            if said:
                click.echo(said)
        _serve(services, ready_file, f"Remit works for {services.declared.project.name}. Ctrl-C ends it.")


@click.command("worker")
@common.folder_argument
@_ready
def worker(folder: Path, ready_file: Path | None) -> None:
    """Run one worker; several may share a database."""
    _logging()
    with common.services(folder) as services:
        _serve(services, ready_file, f"A worker for {services.declared.project.name}. Ctrl-C ends it.")


def _serve(services: Any, ready_file: Path | None, greeting: str) -> None:
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)  # left by one that was killed

    def ready() -> None:
        click.echo(greeting)
        if ready_file is not None:
            ready_file.write_text(f"{os.getpid()}\n", encoding="utf-8")

    async def serve() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stop() -> None:
            if stopping.is_set():
                os._exit(130)  # asked twice: at once
            click.echo("Finishing what is under way…", err=True)
            stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        await services.work(stopping, ready)

    try:
        asyncio.run(serve())
    finally:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


def _logging() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
