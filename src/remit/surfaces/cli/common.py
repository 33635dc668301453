"""What the commands share: which project, who asks, and how an answer is printed."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from remit.evidence.shaping.values import plain, usd

if TYPE_CHECKING:
    from remit.bootstrap import Services
    from remit.governance.desk import Decider

F = TypeVar("F", bound=Callable[..., Any])
__all__ = ["plain", "usd"]  # from below, for the commands


class Noun(click.Group):
    """A group that lists when nothing else is said: `remit agents` is `remit agents list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `list` in front, unless a command or `--help` stands there."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def project_option(function: F) -> F:
    """`--project DIR`: the project's folder."""
    return click.option(
        "--project",
        "-p",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(),
        envvar="REMIT_PROJECT",
        help="The project's folder; this one by default.",
    )(function)


def folder_argument(function: F) -> F:
    """`[DIR]`: the project's folder, for commands that are about the project itself."""
    return click.argument(
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(),
        envvar="REMIT_PROJECT",
        metavar="[DIR]",
    )(function)


def json_option(function: F) -> F:
    """`--json`: the stable form for scripts."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON, in the shape that the reference documents."
    )(function)


def as_option(function: F) -> F:
    """`--as PERSON`: who decides, in local development."""
    return click.option(
        "--as", "person", metavar="PERSON", help="Act as this person. Only in local development; recorded as simulated."
    )(function)


def reason_option(function: F) -> F:
    """`--reason TEXT`: kept with the decision."""
    return click.option("--reason", required=True, callback=_said, help="Why; kept with the decision.")(function)


def _said(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("say why")
    return value


@contextmanager
def services(folder: Path) -> Iterator[Services]:
    """The project's services, for the time of one command."""
    from remit.bootstrap import open_services  # noqa: PLC0415 - heavy; `--help` must not wait for it

    with open_services(folder) as found:
        yield found


def decider(opened: Services, person: str | None) -> Decider:
    """Who decides, and how that is known. Raises NotEntitled if it is not known.

    On an embedded database in development, anyone at this machine may name a person with `--as`; the record says that
    it was simulated. Everywhere else a token says who it is.
    """
    from remit.errors import NotEntitled  # noqa: PLC0415
    from remit.governance.desk import Decider  # noqa: PLC0415

    directory = opened.deployments.load().project.directory
    token = os.environ.get("REMIT_TOKEN")
    if token:
        return Decider(_bearer(opened, token, person))
    must_be_local(opened)
    found = person or opened.settings.as_person or _only_person(directory)
    if not directory.is_active(found):
        known = ", ".join(p.id for p in directory.people if p.status == "active")
        raise NotEntitled(
            f"{found!r} is not an active person of the directory", advice=f"Use `--as` with one of: {known}."
        )
    return Decider(found, simulated=person is not None or opened.settings.as_person is not None)


def _bearer(opened: Services, token: str, person: str | None) -> str:
    """The active person whose token this is. Raises NotEntitled."""
    from remit.errors import NotEntitled  # noqa: PLC0415
    from remit.storage import tokens  # noqa: PLC0415

    with opened.sessions.transaction() as db:
        subject = tokens.subject(db, digest_of(token)) or ""
    kind, _, found = subject.partition(":")
    if kind != "person" or not opened.deployments.load().project.directory.is_active(found):
        raise NotEntitled(
            "REMIT_TOKEN is no valid token of an active person", advice="Ask whoever deploys for one: `remit token`."
        )
    if person is not None and person != found:
        raise NotEntitled(
            f"the token in REMIT_TOKEN is {found}'s, and `--as` names {person}", advice="Leave `--as` out."
        )
    return found


def digest_of(token: str) -> str:
    """SHA-256 of a token, in hexadecimal: all that is kept of it."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def must_be_local(opened: Services) -> None:
    """Raises NotEntitled where naming a person is not enough: anywhere but in local development."""
    from remit.errors import NotEntitled  # noqa: PLC0415

    if not opened.local:
        raise NotEntitled(
            "this is not a development project on an embedded database, so somebody has to prove who they are",
            advice="Set REMIT_TOKEN to your token. `--as` exists only in local development.",
        )


def _only_person(directory: Any) -> str:
    active = [p.id for p in directory.people if p.status == "active"]
    login = getpass.getuser()
    return active[0] if len(active) == 1 else login


def print_json(value: Any) -> None:
    """Print JSON; times in ISO 8601 with zone, exact numbers as text where a float would not be exact."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False).encode("utf-8", "replace").decode())


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """Print a table on a terminal, and tab-separated lines into a pipe."""
    if not rows:
        click.echo(empty)
        return
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(cell(c) for c in row))
        return
    from rich.console import Console  # noqa: PLC0415 - only for terminals
    from rich.table import Table  # noqa: PLC0415

    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(cell(c).replace("[", "\\[") for c in row))
    Console().print(made)


def cell(value: Any) -> str:
    """A value as text on one line."""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if value is None:
        return ""
    return clean(str(value)).replace("\n", " ")


def clean(text: str) -> str:
    """Text that cannot steer the terminal, whoever wrote it."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def heading(text: str) -> None:
    """A line that opens a part."""
    click.secho(cell(text), bold=True)


def line(label: str, value: Any) -> None:
    """One labelled value, if there is one."""
    if value not in (None, "", [], (), {}):
        click.echo(f"  {label:<14} {cell(value)}")


def compact(value: Any, limit: int = 160) -> str:
    """A value on one line."""
    text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False, default=str)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def read_input(text: str) -> Any:
    """JSON given as text, `@FILE` or `-` for standard input. Raises InvalidInput."""
    from remit.domain import canonical  # noqa: PLC0415
    from remit.errors import InvalidInput  # noqa: PLC0415

    if text == "-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise InvalidInput(f"{text[1:]} cannot be read: {why}") from None
    try:
        return canonical.parse(text, what="input")
    except InvalidInput as wrong:
        raise InvalidInput(
            wrong.message, advice='Give JSON such as \'{"name": "value"}\', a file as @FILE, or - for standard input.'
        ) from None
