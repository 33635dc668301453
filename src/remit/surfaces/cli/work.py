"""Sessions: start, find, show, and move them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from remit.surfaces.cli import common, following, programs, talking


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"start": start, "sessions": sessions_, "session": session}


@click.command("start")
@click.argument("agent")
@click.option("--input", "given", default="{}", metavar="JSON", help="JSON, @FILE, or - for standard input.")
@click.option("--request-id", help="Your own id of the request, such as a ticket number.")
@click.option("--title", default="", help="A few words for lists.")
@click.option("--wait", is_flag=True, help="Wait until the session waits for somebody or has ended.")
@click.option("--timeout", type=click.FloatRange(min=0), default=120, show_default=True, help="Most seconds to wait.")
@common.as_option
@common.json_option
@common.project_option
def start(
    agent: str,
    given: str,
    request_id: str | None,
    title: str,
    wait: bool,
    timeout: float,
    person: str | None,
    as_json: bool,
    folder: Path,
) -> int:
    """Start a session with AGENT."""
    value = common.read_input(given)
    with common.services(folder) as services:
        from remit.runtime.sessions import Start  # noqa: PLC0415 - heavy

        who = common.decider(services, person)
        session_id = services.sessions.start(
            Start(
                agent=agent,
                input=value,
                principal=f"person:{who.person}",
                request_id=request_id,
                title=title,
                simulated=who.simulated,
            )
        )
        if not wait:
            common.print_json({"id": session_id}) if as_json else click.echo(session_id)
            return 0
        shown = _wait(services, session_id, timeout)
    if as_json:
        common.print_json(shown)
    else:
        _print_session(shown)
    return 1 if shown["status"] in {"running", "failed", "cancelled"} else 0


def _wait(services: Any, session_id: str, timeout: float) -> dict[str, Any]:
    """Wait until the session is at rest; says so where nobody works on it."""
    from remit.storage import delegations, executors  # noqa: PLC0415

    until = time.monotonic() + timeout
    told = False
    while True:
        with services.sessions.transaction() as db:
            resting = delegations.resting(db, session_id)
            if resting or time.monotonic() > until:
                break
            alone = not told and not executors.live(db)
        if alone:
            click.echo("No worker runs; start one with `remit up` in another terminal. Waiting…", err=True)
            told = True
        time.sleep(0.1)
    if not resting:
        click.echo(f"{session_id} still runs after {timeout:g} seconds; it goes on.", err=True)
    with services.sessions.transaction() as db:
        from remit.evidence.shaping import work as shaping  # noqa: PLC0415

        return shaping.session(db, session_id)


@click.group("sessions", cls=common.Noun)
def sessions_() -> None:
    """List and find sessions, newest first; follow what happens in them."""


sessions_.add_command(following.follow_all)


@sessions_.command("list")
@click.option("--text", metavar="WORDS", help='Only those with these words in title, messages or outputs; "in order".')
@click.option(
    "--status",
    type=click.Choice(["running", "waiting", "paused", "finished", "failed", "cancelled"]),
    help="Only these.",
)
@click.option("--agent", help="Only those in which this agent works.")
@click.option("--person", help="Only those that this person started or wrote in, or that act for them.")
@click.option("--label", help="Only those that have touched this: `untrusted`, `private`.")
@click.option("--trigger", help="Only those that this kind of thing started: `person`, `schedule`, `agent`, …")
@click.option("--before", help="The page before this session's id.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Most sessions.")
@common.json_option
@common.project_option
def list_(before: str | None, limit: int, as_json: bool, folder: Path, **wanted: str | None) -> None:
    """List sessions, newest first."""
    with common.services(folder) as services, services.sessions.transaction() as db:
        from remit.evidence.shaping.work import summary  # noqa: PLC0415 - heavy
        from remit.storage import session_search  # noqa: PLC0415

        found = session_search.find(db, session_search.Wanted(**wanted), before=before, limit=limit)
    if as_json:
        common.print_json([summary(s) for s in found])
        return
    rows = [(s.id, s.status, s.agent, s.title or s.request_id, s.reason, s.created_at) for s in found]
    common.table(
        ("session", "status", "agent", "title or request", "because", "started"),
        rows,
        empty="No session fits. `remit sessions` lists the newest."
        if before or any(wanted.values())
        else "No sessions. Start one with `remit start AGENT --input JSON`.",
    )


@click.group("session")
def session() -> None:
    """Show, follow, message, fork, pause, resume or cancel a session."""


for _command in (talking.message, talking.fork, following.follow, programs.source, programs.why, programs.replay):
    session.add_command(_command)


@session.command("show")
@click.argument("session_id")
@common.json_option
@common.project_option
def show(session_id: str, as_json: bool, folder: Path) -> None:
    """Show a session: its turns, every action with its decision, and what waits."""
    with common.services(folder) as services, services.sessions.transaction() as db:
        from remit.evidence.shaping import work as shaping  # noqa: PLC0415 - heavy

        shown = shaping.session(db, session_id)
    if as_json:
        common.print_json(shown)
    else:
        _print_session(shown)


def _mover(name: str, doc: str) -> None:
    @session.command(name, help=doc)
    @click.argument("session_id")
    @common.reason_option
    @common.as_option
    @common.project_option
    def move(session_id: str, reason: str, person: str | None, folder: Path) -> None:
        with common.services(folder) as services:
            who = common.decider(services, person)
            getattr(services.sessions, name)(session_id, who.person, reason)
            click.echo(f"{session_id}: {name} done")


_mover("pause", "Set a session aside: it ends between two actions, and what is under way settles.")
_mover("resume", "Take a paused session up again.")
_mover("cancel", "End a session for good.")


def _print_session(shown: dict[str, Any]) -> None:
    common.heading(f"{shown['id']}  {shown['status']}{': ' + shown['reason'] if shown['reason'] else ''}")
    common.line("agent", f"{shown['agent']} (version {shown['agent_version'][:12]})")
    common.line("request", shown["request_id"])
    common.line("started by", f"{shown['principal']}{' (simulated)' if shown['simulated'] else ''}")
    common.line("delegated by", shown["parent_id"])
    if shown["forked_from"]:
        common.line("forked from", f"{shown['forked_from']} {shown['fork_point'] and 'at ' + shown['fork_point']}")
        common.line("history", f"{len(shown['inherits'])} turns")
    common.line("labels", ", ".join(sorted(shown["labels"])))
    common.line("cost", f"{shown['usd']} USD, {shown['tokens']} tokens")
    for turn in shown["turns"]:
        click.echo()
        to = f" to @{turn['agent']}" if turn["agent"] != shown["agent"] else ""
        common.heading(f"{turn['id']}  {turn['status']}  {turn['author']}{to}")
        common.line("input", common.compact(turn["input"]))
        common.line("output", common.compact(turn["output"]) if turn["output"] is not None else None)
        common.line("error", turn["error"])
        for made in shown["actions"]:
            if made["turn_id"] == turn["id"]:
                _print_action(made)
    for child in shown["children"]:
        click.echo()
        common.heading(f"delegated: {child['id']}  {child['status']}  {child['agent']}")
        common.line("by", f"{child['turn_id']}:{child['key']}" if child["key"] else None)
    common.line("forks", ", ".join(shown["forks"]))
    for waiting in shown["items"]:
        if waiting["status"] == "open":
            click.echo()
            common.heading(f"waits: {waiting['id']} ({waiting['kind']}) for {', '.join(waiting['assignees'])}")


def _print_action(made: dict[str, Any]) -> None:
    reasons = ", ".join(r["code"] for r in made["reasons"])
    policies = ", ".join(made["policy_ids"])
    override = made["override"] or {}
    by = override.get("by")
    whence = f"remembered: {override['memory']}" if override.get("verdict") == "remembered" else ""
    click.echo(
        f"    {made['key']:>6}  {made['action']:<28} {made['status']:<10} "
        + "; ".join(p for p in (reasons, policies and f"by {policies}", by and f"decided by {by}", whence) if p)
    )
    if made["error"]:
        click.echo(f"            {common.compact(made['error'])}")
