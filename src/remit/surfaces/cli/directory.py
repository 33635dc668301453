"""People and budgets as they are in force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from remit.evidence.shaping import flow as shaping
from remit.surfaces.cli import common


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"people": people, "budgets": budgets}


@click.command("people")
@common.json_option
@common.project_option
def people(as_json: bool, folder: Path) -> None:
    """List people, their roles and reporting lines, as deployed."""
    with common.services(folder) as services:
        directory = services.deployments.load().project.directory
    if as_json:
        common.print_json([shaping.person(directory, p) for p in directory.people])
        return
    rows = [
        (p.id, p.name, p.status, ", ".join(p.roles), " > ".join(m.id for m in directory.chain(p.id)))
        for p in directory.people
    ]
    common.table(("person", "name", "status", "roles", "reports to"), rows, empty="The directory is empty.")


@click.command("budgets")
@click.option("--prefix", default="", help="Only those whose id begins so: `agent:refund-desk`, `session:`, `cap:`.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Most budgets.")
@common.json_option
@common.project_option
def budgets(prefix: str, limit: int, as_json: bool, folder: Path) -> None:
    """Say what was reserved and spent, and what is left, newest budgets first.

    A budget comes into being when the first action draws on it. Money of a `cap:` is in the currency that its id names,
    all other money is in USD.
    """
    from remit.storage import budgets as rows  # noqa: PLC0415 - heavy

    with common.services(folder) as services, services.sessions.transaction() as db:
        found = [_shape(row) for row in rows.listing(db, prefix, limit)]
    if as_json:
        common.print_json(found)
        return
    shown = [
        (b["id"], _kind(b["money"]), _kind(b["tokens"]), _kind(b["calls"]), "blocked" if b["blocked"] else "")
        for b in found
    ]
    common.table(("budget", "money", "tokens", "calls", ""), shown, empty="Nothing was drawn on any budget yet.")


def _shape(row: dict[str, Any]) -> dict[str, Any]:
    """A budget in the shape of the reference."""
    parts = row["id"].split(":")
    money = _amounts(row, "usd")
    return {
        "id": row["id"],
        "currency": parts[2] if parts[0] == "cap" else "USD",
        "money": {name: None if value is None else common.usd(value) for name, value in money.items()},
        "tokens": _amounts(row, "tokens"),
        "calls": _amounts(row, "calls"),
        "blocked": row["blocked"],
    }


def _amounts(row: dict[str, Any], kind: str) -> dict[str, int | None]:
    limit, reserved, spent = row[f"{kind}_limit"], row[f"{kind}_reserved"], row[f"{kind}_spent"]
    left = None if limit is None else limit - reserved - spent
    return {"limit": limit, "reserved": reserved, "spent": spent, "left": left}


def _kind(amounts: dict[str, Any]) -> str:
    reserved = f" + {amounts['reserved']} reserved" if amounts["reserved"] not in {0, "0"} else ""
    limit = f" of {amounts['limit']}" if amounts["limit"] is not None else ""
    return f"{amounts['spent']}{reserved}{limit}"
