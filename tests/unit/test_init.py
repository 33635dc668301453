"""`remit init` makes a project that works, and touches nothing that was there."""

from __future__ import annotations

import json
import stat
import subprocess
import sys

import jsonschema
import pytest

from remit.config.check import check_project
from remit.config.init import init_project, name_from, template_files
from remit.config.loader import load_project
from remit.config.schemas import schemas
from remit.config.toml_source import read_toml
from remit.config.yaml_source import read_yaml
from remit.domain import canonical
from remit.errors import ConfigurationError
from remit.governance.policy import PolicyEngine, PolicyQuestion
from remit.governance.policy_report import policy_report
from remit.governance.signing import generate_key, load_key, public_text, sign_bundle, verify_bundle


def test_a_new_project_passes_its_check_and_its_key_deploys_it(tmp_path):
    folder = tmp_path / "My Project"
    written = init_project(folder, make_key=generate_key, person="Zoë O'Neil")
    assert {str(p) for p in written} == {
        str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and ".remit" not in p.parts
    }
    report = check_project(folder, policy_check=policy_report)
    assert report.passed, report
    assert len(report.gates["hello"]) == 6
    project = load_project(folder)
    assert project.settings.project.name == "my.project"
    assert [(p.id, p.name) for p in project.directory.people] == [("zoe.o.neil", "Zoë O'Neil")]
    key = load_key(folder / ".remit" / "deploy.key")
    assert project.settings.deploy.keys == (public_text(key),)
    digest = "0" * 64
    verify_bundle(digest, sign_bundle(digest, key), project.settings.deploy.keys)


def test_the_private_key_stays_out_of_git_and_of_the_bundle(tmp_path):
    init_project(tmp_path, make_key=generate_key)
    key = tmp_path / ".remit" / "deploy.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert "remit.toml" in listed
    assert ".remit" not in listed
    assert not any(".remit" in path for path in load_project(tmp_path).files)


def test_only_an_empty_folder_is_taken(tmp_path):
    (tmp_path / ".git").mkdir()
    init_project(tmp_path, make_key=generate_key)
    with pytest.raises(ConfigurationError, match="is not empty"):
        init_project(tmp_path, make_key=generate_key)
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"it holds notes\.txt"):
        init_project(other, make_key=generate_key)
    assert [p.name for p in other.iterdir()] == ["notes.txt"]
    with pytest.raises(ConfigurationError, match="is a file"):
        init_project(other / "notes.txt", make_key=generate_key)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        init_project(other / "notes.txt" / "below", make_key=generate_key)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Dana Kim", "dana.kim"),
        ("Zoë", "zoe"),
        ("", "me"),
        ("ÆØ", "me"),
        ("--x--", "x"),
        ("a" * 80, "a" * 63),
        ("日本", "me"),
    ],
)
def test_names_from_any_text(text, name):
    assert name_from(text, "me") == name


@pytest.mark.parametrize("person", ["null", "1e5", "123", "true", "@DEPLOY_KEY@", 'a"b', "{}", "a: b", "x" * 100])
def test_any_login_gives_a_right_project(tmp_path, person):
    init_project(tmp_path / "p", make_key=generate_key, person=person)
    assert load_project(tmp_path / "p").directory.people[0].name == person


def test_the_template_fits_the_published_schemas():
    published = {name: json.loads(text) for name, text in schemas().items()}
    files = template_files(project="p", person="dana", deploy_key="ed25519:" + "A" * 43 + "=")
    seen = set()
    for path, text in files.items():
        name = path.rpartition("/")[2]
        if name.endswith(".toml"):
            value = read_toml(path, text.encode()).value
        elif name.endswith((".yaml", ".json")):
            value = read_yaml(path, text.encode()).value
        else:
            continue
        schema = published[f"{name.rpartition('.')[0]}.json"]
        jsonschema.Draft202012Validator(schema).validate(value)
        seen.add(name)
    assert seen == {"remit.toml", "directory.yaml", "connections.yaml", "actions.yaml", "agent.yaml", "tools.lock.json"}


@pytest.mark.parametrize(("importance", "kind"), [(1, "permit"), (2, "permit"), (4, "needs_approval"), (6, "forbid")])
def test_the_templates_policies_permit_ask_and_forbid(tmp_path, importance, kind):
    init_project(tmp_path, make_key=generate_key, person="dana")
    project = load_project(tmp_path)
    engine = PolicyEngine.load(
        project.policies, project.actions, project.tool, project.directory, {"hello": project.agents["hello"].spec}
    )
    question = PolicyQuestion(
        agent="hello",
        person=None,
        assisted=False,
        action="notes.write",
        args={"text": "x", "importance": importance},
        autonomy="supervised",
        labels=frozenset(),
        usd_micros=0,
        tokens=0,
        calls=0,
        workspace="home",
        workflow="",
        trigger="",
    )
    verdict = engine.judge(question)
    assert verdict.kind == kind
    assert verdict.roles == (("accountable",) if kind == "needs_approval" else ())
    if kind == "needs_approval":
        assert [r.code for r in verdict.reasons] == ["needs_human_approval_over_2"]


def test_the_locks_digests_are_those_of_its_definitions():
    files = template_files(project="p", person="dana", deploy_key="")
    for name, tool in json.loads(files["tools.lock.json"])["connections"]["notes"].items():
        definition = {k: tool[k] for k in ("name", "description", "input_schema", "output_schema")}
        assert tool["digest"] == canonical.digest(canonical.normalise(definition)), name


def test_the_packages_own_files_all_reach_a_new_project(tmp_path):
    """What is shipped is listed by the package, not by where the sources are: the wheel must hold it too."""
    code = "from remit.config.init import template_files as t; print(*t(project='p', person='d', deploy_key='k'))"
    listed = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.split()
    assert {".gitignore", "servers/notes.py", "policies/base.cedar", "agents/hello/program.py"} <= set(listed)
