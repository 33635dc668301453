"""Every `--json` has exactly the fields that the reference lists."""

import pytest
from tests.integration.cli.driver import actions, at_rest

from remit.evidence.shapes import fields as shapes


def keys(value):
    """The fields of an object, or of every object of a list, which must agree."""
    if isinstance(value, dict):
        return set(value)
    assert value
    (same,) = {frozenset(entry) for entry in value}
    return set(same)


@pytest.fixture(scope="module")
def worked(acme_folder):
    """A session that was approved, undone and recorded; and the command line."""
    from tests.integration.cli.driver import Remit

    acme = Remit(acme_folder, REMIT_AS_PERSON="leo.brandt")
    session = acme("start", "refund-desk", "--input", '{"ticket_id": "CS-19433"}', "--wait", "--json").json
    for item in session["items"]:
        acme("decide", item["id"], "approve", "--reason", "fair", "--as", "dana.kim")
    session = at_rest(acme, session["id"])
    (refund,) = actions(session, "payments.refund")
    return acme, session, refund["id"]


def test_sessions(worked):
    acme, session, _ = worked
    assert keys(acme("sessions", "--json").json) == set(shapes.SESSION)
    assert keys(session) == set(shapes.SESSION) | set(shapes.SESSION_SHOWN)
    assert keys(session["turns"]) == set(shapes.TURN)
    assert keys(session["actions"]) == set(shapes.ACTION)
    reasons = [reason for action in session["actions"] for reason in action["reasons"]]
    assert all(set(reason) == {"code", "text", "policy_id"} for reason in reasons)


def test_inbox(worked, handle):
    acme, _, _ = worked
    waiting = handle("CS-19444")
    found = acme("inbox", "--json").json
    assert keys(found) == keys(waiting["items"]) == set(shapes.ITEM)
    shown = acme("inbox", waiting["items"][0]["id"], "--json").json
    assert keys(shown) == set(shapes.ITEM) | set(shapes.ITEM_CONTEXT) | {"told"}
    item = waiting["items"][0]
    decided = acme("decide", item["id"], "deny", "--reason", "no", "--as", item["assignees"][0], "--json").json
    assert keys(decided) == set(shapes.ITEM)
    assert keys(decided["decision"]) == {"verdict", "by", "reason", "at", "simulated", "via"}


def test_undo_and_stop(worked):
    acme, _, refund = worked
    undone = acme("undo", refund, "--reason", "x", "--wait", "--json", "--as", "dana.kim").json
    assert keys(undone) == set(shapes.UNDONE)
    stop = acme("stop", "--workspace", "finance", "--reason", "x", "--json").json
    assert keys(stop) == keys(acme("stop", "--list", "--json").json) == set(shapes.STOP)
    acme("release", "--workspace", "finance", "--reason", "x")


def test_project_and_policy(worked):
    acme, _, refund = worked
    checked = acme("check", "--json").json
    assert keys(checked) == set(shapes.CHECKED)
    assert keys(checked["warnings"]) == set(shapes.PROBLEM)
    assert keys(acme("deploy", "--json").json) == set(shapes.DEPLOYED)
    assert keys(acme("policy", "list", "--json").json) == set(shapes.POLICY)
    tested = acme("policy", "test", "refund-desk", "crm.add_note", "--json", code=1).json
    assert keys(tested) == set(shapes.VERDICT) | {"agent", "action", "args"}
    explained = acme("policy", "explain", refund, "--json").json
    assert keys(explained) == set(shapes.EXPLAINED)
    assert keys(explained["now"]) == set(shapes.VERDICT) | {"policy_version"}
    assert keys(acme("raci", "refund-desk", "--json").json) == set(shapes.RACI)


def test_company(worked):
    acme, _, _ = worked
    assert keys(acme("agents", "--json").json) == set(shapes.AGENT)
    assert keys(acme("agents", "show", "refund-desk", "--json").json) == set(shapes.AGENT_CARD)
    assert keys(acme("people", "--json").json) == set(shapes.PERSON)
    assert keys(acme("connections", "--json").json) == set(shapes.CONNECTION)
    assert keys(acme("budgets", "--json").json) == set(shapes.BUDGET)


def test_record_and_tokens(worked):
    acme, _, _ = worked
    assert keys(acme("audit", "records", "--json").json) == set(shapes.RECORD)
    assert keys(acme("audit", "verify", "--json").json) == set(shapes.VERIFIED)
    acme("token", "refund-desk")
    assert keys(acme("token", "--list", "--json").json) == set(shapes.TOKEN)
