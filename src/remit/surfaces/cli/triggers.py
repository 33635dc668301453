"""Triggers: what they did and will do; pausing, firing by hand, making up for what was missed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from remit.evidence.shaping import flow as shaping
from remit.surfaces.cli import common


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"triggers": triggers}


@click.group("triggers", cls=common.Noun)
def triggers() -> None:
    """List triggers; pause, resume and fire them, and make up for what they missed."""


@triggers.command("list")
@common.json_option
@common.project_option
def list_(as_json: bool, folder: Path) -> None:
    """List triggers with what they did last and when they are due next."""
    with common.services(folder) as services:
        found = [shaping.trigger(one) for one in services.triggers.listing()]
    if as_json:
        common.print_json(found)
        return
    rows = [
        (t["trigger"], t["when"], t["agent"], _last(t["last"]), "paused" if t["paused"] else t["next_at"])
        for t in found
    ]
    common.table(("trigger", "when", "agent", "last", "next"), rows, empty="No trigger is deployed.")


@triggers.command("history")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 1_000), default=30, show_default=True, help="How many at most.")
@common.json_option
@common.project_option
def history(name: str, limit: int, as_json: bool, folder: Path) -> None:
    """What a trigger started, left out and could not start, newest first."""
    with common.services(folder) as services:
        found = services.triggers.history(name, limit=limit)
    if as_json:
        common.print_json(found)
        return
    rows = [(f.at, f.status, f.key, f.session_id, f.reason) for f in found]
    common.table(("at", "what", "key", "session", "reason"), rows, empty="It has not fired yet.")


@triggers.command("pause")
@click.argument("name")
@common.reason_option
@common.as_option
@common.project_option
def pause(name: str, reason: str, person: str | None, folder: Path) -> None:
    """Let a trigger fire no more until it is resumed. Webhooks then tell their senders to try again later."""
    with common.services(folder) as services:
        services.triggers.pause(name, f"person:{common.decider(services, person).person}", reason)
    click.echo(f"{name} is paused")


@triggers.command("resume")
@click.argument("name")
@common.reason_option
@common.as_option
@common.project_option
def resume(name: str, reason: str, person: str | None, folder: Path) -> None:
    """Let a paused trigger fire again. What was due meanwhile was missed; `missed` says what is done about it."""
    with common.services(folder) as services:
        services.triggers.resume(name, f"person:{common.decider(services, person).person}", reason)
    click.echo(f"{name} fires again")


@triggers.command("fire")
@click.argument("name")
@click.option("--input", "given", metavar="JSON", help="What the session starts with: JSON, @FILE or - for stdin.")
@click.option("--person", "whose", metavar="PERSON", help="Of a schedule for several people: only this one's session.")
@common.as_option
@common.json_option
@common.project_option
def fire(name: str, given: str | None, whose: str | None, person: str | None, as_json: bool, folder: Path) -> int:
    """Start now what a trigger would start. You have asked for it, so you can approve nothing in it."""
    with common.services(folder) as services:
        who = common.decider(services, person)
        value = common.read_input(given) if given is not None else None
        fired = services.triggers.fire(name, who.person, value, person=whose, simulated=who.simulated)
    found = [shaping.fired(f) for f in fired]
    if as_json:
        common.print_json(found)
    else:
        for one in found:
            click.echo(common.cell(one["session_id"] or f"{one['status']}: {one['reason']}"))
    return 0 if all(f.status == "started" for f in fired) else 1


@triggers.command("backfill")
@click.argument("name")
@click.option("--since", required=True, metavar="TIME", help="ISO 8601; without a zone it is UTC.")
@click.option("--until", metavar="TIME", help="ISO 8601; default: now.")
@click.option("--person", "whose", metavar="PERSON", help="Of a schedule for several people: only this one's sessions.")
@click.option("--dry-run", is_flag=True, help="Start nothing, and say what is missing.")
@common.as_option
@common.json_option
@common.project_option
def backfill(
    name: str,
    since: str,
    until: str | None,
    whose: str | None,
    dry_run: bool,
    person: str | None,
    as_json: bool,
    folder: Path,
) -> int:
    """Start what a schedule should have started between two times and has not, each once however often you ask."""
    start, end = _time(since), _time(until) if until is not None else datetime.now(UTC)
    with common.services(folder) as services:
        who = common.decider(services, person)
        made = services.triggers.backfill(
            name, who.person, start, end, person=whose, dry=dry_run, simulated=who.simulated
        )
    found = [
        {
            "due_at": due,
            "person": of or None,
            "status": fired.status if fired is not None else "missing",
            "session_id": fired.session_id if fired is not None else None,
            "reason": fired.reason if fired is not None else "",
        }
        for due, of, fired in made
    ]
    if as_json:
        common.print_json(found)
    else:
        rows = [(f["due_at"], f["person"], f["status"], f["session_id"], f["reason"]) for f in found]
        common.table(("due", "person", "what", "session", "reason"), rows, empty="Nothing is missing.")
    return 1 if any(f["status"] == "refused" for f in found) else 0


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"{text!r} is no time such as 2026-03-02T09:00") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _last(firing: Any) -> str:
    return f"{firing.status} {common.cell(firing.at)}" if firing is not None else ""
