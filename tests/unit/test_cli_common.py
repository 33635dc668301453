"""What the commands share: JSON, text that is safe on a terminal, input."""

import io
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import click
import pytest

from remit.errors import InvalidInput
from remit.surfaces.cli import common


@dataclass(frozen=True)
class Thing:
    name: str
    at: datetime


def printed(capsys, value):
    common.print_json(value)
    return capsys.readouterr().out


def test_json_of_everything_that_a_command_prints(capsys):
    at = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    value = {
        "thing": Thing("Zoë", at),
        "labels": frozenset({"untrusted", "private"}),
        "pair": (1, None),
        "digest": b"\x01\xff",
        "window": timedelta(hours=1),
    }
    text = printed(capsys, value)
    assert "Zoë" in text
    assert json.loads(text) == {
        "thing": {"name": "Zoë", "at": "2026-03-01T12:30:00+00:00"},
        "labels": ["private", "untrusted"],
        "pair": [1, None],
        "digest": "01ff",
        "window": 3600.0,
    }


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("120", "120"),
        ("120.00", "120"),
        ("43.5", "43.5"),
        ("-0.01", "-0.01"),
        ("9007199254740993", '"9007199254740993"'),
        ("0.1234567890123456789", '"0.1234567890123456789"'),
        ("1e300", "1e+300"),
        ("1e5000", '"1E+5000"'),
    ],
)
def test_numbers_are_exact(capsys, number, text):
    assert printed(capsys, Decimal(number)).strip() == text


def test_broken_text_is_printed_all_the_same(capsys):
    assert json.loads(printed(capsys, {"said": "a\ud800b\x1b[2J"})) == {"said": "a?b\x1b[2J"}


@pytest.mark.parametrize("text", ["\x1b[2J\x1b]0;title\x07", "a\rb", "\u202egnp.exe", "a\x9bb", "\u200b"])
def test_text_from_outside_cannot_steer_the_terminal(text):
    assert common.clean(text).isprintable()
    assert common.cell(f"{text}\nnext").isprintable()
    assert common.clean("two\nlines") == "two\nlines"


def test_table_in_a_pipe_is_one_line_a_row(capsys):
    common.table(("a", "b"), [("x\ny\tz", None), (1, "two")], empty="Nothing.")
    assert capsys.readouterr().out == "x y z\t\n1\ttwo\n"
    common.table(("a",), [], empty="Nothing.")
    assert capsys.readouterr().out == "Nothing.\n"


def test_table_on_a_terminal_has_a_head_and_shows_brackets(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    common.table(("name", "says"), [("refund-desk", "[bold]not markup[/bold]")], empty="")
    said = capsys.readouterr().out
    assert "name" in said
    assert "[bold]not markup[/bold]" in said


def test_input_as_text_file_and_standard_input(tmp_path, monkeypatch):
    assert common.read_input('{"a": 1}') == {"a": 1}
    (tmp_path / "given.json").write_text('[1, "ü"]')
    assert common.read_input(f"@{tmp_path}/given.json") == [1, "ü"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("true"))
    assert common.read_input("-") is True
    (tmp_path / "latin.json").write_bytes(b'"\xfc"')
    for wrong in ("{", "NaN", '{"a": 1, "a": 2}', f"@{tmp_path}/none.json", f"@{tmp_path}/latin.json", f"@{tmp_path}"):
        with pytest.raises(InvalidInput):
            common.read_input(wrong)


def test_long_values_are_cut_on_one_line():
    assert common.compact({"a": Decimal("1.50")}) == '{"a": 1.5}'
    assert len(common.compact("x" * 500, 50)) == 50


def test_money_is_exact_text():
    assert [common.usd(n) for n in (0, 1, 1_500_000, 10**15)] == ["0", "0.000001", "1.5", "1000000000"]


@click.group(cls=common.Noun)
def things():
    """Things."""


@things.command("list")
@click.option("--json", "as_json", is_flag=True)
def list_things(as_json):
    """List."""
    click.echo(f"listed {as_json}")


@things.command("show")
@click.argument("name")
def show_thing(name):
    """Show."""
    click.echo(f"shown {name}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "listed False"),
        (["--json"], "listed True"),
        (["list", "--json"], "listed True"),
        (["show", "x"], "shown x"),
    ],
)
def test_noun_alone_lists(capsys, arguments, said):
    things.main(arguments, standalone_mode=False)
    assert capsys.readouterr().out.strip() == said


def test_noun_has_help_of_its_own_and_no_guesses(capsys):
    things.main(["--help"], standalone_mode=False)
    assert "show" in capsys.readouterr().out
    with pytest.raises(click.UsageError, match="No such command 'shwo'"):
        things.main(["shwo"], standalone_mode=False)
    with pytest.raises(click.UsageError, match="unexpected extra argument"):
        things.main(["--json", "show", "x"], standalone_mode=False)
