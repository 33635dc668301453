"""From nothing to a verified record, as the README says it: the steps that begin and end it as real processes."""

import os
import subprocess
import sys

import pytest
from tests.integration.cli.driver import Remit, at_rest, running, waiting


@pytest.fixture
def steps(tmp_path):
    """Where projects are made."""
    return tmp_path


@pytest.fixture
def desk(steps):
    """`remit …` in the project `desk`, in this process."""
    return Remit(steps / "desk")


@pytest.fixture
def process(steps):
    """`remit …` as a process of its own, in a folder below `steps`."""

    def run(*arguments, cwd="desk"):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("REMIT_")}
        command = [sys.executable, "-m", "remit", *arguments]
        done = subprocess.run(
            command, cwd=steps / cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_first_steps(process, desk, steps):
    said = process("init", "desk", "--person", "ada", "--name", "Ada Byron", cwd=".")
    assert "cd desk" in said
    assert "remit up" in said
    assert "hello: 6 of 6 gates" in process("check")
    assert "nothing is deployed yet" in desk.refused("agents")
    assert "agents/hello/program.py" in process("deploy")

    alone = desk("start", "hello", "--input", '{"text": "early"}', "--wait", "--timeout", "0.3", code=1)
    assert "No worker runs; start one with `remit up`" in alone.err
    assert "still runs after 0.3 seconds" in alone.err
    with running(steps / "desk"):
        assert "written" in process("start", "hello", "--input", '{"text": "hello"}', "--wait")
        shown = desk("start", "hello", "--input", '{"text": "hi", "importance": 4}', "--wait", "--json").json
        item = waiting(shown)
        assert desk("inbox", "--json").json == [item]
        desk("decide", item["id"], "approve", "--reason", "fine")
        shown = at_rest(desk, shown["id"])
        assert shown["status"] == "finished"
        writes = [a for a in shown["actions"] if a["action"] == "notes.write"]
        assert [(a["status"], a["override"]["by"]) for a in writes] == [("succeeded", "ada")]
        desk("audit", "export", "--output", str(steps / "audit.jsonl"))
    verified = process("audit", "verify", "audit.jsonl", "--key", "desk/.remit/sealer.pub", cwd=".")
    assert verified.startswith("The record is whole.")


def test_reader_who_leaves_early_sees_no_complaint(steps):
    code = f"{sys.executable} -m remit init pipe --person ada | head -1"
    done = subprocess.run(code, shell=True, cwd=steps, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_up_deploys_what_has_changed_and_nothing_broken(desk, steps):
    desk("init", str(desk.folder), "--person", "ada")
    desk("deploy")
    policies = desk.folder / "policies" / "base.cedar"
    before = policies.read_text()
    policies.write_text(before + "\npermit (nonsense);\n")
    with running(desk.folder):
        log = (steps / "up.log").read_text()
        assert "Not deployed: the project's files do not pass `remit check`" in log
        assert len(desk("agents", "show", "hello", "--json").json["versions"]) == 1
    policies.write_text(before)
    program = desk.folder / "agents" / "hello" / "program.py"
    program.write_text(program.read_text() + "\n# changed\n")
    with running(desk.folder):
        assert "Deployed version" in (steps / "up.log").read_text()
        versions = desk("agents", "show", "hello", "--json").json["versions"]
        assert len(versions) == 2
        diff = desk("agents", "diff", "hello").out
        assert "+# changed" in diff
        assert desk("agents", "diff", "hello", versions[1]["digest"][:10], versions[0]["digest"][:10]).out == diff
        assert "is no version of hello" in desk.refused("agents", "diff", "hello", "0000")


def test_up_of_a_broken_project_that_was_never_deployed(desk):
    desk("init", str(desk.folder), "--person", "ada")
    (desk.folder / "actions.yaml").write_text("actions: [\n")
    said = desk.refused("up")
    assert "nothing else is deployed" in said
    assert "remit check" in said


def test_worker_waits_for_the_first_deployment(desk):
    desk("init", str(desk.folder), "--person", "ada")
    with running(desk.folder, "worker"):
        desk("deploy")
        shown = desk("start", "hello", "--input", '{"text": "first"}', "--wait", "--json").json
        assert shown["status"] == "finished"
