"""The off switch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from remit.surfaces.cli import common

if TYPE_CHECKING:
    from remit.domain.stops import StopScope


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"stop": stop, "release": release, "drill": drill}


def _scope_options(function: Any) -> Any:
    for option in (
        click.option("--action", metavar="TYPE", help="One action type, such as payments.refund."),
        click.option("--agent", metavar="AGENT", help="One agent."),
        click.option("--workspace", metavar="WORKSPACE", help="One workspace."),
        click.option("--all", "everything", is_flag=True, help="Everything."),
    ):
        function = option(function)
    return function


def _scope(everything: bool, workspace: str | None, agent: str | None, action: str | None) -> tuple[StopScope, str]:
    given = [(n, t) for n, t in (("workspace", workspace), ("agent", agent), ("action", action)) if t is not None]
    if everything:
        given.append(("all", ""))
    if len(given) != 1:
        raise click.UsageError("say exactly one of --all, --workspace, --agent and --action")
    return cast("tuple[StopScope, str]", given[0])


@click.command("stop")
@_scope_options
@click.option("--reason", help="Why; kept with the stop.")
@click.option("--list", "listing", is_flag=True, help="List the stops in force.")
@common.as_option
@common.json_option
@common.project_option
def stop(
    everything: bool,
    workspace: str | None,
    agent: str | None,
    action: str | None,
    reason: str | None,
    listing: bool,
    person: str | None,
    as_json: bool,
    folder: Path,
) -> None:
    """Stop everything, a workspace, an agent or an action type, at once.

    When this command returns, nothing that the stop covers is cleared any more. Calls under way finish and settle.
    """
    with common.services(folder) as services:
        if listing:
            _list(services, as_json)
            return
        scope, target = _scope(everything, workspace, agent, action)
        if not reason:
            raise click.UsageError("give a --reason; it is kept with the stop")
        who = common.decider(services, person)
        made = services.sessions.stop(scope, target, reason, who.person)
    common.print_json(made) if as_json else click.echo(f"{made.id}: {scope} {target} is stopped".replace("  ", " "))


def _list(services: Any, as_json: bool) -> None:
    from remit.storage import stops  # noqa: PLC0415

    with services.sessions.transaction() as db:
        found = stops.in_force(db)
    if as_json:
        common.print_json(found)
        return
    rows = [(s.id, s.scope, s.target, s.reason, s.by, s.at) for s in found]
    common.table(("stop", "scope", "target", "reason", "by", "since"), rows, empty="Nothing is stopped.")


@click.command("release")
@_scope_options
@common.reason_option
@common.as_option
@common.json_option
@common.project_option
def release(
    everything: bool,
    workspace: str | None,
    agent: str | None,
    action: str | None,
    reason: str,
    person: str | None,
    as_json: bool,
    folder: Path,
) -> None:
    """Release a stop. Work that it had ended goes on from where it was."""
    scope, target = _scope(everything, workspace, agent, action)
    with common.services(folder) as services:
        who = common.decider(services, person)
        released, turns = services.sessions.release(scope, target, who.person, reason)
    if as_json:
        common.print_json({"released": released, "turns": turns})
    else:
        click.echo(f"released {', '.join(s.id for s in released)}; {turns} turn(s) go on")


@click.command("drill")
@_scope_options
@common.reason_option
@common.as_option
@common.json_option
@common.project_option
def drill(
    everything: bool,
    workspace: str | None,
    agent: str | None,
    action: str | None,
    reason: str,
    person: str | None,
    as_json: bool,
    folder: Path,
) -> int:
    """Rehearse the off switch: stop, measure how long until nothing is at work, release, and record the figures."""
    scope, target = _scope(everything, workspace, agent, action)
    with common.services(folder) as services:
        who = common.decider(services, person)
        done = services.sessions.drill(scope, target, reason, who.person)
    if as_json:
        common.print_json(done)
    else:
        click.echo(f"in force after {done.seconds_to_commit} s, nothing at work after {done.seconds_to_quiet} s more")
        click.echo(f"cleared after it was in force: {done.cleared_after}; still at work: {done.still_at_work}")
        click.echo(f"{done.turns_resumed} turn(s) go on")
    return 1 if done.cleared_after or done.still_at_work else 0
