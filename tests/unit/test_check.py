"""`remit check`: errors, warnings and gates in one report, with the real policy engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remit.config.check import CheckReport, PolicyReport, check_project
from remit.config.init import template_files
from remit.domain.gates import Gate
from remit.governance.policy_report import policy_report

KEY = "ed25519:" + "A" * 43 + "="
ACME = Path(__file__).parents[2] / "examples" / "acme"


@pytest.fixture
def folder(tmp_path):
    for path, text in template_files(project="p", person="dana", deploy_key=KEY).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def check(folder) -> CheckReport:
    return check_project(folder, policy_check=policy_report)


def edit(folder, path, old, new):
    text = (folder / path).read_text()
    assert text.count(old) == 1, (old, text.count(old))
    (folder / path).write_text(text.replace(old, new))


def warned(folder, policy_check=policy_report) -> list[str]:
    report = check_project(folder, policy_check=policy_check)
    assert report.problems == ()
    return [f"{p.file}:{p.line} {p.message}" for p in report.warnings]


EMBEDDED = "remit.toml:8 with the embedded database the separation of database roles guards against bugs only"


def test_a_right_project_passes_with_one_warning(folder):
    report = check(folder)
    assert report.passed
    assert [len(r) for r in report.gates.values()] == [6]
    assert all(r.passed for r in report.gates["hello"])
    assert len(report.warnings) == 1
    assert warned(folder)[0].startswith(EMBEDDED)
    assert report.project is not None


def test_the_example_passes():
    report = check(ACME)
    assert report.problems == ()
    assert report.failed_gates == {}


def test_errors_of_files_keep_policies_and_gates_for_later(folder):
    edit(folder, "actions.yaml", "effect: read", "effect: reed")
    report = check_project(folder, policy_check=lambda *_: pytest.fail("asked"))
    assert len(report.problems) == 1
    assert report.gates == {}
    assert not report.passed
    assert report.project is None
    assert report.failed_gates == {}


def test_errors_of_policies_are_told_at_their_line(folder):
    edit(folder, "policies/base.cedar", "context.args.importance <= 5", "context.args.importnce <= 5")
    report = check(folder)
    assert [(p.file, p.line) for p in report.problems] == [("policies/base.cedar", 18)]
    assert not report.passed


def test_a_problem_of_an_action_type_found_by_the_policy_engine_has_its_line(folder):
    edit(
        folder, "actions.yaml", "    title: Read the notes", '    title: Read the notes\n    resource: "Note::{number}"'
    )
    assert [(p.file, p.line) for p in check(folder).problems] == [("actions.yaml", 5)]


def test_a_managed_agent_that_fails_a_gate_fails_the_check(folder):
    edit(
        folder,
        "agents/hello/agent.yaml",
        "persistent: An important note waits for its approval, however long that takes.\n",
        "",
    )
    report = check(folder)
    assert report.problems == ()
    assert not report.passed
    assert [r.gate for r in report.failed_gates["hello"]] == [Gate.PERSISTENT_WORK]
    edit(folder, "agents/hello/agent.yaml", "workspace: home", "workspace: home\nlayer: assisted")
    assert check(folder).passed


def test_a_write_that_only_a_policy_for_everything_covers_is_not_bounded(folder):
    (folder / "policies/base.cedar").write_text(
        '@id("all")\npermit (principal, action in [Action::"write"], resource);\n'
    )
    assert [r.gate for r in check(folder).failed_gates["hello"]] == [Gate.SCOPED_ACCESS]
    (folder / "policies/base.cedar").write_text('@id("all")\npermit (principal, action, resource);\n')
    assert [r.gate for r in check(folder).failed_gates["hello"]] == [Gate.SCOPED_ACCESS]
    (folder / "policies/base.cedar").write_text(
        '@id("one")\npermit (principal, action in [Action::"jotting"], resource);\n'
    )
    edit(folder, "actions.yaml", "    title: Write a note", "    title: Write a note\n    groups: [jotting]")
    assert check(folder).failed_gates == {}


def test_only_the_requester_could_approve(folder):
    edit(
        folder,
        "actions.yaml",
        "      requester_may_approve: true # there is only one of you; remove it when there are two\n",
        "",
    )
    edit(folder, "actions.yaml", "    approval:\n", "")
    message = (
        "actions.yaml:10 only dana could approve notes.write as accountable: what dana asks for, nobody may approve"
    )
    assert message in warned(folder)
    edit(folder, "directory.yaml", "people:\n", "people:\n  - {id: boss, name: Boss}\n")
    edit(folder, "directory.yaml", "    workspaces: [home]", "    workspaces: [home]\n    manager: boss")
    assert message not in warned(folder)


def test_roles_that_nobody_holds_or_too_few(folder):
    edit(folder, "policies/base.cedar", '@approval("accountable")', '@approval("accountable, risk_owner")')
    text = (folder / "policies/base.cedar").read_text()
    asked = 'context.approved_by.contains("{}")'
    text = text.replace(asked.format("accountable"), f"{asked.format('accountable')} && {asked.format('risk_owner')}")
    (folder / "policies/base.cedar").write_text(text)
    assert "actions.yaml:10 notes.write needs 2 people to approve it, and only 1 could" in warned(folder)

    def nobody(project, where):
        return PolicyReport((), lambda _: True, lambda _: ("finance",))

    assert any("asks finance to approve notes.write, and nobody active is that" in w for w in warned(folder, nobody))


MODEL = '\n[models."test:m"]\n'
PRICED = MODEL + "price = {input = 1, output = 2}\n"


@pytest.mark.parametrize(
    ("toml", "budget", "expected"),
    [
        (MODEL, "{usd: 1}", True),
        (MODEL, "{calls: 5}", False),
        (PRICED, "{usd: 1}", False),
    ],
)
def test_a_model_without_a_price_under_a_money_budget(folder, toml, budget, expected):
    with (folder / "remit.toml").open("a") as file:
        file.write(toml)
    edit(folder, "agents/hello/agent.yaml", "{calls: 20}", budget)
    with (folder / "agents/hello/agent.yaml").open("a") as file:
        file.write("model: test:m\n")
    assert any("test:m has no price" in w for w in warned(folder)) is expected


def test_a_model_without_a_price_under_the_projects_budget(folder):
    edit(folder, "remit.toml", "[budget.day]\n", "[budget.day]\nusd = 5\n")
    with (folder / "remit.toml").open("a") as file:
        file.write(MODEL)
    with (folder / "agents/hello/agent.yaml").open("a") as file:
        file.write("model: test:m\n")
    assert any("the project's budget limits money" in w for w in warned(folder))


def test_settings_that_weaken(folder):
    edit(folder, "remit.toml", '"embedded" # or', '"postgresql://db/remit" # or')
    edit(folder, "remit.toml", 'checkpoints = ["file:.remit/checkpoints"]', "checkpoints = []")
    edit(folder, "remit.toml", f'keys = ["{KEY}"]', "keys = []")
    with (folder / "remit.toml").open("a") as file:
        file.write('\n[programs]\nisolation = "none"\n')
    found = "\n".join(warned(folder))
    for said in (
        "`development` has no effect",
        "programs run without a wall",
        "to no place outside",
        "no key may sign",
    ):
        assert said in found
    assert "embedded database the separation" not in found


def test_files_that_are_not_read(folder):
    (folder / "triggers.yml").write_text("{")
    (folder / "actions.yml").write_text("{}")
    found = warned(folder)
    assert "triggers.yml:1 this file is not read" in found
    assert "actions.yml:1 this file is not read" in found


def test_secrets_in_the_file_and_pins_left_over(folder):
    with (folder / "connections.yaml").open("a") as file:
        file.write("  crm: {transport: http, url: 'https://x', headers: {Authorization: 'Bearer abc', Accept: json}}\n")
    pins = json.loads((folder / "tools.lock.json").read_text())
    pins["connections"]["gone"] = {}
    (folder / "tools.lock.json").write_text(json.dumps(pins, indent=1))
    found = warned(folder)
    assert "connections.yaml:11 `Authorization` looks like a secret that stands in the file itself" in found
    assert any("tools are pinned for gone, which is not a connection" in w for w in found)
    assert len(found) == 3


def test_a_folder_that_is_none(tmp_path):
    report = check(tmp_path / "absent")
    assert not report.passed
    assert ["is not a folder" in p.message for p in report.problems] == [True]
    report = check(tmp_path)
    assert {p.file for p in report.problems} == {"remit.toml", "directory.yaml"}
