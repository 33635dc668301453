"""Agents: what each may see, touch and never do; its versions; suspending."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from remit.surfaces.cli import agent_files, common, programs, tuning
from remit.surfaces.cli.policy import must_be_agent

if TYPE_CHECKING:
    from remit.bootstrap import Services
    from remit.domain.agents import AgentVersion


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"agents": agents}


@click.group("agents", cls=common.Noun)
def agents() -> None:
    """List, show, diff, suspend and resume agents."""


@agents.command("list")
@common.json_option
@common.project_option
def list_(as_json: bool, folder: Path) -> None:
    """List the agents that are deployed."""
    from remit.evidence.shaping.agents import listed  # noqa: PLC0415 - heavy

    with common.services(folder) as services:
        governance = services.deployments.load()
    found = [listed(governance, name) for name in governance.project.agents]
    if as_json:
        common.print_json(found)
        return
    rows = [
        (a["agent"], a["title"], a["kind"], a["owner"], str(a["version"])[:12], "suspended" if a["suspended"] else "")
        for a in found
    ]
    common.table(("agent", "title", "kind", "owner", "version", ""), rows, empty="No agent is deployed.")


@agents.command("show")
@click.argument("agent")
@click.option("--version", "digest", help="Show an older version; its first digits are enough.")
@common.json_option
@common.project_option
def show(agent: str, digest: str | None, as_json: bool, folder: Path) -> None:
    """Show an agent's card: what it may see, touch and never do, what needs approval, who answers for it."""
    from remit.evidence.shaping.agents import in_full  # noqa: PLC0415 - heavy
    from remit.storage import bundles  # noqa: PLC0415

    with common.services(folder) as services:
        governance = services.deployments.load()
        version = version_of(services, agent, digest)
        with services.sessions.transaction() as db:
            held = bundles.bundle_of(db, agent, version.digest) if digest is not None else None
            shown = in_full(governance, db, version, bundle=held)
    if as_json:
        common.print_json(shown)
    else:
        _print_card(shown)


def _print_card(shown: dict[str, Any]) -> None:
    common.heading(f"{shown['agent']}: {shown['title']}{' (SUSPENDED)' if shown['suspended'] else ''}")
    click.echo(f"  {common.clean(shown['purpose'])}")
    thinks = "" if shown["reasoning"] == "none" else f" with {shown['reasoning']} reasoning"
    what = f"model {shown['model']}{thinks}" if shown["kind"] == "model" else "program"
    common.line("runs as", f"{what}, {shown['layer']}, {shown['autonomy']}")
    for label in ("owner", "escalation", "workspace", "workflow"):
        common.line(label, shown[label])
    common.line("version", f"{shown['version']}{'' if shown['in_force'] else ' (not in force)'}")
    common.line("granted by", f"{shown['granted_by']}, signed with {shown['signed_with']}")
    _print_list("May see", [f"{title} ({name})" for name, title in shown["may_see"].items()])
    _print_list("May touch", [f"{title} ({name})" for name, title in shown["may_touch"].items()])
    _print_list("Must never", shown["never"])
    _print_list("Skills", [f"{s['name']}: {common.compact(s['description'])}" for s in shown["skills"]])
    known = shown["knowledge"]
    _print_list("Knowledge", [f"{known['passages']:,} passages of {known['files']} files"] if known["files"] else [])
    _print_list(
        "Needs approval",
        [f"{a['action']} by {' and '.join(a['roles'])}: {a['says']} ({a['where']})" for a in shown["needs_approval"]],
    )
    _print_list("Budget", [f"{per}: {common.compact(limit)}" for per, limit in shown["budget"].items()])
    _print_list("Gates", [f"{'open' if g['passed'] else 'SHUT'} {g['gate'].replace('_', ' ')}" for g in shown["gates"]])
    _print_list("Takes", [common.compact(shown["input"], 2_000)])
    _print_list("Versions", [f"{v['digest'][:12]} since {common.cell(v['deployed_at'])}" for v in shown["versions"]])


def _print_list(label: str, lines: Any) -> None:
    if lines:
        click.echo()
        common.heading(label)
    for text in lines:
        click.echo(f"  {common.cell(text)}")


@agents.command("diff")
@click.argument("agent")
@click.argument("old", required=False)
@click.argument("new", required=False)
@common.json_option
@common.project_option
def diff(agent: str, old: str | None, new: str | None, as_json: bool, folder: Path) -> None:
    """Compare two versions of an agent: by default the one before with the one in force.

    OLD and NEW are versions as `remit agents show` lists them; their first digits are enough.
    """
    from remit.governance.versions import differences, previous, resolve  # noqa: PLC0415 - heavy
    from remit.storage import bundles  # noqa: PLC0415

    with common.services(folder) as services:
        governance = services.deployments.load()
        with services.sessions.transaction() as db:
            known = [str(v["digest"]) for v in bundles.versions(db, agent)]
        if not known:
            must_be_agent(governance, agent)
        in_force = governance.project.agents.get(agent)
        latest = in_force.digest if in_force is not None else known[0]
        after = resolve(known, new, agent) if new is not None else latest
        before = resolve(known, old, agent) if old is not None else previous(known, after, agent)
        versions = [services.deployments.version(agent, digest) for digest in (before, after)]
    found = differences(*versions)
    if as_json:
        common.print_json(found)
    else:
        agent_files.print_differences(found)


def version_of(services: Services, agent: str, given: str | None) -> AgentVersion:
    """The version of an agent that somebody means by its first digits; without any the one in force."""
    from remit.governance.versions import resolve  # noqa: PLC0415 - heavy
    from remit.storage import bundles  # noqa: PLC0415

    governance = services.deployments.load()
    if given is None:
        must_be_agent(governance, agent)
        return governance.project.agents[agent]
    with services.sessions.transaction() as db:
        known = [str(v["digest"]) for v in bundles.versions(db, agent)]
    if not known:
        must_be_agent(governance, agent)
    return services.deployments.version(agent, resolve(known, given, agent))


agents.add_command(programs.walkthrough)
agents.add_command(tuning.tune)
agents.add_command(agent_files.knowledge)


@agents.command("suspend")
@click.argument("agent")
@common.reason_option
@common.as_option
@common.project_option
def suspend(agent: str, reason: str, person: str | None, folder: Path) -> None:
    """Suspend AGENT: from now on it can do nothing, until it is resumed. Its sessions keep what they have done."""
    _suspend(agent, reason, person, folder, suspended=True)
    click.echo(f"{agent} is suspended.")


@agents.command("resume")
@click.argument("agent")
@common.reason_option
@common.as_option
@common.project_option
def resume(agent: str, reason: str, person: str | None, folder: Path) -> None:
    """Take a suspended AGENT back into service."""
    _suspend(agent, reason, person, folder, suspended=False)
    click.echo(f"{agent} is in service again.")


def _suspend(agent: str, reason: str, person: str | None, folder: Path, *, suspended: bool) -> None:
    from remit.governance.suspending import set_suspended  # noqa: PLC0415 - heavy

    with common.services(folder) as services:
        who = common.decider(services, person)
        must_be_agent(services.deployments.load(), agent)
        with services.sessions.transaction() as db:
            set_suspended(db, agent, suspended=suspended, by=who.person, reason=reason)
