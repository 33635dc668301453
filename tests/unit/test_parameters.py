"""Parameters: what fits them, what `remit check` says of them, and changes that keep a file's comments."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from remit.config.check import check_project
from remit.config.edits import add_entries, set_values, write_all
from remit.config.init import init_project
from remit.domain.parameters import Parameter
from remit.errors import ConfigurationError
from remit.governance.policy_report import policy_report
from remit.governance.signing import generate_key


def parameter(**more):
    return Parameter(**{"title": "t", "meaning": "m", "type": "number", "value": 1, "tune": "a", **more})


@pytest.mark.parametrize(
    ("more", "text", "value"),
    [
        ({}, "0.25", Decimal("0.25")),
        ({}, "3", 3),
        ({"type": "whole"}, "7", 7),
        ({"type": "yes_no", "value": True}, "no", False),
        ({"type": "choice", "value": "a", "choices": ["a", "b"]}, "b", "b"),
        ({"type": "text", "value": "x"}, "längs", "längs"),
    ],
)
def test_what_fits_becomes_the_value_that_programs_get(more, text, value):
    found = parameter(**more).checked(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("more", "text", "said"),
    [
        ({"maximum": 5, "unit": "days"}, "6", "at most 5 days"),
        ({"minimum": 0}, "-1", "at least 0"),
        ({}, "many", "a number such as"),
        ({}, "NaN", "a number such as"),
        ({"type": "whole"}, "1.5", "a whole number"),
        ({"type": "yes_no", "value": True}, "perhaps", "yes or no"),
        ({"type": "choice", "value": "a", "choices": ["a", "b"]}, "c", "one of a, b"),
        ({"type": "text", "value": "x", "maximum": 3}, "xxxx", "at most 3 characters"),
    ],
)
def test_what_does_not_fit_is_told(more, text, said):
    with pytest.raises(ValueError, match=said):
        parameter(**more).checked(text)


@pytest.mark.parametrize("more", [{"type": "choice"}, {"choices": ["a"]}, {"value": 9, "maximum": 5}, {"value": True}])
def test_a_declaration_that_contradicts_itself_is_refused(more):
    with pytest.raises(ValidationError):
        parameter(**more)


def test_check_names_what_is_read_and_not_declared_and_who_is_not_there(tmp_path):
    folder = tmp_path / "p"
    init_project(folder, make_key=generate_key, person="dana")
    agent = folder / "agents" / "hello"
    program = (agent / "program.py").read_text()
    (agent / "program.py").write_text(program + "\n\ndef days(session):\n    return session.parameters.days\n")
    (agent / "parameters.yaml").write_text(
        "parameters:\n  limit: {title: t, meaning: m, type: whole, value: 1, tune: dana, approve: nobody}\n"
    )
    report = check_project(folder, policy_check=policy_report)
    assert [(p.file, p.message) for p in report.problems] == [
        ("agents/hello/parameters.yaml", "there is no person nobody in the directory"),
        ("agents/hello/program.py", "the agent has no parameter days; declared: limit"),
    ]


def test_changes_keep_comments_and_what_is_there():
    text = "# first\nparameters:\n  days: {value: 3, tune: a} # mine\n  rate:\n    value: 0.5 # half\n"
    changed = set_values(text, "parameters", "value", {"days": 4, "rate": 0.25})
    assert changed == text.replace("value: 3", "value: 4").replace("value: 0.5", "value: 0.25")
    grown = add_entries("actions: {}\n", "actions", "b.c:\n  # why\n  effect: read\n")
    assert grown == "actions:\n  b.c:\n    # why\n    effect: read\n"
    assert add_entries(grown, "actions", "b.c: other\n") == grown
    with pytest.raises(ConfigurationError, match="not YAML"):
        add_entries("a: [", "actions", "b: 1\n")


def test_of_several_files_all_are_written_or_none(tmp_path):
    first = tmp_path / "first.yaml"
    first.write_text("before")
    (tmp_path / "blocked").write_text("a file, no folder")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_all({first: "after", tmp_path / "new.yaml": "new", tmp_path / "blocked" / "second.yaml": "after"})
    assert first.read_text() == "before"
    assert not (tmp_path / "new.yaml").exists()
