"""Tokens: how people and agents prove who they are where naming oneself is not enough."""

from __future__ import annotations

import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from remit.surfaces.cli import common

if TYPE_CHECKING:
    from remit.bootstrap import Services


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"token": token}


@click.command("token")
@click.argument("agent", required=False)
@click.option("--person", "holder", metavar="PERSON", help="A token for this person instead.")
@click.option("--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="How long it is valid.")
@click.option("--revoke", metavar="ID", help="End this token at once.")
@click.option("--list", "listing", is_flag=True, help="List all tokens; none can be read back.")
@click.option(
    "--key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A deploy key, needed outside of local development: who may deploy may issue tokens.",
)
@common.json_option
@common.project_option
def token(
    agent: str | None,
    holder: str | None,
    days: int,
    revoke: str | None,
    listing: bool,
    key: Path | None,
    as_json: bool,
    folder: Path,
) -> None:
    """Issue a token to AGENT, or to a person. It is printed once; only its digest is kept.

    People set REMIT_TOKEN to theirs. In local development the first person of the machine needs none.
    """
    if sum((agent is not None, holder is not None, revoke is not None, listing)) != 1:
        raise click.UsageError("say exactly one of AGENT, --person, --revoke and --list")
    with common.services(folder) as services:
        if listing:
            _list(services, as_json)
        elif revoke is not None:
            _revoke(services, revoke, key)
            common.print_json({"revoked": revoke}) if as_json else click.echo(f"{revoke} is revoked.")
        else:
            subject = f"agent:{agent}" if agent is not None else f"person:{holder}"
            _issue(services, subject, days, key, as_json=as_json)


def _issue(services: Services, subject: str, days: int, key: Path | None, *, as_json: bool) -> None:
    from remit.storage import tokens  # noqa: PLC0415 - heavy

    by = _issuer(services, key)
    _must_exist(services, subject)
    secret = f"remit_{secrets.token_urlsafe(32)}"
    with services.sessions.transaction() as db:
        token_id = tokens.issue(db, subject, common.digest_of(secret), by, timedelta(days=days))
    if as_json:
        common.print_json({"id": token_id, "subject": subject, "days": days, "token": secret})
        return
    click.echo(secret)
    click.echo(f"{token_id}: {subject}, valid for {days} day(s). It is not shown again.", err=True)


def _revoke(services: Services, token_id: str, key: Path | None) -> None:
    from remit.storage import tokens  # noqa: PLC0415 - heavy

    own = _subject_of_environment(services)
    with services.sessions.transaction() as db:
        mine = own is not None and any(t["id"] == token_id and t["subject"] == own for t in tokens.listing(db))
    by = own if mine and own is not None else _issuer(services, key)
    with services.sessions.transaction() as db:
        tokens.revoke(db, token_id, by)


def _issuer(services: Services, key: Path | None) -> str:
    """Who issues: a holder of a deploy key, or whoever works on a local development project. Raises NotEntitled."""
    from remit.errors import NotEntitled  # noqa: PLC0415 - heavy
    from remit.governance.signing import key_id, load_key, public_text  # noqa: PLC0415

    if key is None and services.local:
        return "local"
    if key is None:
        raise NotEntitled(
            "tokens are issued by who may deploy", advice="Give your private deploy key with `--key FILE`."
        )
    public = public_text(load_key(key))
    if key_id(public) not in {key_id(allowed) for allowed in services.deploy_keys}:
        raise NotEntitled(
            f"the key {key_id(public)} may not deploy here", advice="Its public half has to stand in remit.toml."
        )
    return f"key:{key_id(public)}"


def _must_exist(services: Services, subject: str) -> None:
    from remit.errors import NotFound  # noqa: PLC0415

    kind, _, name = subject.partition(":")
    project = services.deployments.load().project
    known = (
        set(project.agents)
        if kind == "agent"
        else {p.id for p in project.directory.people if project.directory.is_active(p.id)}
    )
    if name not in known:
        raise NotFound(f"there is no {kind} {name!r}", advice=f"Known: {', '.join(sorted(known)) or 'none'}.")


def _subject_of_environment(services: Services) -> str | None:
    from remit.storage import tokens  # noqa: PLC0415

    own = os.environ.get("REMIT_TOKEN")
    if not own:
        return None
    with services.sessions.transaction() as db:
        return tokens.subject(db, common.digest_of(own))


def _list(services: Services, as_json: bool) -> None:
    from remit.storage import tokens  # noqa: PLC0415 - heavy

    with services.sessions.transaction() as db:
        found: list[dict[str, Any]] = tokens.listing(db)
    if as_json:
        common.print_json(found)
        return
    rows = [(t["id"], t["subject"], t["issued_by"], t["issued_at"], t["expires_at"], t["revoked_at"]) for t in found]
    common.table(("token", "of", "issued by", "issued", "expires", "revoked"), rows, empty="There is no token.")
