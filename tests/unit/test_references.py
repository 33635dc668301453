"""Names that one file uses and another declares: every one that leads nowhere is told at its place."""

from __future__ import annotations

import json

import pytest

from remit.config.init import template_files
from remit.config.loader import parse_project
from remit.errors import Problem, ProjectInvalid

KEY = "ed25519:" + "A" * 43 + "="
TEMPLATE = {p: t.encode() for p, t in template_files(project="p", person="dana", deploy_key=KEY).items()}


def changed(path: str, old: str, new: str) -> dict[str, bytes]:
    text = TEMPLATE[path].decode()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    return TEMPLATE | {path: text.replace(old, new).encode()}


def extended(path: str, more: str) -> dict[str, bytes]:
    return TEMPLATE | {path: TEMPLATE.get(path, b"") + more.encode()}


def problems(files: dict[str, bytes]) -> list[Problem]:
    try:
        parse_project(files)
    except ProjectInvalid as invalid:
        return [p for p in invalid.problems if p.severity == "error"]
    return []


def said(files: dict[str, bytes]) -> list[str]:
    return [f"{p.file}:{p.line} {p.message}" for p in problems(files)]


SECOND = """
  notes.second:
    title: Second
    effect: write
    raci: {accountable: dana, system_owner: dana, risk_owner: dana}
"""


def with_tool(more: str = "", schema: dict | None = None) -> dict[str, bytes]:
    """The template with another write, `notes.second`, that is pinned."""
    pins = json.loads(TEMPLATE["tools.lock.json"])
    properties = {"text": {"type": "string"}, "amount": {"type": "number"}, "currency": {"type": "string"}}
    schema = schema or {"type": "object", "properties": properties, "required": ["text"]}
    pins["connections"]["notes"]["second"] = {"name": "second", "input_schema": schema}
    return extended("actions.yaml", SECOND + more) | {"tools.lock.json": json.dumps(pins).encode()}


def test_the_template_and_its_extension_fit_together():
    assert problems(TEMPLATE) == []
    assert problems(with_tool()) == []


@pytest.mark.parametrize(
    ("files", "expected", "mend"),
    [
        (
            changed("agents/hello/agent.yaml", "  - notes.write", "  - notes.wirte"),
            "agents/hello/agent.yaml:11 notes.wirte is not classified, so it is forbidden",
            "did you mean `notes.write`?",
        ),
        (
            changed("agents/hello/agent.yaml", "  - notes.write", "  - nots.write"),
            "agents/hello/agent.yaml:11 there is no connection nots",
            "did you mean `notes`?",
        ),
        (
            changed("agents/hello/agent.yaml", "  - notes.write", "  - model.request"),
            "agents/hello/agent.yaml:11 model.request is no tool",
            "model",
        ),
        (
            changed("agents/hello/agent.yaml", "workspace: home", "workspace: hom"),
            "agents/hello/agent.yaml:7 there is no workspace hom",
            "did you mean `home`?",
        ),
        (
            changed("agents/hello/agent.yaml", "owner: dana", "owner: dna"),
            "agents/hello/agent.yaml:5 there is no person dna in the directory",
            "did you mean `dana`?",
        ),
        (
            changed("agents/hello/agent.yaml", "escalation: dana", "escalation: role:ops"),
            "agents/hello/agent.yaml:6 there is no role ops in the directory",
            "there are none yet",
        ),
        (
            extended("agents/hello/agent.yaml", "memory: {reviewers: [dna]}\n"),
            "agents/hello/agent.yaml:23 there is no person dna in the directory",
            "did you mean `dana`?",
        ),
        (
            extended("agents/hello/agent.yaml", "workflow: w\n"),
            "agents/hello/agent.yaml:23 there is no workflow w",
            "there are none yet",
        ),
        (
            extended("agents/hello/agent.yaml", "model: a:b\n"),
            "agents/hello/agent.yaml:23 the model a:b is not declared in remit.toml",
            'declare [models."a:b"] in remit.toml',
        ),
        (
            changed("agents/hello/agent.yaml", "  type: object", "  type: objekt"),
            "agents/hello/agent.yaml:13 `input` is not a JSON Schema",
            "correct it",
        ),
        (
            extended("directory.yaml", "roles: [{id: a, title: A}, {id: a, title: B}]\n"),
            "directory.yaml:14 the role a stands twice",
            "keep one",
        ),
        (
            changed("directory.yaml", "workspaces: [home]", "workspaces: [hme]"),
            "directory.yaml:7 there is no workspace hme",
            "did you mean `home`?",
        ),
        (
            changed("directory.yaml", "workspaces: [home]", "roles: [boss]"),
            "directory.yaml:7 there is no role boss",
            "there are none yet",
        ),
        (
            changed("directory.yaml", "workspaces: [home]", "manager: bob"),
            "directory.yaml:7 there is no person bob",
            "dana",
        ),
        (
            changed("directory.yaml", "workspaces: [home]", "manager: dana"),
            "directory.yaml:7 the reporting line turns in a circle: dana -> dana",
            "no manager",
        ),
        (
            changed("directory.yaml", "    manager: dana", "    manager: d"),
            "directory.yaml:13 there is no person d in the directory",
            "dana",
        ),
        (
            changed("connections.yaml", "servers/notes.py", "servers/nots.py"),
            "connections.yaml:8 there is no file 'servers/nots.py'",
            "project's folder",
        ),
        (
            extended("connections.yaml", "  model: {transport: http, url: 'https://x'}\n"),
            "connections.yaml:11 the name `model` is taken",
            "rename it",
        ),
        (
            extended("connections.yaml", "  crm: {transport: http, url: 'https://x', headers: {A: 'Bearer ${CRM}'}}\n"),
            "connections.yaml:11 a value in braces is not a reference to a secret",
            "${env:NAME}",
        ),
        (changed("remit.toml", KEY, "ed25519:abc"), "remit.toml:12 this is not a public key", "base64"),
        (changed("remit.toml", "file:.remit/checkpoints", "s3:x"), "remit.toml:16 's3:x' is no place", "file:FOLDER"),
        (
            changed("remit.toml", '"embedded" # or', '"mysql://x" # or'),
            "remit.toml:8 this is not the URL of a PostgreSQL",
            "postgres",
        ),
        (extended("remit.toml", "[models.gpt]\n"), "remit.toml:20 'gpt' does not name a model", "provider:name"),
        (
            extended("remit.toml", '[models."a:b"]\nscript = "x.py"\n'),
            "remit.toml:21 there is no file 'x.py'",
            "folder",
        ),
        (
            extended("workflows.yaml", "workflows: {w: {title: W, owner: bob, steps: [{title: s, layer: record}]}}\n"),
            "workflows.yaml:1 there is no person bob in the directory",
            "dana",
        ),
        (
            extended(
                "workflows.yaml",
                "workflows:\n w:\n  title: W\n  owner: dana\n  steps: [{title: s, layer: record, action: notes.lst}]\n",
            ),
            "workflows.yaml:5 there is no action type notes.lst",
            "did you mean `notes.list`?",
        ),
        (
            extended("actions.yaml", "  crm.x: {title: X, effect: read}\n"),
            "actions.yaml:22 there is no connection crm",
            "known: notes",
        ),
        (
            extended("actions.yaml", "  notes.lst: {title: X, effect: read}\n"),
            "actions.yaml:22 notes has no pinned tool lst",
            "did you mean `list`?",
        ),
        (
            changed("actions.yaml", "argument: idempotency_key", "argument: idempotencykey"),
            "actions.yaml:19 notes.write takes no argument `idempotencykey`",
            "",
        ),
        (changed("actions.yaml", "argument: idempotency_key", "argument: text"), None, ""),
    ],
)
def test_a_reference_that_leads_nowhere(files, expected, mend):
    found = problems(files)
    if expected is None:
        assert found == []
        return
    assert [f"{p.file}:{p.line} {p.message}"[: len(expected)] for p in found] == [expected]
    assert mend in found[0].mend


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("    require: [txt]\n", "notes.second takes no argument `txt`"),
        ("    defaults: {txt: 1}\n", "notes.second takes no argument `txt`"),
        (
            "    money: {amount: amount, currency: currency}\n    require: [currency]\n",
            "`amount` may be left out of a call",
        ),
        ("    business_key: [amount]\n", "`amount` may be left out of a call"),
        ("    idempotency: {argument: amount}\n    require: [amount]\n", "`amount` carries the idempotency key"),
        ("    undo: {tool: notes.gone, arguments: {}}\n", "there is no action type notes.gone"),
        ("    undo: {tool: notes.list, arguments: {}}\n", "notes.list is not one that writes"),
        (
            "    lookup: {tool: notes.write, arguments: {text: a, importance: 1}, found: x}\n",
            "notes.write is not one that reads",
        ),
        ("    current: {tool: notes.list, arguments: {x: 1}}\n", "notes.list takes no argument `x`"),
        (
            "    current: {tool: notes.list, arguments: {}, compare: {txt: a.b}}\n",
            "notes.second takes no argument `txt`",
        ),
        ("    undo: {tool: notes.write, arguments: {text: $args.text}}\n", "notes.write also needs importance"),
        (
            "    undo: {tool: notes.write, arguments: {text: $args.tex, importance: 1}}\n",
            "notes.second takes no argument `tex`",
        ),
        (
            "    undo: {tool: notes.write, arguments: {text: $arg.text, importance: 1}}\n",
            "'$arg.text' refers to nothing",
        ),
        (
            "    undo: {tool: notes.write, arguments: {text: $action.ID, importance: 1}}\n",
            "'$action.ID' refers to nothing",
        ),
        ("    lookup: {tool: notes.list, arguments: {k: $result.id}, found: x}\n", "'$result.id' refers to nothing"),
    ],
)
def test_what_an_action_type_says_of_its_tool(more, expected):
    found = said(with_tool(more))
    assert any(expected in line and line.startswith("actions.yaml:") for line in found), found


@pytest.mark.parametrize(
    "more",
    [
        "    money: {amount: amount, currency: currency}\n    require: [amount]\n    defaults: {currency: USD}\n",
        "    business_key: [text]\n    idempotency: {argument: currency}\n",
        "    undo: {tool: notes.write, arguments: {text: $result.note.text, importance: 1}}\n    reversible: true\n",
        "    lookup: {tool: notes.list, arguments: {}, found: x}\n    current: {tool: notes.list, arguments: {}}\n",
    ],
)
def test_what_fits_is_accepted(more):
    assert said(with_tool(more)) == []


def test_arguments_are_not_doubted_where_the_schema_hides_them():
    assert said(with_tool("    defaults: {anything: 1}\n", schema={"$ref": "#/$defs/x", "$defs": {"x": {}}})) == []


def test_what_a_file_says_cannot_command_a_terminal():
    found = problems(extended("agents/hello/agent.yaml", 'workflow: "a\\e[2J\\nb"\n"x\\e\\n": 1\n'))
    assert len(found) == 2
    assert all(str(p).isprintable() for p in found)
    assert "unknown key `x\\x1b\\n`" in [p.message for p in found]


def test_a_pattern_in_an_input_that_is_none():
    found = said(changed("agents/hello/agent.yaml", "minLength: 1", 'pattern: "["'))
    assert found[0].startswith("agents/hello/agent.yaml:15 `input` is not a JSON Schema")


def test_a_circle_of_managers_is_told_once():
    people = "".join(f"  - {{id: p{i}, name: P, manager: p{(i + 1) % 3}}}\n" for i in range(3))
    text = (
        TEMPLATE["directory.yaml"]
        .decode()
        .replace("people:\n", "people:\n" + people + "  - {id: q, name: Q, manager: p0}\n")
    )
    found = said(TEMPLATE | {"directory.yaml": text.encode()})
    assert len(found) == 1
    assert "turns in a circle: p0 -> p1 -> p2 -> p0" in found[0]


def test_a_prompt_needs_a_model():
    files = dict(TEMPLATE)
    del files["agents/hello/program.py"]
    assert said(files | {"agents/hello/prompt.md": b"Be kind."}) == [
        "agents/hello/agent.yaml:1 an agent with a prompt needs a `model`"
    ]


def test_warnings_do_not_keep_a_project_from_loading():
    secret = "  crm: {transport: http, url: 'https://x', headers: {Authorization: 'Bearer abc'}}\n"
    parse_project(extended("connections.yaml", secret))
