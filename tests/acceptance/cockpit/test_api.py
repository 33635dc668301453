"""The API as a program uses it: the cockpit's verbs and rights, problems that help, writes that are done once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from starlette.testclient import TestClient

from remit import asgi
from remit.evidence.shapes import fields
from remit.evidence.verify import verify_file
from remit.governance.logins import digest_of
from remit.runtime.sessions import Start
from remit.storage import api_answers, audit_log, cockpit, tokens
from remit.surfaces.api import models
from remit.surfaces.api.app import description
from tests.acceptance.cockpit.office import DIRECTORY, Office, open_office
from tests.acceptance.cockpit.test_decide import asked
from tests.acceptance.shop import FILES

V1 = "/api/v1"
TRIGGERS = """
triggers:
  nightly: {kind: schedule, agent: clerk, cron: "0 3 * * *", time_zone: UTC, input: {steps: []}}
"""


def bearer(office: Office, person: str) -> TestClient:
    """A program with a token of its own, and no browser."""
    with office.services.sessions.transaction() as db:
        tokens.issue(db, f"person:{person}", digest_of(f"remit_{person}"), "test", timedelta(days=1))
    client = office.client()
    client.headers.clear()
    client.headers["authorization"] = f"Bearer remit_{person}"
    return client


def test_a_program_finds_understands_and_decides(office: Office) -> None:
    session_id, item_id = asked(office)
    bo = bearer(office, "bo")
    assert bo.get(f"{V1}/me").json()["person"] == "bo"
    (item,) = bo.get(f"{V1}/inbox?mine=true").json()["items"]
    assert set(item) == set(fields.ITEM)
    shown = bo.get(f"{V1}/inbox/{item_id}").json()
    assert set(shown) == {*fields.ITEM, *fields.ITEM_CONTEXT, "told"}
    models.ItemInFull.model_validate(shown)
    with office.services.sessions.transaction() as db:
        (view,) = cockpit.views(db, item_id)
    assert (view["person"], view["details_at"] is not None) == ("bo", True)
    stale = bo.post(f"{V1}/inbox/{item_id}/approve", json={"reason": "fine", "args_digest": "other"})
    assert stale.status_code == 409
    assert bo.post(f"{V1}/inbox/{item_id}/take").json()["detail"]["taken_by"] == "bo"
    assert bo.post(f"{V1}/inbox/{item_id}/put-back").json()["detail"]["taken_by"] is None
    handed = bo.post(f"{V1}/inbox/{item_id}/hand", json={"to": "nobody", "reason": "yours"})
    assert handed.status_code in {403, 404, 422}
    wanted = {"reason": "fine", "args_digest": item["detail"]["args_digest"]}
    decided = bo.post(f"{V1}/inbox/{item_id}/approve", json=wanted).json()
    assert (decided["status"], decided["decision"]["via"]) == ("decided", "api")
    again = bo.post(f"{V1}/inbox/{item_id}/deny", json={"reason": "no"})
    assert again.status_code == 409
    (action,) = office.shop.finish(session_id)["actions"]
    session = bo.get(f"{V1}/sessions/{session_id}").json()
    models.SessionInFull.model_validate(session)
    assert set(session) == {*fields.SESSION, *fields.SESSION_SHOWN}
    explained = bo.get(f"{V1}/actions/{action['id']}/explanation").json()
    assert explained["recorded"]["policies"][0]["where"].startswith("policies/shop.cedar:")
    undone = bo.post(f"{V1}/actions/{action['id']}/undo", json={"reason": "twice"})
    assert (undone.status_code, undone.json()["undo"]) == (202, "asked")


def test_numbers_stay_exact_on_their_way(office: Office) -> None:
    office.shop.worker()
    bo = bearer(office, "bo")
    body = '{"agent": "clerk", "input": {"steps": [{"tool": "peek"}], "exact": 0.12345678901234567890}}'
    made = bo.post(f"{V1}/sessions", content=body, headers={"content-type": "application/json"})
    assert made.status_code == 201
    office.shop.finish(made.json()["id"])
    (turn,) = bo.get(f"{V1}/sessions/{made.json()['id']}").json()["turns"]
    assert turn["input"]["exact"] == "0.12345678901234567890".rstrip("0")


def test_sessions_are_worked_with(office: Office) -> None:
    office.shop.worker()
    bo = bearer(office, "bo")
    made = bo.post(f"{V1}/sessions", json={"agent": "clerk", "input": {"steps": []}, "title": "a"}).json()["id"]
    office.shop.finish(made)
    assert bo.post(f"{V1}/sessions/{made}/comments", json={"text": "looks good"}).status_code == 201
    (comment,) = bo.get(f"{V1}/sessions/{made}/comments").json()["items"]
    assert (comment["author"], comment["text"]) == ("bo", "looks good")
    assert bo.post(f"{V1}/sessions/{made}/messages", json={"contents": {"steps": []}}).status_code == 201
    office.shop.finish(made)
    planned = bo.post(f"{V1}/sessions/{made}/fork", json={"dry_run": True, "message": {"steps": []}}).json()
    assert planned["id"] is None
    fork = bo.post(f"{V1}/sessions/{made}/fork", json={"message": {"steps": []}}).json()
    office.shop.finish(fork["id"])
    waiting, _ = asked(office)
    for verb, status in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        moved = bo.post(f"{V1}/sessions/{waiting}/{verb}", json={"reason": "because"})
        assert moved.json()["status"] in {status, "waiting"}, verb
    first = bo.get(f"{V1}/sessions?limit=2").json()
    second = bo.get(f"{V1}/sessions?limit=2&after={first['next']}").json()
    found = [session["id"] for page in (first, second) for session in page["items"]]
    assert (found, second["next"]) == (sorted([made, fork["id"], waiting], reverse=True), None)


def test_agents_triggers_stops_and_policies(changed_shop: Callable[..., Any]) -> None:
    shop = changed_shop(**{"directory.yaml": DIRECTORY, "triggers.yaml": TRIGGERS})
    with open_office(shop, None) as office:
        shop.worker()
        bo, ada = bearer(office, "bo"), bearer(office, "ada")
        models.AgentCard.model_validate(bo.get(f"{V1}/agents/clerk").json())
        assert bo.post(f"{V1}/agents/clerk/suspend", json={"reason": "odd"}).json()["suspended"] is True
        assert bo.post(f"{V1}/agents/clerk/suspend", json={"reason": "odd"}).status_code == 409
        assert bo.post(f"{V1}/agents/clerk/resume", json={"reason": "fine"}).status_code == 403
        assert ada.post(f"{V1}/agents/clerk/resume", json={"reason": "fine"}).json()["suspended"] is False
        (fired,) = bo.post(f"{V1}/triggers/nightly/fire", json={}).json()
        shop.finish(fired["session_id"])
        paused = bo.post(f"{V1}/triggers/nightly/pause", json={"reason": "holiday"}).json()
        models.Trigger.model_validate(paused)
        assert (paused["paused"], paused["paused_by"]) == (True, "person:bo")
        assert bo.get(f"{V1}/triggers/nightly/firings").json()["items"][0]["session_id"] == fired["session_id"]
        stop = bo.post(f"{V1}/stops", json={"scope": "agent", "target": "clerk", "reason": "odd"})
        models.Stop.model_validate(stop.json())
        assert [s["id"] for s in bo.get(f"{V1}/stops").json()] == [stop.json()["id"]]
        assert bo.post(f"{V1}/stops", json={"scope": "all", "reason": "x"}).status_code == 403
        released = ada.post(f"{V1}/stops/release", json={"scope": "agent", "target": "clerk", "reason": "fine"})
        assert [s["id"] for s in released.json()["released"]] == [stop.json()["id"]]
        args = {"who": "kim", "amount": 120, "currency": "USD"}
        tried = bo.post(f"{V1}/policies/try", json={"agent": "clerk", "action": "till.pay", "args": args}).json()
        models.Tried.model_validate(tried)
        assert (tried["verdict"], tried["policy_ids"]) == ("needs_approval", ["pay_over_100"])
        assert {p["id"] for p in bo.get(f"{V1}/policies").json()} > {"pay_over_100"}


def test_what_belongs_to_another_workspace_does_not_exist(office: Office) -> None:
    session_id, item_id = asked(office)
    otto = bearer(office, "otto")
    action = bearer(office, "bo").get(f"{V1}/sessions/{session_id}").json()["actions"][0]["id"]
    for path in (f"inbox/{item_id}", f"sessions/{session_id}", f"actions/{action}", "agents/clerk"):
        unknown = f"{path.rpartition('/')[0]}/none"
        assert otto.get(f"{V1}/{path}").status_code == otto.get(f"{V1}/{unknown}").status_code == 404
    for path, body in (
        (f"inbox/{item_id}/approve", {"reason": "x"}),
        (f"inbox/{item_id}/comments", {"text": "x"}),
        (f"sessions/{session_id}/cancel", {"reason": "x"}),
        (f"sessions/{session_id}/messages", {"contents": "x"}),
        (f"actions/{action}/undo", {"reason": "x"}),
        ("agents/clerk/suspend", {"reason": "x"}),
        ("sessions", {"agent": "clerk"}),
        ("ideas", {"words": "x", "agent": "clerk"}),
        ("ideas", {"words": "x", "session_id": session_id}),
        ("policies/try", {"agent": "clerk", "action": "till.pay"}),
        ("audit/exports", {"session_id": session_id}),
    ):
        assert otto.post(f"{V1}/{path}", json=body).status_code == 404, path
    assert otto.get(f"{V1}/sessions").json() == {"items": [], "next": None}
    assert otto.get(f"{V1}/inbox?status=all").json()["items"] == []
    assert otto.get(f"{V1}/agents").json() == []
    seen = {record["session_id"] for record in otto.get(f"{V1}/audit/records?limit=200").json()["items"]}
    assert seen == set(), "he may audit the vault, and nothing has happened there"
    assert otto.post(f"{V1}/audit/exports", json={}).status_code == 403


def test_nobody_gets_nothing_and_another_site_neither(office: Office) -> None:
    nobody = office.client()
    for method, path in (("GET", "/me"), ("GET", "/inbox"), ("POST", "/sessions"), ("DELETE", "/logins/x")):
        refused = nobody.request(method, f"{V1}{path}", content=b"{")
        assert refused.status_code == 401, path
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.headers["content-type"] == "application/problem+json"
    assert nobody.get(f"{V1}/openapi.json").status_code == 200
    wrong = office.client()
    wrong.headers["authorization"] = "Bearer remit_guessed"
    assert wrong.get(f"{V1}/me").status_code == 401
    borrowed = office.client("bo")
    for site in ("cross-site", "same-site", "none"):
        sent = borrowed.post(f"{V1}/ideas", json={"words": "x"}, headers={"sec-fetch-site": site})
        assert sent.status_code == 403, site
    assert borrowed.post(f"{V1}/ideas", json={"words": "x"}).status_code == 201


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "not_json"),
        (b'{"words": NaN}', "application/json", 400, "not_json"),
        (b'{"words": "a", "words": "b"}', "application/json", 400, "not_json"),
        (b'{"words": ' + b"[" * 100 + b"]" * 100 + b"}", "application/json", 400, "not_json"),
        (b"[" * 100_000, "application/json", 400, "not_json"),
        (b'{"words": "\xff"}', "application/json", 400, "not_json"),
        (b'{"words": "' + b"x" * 2_000_000 + b'"}', "application/json", 413, "too_large"),
        (b"words=x", "application/x-www-form-urlencoded", 415, "wrong_type"),
        (b"[]", "application/json", 422, "invalid_input"),
        (b"", "application/json", 422, "invalid_input"),
        (b'{"words": "x", "agnet": "clerk"}', "application/json", 422, "invalid_input"),
        (b'{"words": "   "}', "application/json", 422, "invalid_input"),
        (b'{"words": "x", "agent": "\\u0000"}', "application/json", 404, "not_found"),
        (b'{"words": "x", "session_id": "\\u0000"}', "application/json", 422, "invalid_input"),
        (b'{"words": "x", "session_id": "\\ud800"}', "application/json", 422, "invalid_input"),
    ],
)
def test_a_bad_body_is_answered_with_what_is_wrong(
    office: Office, body: bytes, kind: str, status: int, code: str
) -> None:
    answer = office.client("bo").post(f"{V1}/ideas", content=body, headers={"content-type": kind})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert set(problem) == {"type", "title", "status", "detail", "advice", "code"}
    assert (problem["type"], problem["status"]) == (f"urn:remit:problem:{code}", status)


def test_the_same_key_is_answered_the_same_and_done_once(office: Office) -> None:
    bo, vera = bearer(office, "bo"), bearer(office, "cleo")
    key = {"idempotency-key": "order-1"}
    first = bo.post(f"{V1}/sessions", json={"agent": "clerk", "input": {"steps": []}}, headers=key)
    again = bo.post(f"{V1}/sessions", json={"input": {"steps": []}, "agent": "clerk"}, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    other = bo.post(f"{V1}/sessions", json={"agent": "clerk", "title": "other"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    elsewhere = bo.post(f"{V1}/ideas", json={"words": "x"}, headers=key)
    assert elsewhere.json()["code"] == "idempotency_key_reused"
    hers = vera.post(f"{V1}/sessions", json={"agent": "clerk", "input": {"steps": []}}, headers=key)
    assert hers.json()["id"] != first.json()["id"], "a key is one person's own"
    refused = bo.post(f"{V1}/sessions", json={"agent": "nobody"}, headers={"idempotency-key": "order-2"})
    assert refused.status_code == 404
    kept = bo.post(f"{V1}/sessions", json={"agent": "clerk"}, headers={"idempotency-key": "order-2"})
    assert kept.status_code == 201, "what was refused has used no key up"
    with office.services.sessions.transaction() as db:
        db.execute("update remit.api_answers set at = at - interval '25 hours'")
    late = bo.post(f"{V1}/sessions", json={"agent": "clerk", "input": {"steps": []}}, headers=key)
    assert late.json()["id"] != first.json()["id"]


def test_of_two_at_the_same_time_one_is_done(office: Office) -> None:
    bo = [bearer(office, "bo"), office.client("bo"), office.client("bo"), office.client("bo")]
    answers: list[Any] = [None] * len(bo)
    start = threading.Barrier(len(bo))

    def send(place: int) -> None:
        start.wait()
        body, headers = {"agent": "clerk", "input": {"steps": []}}, {"idempotency-key": "at once"[:2] + "once"}
        answers[place] = bo[place].post(f"{V1}/sessions", json=body, headers=headers)

    threads = [threading.Thread(target=send, args=(place,)) for place in range(len(bo))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    with office.services.sessions.transaction() as db:
        assert db.execute("select count(*) as n from remit.sessions").fetchone() == {"n": 1}


@pytest.mark.parametrize("broken", [api_answers.keep, cockpit.comment])
def test_a_crash_in_between_leaves_both_or_neither(
    office: Office, monkeypatch: pytest.MonkeyPatch, broken: Callable[..., Any]
) -> None:
    session_id, item_id = asked(office)
    bo, key = bearer(office, "bo"), {"idempotency-key": "k"}

    def crash(*given: Any) -> None:
        broken(*given)
        raise psycopg.OperationalError("the server was killed")

    with monkeypatch.context() as patched:
        patched.setattr(f"{broken.__module__}.{broken.__name__}", crash)
        failed = bo.post(f"{V1}/inbox/{item_id}/comments", json={"text": "once"}, headers=key)
        assert failed.status_code == 503
    assert bo.get(f"{V1}/inbox/{item_id}/comments").json()["items"] == []
    for _ in range(2):
        assert bo.post(f"{V1}/inbox/{item_id}/comments", json={"text": "once"}, headers=key).status_code == 201
    assert [c["text"] for c in bo.get(f"{V1}/sessions/{session_id}/comments").json()["items"]] == ["once"]


def test_an_erased_session_is_not_told_of_again(office: Office) -> None:
    session_id, item_id = asked(office)
    bo, key = bearer(office, "bo"), {"idempotency-key": "k"}
    assert bo.post(f"{V1}/inbox/{item_id}/deny", json={"reason": "secret"}, headers=key).status_code == 200
    office.shop.finish(session_id)
    with office.services.sessions.transaction() as db:
        audit_log.erase_session(db, session_id, "person:ada", "asked to")
        assert db.execute("select count(*) as n from remit.api_answers").fetchone() == {"n": 0}


def test_the_record_is_read_and_exported(office: Office, tmp_path: Path) -> None:
    session_id, _ = asked(office)
    rita, ada = bearer(office, "rita"), bearer(office, "ada")
    assert bearer(office, "bo").get(f"{V1}/audit/records").status_code == 403
    hers = rita.get(f"{V1}/audit/records?limit=2").json()
    assert {record["session_id"] for record in hers["items"]} == {session_id}
    for record in hers["items"]:
        models.Record.model_validate(record)
    older = rita.get(f"{V1}/audit/records?limit=2&after={hers['next']}").json()
    assert older["items"][0]["id"] < hers["items"][-1]["id"]
    everything = ada.get(f"{V1}/audit/records?limit=200").json()["items"]
    assert None in {record["session_id"] for record in everything}
    excerpt = rita.post(f"{V1}/audit/exports", json={"session_id": session_id})
    assert excerpt.headers["content-type"].startswith("application/jsonl")
    file = tmp_path / "record.jsonl"
    file.write_bytes(excerpt.content)
    assert verify_file(file, key=None, outside=[]).ok
    assert rita.post(f"{V1}/audit/exports", json={}).status_code == 403
    assert ada.post(f"{V1}/audit/exports", json={"contents": False}).status_code == 200


def test_everybody_ends_their_own_logins_and_tokens(office: Office) -> None:
    bo, ada = bearer(office, "bo"), bearer(office, "ada")
    browser = office.client("bo")
    (login,) = bo.get(f"{V1}/logins").json()["items"]
    (token,) = bo.get(f"{V1}/tokens").json()["items"]
    assert "digest" not in {*login, *token}
    assert bo.get(f"{V1}/logins?everybody=true").status_code == 403
    dov = bearer(office, "dov")
    assert dov.delete(f"{V1}/logins/{login['id']}").status_code == 404
    assert dov.delete(f"{V1}/tokens/{token['id']}").status_code == 404
    assert bo.delete(f"{V1}/logins/{login['id']}").status_code == 200
    assert browser.get(f"{V1}/me").status_code == 401
    assert token["id"] in {t["id"] for t in ada.get(f"{V1}/tokens?everybody=true").json()["items"]}
    assert ada.delete(f"{V1}/tokens/{token['id']}").status_code == 200
    assert bo.get(f"{V1}/me").status_code == 401


def test_ideas_go_to_the_owner(office: Office) -> None:
    cleo, bo = bearer(office, "cleo"), bearer(office, "bo")
    idea = cleo.post(f"{V1}/ideas", json={"words": "A bigger till", "agent": "clerk"}).json()
    models.Idea.model_validate(idea)
    assert cleo.post(f"{V1}/ideas/{idea['id']}/accept", json={}).status_code == 403
    assert bo.post(f"{V1}/ideas/{idea['id']}/accept", json={}).json()["status"] == "accepted"
    shipped = bo.post(f"{V1}/ideas/{idea['id']}/ship", json={"shipped_in": "v2"}).json()
    assert (shipped["status"], shipped["shipped_in"]) == ("shipped", "v2")
    assert bo.post(f"{V1}/ideas/{idea['id']}/decline", json={"reason": "no"}).status_code == 409
    assert bo.get(f"{V1}/ideas?undecided=true").json()["items"] == []


def test_every_write_can_be_sent_again_or_says_why_not() -> None:
    writes = {
        path: {parameter["name"] for parameter in operation.get("parameters", ())}
        for path, methods in description()["paths"].items()
        for method, operation in methods.items()
        if method != "get"
    }
    without = {path for path, parameters in writes.items() if "Idempotency-Key" not in parameters}
    assert without == {"/audit/exports", "/policies/try"}, "one is recorded each time, one changes nothing"


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with asgi._listen("127.0.0.1", 0, others=False) as listening:
        assert listening.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY on no other"


def test_like_decisions_are_those_of_the_same_workspace(changed_shop: Callable[..., Any]) -> None:
    spec = FILES["agents/clerk/agent.yaml"].replace("workspace: shop", "workspace: vault")
    policy = FILES["policies/shop.cedar"].replace('principal == Agent::"clerk"', "principal")
    directory = DIRECTORY.replace("workspaces: [shop]}", "workspaces: [shop, vault]}", 1)
    program = FILES["agents/clerk/program.py"]
    changed = {"agents/keeper/agent.yaml": spec, "agents/keeper/program.py": program, "policies/shop.cedar": policy}
    shop = changed_shop(**{"directory.yaml": directory, **changed})
    with open_office(shop, None) as office:
        _, there = asked(office)
        bo = bearer(office, "bo")
        assert bo.post(f"{V1}/inbox/{there}/deny", json={"reason": "a secret of the shop"}).status_code == 200
        step = {"tool": "pay", "who": "kim", "amount": 120, "currency": "USD"}
        here = shop.services.sessions.start(Start("keeper", {"steps": [step]}, "person:otto"))
        shop.wait_for(here, "approval")
        otto = bearer(office, "otto")
        shown = otto.get(f"{V1}/inbox/{shop.item(here, 'approval')}")
        assert shown.status_code == 200
        assert shown.json()["history"] == []
        assert "a secret of the shop" not in office.client("otto").get(f"/inbox/{shop.item(here, 'approval')}").text
        second, again = asked(office)
        assert [past["override"]["reason"] for past in bo.get(f"{V1}/inbox/{again}").json()["history"]] == [
            "a secret of the shop"
        ], second
