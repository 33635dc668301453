"""The record: read, export, verify, erase contents."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from remit.surfaces.cli import common

if TYPE_CHECKING:
    from remit.domain.checkpoints import VerifierKey
    from remit.evidence.verification import Verification


def commands() -> dict[str, click.Command]:
    """The commands of this module."""
    return {"audit": audit}


@click.group("audit")
def audit() -> None:
    """Export the record, and verify an export offline."""


@audit.command("records")
@click.option("--session", "session_id", metavar="ID", help="Only this session's.")
@click.option("--action", "action_id", metavar="ID", help="Only this action's.")
@click.option("--tag", help="Only this tag, or with a colon at the end all that begin so: `person:`.")
@click.option("--before", type=click.IntRange(min=1), help="The page before this record's number.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Most records.")
@common.json_option
@common.project_option
def records(
    session_id: str | None,
    action_id: str | None,
    tag: str | None,
    before: int | None,
    limit: int,
    as_json: bool,
    folder: Path,
) -> None:
    """List the newest records, in the order in which they were written."""
    from remit.storage import records as rows  # noqa: PLC0415 - heavy

    with common.services(folder) as services, services.sessions.transaction() as db:
        found = rows.listing(db, session_id=session_id, action_id=action_id, tag=tag, before=before, limit=limit)
    if as_json:
        common.print_json(found)
        return
    shown = [(r["id"], r["at"], r["tag"], r["action_id"] or r["turn_id"] or r["session_id"], _by(r)) for r in found]
    common.table(("record", "at", "what", "of", "by"), shown, empty="There is no such record.")


def _by(row: dict[str, Any]) -> Any:
    return row["body"].get("by") or row["body"].get("principal")


@audit.command("export")
@click.option("--session", "session_id", metavar="ID", help="Only this session, as an excerpt with proofs.")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A file; standard output if none."
)
@click.option("--no-contents", is_flag=True, help="Leave out inputs, arguments, results, outputs and decisions.")
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False, path_type=Path),
    help="For an excerpt: a checkpoint kept elsewhere, of which the excerpt shall prove that the log continues it.",
)
@common.as_option
@common.project_option
def export(
    session_id: str | None,
    output: Path | None,
    no_contents: bool,
    checkpoint: Path | None,
    person: str | None,
    folder: Path,
) -> None:
    """Write the record as JSON lines: one a turn for readers, and the whole log for `remit audit verify`.

    The export is itself recorded, with who made it. Fields that action types declare under `redact` are left out.
    """
    from remit.evidence.export import ExportRequest, write_export  # noqa: PLC0415 - heavy
    from remit.governance.sealer import ensure_sealer_key  # noqa: PLC0415
    from remit.storage.database import connect  # noqa: PLC0415

    if checkpoint is not None and session_id is None:
        raise click.UsageError("--checkpoint goes with --session: a whole export proves itself")
    with common.services(folder) as services:
        who = common.decider(services, person)
        key = ensure_sealer_key(services.state).verifier
        project = services.deployments.load().project
        request = ExportRequest(
            by=f"person:{who.person}",
            session_id=session_id,
            contents=not no_contents,
            redact={name: action.redact for name, action in project.actions.items() if action.redact},
            continues=key.open(_text(checkpoint)) if checkpoint is not None else None,
        )
        sealer = services.sealer()
        try:
            with _out(output) as out, connect(services.url, autocommit=True) as db:
                done = write_export(db, out, key, request, sealer.seal_once)
        finally:
            sealer.close()
    where = f" to {output}" if output is not None else ""
    click.echo(f"Exported {done.runs} turn(s) and {done.records} record(s){where}.", err=True)


@contextmanager
def _out(output: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that appears when it is whole. It holds private contents: only its owner reads it."""
    from remit.errors import InvalidInput  # noqa: PLC0415

    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        descriptor, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    except OSError as error:
        raise InvalidInput(f"{output} cannot be written: {error.strerror}") from None
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


@audit.command("verify")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--key", metavar="KEY|FILE", help="The sealer's public key, from somewhere else than the export.")
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="A checkpoint that was kept elsewhere; may be given several times.",
)
@common.json_option
@common.project_option
def verify(file: Path | None, key: str | None, checkpoints: tuple[Path, ...], as_json: bool, folder: Path) -> int:
    """Verify the export in FILE offline: no project, database or network is needed.

    Exits 1 and names the first record that was altered, dropped, moved or inserted, if there is one. Without FILE the
    log is verified as it stands in the project's database.
    """
    from remit.evidence.verify import verify_file  # noqa: PLC0415 - heavy

    outside = [_text(path) for path in checkpoints]
    if file is None:
        found = _verify_database(folder, _key(key), outside)
    else:
        found = verify_file(file, key=_key(key), outside=outside)
    if as_json:
        common.print_json(found.to_json())
    else:
        _print_verification(found)
    return 0 if found.ok else 1


def _verify_database(folder: Path, key: VerifierKey | None, outside: list[str]) -> Verification:
    from remit.evidence.export import database_lines  # noqa: PLC0415 - heavy
    from remit.evidence.verify import verify_lines  # noqa: PLC0415
    from remit.governance.sealer import ensure_sealer_key  # noqa: PLC0415

    with common.services(folder) as services, services.sessions.transaction() as db:
        own = ensure_sealer_key(services.state).verifier
        return verify_lines(database_lines(db, own), key=key or own, outside=outside)


def _key(given: str | None) -> VerifierKey | None:
    from remit.domain.checkpoints import VerifierKey  # noqa: PLC0415

    if given is None:
        return None
    path = Path(given)
    return VerifierKey.parse((_text(path) if _is_file(path) else given).strip())


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a key may be longer than a name can be
        return False


def _text(path: Path) -> str:
    from remit.errors import InvalidInput  # noqa: PLC0415

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _print_verification(found: Verification) -> None:
    if found.ok:
        common.heading("The record is whole.")
    else:
        first = found.findings[0]
        where = f" The first record that does not fit is number {first.index}." if first.index is not None else ""
        common.heading(f"This is not what was recorded.{where}")
    for finding in found.findings:
        click.echo(f"  {common.clean(str(finding))}")
    for fact in found.facts:
        click.echo(f"  {common.clean(fact)}")
    if found.limits:
        click.echo("What this could not show:")
    for limit in found.limits:
        click.echo(f"  {limit}")


@audit.command("erase")
@click.option("--session", "session_id", metavar="ID", help="All contents of this session.")
@click.option("--payload", "payload_id", metavar="ID", help="One payload.")
@common.reason_option
@common.as_option
@common.json_option
@common.project_option
def erase(
    session_id: str | None, payload_id: str | None, reason: str, person: str | None, as_json: bool, folder: Path
) -> None:
    """Erase contents for good: messages, arguments, results, outputs. The records stay, and stay provable.

    What was erased cannot be brought back. Contents of a session that is still open cannot be erased.
    """
    from remit.storage import audit_log  # noqa: PLC0415 - heavy

    if (session_id is None) == (payload_id is None):
        raise click.UsageError("give exactly one of --session and --payload")
    with common.services(folder) as services:
        by = f"person:{common.decider(services, person).person}"
        with services.sessions.transaction() as db:
            if session_id is not None:
                count = audit_log.erase_session(db, session_id, by, reason)
            else:
                count = int(audit_log.erase_payload(db, payload_id or "", by, reason))
    if as_json:
        common.print_json({"erased": count})
    else:
        click.echo(f"Erased the contents of {count} payload(s).")
