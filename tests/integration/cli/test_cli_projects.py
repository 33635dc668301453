"""Making, checking and deploying projects: what is refused, and what is said."""

import json
import shutil

import pytest
from tests.integration.cli.driver import Remit

from remit.governance.signing import generate_key


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A fresh project, made once."""
    folder = tmp_path_factory.mktemp("new") / "desk"
    Remit(folder)("init", str(folder), "--person", "ada")
    return folder


@pytest.fixture
def desk(template, tmp_path):
    """A copy of it to change."""
    shutil.copytree(template, tmp_path / "desk")
    return Remit(tmp_path / "desk")


def change(remit, file, old, new):
    path = remit.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_folder_that_is_no_project(tmp_path):
    remit = Remit(tmp_path)
    for command in (("inbox",), ("deploy",), ("up",), ("policy", "list"), ("connections",), ("start", "x")):
        said = remit.refused(*command)
        assert "is not a Remit project: there is no remit.toml" in said
        assert "remit init" in said
    assert not (tmp_path / ".remit").exists()


def test_init_wants_an_empty_folder(desk, tmp_path):
    assert "is not empty" in desk.refused("init", str(desk.folder))
    (tmp_path / "file").write_text("")
    assert "is a file" in desk.refused("init", str(tmp_path / "file"))


def test_problems_have_a_place_and_what_to_mend(desk):
    change(desk, "agents/hello/agent.yaml", "owner: ada", "owner: nobody\ncolour: red")
    report = desk("check", "--json", code=1).json
    assert report["passed"] is False
    (colour,) = [p for p in report["errors"] if "colour" in p["message"]]
    assert (colour["file"], colour["severity"]) == ("agents/hello/agent.yaml", "error")
    line = (desk.folder / "agents/hello/agent.yaml").read_text().splitlines()[colour["line"] - 1]
    assert line == "colour: red"
    words = desk("check", code=1).out
    assert f"agents/hello/agent.yaml:{colour['line']}:{colour['column']}: error: " in words
    said = desk("deploy", code=1)
    assert f"agents/hello/agent.yaml:{colour['line']}:" in said.out
    assert "Nothing was deployed." in said.err


def test_wrong_policy_has_its_line(desk):
    change(desk, "policies/base.cedar", "context.args.importance > 2", "context.args.importence > 2")
    (problem,) = desk("check", "--json", code=1).json["errors"]
    assert problem["file"] == "policies/base.cedar"
    assert "importence" in (desk.folder / "policies/base.cedar").read_text().splitlines()[problem["line"] - 1]


def test_shut_gate_keeps_a_managed_agent_out(desk):
    change(desk, "agents/hello/agent.yaml", "persistent: An important note", "# persistent: An important note")
    report = desk("check", "--json", code=1).json
    assert report["errors"] == []
    shut = [g for g in report["agents"]["hello"] if not g["passed"]]
    assert [g["gate"] for g in shut] == ["persistent_work"]
    words = desk("check", code=1).out
    assert "SHUT  persistent work" in words
    assert "These agents may not be deployed: hello." in words
    assert desk("deploy", "--json", code=1).json["deployed"] is False


def test_project_that_passes(desk):
    report = desk("check", "--json").json
    assert report["passed"] is True
    assert [g["passed"] for g in report["agents"]["hello"]] == [True] * 6
    assert "hello: 6 of 6 gates" in desk("check").out


def test_what_changed_is_said_and_the_same_is_not_deployed_twice(desk):
    first = desk("deploy", "--json").json
    assert "agents/hello/program.py" in first["added"]
    again = desk("deploy", "--json").json
    assert (again["deployed"], again["bundle"], again["version"]) == (False, first["bundle"], first["version"])
    change(desk, "policies/base.cedar", "importance > 2", "importance > 3")
    second = desk("deploy", "--json", "--as", "ada").json
    assert (second["changed"], second["added"], second["removed"]) == (["policies/base.cedar"], [], [])
    assert second["version"] == first["version"] + 1
    assert second["agents"] == first["agents"]
    assert desk("agents", "show", "hello", "--json").json["granted_by"] == "person:ada"
    records = desk("audit", "records", "--tag", "person:bundle:deployed", "--json").json
    assert [r["body"]["by"] for r in records][-1] == "person:ada"


def test_key_that_may_not_sign(desk, tmp_path):
    generate_key(tmp_path / "other.key")
    said = desk.refused("deploy", "--key", str(tmp_path / "other.key"))
    assert "which may not deploy here" in said
    assert "cannot be read" in desk.refused("deploy", "--key", str(tmp_path / "none.key"))
    assert "nothing is deployed yet" in desk.refused("agents")


def test_machine_without_the_key_makes_its_own_in_development_only(desk):
    """A clone comes without the private key. Nobody else's machine is to be trusted for that in production."""
    (desk.folder / ".remit" / "deploy.key").unlink()
    first = desk("deploy", "--json").json
    assert first["deployed"] is True
    assert (desk.folder / ".remit" / "deploy.key").stat().st_mode & 0o777 == 0o600
    assert desk("agents").code == 0
    change(desk, "remit.toml", "development = true", "development = false")
    assert "which may not deploy here" in desk.refused("deploy")
    assert "may not deploy here" in desk.refused("agents")


def test_bundle_signed_with_a_key_that_was_withdrawn_is_signed_again(desk, tmp_path):
    public = generate_key(tmp_path / "other.key")
    toml = desk.folder / "remit.toml"
    listed = json.loads(next(x for x in toml.read_text().splitlines() if x.startswith("keys")).partition("=")[2])
    change(desk, "remit.toml", "development = true", "development = false")
    change(desk, "remit.toml", json.dumps(listed), json.dumps([*listed, public]))
    desk("deploy", "--key", str(tmp_path / "other.key"))
    assert "is in force already" in desk("deploy").out


def test_as_is_for_development_only(desk):
    desk("deploy")
    change(desk, "remit.toml", "development = true", "development = false")
    said = desk.refused("stop", "--all", "--reason", "x", "--as", "ada")
    assert "somebody has to prove who they are" in said
    assert "REMIT_TOKEN" in said
