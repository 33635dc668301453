"""Loading a project: everything that is wrong is said at once, each at its line, with what to mend."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remit.config.bundle import content_digest
from remit.config.init import template_files
from remit.config.loader import load_for_pinning, load_project, parse_project
from remit.errors import Problem, ProjectInvalid

KEY = "ed25519:" + "A" * 43 + "="


TEMPLATE = {p: t.encode() for p, t in template_files(project="p", person="dana", deploy_key=KEY).items()}


def project(**changes: str | bytes | None) -> dict[str, bytes]:
    """The template's files with some of them replaced; `__` in a name stands for `/`."""
    files = dict(TEMPLATE)
    for name, text in changes.items():
        path = {"settings": "remit.toml", "pins": "tools.lock.json", "agent": "agents/hello/agent.yaml"}.get(
            name, f"{name}.yaml"
        )
        if text is None:
            del files[path]
        else:
            files[path] = text if isinstance(text, bytes) else text.encode()
    return files


def edited(path: str, old: str, new: str) -> dict[str, bytes]:
    files = project()
    text = files[path].decode()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
    return files | {path: text.replace(old, new).encode()}


def problems(files: dict[str, bytes]) -> list[Problem]:
    with pytest.raises(ProjectInvalid) as caught:
        parse_project(files)
    return [p for p in caught.value.problems if p.severity == "error"]


def one(files: dict[str, bytes]) -> Problem:
    found = problems(files)
    assert len(found) == 1, "\n".join(map(str, found))
    return found[0]


def test_an_action_type_has_its_connections_timeout_unless_it_names_one():
    assert parse_project(project()).actions["notes.write"].timeout == timedelta(seconds=15)
    loaded = parse_project(edited("actions.yaml", "notes.write:", "notes.write:\n    timeout: 20s")).actions
    assert loaded["notes.write"].timeout == timedelta(seconds=20)
    assert loaded["notes.list"].timeout == timedelta(seconds=15)


def test_the_template_loads():
    loaded = parse_project(project())
    assert set(loaded.actions) == {"notes.list", "notes.write"}
    assert loaded.agents["hello"].is_program
    assert loaded.tool("notes.write") is not None
    assert set(loaded.files) == set(project())


def test_an_agents_version_is_its_folders_content():
    files = project()
    version = parse_project(files).agents["hello"]
    own = {"agent.yaml": files["agents/hello/agent.yaml"], "program.py": files["agents/hello/program.py"]}
    assert version.files == own
    assert version.digest == content_digest(own)
    changed = parse_project(files | {"agents/hello/program.py": own["program.py"] + b"\n"})
    assert changed.agents["hello"].digest != version.digest
    assert parse_project(files | {"workflows.yaml": b"workflows: {}\n"}).agents["hello"].digest == version.digest


def test_line_and_column_of_an_unknown_key_and_the_nearest_known_one():
    problem = one(edited("agents/hello/agent.yaml", "persistent:", "persistant:"))
    assert (problem.file, problem.line, problem.column) == ("agents/hello/agent.yaml", 8, 1)
    assert problem.message == "unknown key `persistant`"
    assert problem.mend == "did you mean `persistent`?"


def test_unknown_keys_are_errors_at_every_depth():
    problem = one(edited("actions.yaml", "window: 24h", "windw: 24h"))
    assert (problem.line, problem.column) == (19, 46)
    assert problem.mend == "did you mean `window`?"
    problem = one(edited("connections.yaml", "timeout: 15s", "timeot: 15s"))
    assert problem.message == "unknown key `timeot`"
    assert problem.mend == "did you mean `timeout`?"
    problem = one(edited("remit.toml", 'url = "embedded"', 'uri = "embedded"'))
    assert (problem.file, problem.line, problem.column) == ("remit.toml", 8, 1)


def test_a_missing_key_is_named_with_what_it_is_for():
    found = problems(edited("actions.yaml", "      risk_owner: dana\n", ""))
    assert [(p.line, p.message) for p in found] == [(14, "`actions.notes.write.raci` has no `risk_owner`")]
    assert found[0].mend == "add `risk_owner`: who owns the risk"
    problem = one(edited("agents/hello/agent.yaml", "title: Hello\n", ""))
    assert (problem.line, problem.column) == (1, 1)
    assert problem.message == "agents/hello/agent.yaml has no `title`"


@pytest.mark.parametrize(
    ("path", "old", "new", "place", "said", "mend"),
    [
        ("actions.yaml", "effect: write", "effect: wirte", (12, 13), 'is "wirte", not one of', "did you mean `write`?"),
        ("agents/hello/agent.yaml", "title: Hello", "title: 5", (3, 8), "must be text, not the number 5", "quotes"),
        ("agents/hello/agent.yaml", "{calls: 20}", "{calls: many}", (20, 20), "must be a whole number", "whole number"),
        ("agents/hello/agent.yaml", "{calls: 20}", "{calls: -1}", (20, 20), "must be at least 0", "raise it"),
        ("connections.yaml", "15s", "15 seconds", (9, 14), "a duration is a number and a unit", "correct"),
        ("connections.yaml", "transport: stdio", "transport: pipe", (7, 16), "needs `transport`, one of", "transport"),
        ("connections.yaml", "    transport: stdio\n", "", (5, 3), "needs `transport`, one of", "transport"),
        ("connections.yaml", "[python, servers/notes.py]", "python", (8, 14), 'must be a list, not "python"', "- item"),
        ("directory.yaml", "id: dana", "id: Dana Kim", (5, 9), "is not a name", "dana.kim"),
        ("actions.yaml", "accountable: dana", "accountable: D K", (15, 20), "is not a person's id or", "role:finance"),
        (
            "actions.yaml",
            "notes.list:",
            "Notes:",
            (5, 3),
            "the key `Notes` is not the name of a tool",
            "connection.tool",
        ),
    ],
)
def test_wrong_values_in_plain_words(path, old, new, place, said, mend):
    found = problems(edited(path, old, new))
    texts = "\n".join(map(str, found))
    problem = next((p for p in found if said in p.message), None)
    assert problem is not None, texts
    assert mend in problem.mend
    assert (problem.line, problem.column) == place, texts


def test_rules_of_the_models_speak_plainly():
    found = problems(edited("actions.yaml", "{argument: idempotency_key, window: 24h}", "{argument: a, meta: b}"))
    assert "give exactly one of `argument` and `meta`" in found[0].message
    assert (found[0].line, found[0].column) == (19, 5)


def test_all_problems_of_all_files_come_at_once():
    files = project(
        settings="[project]\nname = 5\n[audt]\nx = 1\n",
        directory="people: [{id: dana, nam: x}]\nworkspaces: [{id: home, title: 5}]\n",
        connections="connections: {notes: {transport: stdio, command: []}}\n",
        actions="actions:\n  notes.list: {title: a, effect: read, effect: read}\n",
        agent="title: x\ntools: [1]\n",
        pins="{",
    ) | {
        "agents/other/prompt.md": b"  \n",
        "policies/x.cedar": b"\xff",
        "agents/hello/program.py": b"def run(s):\n  pas s\n",
    }
    found = problems(files)
    by_file = {p.file for p in found}
    assert by_file == {
        "remit.toml",
        "directory.yaml",
        "connections.yaml",
        "actions.yaml",
        "agents/hello/agent.yaml",
        "tools.lock.json",
        "agents/other/agent.yaml",
        "agents/other/prompt.md",
        "policies/x.cedar",
        "agents/hello/program.py",
    }
    assert [(p.line, p.column) for p in found if p.file == "agents/hello/program.py"] == [(2, 7)]
    assert len([p for p in found if p.file == "remit.toml"]) == 2
    assert len([p for p in found if p.file == "directory.yaml"]) == 3
    assert found == sorted(found, key=lambda p: (p.file, p.line, p.column))


def test_one_mistake_does_not_hide_the_others_nor_invent_some():
    files = edited("actions.yaml", "effect: read", "effect: reed")
    text = files["agents/hello/agent.yaml"].decode().replace("workspace: home", "workspace: hom")
    found = problems(files | {"agents/hello/agent.yaml": text.encode()})
    assert [(p.file, p.message) for p in found] == [
        ("actions.yaml", '`actions.notes.list.effect` is "reed", not one of read, write'),
        ("agents/hello/agent.yaml", "there is no workspace hom"),
    ]


def test_what_a_broken_file_declares_is_not_missed_elsewhere():
    found = problems(project(actions="actions: {\n"))
    assert {p.file for p in found} == {"actions.yaml"}


@pytest.mark.parametrize("missing", ["settings", "directory"])
def test_needed_files(missing):
    found = problems(project(**{missing: None}))
    assert any(p.message == "this file is missing" for p in found)


def test_an_empty_file_is_a_file_without_keys():
    assert problems(project(settings=""))[0].message == "remit.toml has no `project`"
    assert parse_project(project(workflows="# none yet\n")).workflows == {}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"agents/hello/prompt.md": b"x"}, "the folder has both prompt.md and program.py"),
        ({"agents/hello/program.py": b"x = 1\n"}, "the program has no `run`"),
        ({"agents/hello/program.py": b"def run(session): ...\n"}, "`run` is not async"),
        ({"agents/hello/program.py": b"async def run(session):\n  x = '\\d'\n \xff"}, "this is not UTF-8 text"),
        ({"agents/hello/program.py": b"(" * 5000}, "this "),
        ({"agents/Hello!/agent.yaml": b""}, "an agent cannot be called 'Hello!'"),
    ],
)
def test_agents_folders(files, said):
    assert any(said in p.message for p in problems(project() | files))


def test_an_odd_escape_in_a_program_is_no_warning_of_ours():
    parse_project(project() | {"agents/hello/program.py": b"async def run(session):\n    return '\\d'\n"})


def test_pinning_is_not_kept_from_its_work_by_old_pins(tmp_path):
    for path, content in project(pins="not json").items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    with pytest.raises(ProjectInvalid):
        load_project(tmp_path)
    assert load_for_pinning(tmp_path).pins.connections == {}
    (tmp_path / "tools.lock.json").write_bytes(project()["tools.lock.json"].replace(b'"importance"', b'"weight"'))
    assert "notes" in load_for_pinning(tmp_path).pins.connections
    (tmp_path / "tools.lock.json").unlink()
    assert load_for_pinning(tmp_path).actions
    with pytest.raises(ProjectInvalid, match="the tools of notes are not pinned"):
        load_project(tmp_path)
    (tmp_path / "actions.yaml").write_text("actions: {notes.x: {}}")
    with pytest.raises(ProjectInvalid, match="has no `title`"):
        load_for_pinning(tmp_path)


FILES = sorted({*project(), "workflows.yaml"} - {"README.md", ".gitignore"})
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
shapes = st.recursive(
    plain, lambda s: st.lists(s, max_size=3) | st.dictionaries(st.text(max_size=12), s, max_size=4), max_leaves=10
)
words = [
    "people",
    "id",
    "actions",
    "notes.list",
    "raci",
    "connections",
    "transport",
    "stdio",
    "tools",
    "models",
    "budget",
    "undo",
    "tool",
    "arguments",
    "effect",
    "write",
    "$args.x",
    "workflows",
    "steps",
    "input",
    "money",
    "caps",
    "each",
    "require",
    "command",
]
wordy = st.recursive(
    st.sampled_from(words) | plain,
    lambda s: st.lists(s, max_size=3) | st.dictionaries(st.sampled_from(words), s, max_size=4),
    max_leaves=14,
)


def only_project_invalid(files: dict[str, bytes]) -> None:
    try:
        parse_project(files)
    except ProjectInvalid as invalid:
        assert invalid.problems  # noqa: PT017
        str(invalid).encode()  # it can be printed


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(FILES), st.binary(max_size=200))
def test_random_bytes_as_any_file(path, data):
    only_project_invalid(project() | {path: data})


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([f for f in FILES if f.endswith((".yaml", ".json"))]), shapes | wordy)
def test_random_documents_as_any_file(path, value):
    import json

    only_project_invalid(project() | {path: json.dumps(value).encode()})


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_value_in_any_place_of_a_right_file(data):
    """One value of a right project is replaced: a mistake as people make them."""
    import json

    from remit.config.yaml_source import read_yaml

    path = data.draw(
        st.sampled_from(
            ["directory.yaml", "connections.yaml", "actions.yaml", "agents/hello/agent.yaml", "tools.lock.json"]
        )
    )
    source = read_yaml(path, project()[path])
    place = data.draw(st.sampled_from(sorted(source.values, key=str)))
    value = data.draw(shapes | wordy)
    if place:
        holder = source.get(place[:-1])
        holder[place[-1]] = value
    else:
        source.value = value
    only_project_invalid(project() | {path: json.dumps(source.value).encode()})


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([f for f in FILES if f != "remit.toml"]), st.data())
def test_a_cut_or_changed_byte(path, data):
    content = project().get(path, b"workflows: {w: {title: W, owner: dana}}\n")
    at = data.draw(st.integers(0, max(len(content) - 1, 0)))
    new = data.draw(st.binary(max_size=2))
    only_project_invalid(project() | {path: content[:at] + new + content[at + 1 :]})
