"""Answers that are remembered, memory and ideas over the command line, in the example company."""

from __future__ import annotations

import json

from tests.integration.cli.driver import at_rest, waiting

from remit.evidence.shapes import flow as flow_shapes


def test_an_answer_is_remembered_used_corrected_and_erased(acme, handle):
    item = waiting(handle("CS-19450"))
    shown = acme("inbox", item["id"]).out
    assert "remember       answer:" in shown
    assert "takes " in shown
    schema = item["detail"]["schema"]
    said = acme.refused("answer", item["id"], "none of these", "--as", item["assignees"][0])
    assert "The question is still open" in said
    value = schema["enum"][0]
    given = ("answer", item["id"], str(value), "--as", item["assignees"][0])
    assert f"{item['id']}: answered by {item['assignees'][0]}, remembered as mem_" in acme(*given, "--remember").out
    assert json.dumps(value) in acme.refused(*given)
    at_rest(acme, item["session_id"])

    again = handle("CS-19450")
    (asked,) = [a for a in again["actions"] if a["mode"] == "ask"]
    assert (asked["status"], asked["result"]) == ("succeeded", value)
    memory = asked["override"]["memory"]
    assert f"remembered: {memory}" in acme("session", "show", again["id"]).out

    listed = acme("memory", "--agent", "refund-desk", "--json").json
    assert set(listed[0]) == set(flow_shapes.MEMORY)
    assert [m["uses"] for m in listed if m["id"] == memory] == [1]
    shown = acme("memory", "show", memory, "--json").json
    assert set(shown) == set(flow_shapes.MEMORY) | set(flow_shapes.MEMORY_SHOWN)
    assert [set(use) for use in shown["used"]] == [set(flow_shapes.MEMORY_USE)]
    assert (shown["value"], shown["item_id"], shown["used"][0]["session_id"]) == (value, item["id"], again["id"])
    assert "asked: " in acme("memory", "show", memory).out

    owner = ("--as", shown["reviewers"][0])
    assert "may not decide about memory" in acme.refused(
        "memory", "erase", memory, "--reason", "x", "--as", "kofi.mensah"
    )
    new = acme("memory", "correct", memory, json.dumps(value), "--reason", "checked", *owner, "--json").json["id"]
    assert "not in force any more" in acme.refused("memory", "correct", memory, "x", "--reason", "late", *owner)
    assert acme("memory", "review", new, "--reason", "right", *owner, "--json").json["reviewed_by"] == owner[1]
    exported = [json.loads(line) for line in acme("memory", "export", "--key", "answer:", *owner).out.splitlines()]
    assert [m["value"] for m in exported if m["id"] == new] == [value]
    erased = acme("memory", "erase", new, "--reason", "asked to", *owner, "--json").json
    assert set(erased["erased"]) == {memory, new}
    assert set(erased["sessions"]) == {item["session_id"], again["id"]}
    assert "(gone)" in acme("memory", "show", memory).out
    assert new not in {m["id"] for m in acme("memory", "--json").json}
    assert new in {m["id"] for m in acme("memory", "--all", "--json").json}


def test_an_idea_is_followed_to_its_end(acme, handle):
    session = handle("CS-19432")["id"]
    said = acme("session", "message", session, "I want to see refunds by month").out
    (idea,) = acme("ideas", "--session", session, "--json").json
    assert set(idea) == set(flow_shapes.IDEA)
    assert said.strip() == idea["id"]  # the desk takes tickets, no texts: there is nothing for it to answer
    assert (idea["words"], idea["requester"]) == ("I want to see refunds by month", "person:leo.brandt")
    same = acme("idea", "i want to see  refunds by MONTH", "--session", session, "--json").json
    assert same["id"] == idea["id"]
    (item,) = [i for i in acme("inbox", "--kind", "idea", "--json").json if i["id"] == idea["item_id"]]
    owner = ("--as", item["assignees"][0])
    assert "remit ideas accept|ship|decline" in acme("inbox", item["id"]).out
    assert acme("ideas", "accept", item["id"], *owner, "--json").json["status"] == "accepted"
    acme("ideas", "ship", idea["id"], "--in", "refund-desk 2", "--reason", "see the report", *owner)
    assert "shipped in     refund-desk 2" in acme("ideas", "show", idea["id"]).out
    assert "Your idea was shipped in refund-desk 2" in acme("inbox", "--person", "leo.brandt").out
    assert "is shipped already" in acme.refused("ideas", "decline", idea["id"], "--reason", "x", *owner)
    assert idea["id"] not in acme("ideas").out
    assert idea["id"] in acme("ideas", "--all").out
    assert "no agent 'none'" in acme.refused("idea", "x", "--agent", "none")
