"""Following sessions: every record as it is written, in the order in which they were committed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from remit.evidence.shapes import sessions as shapes
from remit.surfaces.cli import common

_POLL = 0.25  # seconds between two looks


@click.command("follow")
@click.argument("session_id")
@click.option("--after", metavar="POSITION", help="Only what comes after this position; default: from its beginning.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Most seconds to follow; default: until it rests.")
@common.json_option
@common.project_option
def follow(session_id: str, after: str | None, timeout: float | None, as_json: bool, folder: Path) -> None:
    """Print what happens in a session, line by line, until it waits for somebody or has ended."""
    with common.services(folder) as services:
        from remit.storage import delegations, sessions, stream  # noqa: PLC0415 - heavy

        def resting(db: Any) -> bool:
            return delegations.resting(db, session_id)

        with services.sessions.transaction() as db:
            sessions.get(db, session_id)
        for found in _lines(services, after or stream.BEGINNING, session_id, timeout, resting):
            _print(found, as_json=as_json)


@click.command("follow")
@click.option("--after", metavar="POSITION", help="Only what comes after this position; default: from now on.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Most seconds to follow; default: until interrupted.")
@common.json_option
@common.project_option
def follow_all(after: str | None, timeout: float | None, as_json: bool, folder: Path) -> None:
    """Print what happens in all sessions, line by line, until interrupted."""
    with common.services(folder) as services:
        from remit.storage import stream  # noqa: PLC0415 - heavy

        with services.sessions.transaction() as db:
            position = after or stream.now(db)
        for found in _lines(services, position, None, timeout, lambda _: False):
            if found["session_id"] is not None:
                _print(found, as_json=as_json)


def _lines(
    services: Any, position: str, session_id: str | None, timeout: float | None, resting: Any
) -> Iterator[dict[str, Any]]:
    """Records after a position, until it rests: whether it does is looked at before the last records are."""
    from remit.storage import stream  # noqa: PLC0415 - heavy
    from remit.storage.database import connect  # noqa: PLC0415

    until = None if timeout is None else time.monotonic() + timeout
    with connect(services.url, autocommit=True) as db:
        while True:
            last = resting(db) or (until is not None and time.monotonic() > until)
            while True:
                found, position = stream.after(db, position, session_id=session_id)
                yield from found
                if not found:
                    break
            if last:
                return
            time.sleep(_POLL)


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        line = {name: found[name] for name in shapes.LINE}
        click.echo(json.dumps(common.plain(line), ensure_ascii=False))
        return
    body = found["body"]
    parts = [
        f"{found['at'].astimezone():%H:%M:%S}",
        found["tag"],
        body.get("key"),
        body.get("action") or body.get("agent"),
        body.get("status") or body.get("waiting_for"),
        ", ".join(reason["code"] for reason in body.get("reasons") or ()),
        body.get("by"),
    ]
    click.echo("  ".join(common.cell(part) for part in parts if part))
