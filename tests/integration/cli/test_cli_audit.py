"""The record over the command line: read, exported, verified offline, erased."""

import json

import pytest
from tests.integration.cli.driver import Remit, at_rest


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory):
    """A folder without a project: verifying needs none."""
    return Remit(tmp_path_factory.mktemp("auditor"))


@pytest.fixture(scope="module")
def export(acme_folder, tmp_path_factory):
    """An export of everything, with one session in it that was approved by a person."""
    acme = Remit(acme_folder, REMIT_AS_PERSON="leo.brandt")
    start = ("start", "refund-desk", "--input", '{"ticket_id": "CS-19424"}', "--wait", "--json")
    session = acme(*start).json
    (item,) = session["items"]
    acme("decide", item["id"], "approve", "--reason", "as promised", "--as", "dana.kim")
    assert at_rest(acme, session["id"])["status"] == "finished"
    file = tmp_path_factory.mktemp("export") / "audit.jsonl"
    said = acme("audit", "export", "--output", str(file), "--as", "henrik.dahl")
    assert said.out == ""
    assert "Exported " in said.err
    return session["id"], file


def test_export_holds_who_approved_what(export):
    session_id, file = export
    assert file.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    (run,) = [line for line in lines if line["kind"] == "run" and line["session_id"] == session_id]
    (refund,) = [call for call in run["tool_calls"] if call["tool"] == "payments.refund"]
    assert refund["policy_ids"]
    assert "dana.kim" in json.dumps(run["human_override"])
    assert "as promised" in json.dumps(run["human_override"])
    records = [json.loads(line["body"]) for line in lines if line["kind"] == "record"]
    exports = [record["by"] for record in records if record["tag"] == "person:audit:exported"]
    assert exports[-1] == "person:henrik.dahl"


def test_export_is_verified_without_project(export, nowhere, acme_folder):
    _, file = export
    said = nowhere("audit", "verify", str(file))
    assert said.out.startswith("The record is whole.")
    assert "The public key came from the export itself." in said.out
    public = acme_folder / ".remit" / "sealer.pub"
    kept = acme_folder / ".remit" / "checkpoints" / "latest.checkpoint"
    for key in (str(public), public.read_text().strip()):
        found = nowhere("audit", "verify", str(file), "--key", key, "--checkpoint", str(kept), "--json", code=None).json
        assert found["key"] == public.read_text().strip()
        assert not any("public key" in limit for limit in found["limits"])
    assert not (nowhere.folder / ".remit").exists()


def test_altered_record_is_named(export, nowhere, tmp_path):
    _, file = export
    lines = file.read_bytes().splitlines(keepends=True)
    place = next(n for n, line in enumerate(lines) if b"person:approval:given" in line)
    index = json.loads(lines[place])["index"]
    lines[place] = lines[place].replace(b"dana.kim", b"kofi.kim")
    forged = tmp_path / "forged.jsonl"
    forged.write_bytes(b"".join(lines))
    said = nowhere("audit", "verify", str(forged), code=1).out
    assert said.startswith(f"This is not what was recorded. The first record that does not fit is number {index}.")
    assert "the file is whole" not in said
    found = nowhere("audit", "verify", str(forged), "--json", code=1).json
    assert (found["ok"], found["findings"][0]["index"]) == (False, index)
    assert found["findings"][0]["line"] == place + 1


def test_what_cannot_be_verified_says_why(export, nowhere):
    _, file = export
    assert "there is no file" in nowhere.refused("audit", "verify", "nothing.jsonl")
    assert "key" in nowhere.refused("audit", "verify", str(file), "--key", "nonsense")
    assert "cannot be read" in nowhere.refused("audit", "verify", str(file), "--checkpoint", "none.checkpoint")
    assert "is not a Remit project" in nowhere.refused("audit", "verify")


def test_log_in_the_database_is_verified(acme, export):
    found = acme("audit", "verify", "--json").json
    assert (found["ok"], found["excerpt"]) == (True, False)
    assert found["tree_size"] > 0


def test_one_session_is_handed_over(acme, nowhere, export, acme_folder, tmp_path):
    session_id, _ = export
    excerpt = acme("audit", "export", "--session", session_id).out
    file = tmp_path / "session.jsonl"
    file.write_text(excerpt)
    found = nowhere("audit", "verify", str(file), "--json").json
    assert (found["ok"], found["excerpt"], found["counts"]["runs"]) == (True, True, 1)

    kept = acme_folder / ".remit" / "checkpoints" / "latest.checkpoint"
    old = tmp_path / "old.checkpoint"
    old.write_bytes(kept.read_bytes())
    command = ("audit", "export", "--session", session_id, "--no-contents", "--checkpoint", str(old))
    acme(*command, "-o", str(file))
    public = str(acme_folder / ".remit" / "sealer.pub")
    found = nowhere("audit", "verify", str(file), "--key", public, "--checkpoint", str(old), "--json").json
    assert found["counts"]["withheld"] == found["counts"]["payloads"] > 0
    assert "as promised" not in file.read_text()
    assert "--checkpoint goes with --session" in acme.refused("audit", "export", "--checkpoint", str(old), code=2)
    assert "there is no session ses_0" in acme.refused("audit", "export", "--session", "ses_0", "-o", str(file))
    assert found["ok"] is True
    assert not list(tmp_path.glob(".session*"))


def test_records_are_listed_in_order(acme, export):
    session_id, _ = export
    found = acme("audit", "records", "--session", session_id, "--json").json
    tags = [r["tag"] for r in found]
    assert tags[0] == "trigger:session:started"
    assert tags.index("gate:action:waiting") < tags.index("person:approval:given") < tags.index("runtime:turn:finished")
    assert [r["id"] for r in found] == sorted(r["id"] for r in found)
    people = acme("audit", "records", "--session", session_id, "--tag", "person:", "--json").json
    assert {r["tag"] for r in people} - {"person:audit:exported"} == {"person:approval:given"}
    (before,) = acme("audit", "records", "--session", session_id, "--before", str(found[1]["id"]), "--json").json
    assert before["id"] == found[0]["id"]
    given = next(r for r in found if r["tag"] == "person:approval:given")
    of_action = acme("audit", "records", "--action", given["action_id"]).out
    assert "person:approval:given" in of_action
    assert "gate:action:cleared" in of_action
    assert acme("audit", "records", "--tag", "no:such:tag").out == "There is no such record.\n"


def test_contents_are_erased_and_the_record_stays_whole(acme, handle, nowhere, tmp_path):
    shown = handle("CS-19423")
    erase = ("audit", "erase", "--session", shown["id"], "--reason", "the customer asked", "--as", "amara.osei")
    assert acme(*erase, "--json").json["erased"] > 5
    after = acme("session", "show", shown["id"], "--json").json
    assert after["turns"][0]["input"] is None
    assert all(a["args"] is None for a in after["actions"])
    assert "CS-19423" in acme("session", "show", shown["id"]).out  # its request id is no content
    file = tmp_path / "erased.jsonl"
    acme("audit", "export", "--session", shown["id"], "-o", str(file))
    found = nowhere("audit", "verify", str(file), "--json").json
    assert found["ok"] is True
    assert found["counts"]["erased"] > 5
    assert "there is no session" in acme.refused("audit", "erase", "--session", "ses_0", "--reason", "x")
    assert "exactly one of" in acme.refused("audit", "erase", "--reason", "x", code=2)


def test_open_session_is_not_erased(acme, handle):
    shown = handle("CS-19413")
    assert shown["status"] == "waiting"
    said = acme.refused("audit", "erase", "--session", shown["id"], "--reason", "x")
    assert f"session {shown['id']} is waiting" in said
