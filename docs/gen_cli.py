"""Writes docs/reference/cli.md from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click
from gen_markdown import NOTE, page, table

from remit.evidence.shapes import fields as shapes
from remit.surfaces.cli.main import COMMANDS, cli

INTRODUCTION = """\
Commands work on the project in the folder where they are called, or in the one given by `--project DIR` or in
`REMIT_PROJECT`. Every command that reads takes `--json`. Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Errors
go to standard error and say what to do next. Names, options, exit codes and JSON shapes are a contract: scripts may
rely on them. `remit --version` prints the version, and every command's `--help` what stands here."""

WHO = """\
In local development (`development = true` on the embedded database) `--as PERSON` or `REMIT_AS_PERSON` names who acts,
and the record says that it was simulated; without it, it is the one active person of the directory, or else whoever is
logged in. Everywhere else the token in `REMIT_TOKEN` says who it is."""

SHAPES = """\
Fields are never taken away and never change their meaning; new ones may come. Times are ISO 8601 with zone, money is
exact text in USD, ids are opaque, null means that there is none."""

_EVERYWHERE = ("-h, --help", "-p, --project")
"""Options that the introduction speaks about."""


def render() -> str:
    """The page as Markdown; the same commands always give the same page."""
    context = click.Context(cli, info_name="remit")
    parts = ["# The command line", NOTE, INTRODUCTION, "## Who acts", WHO]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None, "it is in the table"
        parts += _command(command, f"remit {name}", context)
    parts += ["## Shapes of `--json`", SHAPES]
    for name, says, fields in shapes.REFERENCE:
        rows = [(f"`{field}`", meaning) for field, meaning in fields.items()]
        parts += [part for part in (f"### `{name}`", says, table(("field", "meaning"), rows)) if part]
    return page(*parts)


def _command(command: click.Command, path: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=parent)
    yield f"{'##' if parent.parent is None else '###'} `{path}`"
    yield inspect.cleandoc(command.help or "")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, "the group lists it"
            yield from _command(found, f"{path} {name}", context)
        return
    yield "```\n" + " ".join([path, *command.collect_usage_pieces(context)]) + "\n```"
    records = [record for p in command.params if (record := p.get_help_record(context)) is not None]
    rows = [(f"`{option}`", says) for option, says in records if says and not option.startswith(_EVERYWHERE)]
    if rows:
        yield table(("option", "meaning"), rows)
