"""Sessions, the inbox, decisions, undoing and the off switch over the command line, in the example company."""

import json

import pytest
from tests.integration.cli.driver import actions, at_rest, waiting


def test_small_refund_is_paid_without_asking(acme, handle):
    shown = handle("CS-19402")
    (refund,) = actions(shown, "payments.refund")
    assert (shown["status"], shown["request_id"], shown["simulated"]) == ("finished", "CS-19402", True)
    assert (refund["status"], refund["policy_ids"], refund["override"]) == ("succeeded", ["desks_refund"], None)
    said = acme("session", "show", shown["id"]).out
    assert f"{shown['id']}  finished" in said
    assert "started by     person:leo.brandt (simulated)" in said
    listed = acme("sessions", "--agent", "refund-desk", "--status", "finished", "--json").json
    assert shown["id"] in {s["id"] for s in listed}
    assert shown["id"] in acme("sessions").out
    assert acme("sessions", "--agent", "nobody").out.startswith("No session fits.")


def test_refund_over_100_is_shown_with_all_that_is_needed_and_approved(acme, handle):
    shown = handle("CS-19422")
    item = waiting(shown)
    (refund,) = actions(shown, "payments.refund")
    assert (shown["status"], item["kind"], refund["status"]) == ("waiting", "approval", "waiting")
    assert [r["code"] for r in refund["reasons"]] == ["needs_human_approval_over_100"]

    listed = acme("inbox", "--json").json
    assert next(i for i in listed if i["id"] == item["id"]) == item
    mine = acme("inbox", "--person", "dana.kim", "--kind", "approval", "--json").json
    assert item["id"] in {i["id"] for i in mine}
    assert item["id"] not in acme("inbox", "--person", "kofi.mensah").out

    found = acme("inbox", item["id"], "--json").json
    assert found["args"]["amount"] == 120
    assert found["raci"]["accountable"] == ["dana.kim"]
    assert [p["where"].partition(":")[0] for p in found["policies"]] == ["policies/refunds.cedar"]
    words = acme("inbox", item["id"]).out
    for said in ("needs_human_approval_over_100", "refund_over_100 (policies/refunds.cedar:", "dana.kim", "120"):
        assert said in words
    assert f"remit decide {item['id']} approve|edit|deny" in words

    decided = acme("decide", item["id"], "approve", "--reason", "fair", "--as", "dana.kim", "--json").json
    assert (decided["status"], decided["decision"]["by"]) == ("decided", "dana.kim")
    assert decided["decision"]["simulated"] is True
    done = at_rest(acme, shown["id"])
    (refund,) = actions(done, "payments.refund")
    assert (done["status"], refund["status"]) == ("finished", "succeeded")
    assert (refund["override"]["verdict"], refund["override"]["by"]) == ("approved", "dana.kim")
    assert "decided by dana.kim" in acme("session", "show", shown["id"]).out

    again = acme.refused("decide", item["id"], "deny", "--reason", "late", "--as", "dana.kim")
    assert f"{item['id']} is decided already, by dana.kim" in again


def test_two_people_for_more_and_neither_twice(acme, handle):
    item = waiting(handle("CS-19412"))
    said = acme("decide", item["id"], "approve", "--reason", "ok", "--as", "dana.kim").out
    assert f"{item['id']}: noted; still needed: " in said
    assert "maren.holt" in said
    assert "other people" in acme.refused("decide", item["id"], "approve", "--reason", "ok", "--as", "dana.kim")
    said = acme("decide", item["id"], "approve", "--reason", "ok", "--as", "maren.holt").out
    assert said == f"{item['id']}: approved by maren.holt\n"
    assert at_rest(acme, item["session_id"])["status"] == "finished"


def test_whoever_may_not_decide_is_told_who_may(acme, handle):
    item = waiting(handle("CS-19410"))
    said = acme.refused("decide", item["id"], "approve", "--reason", "x", "--as", "kofi.mensah")
    assert "kofi.mensah may not decide this; ask accountable: dana.kim" in said
    said = acme.refused("decide", item["id"], "approve", "--reason", "x", "--as", "tom.becker")
    assert "'tom.becker' is not an active person of the directory" in said
    assert "dana.kim" in said
    assert "asks for approval" in acme.refused("answer", item["id"], "yes", "--as", "dana.kim")
    said = acme("decide", item["id"], "deny", "--reason", "used goods", "--as", "dana.kim").out
    assert said == f"{item['id']}: denied by dana.kim\n"
    (refund,) = actions(at_rest(acme, item["session_id"]), "payments.refund")
    assert refund["status"] == "refused"
    assert refund["reasons"][-1] == {"code": "approval_denied", "text": "denied: used goods", "policy_id": None}


def test_edited_arguments_are_judged_and_executed(acme, handle):
    item = waiting(handle("CS-19408"))
    args = acme("inbox", item["id"], "--json").json["args"]
    decide = ("decide", item["id"], "edit", "--reason", "half", "--as", "dana.kim")
    assert "do not fit" in acme.refused(*decide, "--input", '{"amount": "5"}')
    assert "`edit` needs `--input`" in acme.refused(*decide, code=2)
    edited = {**args, "amount": 49.9}
    acme(*decide, "--input", "-", stdin=json.dumps(edited))
    (refund,) = actions(at_rest(acme, item["session_id"]), "payments.refund")
    assert (refund["args"]["amount"], refund["asked_args"]["amount"]) == (49.9, 100.01)
    assert refund["override"]["verdict"] == "edited"


def test_question_is_answered_with_json_or_text(acme, handle):
    shown = handle("CS-19451")
    item = waiting(shown)
    words = acme("inbox", item["id"]).out
    assert f"remit answer {item['id']} VALUE" in words
    assert "is not an answer" in acme.refused("answer", item["id"], "-5", "--as", item["assignees"][0])
    said = acme("answer", item["id"], "ch_6r3nq28u", "--as", item["assignees"][0]).out
    assert said == f"{item['id']}: answered by {item['assignees'][0]}\n"
    assert at_rest(acme, shown["id"])["status"] == "finished"


def test_action_is_taken_back_once(acme, handle):
    (refund,) = actions(handle("CS-19403"), "payments.refund")
    undo = ("undo", refund["id"], "--reason", "wrong customer", "--wait", "--json", "--as", "dana.kim")
    (entry,) = acme(*undo).json
    assert (entry["action"], entry["type"], entry["undo"]) == (refund["id"], "payments.refund", "done")
    shown = acme("session", "show", entry["session_id"], "--json")
    assert (
        actions(shown.json, "payments.refund")[0]["undone_by"] == actions(shown.json, "payments.cancel_refund")[0]["id"]
    )
    assert "undone already" in acme.refused(*undo)


def test_session_is_taken_back_as_far_as_it_can_be(acme, handle):
    shown = handle("CS-19404")
    said = acme("undo", shown["id"], "--reason", "all of it", "--wait", "--json", "--as", "dana.kim", code=1).json
    assert [(e["type"], e["undo"]) for e in said] == [
        ("crm.add_note", "irreversible"),
        ("helpdesk.reply", "irreversible"),
        ("payments.refund", "done"),
    ]
    words = acme("undo", shown["id"], "--reason", "again", "--wait", "--as", "dana.kim", code=1).out
    assert "irreversible" in words
    assert "payments." not in words  # neither what was taken back nor the undo itself


def test_irreversible_action_is_not_taken_back(acme, handle):
    (reply,) = actions(handle("CS-19405"), "helpdesk.reply")
    said = acme.refused("undo", reply["id"], "--reason", "typo", "--as", "dana.kim")
    assert "helpdesk.reply is irreversible" in said


def test_stop_holds_and_release_lets_go(acme, handle):
    stopped = acme("stop", "--action", "payments.refund", "--reason", "audit", "--json", "--as", "ruth.stein").json
    assert (stopped["scope"], stopped["target"], stopped["by"]) == ("action", "payments.refund", "ruth.stein")
    assert stopped["id"] in {s["id"] for s in acme("stop", "--list", "--json").json}
    shown = handle("CS-19407")
    assert shown["status"] == "waiting"
    assert not any(a["status"] == "succeeded" for a in actions(shown, "payments.refund"))
    said = acme("release", "--action", "payments.refund", "--reason", "done", "--as", "ruth.stein").out
    assert f"released {stopped['id']}; " in said
    assert at_rest(acme, shown["id"])["status"] == "finished"
    assert acme("stop", "--list").out == "Nothing is stopped.\n"


@pytest.mark.parametrize("scope", [(), ("--all", "--agent", "refund-desk")])
def test_stop_needs_one_scope(acme, scope):
    assert "say exactly one of" in acme.refused("stop", *scope, "--reason", "x", code=2)


def test_what_there_is_not_cannot_be_stopped(acme):
    assert "there is no agent 'nobody' to stop" in acme.refused("stop", "--agent", "nobody", "--reason", "x")


def test_session_is_paused_resumed_told_something_and_cancelled(acme, handle):
    shown = handle("CS-19421")
    acme("session", "pause", shown["id"], "--reason", "lunch")
    assert acme("session", "show", shown["id"], "--json").json["status"] == "paused"
    assert "is paused" in acme.refused("session", "message", shown["id"], "hello?")
    acme("session", "resume", shown["id"], "--reason", "back")
    acme("session", "cancel", shown["id"], "--reason", "enough")
    shown = acme("session", "show", shown["id"], "--json").json
    assert (shown["status"], shown["reason"]) == ("cancelled", "enough")
    assert [i["status"] for i in shown["items"]] == ["withdrawn"]
    assert "is cancelled and cannot become running" in acme.refused("session", "resume", shown["id"], "--reason", "x")


def test_message_begins_a_new_turn(acme, handle):
    shown = handle("CS-19437")
    turn = acme("session", "message", shown["id"], '{"ticket_id": "CS-19437"}').out.strip()
    turns = at_rest(acme, shown["id"])["turns"]
    assert [t["id"] for t in turns][1:] == [turn]
    assert turns[1]["input"] == {"ticket_id": "CS-19437"}
    assert "there is nothing to say" in acme.refused("session", "message", shown["id"], " ", code=2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("start", "refund-desc"), "no agent 'refund-desc' is deployed"),
        (("start", "refund-desk", "--input", "{"), "input"),
        (("start", "refund-desk", "--input", '{"ticket_id": 5}'), "ticket_id: 5 is not of type 'string'"),
        (("start", "refund-desk", "--input", "@nowhere.json"), "nowhere.json cannot be read"),
        (("start", "refund-desk", "--as", "nobody"), "'nobody' is not an active person"),
        (("session", "show", "ses_0"), "there is no session ses_0"),
        (("inbox", "itm_0"), "there is no inbox item itm_0"),
        (("decide", "itm_0", "approve", "--reason", "x"), "there is no inbox item itm_0"),
        (("undo", "act_0", "--reason", "x"), "there is no action act_0"),
        (("undo", "ses_0", "--reason", "x"), "there is no session ses_0"),
        (("session", "show", "\udcff"), "what was given is not UTF-8 text"),
    ],
)
def test_what_cannot_be_done_says_why(acme, arguments, said):
    assert said in acme.refused(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [("frobnicate",), ("start",), ("decide", "itm_0", "maybe", "--reason", "x"), ("undo", "act_0", "--reason", " ")],
)
def test_wrong_usage_exits_2(acme, arguments):
    assert "Error: " in acme.refused(*arguments, code=2)


def test_wrong_environment_is_named(acme):
    said = acme.refused("sessions", REMIT_WORKER_CONCURRENCY="many")
    assert "REMIT_WORKER_CONCURRENCY" in said
