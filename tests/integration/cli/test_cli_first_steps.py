"""From nothing to a verified record, with commands in processes of their own, as the README says it."""

import json
import os
import subprocess
import sys
import time

import pytest
from tests.integration.cli.driver import running, waiting


@pytest.fixture(scope="module")
def remit(tmp_path_factory):
    """`remit …` as a process, in a folder of its own."""
    folder = tmp_path_factory.mktemp("steps")

    def run(*arguments, code=0, cwd=None, **more):
        done = subprocess.run(
            [sys.executable, "-m", "remit", *arguments],
            cwd=cwd or (folder / "desk" if (folder / "desk").exists() else folder),
            capture_output=True,
            text=True,
            check=False,
            env={k: v for k, v in os.environ.items() if not k.startswith("REMIT_")},
            **more,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    run.folder = folder
    return run


def test_first_steps(remit):
    said = remit("init", "desk", "--person", "ada", "--name", "Ada Byron", cwd=remit.folder)
    assert "cd desk" in said
    assert "remit up" in said
    assert "is not empty" in remit("init", "desk", code=1, cwd=remit.folder)
    assert "hello: 6 of 6 gates" in remit("check")
    assert "nothing is deployed yet" in remit("agents", code=1)
    said = remit("deploy")
    assert "as version 2" in said
    assert "agents/hello/program.py" in said
    assert "is in force already" in remit("deploy")

    alone = remit("start", "hello", "--input", '{"text": "early"}', "--wait", "--timeout", "0.5", code=1)
    assert "No worker runs" in alone
    with running(remit.folder / "desk"):
        shown = json.loads(remit("start", "hello", "--input", '{"text": "hello"}', "--wait", "--json"))
        assert shown["status"] == "finished"
        assert shown["turns"][0]["output"]["outcome"] == "written"

        shown = json.loads(remit("start", "hello", "--input", '{"text": "hi", "importance": 4}', "--wait", "--json"))
        item = waiting(shown)
        (listed,) = json.loads(remit("inbox", "--json"))
        assert listed == item
        remit("decide", item["id"], "approve", "--reason", "fine")
        until = time.monotonic() + 20
        while (shown := json.loads(remit("session", "show", shown["id"], "--json")))["status"] != "finished":
            assert time.monotonic() < until, shown
        writes = [a for a in shown["actions"] if a["action"] == "notes.write"]
        assert [(a["status"], a["override"]["by"]) for a in writes] == [("succeeded", "ada")]

        remit("audit", "export", "--output", "audit.jsonl")
    verified = remit("audit", "verify", "audit.jsonl", "--key", ".remit/sealer.pub")
    assert "The record is whole." in verified


def test_reader_who_leaves_early_sees_no_complaint(remit):
    code = f"{sys.executable} -m remit init pipe --person ada | head -1"
    done = subprocess.run(code, shell=True, cwd=remit.folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_up_deploys_what_has_changed_and_nothing_broken(remit):
    desk = remit.folder / "desk"
    policies = desk / "policies" / "base.cedar"
    before = policies.read_text()
    policies.write_text(before + "\npermit (nonsense);\n")
    with running(desk):
        log = (remit.folder / "up.log").read_text()
        assert "Not deployed: the project's files do not pass `remit check`" in log
        assert len(json.loads(remit("agents", "show", "hello", "--json"))["versions"]) == 1
    policies.write_text(before)
    program = desk / "agents" / "hello" / "program.py"
    program.write_text(program.read_text() + "\n# changed\n")
    with running(desk):
        assert "Deployed version" in (remit.folder / "up.log").read_text()
    versions = json.loads(remit("agents", "show", "hello", "--json"))["versions"]
    assert len(versions) == 2
    diff = remit("agents", "diff", "hello")
    assert "+# changed" in diff
    assert remit("agents", "diff", "hello", versions[1]["digest"][:10], versions[0]["digest"][:10]) == diff
    assert "is no version of hello" in remit("agents", "diff", "hello", "0000", code=1)


def test_up_of_a_broken_project_that_was_never_deployed(remit):
    remit("init", "broken", "--person", "ada", cwd=remit.folder)
    (remit.folder / "broken" / "actions.yaml").write_text("actions: [\n")
    said = remit("up", code=1, cwd=remit.folder / "broken")
    assert "nothing else is deployed" in said
    assert "remit check" in said
