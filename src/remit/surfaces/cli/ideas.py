"""Ideas: say what you would like to see, and follow it until it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from remit.evidence.shaping import flow as shaping
from remit.surfaces.cli import common


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"idea": idea, "ideas": ideas}


@click.command("idea")
@click.argument("words")
@click.option("--agent", help="The agent that it is about; with a session, that session's.")
@click.option("--session", "session_id", metavar="ID", help="The session in which it came up, as context.")
@common.as_option
@common.json_option
@common.project_option
def idea(
    words: str, agent: str | None, session_id: str | None, person: str | None, as_json: bool, folder: Path
) -> None:
    """Say what you would like to see; it goes to the agent's owner, and you are told what becomes of it."""
    from remit.governance.ideas import NewIdea, submit, words_of  # noqa: PLC0415

    with common.services(folder) as services:
        who = common.decider(services, person)
        governance = services.deployments.load()
        new = NewIdea(agent, f"person:{who.person}", words_of(words) or words, session_id)
        with services.sessions.transaction() as db:
            found = submit(db, governance, new)
    common.print_json(shaping.idea(found)) if as_json else click.echo(found["id"])


@click.group("ideas", cls=common.Noun)
def ideas() -> None:
    """List, show, accept, ship and decline ideas."""


@ideas.command("list")
@click.option(
    "--status",
    type=click.Choice(["open", "accepted", "shipped", "declined"]),
    help="Only these; default: undecided ones.",
)
@click.option("--all", "everything", is_flag=True, help="Shipped and declined ones too.")
@click.option("--agent", help="Only about this agent.")
@click.option("--person", metavar="PERSON", help="Only this person's.")
@click.option("--session", "session_id", metavar="ID", help="Only from this session.")
@click.option("--before", metavar="ID", help="The page before this idea.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Most ideas.")
@common.json_option
@common.project_option
def list_(
    status: str | None, everything: bool, person: str | None, as_json: bool, folder: Path, **filters: Any
) -> None:
    """List ideas, newest first."""
    from remit.storage import ideas as stored  # noqa: PLC0415

    requester = f"person:{person}" if person is not None else None
    with common.services(folder) as services, services.sessions.transaction() as db:
        undecided = status is None and not everything
        found = stored.listing(db, status=status, undecided=undecided, requester=requester, **filters)
    if as_json:
        common.print_json([shaping.idea(row) for row in found])
        return
    rows = [(i["id"], i["status"], i["agent"], i["requester"], i["words"], i["shipped_in"]) for i in found]
    common.table(("idea", "status", "agent", "by", "what", "shipped in"), rows, empty="There are no ideas that fit.")


@ideas.command("show")
@click.argument("idea_id")
@common.json_option
@common.project_option
def show(idea_id: str, as_json: bool, folder: Path) -> None:
    """Show IDEA_ID, and where it came up."""
    from remit.storage import ideas as stored  # noqa: PLC0415

    with common.services(folder) as services, services.sessions.transaction() as db:
        found = stored.get(db, idea_id)
    if as_json:
        common.print_json(shaping.idea(found))
        return
    common.heading(f"{found['id']}  {found['status']}")
    common.line("what", found["words"] if found["words"] is not None else "(erased)")
    common.line("by", f"{found['requester']} {found['created_at']:%Y-%m-%d %H:%M}")
    common.line("agent", found["agent"])
    common.line("session", found["session_id"])
    common.line("item", found["item_id"])
    common.line("decided by", found["decided_by"])
    common.line("because", found["reason"])
    common.line("shipped in", found["shipped_in"])


@ideas.command("accept")
@click.argument("idea_id")
@click.option("--reason", default="", help="What you will do about it.")
@common.as_option
@common.json_option
@common.project_option
def accept(idea_id: str, reason: str, person: str | None, as_json: bool, folder: Path) -> None:
    """Take IDEA_ID up."""
    _decide(folder, person, as_json, "accept", idea_id, reason)


@ideas.command("ship")
@click.argument("idea_id")
@click.option("--in", "where", required=True, metavar="WHERE", help="The version, output or release that has it.")
@click.option("--reason", default="", help="What its requester should know.")
@common.as_option
@common.json_option
@common.project_option
def ship(idea_id: str, where: str, reason: str, person: str | None, as_json: bool, folder: Path) -> None:
    """Say that IDEA_ID is there now, and where."""
    _decide(folder, person, as_json, "ship", idea_id, where, reason)


@ideas.command("decline")
@click.argument("idea_id")
@common.reason_option
@common.as_option
@common.json_option
@common.project_option
def decline(idea_id: str, reason: str, person: str | None, as_json: bool, folder: Path) -> None:
    """Decline IDEA_ID; whoever had it is told why."""
    _decide(folder, person, as_json, "decline", idea_id, reason)


def _decide(folder: Path, person: str | None, as_json: bool, verb: str, idea_id: str, *words: str) -> None:
    from remit.governance import ideas as deciding  # noqa: PLC0415

    with common.services(folder) as services:
        who = common.decider(services, person)
        governance = services.deployments.load()
        with services.sessions.transaction() as db:
            done = getattr(deciding, verb)(db, governance, idea_id, who, *words)
    common.print_json(shaping.idea(done)) if as_json else click.echo(f"{done['id']}: {done['status']} by {who.person}")
