"""What the command line says of agents, people, connections, budgets and policies of the example company."""

import json
import shutil

import pytest
from tests.integration.cli.driver import ACME, Remit, actions

REFUND = '{"charge_id": "ch_1", "amount": %s, "currency": "USD", "reason": "because"}'


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The company's files alone: nothing of them is deployed."""
    folder = tmp_path_factory.mktemp("files") / "acme"
    shutil.copytree(ACME, folder, ignore=shutil.ignore_patterns(".remit", "__pycache__"))
    return Remit(folder)


@pytest.fixture
def own_files(files, tmp_path):
    """A copy to change."""
    shutil.copytree(files.folder, tmp_path / "acme")
    return Remit(tmp_path / "acme")


def test_agents_are_listed_and_shown(acme):
    listed = {a["agent"]: a for a in acme("agents", "--json").json}
    kinds = {name: a["kind"] for name, a in listed.items()}
    assert (kinds["refund-desk"], kinds["refund-desk-model"], kinds["meeting-notes"]) == ("program", "model", "program")
    assert acme("agents", "list", "--json").json == acme("agents", "--json").json
    card = acme("agents", "show", "refund-desk", "--json").json
    assert set(card["may_touch"]) == {"helpdesk.reply", "helpdesk.add_note", "payments.refund", "crm.add_note"}
    assert "payments.get_charge" in card["may_see"]
    assert "change a customer's data" in card["never"]
    asking = {(a["action"], a["policy"]): a["roles"] for a in card["needs_approval"]}
    assert asking["payments.refund", "refund_over_300"] == ["accountable", "risk_owner"]
    assert all(g["passed"] for g in card["gates"])
    assert len(card["gates"]) == 6
    assert card["granted_by"] == f"key:{card['signed_with']}"
    assert card["versions"][0]["digest"] == card["version"] == listed["refund-desk"]["version"]
    words = acme("agents", "show", "refund-desk").out
    for part in ("May see", "May touch", "Must never", "Needs approval", "Refund a charge (payments.refund)"):
        assert part in words
    assert "there is no agent 'nobody'" in acme.refused("agents", "show", "nobody")
    assert "before" in acme.refused("agents", "diff", "refund-desk")


def test_agent_is_suspended_and_taken_back(acme):
    suspend = ("agents", "suspend", "refund-desk-model", "--reason", "odd answers", "--as", "dana.kim")
    assert acme(*suspend).out == "refund-desk-model is suspended.\n"
    assert "suspended already" in acme.refused(*suspend)
    assert "(SUSPENDED)" in acme("agents", "show", "refund-desk-model").out
    said = acme.refused("start", "refund-desk-model", "--input", '{"ticket_id": "CS-19401"}')
    assert "agent refund-desk-model is suspended" in said
    acme("agents", "resume", "refund-desk-model", "--reason", "mended", "--as", "dana.kim")
    assert not any(a["suspended"] for a in acme("agents", "--json").json)
    assert "not suspended" in acme.refused("agents", "resume", "refund-desk-model", "--reason", "x")


def test_people_with_their_reporting_lines(acme):
    people = {p["id"]: p for p in acme("people", "--json").json}
    assert people["leo.brandt"]["reports_to"] == ["dana.kim", "amara.osei"]
    assert people["tom.becker"]["status"] == "left"
    assert "dana.kim > amara.osei" in acme("people").out


def test_budgets_say_what_is_left(acme, handle):
    shown = handle("CS-19419")
    (found,) = acme("budgets", "--prefix", f"session:{shown['id']}", "--json").json
    calls = found["calls"]
    assert calls["limit"] == 60
    assert calls["spent"] == sum(1 for a in shown["actions"] if a["mode"] != "note")
    assert calls["left"] == 60 - calls["spent"]
    (cap,) = acme("budgets", "--prefix", "cap:payments.refund:USD", "--json").json
    assert cap["currency"] == "USD"
    assert float(cap["money"]["spent"]) >= 50
    assert f"{calls['spent']} of 60" in acme("budgets", "--prefix", f"session:{shown['id']}").out
    assert acme("budgets", "--prefix", "nothing:").out == "Nothing was drawn on any budget yet.\n"


def test_decision_is_explained_as_recorded_and_as_now(acme, handle):
    (refund,) = actions(handle("CS-19406"), "payments.refund")
    found = acme("policy", "explain", refund["id"], "--json").json
    assert found["recorded"]["status"] == "succeeded"
    (policy,) = found["recorded"]["policies"]
    assert policy["id"] == "desks_refund"
    assert policy["where"].startswith("policies/desk.cedar:")
    assert "permit (" in policy["text"]
    assert (found["now"]["verdict"], found["policies_changed"]) == ("permit", False)
    words = acme("policy", "explain", refund["id"]).out
    assert f"desks_refund ({policy['where']})" in words
    assert "Now: permitted" in words
    assert "there is no action act_0" in acme.refused("policy", "explain", "act_0")


def test_model_request_is_explained_and_what_no_policy_judges(acme):
    start = ("start", "refund-desk-model", "--input", '{"ticket_id": "CS-19430"}', "--wait", "--json")
    request, *_ = actions(acme(*start).json, "model.request")
    found = acme("policy", "explain", request["id"], "--json").json
    assert found["recorded"]["status"] == "succeeded"
    assert (found["now"]["verdict"], found["now"]["policy_ids"]) == (
        "permit",
        found["recorded"]["policies"][0]["id"].split(),
    )

    start = ("start", "refund-desk", "--input", '{"ticket_id": "CS-19449"}', "--wait", "--json")
    (asked,) = [a for a in acme(*start).json["actions"] if a["mode"] == "ask"]
    found = acme("policy", "explain", asked["id"], "--json").json
    assert (found["recorded"]["status"], found["now"]) == ("waiting", None)
    assert "No policy judges this" in acme("policy", "explain", asked["id"]).out


def test_refused_action_is_explained_by_its_cap(acme, handle):
    (refund,) = actions(handle("CS-19414"), "payments.refund")
    found = acme("policy", "explain", refund["id"], "--json").json
    assert [r["code"] for r in found["recorded"]["reasons"]] == ["over_cap"]
    assert [r["code"] for r in found["now"]["reasons"]] == ["over_cap"]
    assert found["now"]["verdict"] == "forbid"


@pytest.mark.parametrize(
    ("amount", "more", "verdict", "reason"),
    [
        (100, (), "permit", None),
        (120, (), "needs_approval", "needs_human_approval_over_100"),
        (120, ("--approved", "accountable"), "permit", "needs_human_approval_over_100"),
        (120, ("--autonomy", "observe"), "forbid", "agent_only_observes"),
        (350, ("--approved", "accountable"), "needs_approval", "needs_two_people_over_300"),
        (600, ("--approved", "accountable", "--approved", "risk_owner"), "forbid", "over_cap"),
        ('"lots"', (), "forbid", "arguments_invalid"),
    ],
)
def test_policy_is_tested_without_deploying(files, amount, more, verdict, reason):
    command = ("policy", "test", "refund-desk", "payments.refund", "--input", REFUND % amount, *more)
    found = files(*command, "--json", code=0 if verdict == "permit" else 1).json
    assert found["verdict"] == verdict
    assert reason is None or reason in {r["code"] for r in found["reasons"]}
    assert files(*command, code=0 if verdict == "permit" else 1).out.startswith("payments.refund by refund-desk: ")
    assert not (files.folder / ".remit").exists()


def test_policy_sees_the_labels_that_are_supposed(files):
    letter = '{"ticket_id": "CS-19401", "text": "see https://example.com"}'
    command = ("policy", "test", "refund-desk", "helpdesk.reply", "--input", letter, "--json")
    touched = files(*command, "--label", "untrusted", "--label", "private", code=1).json
    assert touched["verdict"] == "needs_approval"
    assert "answer_with_link" in touched["policy_ids"]


def test_action_that_is_not_on_the_list_is_forbidden(files):
    found = files("policy", "test", "refund-desk", "crm.update_tier", "--json", code=1).json
    assert [r["code"] for r in found["reasons"]] == ["not_in_scope"]
    assert "there is no agent 'nobody'" in files.refused("policy", "test", "nobody", "crm.add_note")
    assert "arguments are a JSON object" in files.refused(
        "policy", "test", "refund-desk", "crm.add_note", "--input", "[]"
    )


def test_policies_and_their_schema(files):
    listed = {p["id"]: p for p in files("policy", "list", "--json").json}
    assert listed["refund_over_300"]["roles"] == ["accountable", "risk_owner"]
    assert listed["refund_over_300"]["where"].startswith("policies/refunds.cedar:")
    assert "refund_over_300" in files("policy", "list").out
    assert 'action "payments.refund"' in files("policy", "schema").out


def test_everything_an_agent_can_do_has_named_owners(files, own_files):
    rows = {r["action"]: r for r in files("raci", "refund-desk", "--json").json}
    refund = rows["payments.refund"]
    assert (refund["accountable"], refund["system_owner"], refund["risk_owner"]) == (
        "dana.kim",
        "ruth.stein",
        "maren.holt",
    )
    assert (refund["consulted"], refund["informed"]) == (["henrik.dahl"], ["yuki.mori"])
    assert refund["executor"] == "refund-desk"
    assert {"payments.cancel_refund", "payments.find_refund"} <= rows.keys()  # what a refund implies
    assert "model.request" in {r["action"] for r in files("raci", "refund-desk-model", "--json").json}
    assert "ruth.stein" in files("raci", "refund-desk").out

    directory = own_files.folder / "directory.yaml"
    left = directory.read_text().replace("    name: Ruth Stein\n", "    name: Ruth Stein\n    status: left\n")
    directory.write_text(left)
    rows = {r["action"]: r for r in own_files("raci", "refund-desk", "--json", code=1).json}
    assert rows["payments.refund"]["system_owner"] is None
    assert "NOBODY" in own_files("raci", "refund-desk", code=1).out


def test_connections_are_listed_and_pinned(own_files):
    listed = {c["connection"]: c for c in own_files("connections", "--json").json}
    assert {"tool": "refund", "classified": True} in listed["payments"]["tools"]
    assert "payments" in own_files("connections", "list").out
    assert own_files("connections", "pin", "payments", "--check").out == "Every tool is as it was pinned.\n"

    lock = own_files.folder / "tools.lock.json"
    good = lock.read_text()
    pins = json.loads(good)
    pins["connections"]["payments"]["refund"]["description"] = "Refund whatever the customer says"
    del pins["connections"]["payments"]["get_charge"]
    lock.write_text(json.dumps(pins))
    found = own_files("connections", "pin", "payments", "--check", "--json", code=1).json
    assert {(c["tool"], c["what"]) for c in found["changes"]} == {("refund", "changed"), ("get_charge", "new")}
    assert found["written"] is False
    assert json.loads(lock.read_text()) == pins

    said = own_files("connections", "pin", "payments").out
    assert "payments.refund: changed (description)" in said
    assert "Refund whatever the customer says" in said
    assert "Written to tools.lock.json" in said
    assert lock.read_text() == good
    assert "there is no connection 'paymnts'" in own_files.refused("connections", "pin", "paymnts")


def test_server_that_does_not_start_is_named(own_files):
    (own_files.folder / "servers" / "crm.py").write_text("raise SystemExit('no database here')\n")
    said = own_files.refused("connections", "pin", "crm")
    assert "crm" in said
    assert (own_files.folder / "tools.lock.json").read_text() == (ACME / "tools.lock.json").read_text()
