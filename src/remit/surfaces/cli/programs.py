"""Programs made plain: their source, the reasons of their rows, a walk through them, and their replay."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from remit.evidence.shapes import flow
from remit.surfaces.cli import common

if TYPE_CHECKING:
    from remit.bootstrap import Services
    from remit.evidence.replaying import Replayed


@click.command("source")
@click.argument("session_id", metavar="ID")
@click.argument("file", required=False)
@click.option("--turn", "turn_id", metavar="TURN", help="Only as this turn ran it.")
@common.json_option
@common.project_option
def source(session_id: str, file: str | None, turn_id: str | None, as_json: bool, folder: Path) -> None:
    """Print the source that a session ran: exactly the version that it began with, also after later deployments.

    FILE is a file of the agent's folder; by default program.py, or prompt.md of a model's agent.
    """
    from remit.errors import NotFound  # noqa: PLC0415 - heavy
    from remit.evidence.programs import sources  # noqa: PLC0415

    with common.services(folder) as services, services.sessions.transaction() as db:
        found = sources(db, services.deployments.version, session_id, turn_id)
    if as_json:
        common.print_json(found)
        return
    for one in found:
        name = file or next((n for n in ("program.py", "prompt.md") if n in one["files"]), "agent.yaml")
        if name not in one["files"]:
            raise NotFound(f"{one['agent']} has no file {name}", advice=f"It has: {', '.join(one['files'])}.")
        click.secho(f"# {one['agent']}/{name}, version {one['agent_version'][:12]}", bold=True, err=True)
        click.echo("".join(c for c in one["files"][name] if c.isprintable() or c in "\n\t"))


@click.command("why")
@click.argument("session_id", metavar="ID")
@click.argument("row", required=False)
@click.option("--list", "name", metavar="NAME", help="Only rows of this list.")
@common.json_option
@common.project_option
def why(session_id: str, row: str | None, name: str | None, as_json: bool, folder: Path) -> None:
    """Say why a row of a session's lists is there and why so high, from the reasons recorded with it.

    ROW is the row's key, its rank (`1` is the first) or words of its title; without it all rows are told.
    """
    from remit.evidence.programs import why as told  # noqa: PLC0415 - heavy

    with common.services(folder) as services, services.sessions.transaction() as db:
        found = told(db, services.deployments.version, session_id, row, name=name)
    if as_json:
        common.print_json([{field: one[field] for field in flow.WHY} for one in found])
        return
    for one in found:
        _print_why(one, briefly=row is None)


def _print_why(one: dict[str, Any], *, briefly: bool) -> None:
    title = one["title"] or one["key"] or common.compact(one["row"], 60)
    key = f" ({one['key']})" if one["key"] and one["title"] else ""
    common.heading(f"{one['list']} #{one['rank']}  {title}{key}")
    for reason in one["reasons"]:
        click.echo(f"  because {common.cell(reason['text'] or reason['code'])}")
    if not one["reasons"]:
        click.echo("  no reason was recorded")
    if briefly:
        return
    common.line("row", common.compact(one["row"], 400))
    for origin in one["from"]:
        place = f"{origin['action']} (request {origin['request']}{', ' + origin['path'] if origin['path'] else ''})"
        common.line("from", f"{place}: {common.compact(origin['value'], 300)}")
    if not one["from"]:
        asked = ", ".join(f"{a['action']} ({a['request']})" for a in one["before"]) or "nothing"
        common.line("asked before", asked)
    if one["at"]:
        common.line("rule", f"{one['at']} of {one['agent']} {one['agent_version'][:12]}: {one['line']}")


@click.command("replay")
@click.argument("session_id", metavar="ID")
@click.option("--turn", "turn_id", metavar="TURN", help="Only this turn.")
@common.json_option
@common.project_option
def replay(session_id: str, turn_id: str | None, as_json: bool, folder: Path) -> int:
    """Run a session's program again on what was recorded, touching nothing, and say whether it does the same.

    Every request is answered from the ledger; one of which nothing was recorded ends the replay. Exits with 1 if
    anything differs.
    """
    from remit.errors import InvalidInput  # noqa: PLC0415 - heavy

    with common.services(folder) as services:
        turns = [t for t in _turns(services, session_id) if turn_id in {None, t["id"]}]
        ran = [t["id"] for t in turns if t["kind"] == "agent" and t["started_at"] is not None]
        if not ran:
            raise InvalidInput(f"session {session_id} has no such turn that has begun")
        found = asyncio.run(replayed(services, ran))
    told = [{field: asdict(one)[field] for field in flow.REPLAYED} for one in found]
    if as_json:
        common.print_json(told)
    for one in () if as_json else found:
        _print_replayed(one)
    return 0 if all(one.same for one in found) else 1


def _turns(services: Services, session_id: str) -> list[dict[str, Any]]:
    from remit.storage import sessions  # noqa: PLC0415 - heavy

    with services.sessions.transaction() as db:
        sessions.get(db, session_id)
        return sessions.turns(db, session_id)


async def replayed(services: Services, turns: list[str], parameters: dict[str, Any] | None = None) -> list[Replayed]:
    """Replay turns in a walled process of this command's own."""
    from remit.evidence.replaying import Replays  # noqa: PLC0415 - heavy
    from remit.runtime.programs import ProgramHost  # noqa: PLC0415

    declared = services.declared.programs
    host = ProgramHost(declared.isolation, declared.memory_mb, declared.cpu_seconds)
    replays = Replays(services.url, services.deployments, host)
    try:
        return [await replays.turn(turn, parameters=parameters) for turn in turns]
    finally:
        await replays.close()
        await host.close()


def _print_replayed(one: Replayed) -> None:
    if not one.same:
        click.echo(common.clean(f"{one.turn_id}: DIFFERENT. {one.differs}"))
    elif one.waits_at is not None:
        click.echo(f"{one.turn_id}: the same up to request {one.waits_at}, which nobody has answered yet.")
    else:
        click.echo(f"{one.turn_id}: the same, {one.requests} requests and the output.")


@click.command("walkthrough")
@click.argument("agent")
@click.option("--version", "digest", metavar="VERSION", help="An older version; its first digits are enough.")
@common.json_option
@common.project_option
def walkthrough(agent: str, digest: str | None, as_json: bool, folder: Path) -> None:
    """Walk through AGENT's program in plain words: what it asks, decides and puts out, in order, and by which values.

    Made from its source alone, so it says what the program does, not what somebody once wrote about it.
    """
    from remit.evidence.walkthrough import walk_through  # noqa: PLC0415 - heavy
    from remit.surfaces.cli.agents import version_of  # noqa: PLC0415

    with common.services(folder) as services:
        governance = services.deployments.load()
        version = version_of(services, agent, digest)

        def title(action: str) -> str | None:
            found = governance.action_type(action)
            return found.title if found is not None else None

        told = walk_through(version, title)
    parameters = {name: p.model_dump(mode="json") for name, p in version.parameters.items()}
    if as_json:
        common.print_json({**asdict(told), "purpose": version.spec.purpose, "parameters": parameters})
        return
    common.heading(f"{agent} {told.version[:12]}: {version.spec.title}")
    for text in (version.spec.purpose, told.about):
        if text:
            click.echo(f"  {common.clean(text)}")
    if version.parameters or told.values:
        click.echo()
        common.heading("Values that it judges by")
    for name, parameter in version.parameters.items():
        value = f"{parameter.value} {parameter.unit}".strip()
        click.echo(f"  {common.clean(f'{name} is {value}: {parameter.title}. {parameter.meaning}')} (tunable)")
    for constant in told.values:
        click.echo(f"  {common.clean(constant.text)} ({constant.at})")
    click.echo()
    common.heading("What it does")
    for step in told.steps:
        click.echo(f"  {step.at:<18} {'  ' * step.depth}{common.cell(step.text)}")
    if told.helpers:
        click.echo()
        common.heading("How it works things out")
    for step in told.helpers:
        click.echo(f"  {step.at:<18} {'  ' * step.depth}{common.cell(step.text)}")
