"""`remit agents tune`: other values of an agent's parameters, tried on past cases first."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from remit.surfaces.cli import common

if TYPE_CHECKING:
    from remit.bootstrap import Services
    from remit.evidence.replaying import Replayed
    from remit.evidence.tuning import Change


@click.command("tune")
@click.argument("agent", required=False)
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--reason", default="", help="Why; kept with the change and in its commit.")
@click.option("--preview", type=click.IntRange(0, 200), default=5, show_default=True, help="Past cases to try it on.")
@click.option("--dry-run", is_flag=True, help="Only check the values and try them; change nothing.")
@click.option("--apply", "apply_item", metavar="ITEM", help="Approve a change that waits, and make it.")
@click.option("--decline", "decline_item", metavar="ITEM", help="Decline a change that waits.")
@click.option("--key", type=click.Path(dir_okay=False, path_type=Path), help="Your private deploy key.")
@common.as_option
@common.json_option
@common.project_option
def tune(
    agent: str | None,
    values: tuple[str, ...],
    reason: str,
    preview: int,
    dry_run: bool,
    apply_item: str | None,
    decline_item: str | None,
    key: Path | None,
    person: str | None,
    as_json: bool,
    folder: Path,
) -> None:
    """Give AGENT's parameters other values: checked, tried on past cases, approved where declared, and deployed.

    A past case is run again on what was recorded, with the new values: no system is asked anything. Without values the
    parameters are listed. Where somebody else has to approve, an inbox item asks them, and `--apply` makes the change.
    """
    if apply_item is not None or decline_item is not None:
        _settle(folder, apply_item, decline_item, reason, person, key, as_json=as_json)
        return
    if agent is None:
        raise click.UsageError("say which agent: `remit agents tune AGENT NAME=VALUE --reason …`")
    if not values:
        _list(folder, agent, as_json=as_json)
        return
    if not reason.strip() and not dry_run:
        raise click.UsageError("say why: `--reason TEXT`")
    _ask(folder, agent, _given(values), reason, preview, person, key, dry_run=dry_run, as_json=as_json)


def _given(values: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{text!r} is not NAME=VALUE")
        found[name] = value
    return found


def _list(folder: Path, agent: str, *, as_json: bool) -> None:
    from remit.surfaces.cli.agents import version_of  # noqa: PLC0415 - heavy

    with common.services(folder) as services:
        version = version_of(services, agent, None)
    if as_json:
        common.print_json({name: p.model_dump(mode="json") for name, p in version.parameters.items()})
        return
    rows = [
        (name, f"{p.value} {p.unit}".strip(), p.title, p.tune, p.approve or "nobody else")
        for name, p in version.parameters.items()
    ]
    columns = ("parameter", "value", "title", "may be tuned by", "approved by")
    common.table(columns, rows, empty=f"{agent} has no parameters.")


def _ask(
    folder: Path,
    agent: str,
    given: dict[str, str],
    reason: str,
    preview: int,
    person: str | None,
    key: Path | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    from remit.evidence import tuning  # noqa: PLC0415 - heavy
    from remit.storage import tunings  # noqa: PLC0415

    with common.services(folder) as services:
        tuner = common.decider(services, person)
        governance = services.deployments.load()
        change = tuning.asked_for(governance, agent, given, tuner, reason)
        tuning.ready(services.folder, governance, agent)
        tried = _tried(services, change, preview)
        told = {**_told(change), "tried": [_case(one) for one in tried], "done": "nothing", "item": None, "git": ""}
        if not as_json:
            _print_tried(change, tried)
        if not dry_run and change.approvers:
            with services.sessions.transaction() as db:
                told["item"] = tunings.propose(
                    db,
                    agent=agent,
                    version=change.version,
                    workspace=change.workspace,
                    values=change.values,
                    approvers=change.approvers,
                    by=change.by,
                    simulated=tuner.simulated,
                    reason=reason,
                )
            told["done"] = "asked"
        elif not dry_run:
            told["git"] = _make(services, change, key, None)
            told["done"] = "deployed"
    if as_json:
        common.print_json(told)
    elif told["done"] == "asked":
        click.echo(f"{told['item']} asks {' or '.join(change.approvers)} to approve it.")
        click.echo(f"  They make the change by `remit agents tune --apply {told['item']}`.")
    elif told["done"] == "deployed":
        click.echo(f"{agent} is tuned and in force for new sessions. {told['git']}")
    else:
        click.echo("Nothing was changed.")


def _settle(
    folder: Path,
    apply_item: str | None,
    decline_item: str | None,
    reason: str,
    person: str | None,
    key: Path | None,
    *,
    as_json: bool,
) -> None:
    from remit.errors import NotEntitled  # noqa: PLC0415 - heavy
    from remit.evidence import tuning  # noqa: PLC0415
    from remit.storage import tunings  # noqa: PLC0415

    item_id = apply_item or decline_item or ""
    with common.services(folder) as services:
        who = common.decider(services, person)
        governance = services.deployments.load()
        with services.sessions.transaction() as db:
            item = tunings.proposal(db, item_id)
            if decline_item is not None:
                if who.person not in item.assignees:
                    raise NotEntitled(f"{who.person} was not asked; ask {', '.join(item.assignees) or 'nobody'}")
                tunings.decline(db, item, by=who.person, simulated=who.simulated, reason=reason)
        if decline_item is not None:
            about = {"agent": item.detail["agent"], "values": item.detail["values"], "approvers": list(item.assignees)}
            told: dict[str, Any] = {**about, "tried": [], "done": "declined", "item": item_id, "git": ""}
        else:
            change = tuning.approved(governance, item, who)
            tuning.ready(services.folder, governance, change.agent)
            git = _make(services, change, key, item_id)
            told = {**_told(change), "tried": [], "done": "deployed", "item": item_id, "git": git}
    if as_json:
        common.print_json(told)
    else:
        click.echo(f"{item_id} is {'declined' if decline_item else 'applied and in force'}. {told['git']}".strip())


def _make(services: Services, change: Change, key: Path | None, item_id: str | None) -> str:
    """Write, deploy and commit a change. Returns what git did."""
    from remit.evidence import tuning  # noqa: PLC0415 - heavy
    from remit.storage import tunings  # noqa: PLC0415

    keys = services.deploy_keys  # makes the local key
    with services.sessions.transaction() as db:
        item = tunings.proposal(db, item_id) if item_id is not None else None
        tuning.put_in_force(db, services.folder, change, key or services.deploy_key, allowed=keys, item=item)
    return tuning.commit(services.folder, change, services.deployments.load())


def _tried(services: Services, change: Change, count: int) -> list[Replayed]:
    from remit.storage import tunings  # noqa: PLC0415 - heavy
    from remit.surfaces.cli.programs import replayed  # noqa: PLC0415

    with services.sessions.transaction() as db:
        turns = tunings.past_cases(db, change.agent, count)
    return asyncio.run(replayed(services, turns, dict(change.after))) if turns else []


def _told(change: Change) -> dict[str, Any]:
    return {"agent": change.agent, "values": change.values, "approvers": list(change.approvers)}


def _case(one: Replayed) -> dict[str, Any]:
    effect = "same" if one.same else ("not_recorded" if _beyond(one) else "changed")
    return {"session_id": one.session_id, "turn_id": one.turn_id, "effect": effect, "differs": one.differs}


def _beyond(one: Replayed) -> bool:
    """True if the program would ask for something of which nothing was recorded, so its end is not known."""
    return bool(one.missing) or one.differs.startswith("request ")


def _print_tried(change: Change, tried: list[Replayed]) -> None:
    for name, value in change.values.items():
        common.heading(f"{change.agent}: {name} from {value['before']} to {value['after']}")
    if not tried:
        click.echo("  There is no past case to try it on.")
    for one in tried:
        if one.same:
            said = "ends the same"
        elif _beyond(one):
            said = f"would go another way, as far as the record reaches: {one.differs}"
        else:
            said = one.differs
        click.echo(f"  {one.session_id}  {common.cell(said)}")
