"""The command line's own words: every command and option has help, and is quick to give it."""

import resource
import subprocess
import sys

import click
import pytest

from remit.surfaces.cli.main import COMMANDS, cli

WRITES = {
    "login",
    "init",
    "deploy",
    "up",
    "server",
    "worker",
    "session message",
    "session pause",
    "session resume",
    "session cancel",
    "triggers pause",
    "triggers resume",
}
PLAIN = {"agents diff", "agents suspend", "agents resume", "policy schema", "audit export"}


def all_commands():
    """Path and command of everything that can be called."""
    context = click.Context(cli, info_name="remit")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", command.get_command(context, sub)) for sub in command.list_commands(context))
        else:
            yield name, command


@pytest.mark.parametrize(("path", "command"), [pytest.param(p, c, id=p) for p, c in all_commands()])
def test_every_command_and_option_says_what_it_is_for(path, command, capsys):
    with pytest.raises(SystemExit) as exited:
        cli.main([*path.split(), "--help"], prog_name="remit")
    assert exited.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Usage: remit {path}")
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path} {parameter.opts[0]} has no help"
            assert parameter.opts[0] in said


def test_every_reading_command_gives_json():
    without = {path for path, c in all_commands() if not any("--json" in p.opts for p in c.params)}
    assert without <= WRITES | PLAIN


def test_list_of_commands_is_their_own_first_line():
    context = click.Context(cli, info_name="remit")
    for name in COMMANDS:
        assert cli.get_command(context, name).name == name
    assert cli.get_command(context, "frobnicate") is None


def test_help_takes_less_than_three_tenths_of_a_second():
    """Of the processor's time, so that a busy machine does not fail it; the best of three."""

    def spent():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    times = []
    for _ in range(3):
        before = spent()
        subprocess.run([sys.executable, "-m", "remit", "--help"], capture_output=True, check=True)
        times.append(spent() - before)
    assert min(times) < 0.3
