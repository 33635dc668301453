"""What is in an agent's folder: how two versions differ, which skills and knowledge it has, and what a search finds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from remit.surfaces.cli import common

if TYPE_CHECKING:
    pass


def print_differences(found: dict[str, Any]) -> None:
    """For a reader."""
    if not found["fields"] and not found["files"]:
        click.echo("There is no difference.")
        return
    for one in found["fields"]:
        click.echo(f"{one['field']}: {_shown(one['old'])} -> {_shown(one['new'])}")
    for file in found["files"]:
        if not file["diff"]:
            click.echo(f"{common.cell(file['path'])}: {file['change']}, not text")
        for text in file["diff"]:
            click.echo(common.clean(text))


def _shown(value: Any) -> str:
    return common.cell(common.compact(value)) or "(none)"


@click.command("knowledge")
@click.argument("agent")
@click.argument("query")
@click.option("--limit", type=click.IntRange(1, 20), default=5, show_default=True, help="Most passages.")
@click.option("--version", "digest", help="Search an older version; its first digits are enough.")
@common.json_option
@common.project_option
def knowledge(agent: str, query: str, limit: int, digest: str | None, as_json: bool, folder: Path) -> None:
    """Search AGENT's knowledge folder as the agent does: QUERY may hold "a phrase", or, and -not."""
    from remit.runtime.builtins.knowledge import passage  # noqa: PLC0415 - heavy
    from remit.storage import knowledge as stored  # noqa: PLC0415
    from remit.surfaces.cli.agents import version_of  # noqa: PLC0415 - it holds this command

    with common.services(folder) as services:
        version = version_of(services, agent, digest)
        with services.sessions.transaction() as db:
            found = [passage(one) for one in stored.search(db, version, query, limit)]
    if as_json:
        common.print_json(found)
        return
    for one in found:
        common.heading(f"agents/{agent}/{one['source']}  {one['heading']}")
        click.echo(f"  {common.cell(one['excerpt'])}")
    if not found:
        click.echo("Nothing fits." if stored.count(version)[0] else f"{agent} has no knowledge folder.")
