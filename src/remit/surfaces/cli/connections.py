"""Connections: what they are, and pinning their tools."""

from __future__ import annotations

import asyncio
import difflib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from remit.surfaces.cli import common, new

if TYPE_CHECKING:
    from remit.domain.connections import ToolPins
    from remit.domain.project import Project
    from remit.runtime.connections import ToolChange


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"connections": connections}


@click.group("connections", cls=common.Noun)
def connections() -> None:
    """List connections, add them from templates, and pin their tools."""


connections.add_command(new.add)


@connections.command("list")
@common.json_option
@common.project_option
def list_(as_json: bool, folder: Path) -> None:
    """List the connections of the project's files, with the tools that are pinned and classified."""
    project = _project(folder)
    found = [
        {
            "connection": name,
            "title": spec.title,
            "transport": spec.transport,
            "trusted": spec.trusted,
            "per_person": spec.per_person,
            "tools": [
                {"tool": tool, "classified": f"{name}.{tool}" in project.actions}
                for tool in sorted(project.pins.connections.get(name, {}))
            ],
        }
        for name, spec in project.connections.items()
    ]
    if as_json:
        common.print_json(found)
        return
    rows = [
        (c["connection"], c["title"], c["transport"], "trusted" if c["trusted"] else "untrusted", _tools(c["tools"]))
        for c in found
    ]
    common.table(("connection", "title", "transport", "answers", "tools"), rows, empty="There is no connection.")


def _tools(tools: Any) -> str:
    return ", ".join(t["tool"] + ("" if t["classified"] else " (not classified)") for t in tools) or "not pinned"


def _project(folder: Path) -> Project:
    from remit.bootstrap import read_settings  # noqa: PLC0415 - heavy
    from remit.config.loader import load_for_pinning  # noqa: PLC0415

    read_settings(folder)
    return load_for_pinning(folder)


@connections.command("pin")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 1 if anything differs.")
@click.option("--person", metavar="PERSON", help="Whose credential to use for connections marked `per_person`.")
@common.json_option
@common.project_option
def pin(names: tuple[str, ...], only_check: bool, person: str | None, as_json: bool, folder: Path) -> int:
    """Start the servers, ask what tools they offer, and write that to tools.lock.json for review.

    Agents are shown the pinned definitions only, and a tool that has changed since is refused until it is pinned again.
    Read the difference before you commit it: descriptions are read by language models.
    """
    from remit.runtime.connections import changed_tools, render_pins  # noqa: PLC0415 - heavy

    project = _project(folder)
    wanted = _wanted(project, names)
    live = asyncio.run(_ask(project, folder.resolve(), wanted, person))
    changes = [*changed_tools(project.pins, live.connections), *(_dropped(project) if not names else ())]
    merged = _merged(project, live)
    old = _read(folder / "tools.lock.json")
    new = render_pins(merged)
    if not only_check and new != old:
        _write(folder / "tools.lock.json", new)
    if as_json:
        common.print_json(
            {
                "written": not only_check and new != old,
                "changes": [
                    {"connection": c.connection, "tool": c.tool, "what": c.what, "parts": c.parts} for c in changes
                ],
            }
        )
    else:
        _print_changes(changes, old, new, written=not only_check)
    return 1 if only_check and (changes or new != old) else 0


def _wanted(project: Project, names: tuple[str, ...]) -> list[str]:
    from remit.errors import NotFound  # noqa: PLC0415

    for name in names:
        if name not in project.connections:
            known = ", ".join(project.connections) or "none"
            raise NotFound(f"there is no connection {name!r}", advice=f"Connections: {known}.")
        if project.connections[name].transport == "local":
            raise NotFound(
                f"{name} has no server: its tools live in the process of their agent",
                advice="Pin them from the agent's code by `remit.pin_tools`; see docs/how-to/govern-your-own-agent.md.",
            )
    return list(names or (name for name, spec in project.connections.items() if spec.transport != "local"))


async def _ask(project: Project, folder: Path, names: list[str], person: str | None) -> ToolPins:
    from remit.config.secrets import SecretResolver  # noqa: PLC0415 - heavy
    from remit.runtime.connections import Connections, pin_tools  # noqa: PLC0415

    resolver = SecretResolver(folder)
    opened = Connections(
        folder,
        {name: project.connections[name] for name in names},
        lambda reference: resolver.resolve(reference).reveal(),
        isolation=project.settings.programs.isolation,
    )
    try:
        return await pin_tools(opened, person=person)
    finally:
        await opened.close()


def _merged(project: Project, live: ToolPins) -> ToolPins:
    """What was asked now, and of connections that were not asked what stood there; none that are not declared."""
    kept = {name: tools for name, tools in project.pins.connections.items() if name in project.connections}
    return live.model_copy(update={"connections": {**kept, **live.connections}})


def _dropped(project: Project) -> Iterator[ToolChange]:
    """Pins of connections that the project does not have any more."""
    from remit.runtime.connections import ToolChange  # noqa: PLC0415

    for name, tools in project.pins.connections.items():
        if name not in project.connections:
            yield from (ToolChange(name, tool, "missing") for tool in tools)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _write(path: Path, text: str) -> None:
    """Replace the file at once, so that no crash leaves half of it."""
    from remit.errors import ConfigurationError  # noqa: PLC0415

    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None


def _print_changes(changes: list[ToolChange], old: str, new: str, *, written: bool) -> None:
    if old == new:
        click.echo("Every tool is as it was pinned.")
        return
    for change in changes:
        click.echo(common.clean(str(change)))
    click.echo()
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "pinned", "offered now", lineterm="", n=2)
    for text in lines:
        click.echo(common.clean(text))
    click.echo()
    click.echo("Written to tools.lock.json. Read it, then deploy." if written else "Nothing was written.")
