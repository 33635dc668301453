"""Starting points: agents for common chores, and connections to systems that many companies have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from remit.surfaces.cli import common

if TYPE_CHECKING:
    from remit.config.adding import People
    from remit.domain.project import Project

_AGENT = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_CONNECTION = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"new": new}


def _raci_options(function: Any) -> Any:
    for name, says in (
        ("risk-owner", "Who owns the risk; the accountable by default."),
        ("system-owner", "Who owns the system; the accountable by default."),
        ("accountable", "Who answers for what is done; the workspace's manager by default."),
    ):
        function = click.option(f"--{name}", metavar="PERSON", help=says)(function)
    return function


@click.command("new")
@click.argument("agent", required=False)
@click.option("--from", "kind", metavar="KIND", help="The starting point; `--list` names them.")
@click.option("--list", "only_list", is_flag=True, help="List the starting points.")
@click.option("--workspace", help="Its workspace; the first of the directory by default.")
@_raci_options
@common.json_option
@common.project_option
def new(
    agent: str | None,
    kind: str | None,
    only_list: bool,
    workspace: str | None,
    as_json: bool,
    folder: Path,
    **raci: str | None,
) -> None:
    """Make AGENT from a starting point: a program to read and change, its policies, and fakes of the systems it needs.

    Nothing that is there is changed; connections that it needs and the project lacks are added as `remit connections
    add` does.
    """
    from remit.config.adding import kind as starting_point  # noqa: PLC0415 - heavy
    from remit.config.adding import kinds  # noqa: PLC0415

    if only_list:
        found = [starting_point(name) for name in kinds()]
        told = [{"kind": k.name, "about": k.about, "connections": list(k.connections)} for k in found]
        if as_json:
            common.print_json(told)
        else:
            rows = [(k["kind"], k["about"], ", ".join(k["connections"])) for k in told]
            common.table(("kind", "what it does", "connections"), rows, empty="There is none.")
        return
    if agent is None or kind is None:
        raise click.UsageError("say which agent, and from which starting point: `remit new AGENT --from KIND`")
    made = make_agent(folder, agent, kind, workspace, raci)
    if as_json:
        common.print_json(made)
        return
    click.echo(f"Made {agent} from {kind}. Written:")
    for path in made["written"]:
        click.echo(f"  {path}")
    for name in made["connections"]:
        click.echo(
            f"The connection {name} is a local fake with a few records; its file says how the real one comes in."
        )
    click.echo(
        "\nNext:\n"
        f"  remit agents walkthrough {agent}     what it does, in words (once it is deployed)\n"
        "  remit check                          what Remit says of it\n"
        "  remit deploy                         put it in force\n"
        f"  remit start {agent} --input @agents/{agent}/example.json --wait"
    )


def make_agent(
    folder: Path, agent: str, kind: str, workspace: str | None, raci: dict[str, str | None]
) -> dict[str, Any]:
    """Write an agent from a starting point into a project. Returns what was written, seen from the project.

    Raises Conflict if there is such an agent, InvalidInput if a name does not do.
    """
    from remit.config import adding  # noqa: PLC0415 - heavy
    from remit.config.connection_templates import template  # noqa: PLC0415
    from remit.errors import Conflict, InvalidInput  # noqa: PLC0415

    project, found = _project(folder), adding.kind(kind)
    if not _AGENT.fullmatch(agent):
        raise InvalidInput(f"{agent!r} is no name for an agent", advice="Use lower-case letters, digits, dot and dash.")
    if agent in project.agents or (folder / "agents" / agent).exists():
        raise Conflict(f"there is an agent {agent} already", advice="Give it another name.")
    places = [w.id for w in project.directory.workspaces]
    if not places or workspace not in {None, *places}:
        raise InvalidInput(f"there is no workspace {workspace}", advice=f"There are: {', '.join(places) or 'none'}.")
    place = workspace or places[0]
    people = adding.people_for(project.directory, workspace=place, **raci)
    lacking = adding.missing_tools(project, found)
    if lacking:
        said = "; ".join(f"{name} lacks {', '.join(tools)}" for name, tools in lacking.items())
        raise Conflict(
            f"the project has these connections, and they are others than the starting point needs: {said}",
            advice="Pin and classify these tools, or rename the connection.",
        )
    texts = adding.agent_files(found, agent, owner=people.accountable, workspace=place)
    taken = sorted(path for path in texts if (folder / path).exists())
    if taken:
        raise Conflict(f"{taken[0]} is there already", advice="Give the agent another name.")
    added = [name for name in found.connections if name not in project.connections]
    changed = _with_connections(folder, project, {name: (name, template(name)) for name in added}, people)
    return {"agent": agent, "kind": kind, "connections": added, "written": _write(folder, {**changed, **texts})}


@click.command("add")
@click.argument("template_name", metavar="NAME", required=False)
@click.option("--name", "name", metavar="CONNECTION", help="What to call the connection; NAME by default.")
@click.option("--list", "only_list", is_flag=True, help="List the templates.")
@_raci_options
@common.json_option
@common.project_option
def add(
    template_name: str | None,
    name: str | None,
    only_list: bool,
    as_json: bool,
    folder: Path,
    **raci: str | None,
) -> None:
    """Add a connection from a template: its action types with undo and limits, and a local fake of the system.

    connections.yaml and actions.yaml keep their comments; the tools are pinned.
    """
    from remit.config import adding  # noqa: PLC0415 - heavy
    from remit.config.connection_templates import names, template  # noqa: PLC0415
    from remit.errors import InvalidInput  # noqa: PLC0415

    if only_list:
        told = [{"template": n, "title": template(n).title, "about": template(n).about} for n in names()]
        if as_json:
            common.print_json(told)
        else:
            rows = [(t["template"], t["about"]) for t in told]
            common.table(("template", "what it offers"), rows, empty="There is none.")
        return
    if template_name is None:
        raise click.UsageError("say which: `remit connections add NAME`; `--list` names the templates")
    found, called = template(template_name), name or template_name
    if not _CONNECTION.fullmatch(called):
        raise InvalidInput(f"{called!r} is no name for a connection", advice="Use lower-case letters, digits and dash.")
    project = _project(folder)
    people = adding.people_for(project.directory, **raci)
    written = _write(folder, _with_connections(folder, project, {called: (template_name, found)}, people))
    if as_json:
        common.print_json({"connection": called, "template": template_name, "written": written})
        return
    click.echo(f"Added the connection {called}, a local fake of {found.title}, with {len(found.tools)} tools.")
    common.line("accountable", people.accountable)
    common.line("written", ", ".join(written))
    click.echo(
        "\nNext:\n"
        f"  read what stands under `{called}.` in actions.yaml: who answers, what can be undone, which limits hold\n"
        "  list the tools that an agent needs in its agent.yaml, and permit them in a policy\n"
        "  remit check\n"
        "  where the real system comes in, connections.yaml says"
    )


def _project(folder: Path) -> Project:
    from remit.bootstrap import read_settings  # noqa: PLC0415 - heavy
    from remit.config.loader import load_project  # noqa: PLC0415

    read_settings(folder)
    return load_project(folder)


def _with_connections(
    folder: Path, project: Project, wanted: dict[str, tuple[str, Any]], people: People
) -> dict[str, str]:
    """The project's files with more connections, their action types and pins; only those that change."""
    from remit.config import adding, files  # noqa: PLC0415 - heavy
    from remit.runtime.connections import render_pins  # noqa: PLC0415
    from remit.runtime.connections.pins import from_wire  # noqa: PLC0415
    from remit.runtime.connections.scrub import Scrubber  # noqa: PLC0415

    if not wanted:
        return {}
    texts = {
        name: (folder / name).read_text(encoding="utf-8") if (folder / name).exists() else ""
        for name in (files.CONNECTIONS, files.ACTIONS)
    }
    pins = dict(project.pins.connections)
    for name, (template_name, found) in wanted.items():
        texts |= adding.with_connection(texts, template_name, found, name, people)
        defined = (from_wire(raw, Scrubber()) for raw in found.definitions)
        pins[name] = {tool.name: tool for tool in defined if tool is not None}
    return {**texts, files.PINS: render_pins(project.pins.model_copy(update={"connections": pins}))}


def _write(folder: Path, texts: dict[str, str]) -> list[str]:
    from remit.config.edits import write_all  # noqa: PLC0415 - heavy

    write_all({folder / path: text for path, text in texts.items()})
    return sorted(texts)
