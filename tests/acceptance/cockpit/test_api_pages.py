"""Lists of the API that grow: each comes in pages that together are the whole of it, and shows nobody's hidden work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from remit.storage import audit_log, triggers
from remit.storage.triggers import Firing
from remit.surfaces.api import models
from remit.surfaces.api.app import description
from tests.acceptance.cockpit.office import Office, open_office
from tests.acceptance.cockpit.test_decide import asked
from tests.acceptance.delegating import EXTRA, job
from tests.acceptance.talking import begin

V1 = "/api/v1"


def walked(client: TestClient, path: str, limit: int = 2, **query: Any) -> list[dict[str, Any]]:
    """Every entry of a list, by following `next`; no page is longer than asked, and no entry comes twice."""
    found, after = [], None
    while True:
        answer = client.get(f"{V1}{path}", params={"limit": limit, **query, **({"after": after} if after else {})})
        assert answer.status_code == 200, answer.text
        shown = answer.json()
        assert len(shown["items"]) <= limit
        found += shown["items"]
        after = shown["next"]
        if after is None:
            return found
        assert len(shown["items"]) == limit


def test_a_long_session_comes_in_pages(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.shop.worker()
    session_id = office.shop.start(*[{"tool": "peek"} for _ in range(5)])
    office.shop.finish(session_id)
    for _ in range(3):
        office.services.sessions.message(session_id, "person:bo", {"steps": [{"tool": "peek"}]})
        office.shop.finish(session_id)
    refused = {"tool": "pay", "who": "kim", "amount": 900, "currency": "USD"}
    office.services.sessions.message(session_id, "person:bo", {"steps": [refused]})
    office.shop.finish(session_id)
    bo, path = office.client("bo"), f"/sessions/{session_id}"
    whole = bo.get(V1 + path).json()
    for limit in (1, 2, 200):
        assert walked(bo, f"{path}/actions", limit) == whole["actions"]
        assert walked(bo, f"{path}/turns", limit) == whole["turns"]
    assert len(whole["actions"]) == 9
    assert [t["input"]["steps"][0]["tool"] for t in whole["turns"]] == ["peek"] * 4 + ["pay"]
    assert {a["status"] for a in walked(bo, f"{path}/actions", status="succeeded")} == {"succeeded"}
    (last,) = walked(bo, f"{path}/actions", turn=whole["turns"][-1]["id"])
    assert (last["status"], last["args"]["amount"]) == ("refused", 900)
    models.Turn.model_validate(whole["turns"][0])
    models.Action.model_validate(last)
    monkeypatch.setattr(models, "MOST_SHOWN", 3)
    end = bo.get(V1 + path).json()
    assert end["actions"] == whole["actions"][-3:]
    assert end["turns"] == whole["turns"][-3:]
    assert (end["usd"], end["tokens"]) == (whole["usd"], whole["tokens"]), "all of it is counted"
    for wrong in ("limit=0", "limit=201", "status=odd"):
        assert bo.get(f"{V1}{path}/actions?{wrong}").status_code == 422
    assert bo.get(f"{V1}{path}/actions?after=act_{'0' * 26}").json() == {"items": [], "next": None}
    with office.services.sessions.transaction() as db:
        audit_log.erase_session(db, session_id, "person:ada", "asked to")
    assert {a["args"] for a in walked(bo, f"{path}/actions") if a["action"] == "till.pay"} == {None}
    assert [t["input"] for t in walked(bo, f"{path}/turns")] == [None] * 5


def test_items_comments_and_forks_come_in_pages(office: Office) -> None:
    session_id, item_id = asked(office)
    bo = office.client("bo")
    for n in range(5):
        of = f"/inbox/{item_id}" if n % 2 else f"/sessions/{session_id}"
        assert bo.post(f"{V1}{of}/comments", json={"text": f"{n}"}).status_code == 201
    assert [c["text"] for c in walked(bo, f"/sessions/{session_id}/comments")] == ["0", "1", "2", "3", "4"]
    assert [c["text"] for c in walked(bo, f"/inbox/{item_id}/comments", 1)] == ["1", "3"]
    (item,) = walked(bo, f"/sessions/{session_id}/items")
    assert item["id"] == item_id
    assert bo.post(f"{V1}/inbox/{item_id}/deny", json={"reason": "no"}).status_code == 200
    assert [i["status"] for i in walked(bo, f"/sessions/{session_id}/items")] == ["decided"]
    office.shop.finish(session_id)
    say = {"message": {"steps": []}}
    made = [bo.post(f"{V1}/sessions/{session_id}/fork", json=say).json()["id"] for _ in range(3)]
    assert [fork["id"] for fork in walked(bo, f"/sessions/{session_id}/forks")] == made
    with office.services.sessions.transaction() as db:
        db.execute("update remit.sessions set workspace = 'vault' where id = %s", (made[1],))
    assert [fork["id"] for fork in walked(bo, f"/sessions/{session_id}/forks", 1)] == [made[0], made[2]]
    assert bo.get(f"{V1}/sessions/{session_id}").json()["forks"] == [made[0], made[2]]


def test_delegated_work_that_is_hidden_is_in_no_list(changed_shop: Any) -> None:
    shop = changed_shop(**EXTRA)
    with open_office(shop, None) as office:
        shop.worker()
        session_id = begin(shop, "boss", {"jobs": [job({"text": str(n)}) for n in range(4)]})
        shop.finish(session_id)
        bo = office.client("bo")
        found = walked(bo, f"/sessions/{session_id}/children")
        assert found == bo.get(f"{V1}/sessions/{session_id}").json()["children"]
        assert len(found) == 4
        models.Child.model_validate(found[0])
        with office.services.sessions.transaction() as db:
            db.execute("update remit.sessions set workspace = 'elsewhere' where id = %s", (found[2]["id"],))
        seen = [found[0], found[1], found[3]]
        assert walked(bo, f"/sessions/{session_id}/children") == seen
        assert bo.get(f"{V1}/sessions/{session_id}").json()["children"] == seen


def test_firings_come_in_pages_whatever_their_keys(bureau: Office) -> None:
    now, bo = datetime.now(UTC), bureau.client("bo")
    with bureau.services.sessions.transaction() as db:
        made = [
            Firing("bell", f"{n} &after=+ü{'k' * 500}", now, "refused" if n % 2 else "skipped", None, "no", now)
            for n in range(5)
        ]
        triggers.write(db, [(firing, {}) for firing in made])
        db.execute("update remit.firings set at = %s", (now - timedelta(hours=1),))  # all at the same moment
    found = walked(bo, "/triggers/bell/firings")
    assert [firing["key"][0] for firing in found] == ["4", "3", "2", "1", "0"]
    models.Firing.model_validate(found[0])
    assert len(walked(bo, "/triggers/bell/firings", status="refused")) == 2
    first = bo.get(f"{V1}/triggers/bell/firings?limit=2").json()["next"]
    assert len(bo.get(f"{V1}/triggers/bell/firings?after={first}").json()["items"]) == 3, (
        "it goes into an address as it is"
    )
    for wrong in ("yesterday", "MjAyNi0wMS0wMSBr", "%00", "ü"):
        refused = bo.get(f"{V1}/triggers/bell/firings", params={"after": wrong})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input"), wrong


def test_what_belongs_to_a_hidden_session_is_in_no_list(office: Office) -> None:
    session_id, _ = asked(office)
    otto = office.client("otto")
    for part in ("turns", "actions", "items", "children", "forks", "comments"):
        hidden, unknown = (otto.get(f"{V1}/sessions/{one}/{part}") for one in (session_id, "ses_none"))
        assert hidden.status_code == unknown.status_code == 404, part


def test_what_is_deployed_is_listed_and_a_trigger_goes_on(bureau: Office) -> None:
    bo = bureau.client("bo")
    for path, model, name in (("agents", models.Agent, "clerk"), ("triggers", models.Trigger, "nightly")):
        found = bo.get(f"{V1}/{path}").json()
        assert name in {entry["trigger" if path == "triggers" else "agent"] for entry in found}
        for entry in found:
            model.model_validate(entry)
    people = bo.get(f"{V1}/people").json()
    models.Person.model_validate(people[0])
    assert {"ada", "bo", "otto"} <= {person["id"] for person in people}
    assert bo.post(f"{V1}/triggers/nightly/pause", json={"reason": "holiday"}).json()["paused"] is True
    assert bo.post(f"{V1}/triggers/nightly/resume", json={"reason": "back"}).json()["paused"] is False


def test_every_list_that_grows_by_itself_has_pages() -> None:
    paths = description()["paths"]
    lists = {
        path
        for path, methods in paths.items()
        if "get" in methods
        and methods["get"]["responses"]["200"]["content"].get("application/json", {}).get("schema", {}).get("type")
        == "array"
    }
    assert lists == {"/agents", "/triggers", "/policies", "/people", "/stops"}, (
        "as long as the project's files make them"
    )


def test_a_cursor_that_is_none_is_refused_and_not_an_empty_page(office: Office) -> None:
    office.shop.worker()
    session_id = office.shop.start({"tool": "peek"})
    office.shop.finish(session_id)
    ada, own = office.client("ada"), f"/sessions/{session_id}"
    lists = ("/sessions", "/inbox", "/outputs", "/ideas", "/tokens", "/logins", f"{own}/turns", f"{own}/actions")
    for path in (*lists, f"{own}/comments"):
        for wrong in ("bad", "ses_", "1", "ses_" + "0" * 25 + "\0"):
            answer = ada.get(V1 + path, params={"after": wrong})
            assert answer.status_code == 422, (path, wrong)
            assert answer.headers["content-type"] == "application/problem+json"
            assert "no place in the list" in answer.json()["detail"]
        assert ada.get(V1 + path, params={"after": session_id}).status_code == 200, path
