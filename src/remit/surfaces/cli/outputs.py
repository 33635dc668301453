"""Outputs: what agents published, and what their readers make of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from remit.evidence.shaping import flow as shaping
from remit.surfaces.cli import common


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"outputs": outputs_}


@click.group("outputs", cls=common.Noun)
def outputs_() -> None:
    """List, show, accept, edit, reject and dispute what agents published."""


@outputs_.command("list")
@click.option("--status", type=click.Choice(["open", "accepted", "edited", "rejected", "disputed"]), help="Only these.")
@click.option("--agent", help="Only this agent's.")
@click.option("--workspace", help="Only this workspace's.")
@click.option("--session", "session_id", metavar="ID", help="Only this session's.")
@click.option("--kind", type=click.Choice(["draft", "report", "list", "file", "other"]), help="Only this kind.")
@click.option("--every-version", is_flag=True, help="Older versions too.")
@click.option("--before", metavar="ID", help="The page before this output's id.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Most outputs.")
@common.json_option
@common.project_option
def list_(as_json: bool, folder: Path, **filters: Any) -> None:
    """List outputs, newest first; of each its newest version."""
    with common.services(folder) as services, services.sessions.transaction() as db:
        from remit.storage import outputs  # noqa: PLC0415 - heavy

        found = [shaping.output(row) for row in outputs.listing(db, **filters)]
    if as_json:
        common.print_json(found)
        return
    rows = [(o["id"], o["status"], o["kind"], o["title"], o["version"], o["agent"], o["created_at"]) for o in found]
    columns = ("output", "status", "kind", "title", "version", "agent", "published")
    common.table(columns, rows, empty="There is no output. Agents publish them by `remit.publish`.")


@outputs_.command("show")
@click.argument("output_id", metavar="ID")
@common.json_option
@common.project_option
def show(output_id: str, as_json: bool, folder: Path) -> None:
    """Show an output: what it says, where it came from, its versions, and what readers made of them."""
    with common.services(folder) as services, services.sessions.transaction() as db:
        shown = shaping.output_in_full(db, output_id)
    if as_json:
        common.print_json(shown)
        return
    common.heading(f"{shown['id']}  {shown['status']}  {shown['title']}")
    common.line("kind", f"{shown['kind']}, version {shown['version']} of {shown['name']}")
    common.line("by", shown["by"])
    common.line("session", shown["session_id"])
    common.line("action", shown["action_id"])
    common.line("decided by", shown["decided_by"])
    common.line("reason", shown["reason"])
    for row in shown["versions"]:
        if row["id"] != shown["id"]:
            common.line(f"version {row['version']}", f"{row['id']} by {row['by']}, {row['status']}")
    click.echo()
    _print_body(shown["body"])


def _print_body(body: Any) -> None:
    if isinstance(body, str):
        click.echo(common.clean(body))
    elif body is None:
        click.echo("It has no contents, or they were erased.")
    else:
        common.print_json(body)


def _verb(name: str, verdict: str, doc: str, *, reason_needed: bool) -> None:
    @outputs_.command(name, help=doc)
    @click.argument("output_id", metavar="ID")
    @click.option("--reason", required=reason_needed, default="", help="Why; kept with the decision.")
    @common.as_option
    @common.json_option
    @common.project_option
    def decide(output_id: str, reason: str, person: str | None, as_json: bool, folder: Path) -> None:
        _review(folder, output_id, verdict, reason, person, as_json=as_json)


_verb("accept", "accepted", "Accept an output as it is.", reason_needed=False)
_verb("reject", "rejected", "Reject an output, with a reason.", reason_needed=True)
_verb(
    "dispute",
    "disputed",
    "Dispute an output, also one that was accepted: its agent's owner is asked to look.",
    reason_needed=True,
)


@outputs_.command("edit")
@click.argument("output_id", metavar="ID")
@click.option("--body", "body", required=True, metavar="FILE", help="Your version: a file, or - for standard input.")
@click.option("--reason", default="", help="Why; kept with the decision.")
@common.as_option
@common.json_option
@common.project_option
def edit(output_id: str, body: str, reason: str, person: str | None, as_json: bool, folder: Path) -> None:
    """Replace an output by your own version of it.

    Give text for an output that is text, JSON for every other one.
    """
    _review(folder, output_id, "edited", reason, person, as_json=as_json, body=_read(body))


def _review(
    folder: Path,
    output_id: str,
    verdict: Any,
    reason: str,
    person: str | None,
    *,
    as_json: bool,
    body: str | None = None,
) -> None:
    from remit.governance import reviews  # noqa: PLC0415 - heavy
    from remit.storage import outputs  # noqa: PLC0415

    with common.services(folder) as services:
        reader = common.decider(services, person)
        governance = services.deployments.load()
        with services.sessions.transaction() as db:
            contents = None if body is None else reviews.read_body(outputs.body(db, output_id), body)
            done = reviews.review(db, governance, output_id, verdict, reader, reason, body=contents)
    if as_json:
        common.print_json(shaping.output(done))
    elif verdict == "edited":
        click.echo(f"{output_id} is replaced by {done['id']}, version {done['version']}.")
    else:
        click.echo(f"{output_id} is {verdict}.")


def _read(name: str) -> str:
    from remit.errors import InvalidInput  # noqa: PLC0415

    if name == "-":
        return sys.stdin.read()
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{name} cannot be read: {error}") from None
