"""What agents remember: look at it, correct it, review it, erase it, take it along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from remit.evidence.shapes import flow
from remit.surfaces.cli import common


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"memory": memory}


@click.group("memory", cls=common.Noun)
def memory() -> None:
    """List, show, correct, review, erase and export what agents remember."""


def _filters(function: Any) -> Any:
    for option in (
        click.option("--agent", help="Only what this agent remembered."),
        click.option("--workspace", help="Only of this workspace."),
        click.option("--scope", type=click.Choice(["agent", "workspace", "person"]), help="Only of this scope."),
        click.option("--subject", metavar="NAME", help="Only about this agent, workspace or person, by the scope."),
        click.option("--key", metavar="PREFIX", help="Only keys that begin with this."),
        click.option("--session", "session_id", metavar="ID", help="Only what was learned in this session."),
        click.option("--unreviewed", is_flag=True, help="Only what nobody has reviewed."),
        click.option("--all", "everything", is_flag=True, help="Replaced, erased and expired ones too."),
    ):
        function = option(function)
    return function


@memory.command("list")
@_filters
@click.option("--before", metavar="ID", help="The page before this memory.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Most memory_care.")
@common.json_option
@common.project_option
def list_(as_json: bool, folder: Path, **filters: Any) -> None:
    """List memories in force, newest first, without what they say."""
    from remit.storage import memory_care  # noqa: PLC0415

    with common.services(folder) as services, services.sessions.transaction() as db:
        found = memory_care.listing(db, **filters)
    if as_json:
        common.print_json([_shape(row) for row in found])
        return
    rows = [(m["id"], m["scope"], m["subject"], m["key"], m["by"], m["expires_at"], m["uses"]) for m in found]
    common.table(
        ("memory", "scope", "of", "key", "by", "expires", "uses"), rows, empty="Nothing is remembered that fits."
    )


def _shape(row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in flow.MEMORY if name != "status"}
    return {**shown, "status": row["ended_why"] or "in force"}


@memory.command("show")
@click.argument("memory_id")
@common.as_option
@common.json_option
@common.project_option
def show(memory_id: str, person: str | None, as_json: bool, folder: Path) -> None:
    """Show MEMORY_ID: what, why, from which session or question, by whom, until when, and where it was used.

    What is remembered for a person is shown to that person and to the reviewers only.
    """
    from remit.errors import NotEntitled  # noqa: PLC0415
    from remit.governance.memory import may_see, reviewers  # noqa: PLC0415
    from remit.storage import memory_care  # noqa: PLC0415

    with common.services(folder) as services:
        governance = services.deployments.load()
        with services.sessions.transaction() as db:
            found = memory_care.get(db, memory_id)
            used = memory_care.uses(db, memory_id)
        allowed = reviewers(governance, found)
        if found["scope"] == "person" and not may_see(governance, found, common.decider(services, person).person):
            raise NotEntitled(
                f"{memory_id} is remembered for {found['subject']}", advice=f"Ask one of: {', '.join(allowed)}."
            )
    shown = {
        **_shape({**found, "uses": len(used)}),
        "value": found["value"],
        "reviewers": list(allowed),
        "used": [{name: use[name] for name in flow.MEMORY_USE} for use in used],
    }
    common.print_json(shown) if as_json else _print(shown)


def _print(shown: dict[str, Any]) -> None:
    common.heading(f"{shown['id']}  {shown['status']}")
    common.line("key", shown["key"])
    gone = "(gone)" if shown["erased_at"] is not None else common.compact(shown["value"], 2_000)
    common.line("value", gone)
    common.line("why", shown["why"])
    common.line("scope", f"{shown['scope']} {shown['subject']}")
    common.line("by", f"{shown['by']} {shown['created_at']:%Y-%m-%d %H:%M}")
    common.line("from session", shown["session_id"])
    common.line("from question", shown["item_id"])
    common.line("labels", ", ".join(shown["labels"]))
    common.line("expires", shown["expires_at"])
    common.line("reviewed by", shown["reviewed_by"])
    common.line("ended", f"{shown['ended_by']} {shown['ended_at']:%Y-%m-%d %H:%M}" if shown["ended_at"] else None)
    common.line("replaced by", shown["replaced_by"])
    common.line("may review", ", ".join(shown["reviewers"]))
    for use in shown["used"]:
        common.line("used", f"{use['at']:%Y-%m-%d %H:%M} {use['agent']} in {use['session_id']} ({use['action_id']})")


@memory.command("correct")
@click.argument("memory_id")
@click.argument("value")
@common.reason_option
@common.as_option
@common.json_option
@common.project_option
def correct(memory_id: str, value: str, reason: str, person: str | None, as_json: bool, folder: Path) -> None:
    """Replace what MEMORY_ID says by VALUE: JSON where it is JSON, else text; `@FILE` or `-` as everywhere.

    Sessions that used it before replay as they were; later ones get the correction.
    """
    from remit.storage import memory_care  # noqa: PLC0415

    new = _value(value)
    with common.services(folder) as services:
        who = _reviewer(services, memory_id, person)
        with services.sessions.transaction() as db:
            made = memory_care.correct(db, memory_id, new, who, reason)
    common.print_json({"id": made, "replaces": memory_id}) if as_json else click.echo(
        f"{memory_id}: replaced by {made}"
    )


@memory.command("review")
@click.argument("memory_id")
@common.reason_option
@common.as_option
@common.json_option
@common.project_option
def review(memory_id: str, reason: str, person: str | None, as_json: bool, folder: Path) -> None:
    """Say that MEMORY_ID is right."""
    from remit.storage import memory_care  # noqa: PLC0415

    with common.services(folder) as services:
        who = _reviewer(services, memory_id, person)
        with services.sessions.transaction() as db:
            memory_care.review(db, memory_id, who, reason)
    shown = {"id": memory_id, "reviewed_by": who}
    common.print_json(shown) if as_json else click.echo(f"{memory_id}: reviewed by {who}")


@memory.command("erase")
@click.argument("memory_id")
@common.reason_option
@common.as_option
@common.json_option
@common.project_option
def erase(memory_id: str, reason: str, person: str | None, as_json: bool, folder: Path) -> None:
    """Erase MEMORY_ID and what it had replaced. It cannot be brought back; the record's proof stays whole.

    Sessions that learned or used it keep their own contents; they are named, and `remit audit erase --session` erases
    them once they have ended.
    """
    from remit.storage import memory_care  # noqa: PLC0415

    with common.services(folder) as services:
        who = _reviewer(services, memory_id, person)
        with services.sessions.transaction() as db:
            erased = memory_care.erase(db, memory_id, who, reason)
            left = memory_care.sessions_of(db, erased)
    if as_json:
        common.print_json({"erased": erased, "sessions": left})
        return
    click.echo(f"{memory_id}: erased" + (f", with {len(erased) - 1} before it" if len(erased) > 1 else ""))
    for session in left:
        click.echo(f"  {session} still holds it: remit audit erase --session {session}")


@memory.command("export")
@_filters
@common.as_option
@common.json_option
@common.project_option
def export(person: str | None, as_json: bool, folder: Path, **filters: Any) -> None:
    """Print memories with what they say as JSON lines: those that you may see. The export is recorded.

    With `--json` they are one list.
    """
    import json  # noqa: PLC0415

    from remit.governance.memory import may_see  # noqa: PLC0415
    from remit.storage import memory_care  # noqa: PLC0415

    with common.services(folder) as services:
        who = common.decider(services, person).person
        governance = services.deployments.load()
        with services.sessions.transaction() as db:
            seen = [m for m in memory_care.pages(db, **filters) if may_see(governance, m, who)]
            lines = [{**_shape(m), "value": memory_care.get(db, m["id"])["value"]} for m in seen]
            memory_care.exported(db, who, len(lines), {k: v for k, v in filters.items() if v})
    if as_json:
        common.print_json(lines)
        return
    for line in lines:
        click.echo(json.dumps(common.plain(line), ensure_ascii=False, sort_keys=True))


def _reviewer(services: Any, memory_id: str, person: str | None) -> str:
    """Whoever decides about a memory. Raises NotEntitled."""
    from remit.governance.memory import must_review  # noqa: PLC0415
    from remit.storage import memory_care  # noqa: PLC0415

    who = common.decider(services, person).person
    with services.sessions.transaction() as db:
        found = memory_care.get(db, memory_id)
    must_review(services.deployments.load(), found, who)
    return str(who)


def _value(text: str) -> Any:
    from remit.errors import InvalidInput  # noqa: PLC0415

    try:
        return common.read_input(text)
    except InvalidInput:
        if text.startswith("@") or text == "-":
            raise
        return text
