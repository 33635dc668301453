"""Talking in sessions, and going on from them in new ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from remit.surfaces.cli import common


@click.command("message", context_settings={"ignore_unknown_options": True})
@click.argument("session_id")
@click.argument("text")
@click.option("--to", metavar="AGENT", help="The agent that answers, where TEXT does not begin with `@AGENT`.")
@common.as_option
@common.project_option
def message(session_id: str, text: str, to: str | None, person: str | None, folder: Path) -> None:
    """Say TEXT in a session; its agent answers in a new turn.

    A text that begins with `@AGENT` is answered by that agent of the same workspace; the next one is the session's own
    agent's again. JSON where TEXT is a JSON object or list, else text; `-` is standard input. A program gets a text as
    its only input; `docs/how-to/work-in-a-session.md` says how.
    """
    contents = said(sys.stdin.read() if text == "-" else text)
    with common.services(folder) as services:
        who = common.decider(services, person)
        click.echo(services.sessions.message(session_id, f"person:{who.person}", contents, to=to))


@click.command("fork")
@click.argument("session_id")
@click.option(
    "--at", metavar="TURN[:KEY]", help="The turn, or the place in it, that is done anew; default: where it is."
)
@click.option("--message", "text", metavar="TEXT", help="Begin with this instead, after all that was said before.")
@click.option("--dry-run", is_flag=True, help="Only say what would be history and what would be new.")
@common.as_option
@common.json_option
@common.project_option
def fork(
    session_id: str, at: str | None, text: str | None, dry_run: bool, person: str | None, as_json: bool, folder: Path
) -> None:
    """Go on from some point of a session in a new one; the old one stays as it is.

    What was done before the point is history and is not done again. What comes behind it is new, and is judged anew.
    """
    with common.services(folder) as services:
        if dry_run:
            made, plan = None, services.sessions.plan_fork(session_id, at, said=text is not None)
        else:
            who = common.decider(services, person)
            contents = None if text is None else said(text)
            made, plan = services.sessions.fork(
                session_id, f"person:{who.person}", at=at, message=contents, simulated=who.simulated
            )
    if as_json:
        from remit.evidence.shaping.work import fork as shape  # noqa: PLC0415 - heavy

        common.print_json(shape(made, plan))
    else:
        _print(made, plan)


def said(text: str) -> Any:
    """A message as it was typed: JSON where it is a JSON object or list, else text."""
    from remit.runtime.messages import typed  # noqa: PLC0415 - heavy

    if not text.strip():
        raise click.UsageError("there is nothing to say")
    return typed(text)


def _print(made: str | None, plan: Any) -> None:
    where = f" at {plan.point}" if plan.point else ""
    common.heading(f"{made or 'a fork'} of {plan.session}{where}")
    common.line("turns before", len(plan.turns))
    _print_effects("history: what was done before, and is not done again", plan.history)
    _print_effects(
        "new: what that session did behind this point; the fork asks for it, or for something else", plan.anew
    )
    if plan.repeats:
        keys = ", ".join(effect.key for effect in plan.repeats)
        click.secho(f"  {keys} changed something, or may have: the fork may do it a second time", fg="yellow")


def _print_effects(title: str, effects: tuple[Any, ...]) -> None:
    if effects:
        click.echo(f"  {title}")
    for effect in effects:
        kind = "writes" if effect.writes else "reads" if effect.mode == "tool" else effect.mode
        click.echo(f"    {effect.key:>6}  {common.cell(effect.action):<28} {effect.status:<10} {kind}")
