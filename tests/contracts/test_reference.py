"""The reference is what the code says, and says everything: settings, commands, errors, reasons, records, files."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from types import ModuleType

import click
import pytest
from pydantic import BaseModel

from remit.config.files import MODELS
from remit.config.settings import Settings
from remit.domain.decisions import ReasonCode
from remit.domain.records import Tag
from remit.surfaces.cli.main import COMMANDS, cli
from tests.contracts.source import ROOT, modules

REFERENCE = ROOT / "docs" / "reference"


@cache
def generator(name: str = "generate") -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(ROOT / "docs"))  # they import one another by their bare names
        spec.loader.exec_module(module)
    return module


def page(name: str) -> str:
    return (REFERENCE / name).read_text("utf-8")


def test_every_page_is_the_generated_one():
    pages = generator().pages()
    stale = [name for name, text in pages.items() if not (REFERENCE / name).exists() or page(name) != text]
    assert stale == [], "run `make docs`"
    there = {p.relative_to(REFERENCE).as_posix() for p in REFERENCE.rglob("*") if p.is_file()}
    assert there - set(pages) <= WRITTEN_BY_HAND


WRITTEN_BY_HAND: set[str] = set()


def test_generating_twice_gives_the_same():
    assert generator().pages() == generator().pages()


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))


ALL = dict(commands(cli, ("remit",)))


@pytest.mark.parametrize("path", list(ALL), ids=" ".join)
def test_every_command_is_documented(path: tuple[str, ...]):
    command = ALL[path]
    assert (command.help or "").strip().endswith("."), "say what it does, in sentences"
    text = page("cli.md")
    assert " ".join(path) in text
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name != "version":
            assert parameter.help, f"{parameter.name} says what it does"
            assert parameter.opts[-1] in text


def test_every_listed_command_is_there_and_described():
    assert list(COMMANDS) == [path[1] for path in ALL if len(path) == 2]
    assert all(line.endswith(".") for _, line in COMMANDS.values())


READS_WITHOUT_JSON = {"remit policy schema", "remit audit export"}
"""They print a text that has a form of its own."""


def test_every_reading_command_takes_json():
    reading = {"check", "sessions", "show", "inbox", "explain", "test", "list", "raci", "agents", "people", "budgets"}
    reading |= {"connections", "verify", "records", "diff", "schema", "export"}
    without = {
        " ".join(path)
        for path, command in ALL.items()
        if path[-1] in reading and (*path, "list") not in ALL and not any("--json" in p.opts for p in command.params)
    }
    assert without == READS_WITHOUT_JSON & {" ".join(path) for path in ALL}


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_is_documented(name: str):
    assert Settings.model_fields[name].description
    assert f"| `REMIT_{name.upper()}` |" in page("settings.md")


def test_every_variable_that_the_code_reads_is_documented():
    read = re.compile(r"[\"'](REMIT_[A-Z_]+)[\"']")
    found = {name for path in modules() for name in read.findall(path.read_text("utf-8"))}
    assert found
    assert {name for name in found if f"`{name}`" not in page("settings.md")} == set()


def test_every_error_is_documented():
    errors = generator("gen_errors").errors()
    assert len(errors) > 10
    text = page("errors.md")
    for error in errors:
        assert error.__doc__
        assert error.advice.endswith(".")
        assert 400 <= error.http_status < 600
        if error.code != "error":
            assert f"| `{error.code}` | {error.http_status} |" in text


def test_every_error_has_a_code_of_its_own():
    codes = [error.code for error in generator("gen_errors").errors()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("code", list(ReasonCode))
def test_every_reason_is_documented(code: ReasonCode):
    assert f"| `{code.value}` |" in page("errors.md")


@pytest.mark.parametrize("tag", list(Tag))
def test_every_tag_is_documented(tag: Tag):
    assert f"| `{tag.value}` |" in page("audit.md")
    assert re.fullmatch(r"[a-z]+:[a-z]+:[a-z]+", tag.value)


def test_every_field_of_a_project_file_is_documented():
    text = page("project-files.md")
    for model in models():
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name} says what it means"
            assert f"| `{name}` |" in text


def models() -> list[type[BaseModel]]:
    found = generator("gen_files")
    return [m for root in MODELS.values() for m in found._models(root)]
