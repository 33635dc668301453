"""The entry point: finds the command, imports only the module that has it, and turns errors into advice.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module in this package, one line for the list)
    "init": ("project", "Make a new project in a folder."),
    "new": ("new", "Make an agent from a starting point."),
    "check": ("project", "Validate a project and its six gates."),
    "deploy": ("project", "Sign a project and put it in force."),
    "up": ("serve", "Run everything for a project: database, worker, server."),
    "server": ("serve", "Run the HTTP server and the surfaces alone."),
    "worker": ("serve", "Run one worker."),
    "start": ("work", "Start a session with an agent."),
    "sessions": ("work", "List, find and follow sessions."),
    "session": ("work", "Show, follow, message, fork, pause, resume or cancel a session."),
    "outputs": ("outputs", "Review what agents published."),
    "triggers": ("triggers", "List triggers; pause, resume and fire them, and make up for what they missed."),
    "inbox": ("people", "List what waits for a person."),
    "decide": ("people", "Approve, edit or deny."),
    "answer": ("people", "Answer a question, or say what became of an action."),
    "memory": ("memory", "What agents remember: show, correct, review, erase, export."),
    "idea": ("ideas", "Say what you would like to see."),
    "ideas": ("ideas", "List, show, accept, ship and decline ideas."),
    "undo": ("people", "Take an action back by the call that its type declares."),
    "stop": ("control", "Stop everything, a workspace, an agent or an action type."),
    "release": ("control", "Release a stop."),
    "drill": ("control", "Rehearse the off switch and record how long it took."),
    "policy": ("policy", "Explain a decision; list and test policies."),
    "raci": ("policy", "Who answers for every action that an agent can take."),
    "agents": ("agents", "List, show, diff, suspend and resume agents."),
    "people": ("directory", "List people, their roles and reporting lines."),
    "connections": ("connections", "List connections and pin their tools."),
    "budgets": ("directory", "What was reserved and spent, and what is left."),
    "audit": ("audit", "Export the record, and verify an export offline."),
    "token": ("token", "Issue, list and revoke tokens."),
    "login": ("serve", "Make a link that logs you into the cockpit, once."),
}
"""Every command, in the order in which `remit --help` lists them."""


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is called or its own help is asked for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"remit.surfaces.cli.{COMMANDS[cmd_name][0]}")
        found = module.commands()[cmd_name]
        assert isinstance(found, click.Command), "every module gives click commands"
        return found

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list, from the table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="remit", prog_name="remit")
def cli() -> None:
    """Remit: a control plane and durable runtime for managed AI agents."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    try:
        code: Any = cli.main(args=arguments, prog_name="remit", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2 if isinstance(error, click.UsageError) else 1)
    except BrokenPipeError:
        # Whoever read our output has seen enough. What is still buffered must not complain when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last place: a user never sees a traceback
        sys.exit(_explain(error))
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: Exception) -> int:
    from remit.errors import RemitError  # noqa: PLC0415 - not needed for `--help`
    from remit.surfaces.cli.common import clean  # noqa: PLC0415

    if isinstance(error, RemitError):
        click.echo(f"remit: {clean(error.message)}", err=True)
        click.echo(f"  {clean(error.advice)}", err=True)
        return 1
    if isinstance(error, UnicodeEncodeError):
        click.echo("remit: what was given is not UTF-8 text", err=True)
        click.echo("  Look at the bytes of the command's arguments.", err=True)
        return 1
    if os.environ.get("REMIT_TRACEBACK"):
        raise error
    click.echo(f"remit: unexpected {type(error).__name__}: {clean(str(error))}", err=True)
    click.echo("  This is a defect of Remit. REMIT_TRACEBACK=1 shows where it happened.", err=True)
    return 1
