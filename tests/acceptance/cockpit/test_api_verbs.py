"""Verbs of the API that no other test sees succeed."""

from __future__ import annotations

from remit.surfaces.api import models
from tests.acceptance.cockpit.desk import pays
from tests.acceptance.cockpit.office import Office
from tests.acceptance.delegating import until
from tests.acceptance.talking import begin

V1 = "/api/v1"


def test_a_question_is_handed_over_and_answered(desk: Office) -> None:
    session_id = begin(desk.shop, "steps", {"steps": [{"ask": "Which roof?"}]})
    desk.shop.wait_for(session_id, "question")
    item_id = desk.shop.item(session_id, "question")
    with desk.services.sessions.transaction() as db:
        row = db.execute("select assignees from remit.inbox_items where id = %s", (item_id,)).fetchone()
    assert row is not None
    first = desk.client(row["assignees"][0])
    to = next(person for person in ("cleo", "bo") if person not in row["assignees"])
    handed = first.post(f"{V1}/inbox/{item_id}/hand", json={"to": to, "reason": "you were there"}).json()
    assert (handed["detail"]["taken_by"], to in handed["assignees"]) == (to, True)
    answered = desk.client(to).post(f"{V1}/inbox/{item_id}/answer", json={"value": "the red one", "reason": "seen"})
    assert answered.json()["decision"]["value"] == "the red one"
    assert desk.shop.finish(session_id)["turns"][0]["output"]["done"] == ["the red one"]


def test_other_arguments_are_approved_and_judged_anew(desk: Office) -> None:
    session_id = begin(desk.shop, "steps", pays(120))
    desk.shop.wait_for(session_id, "approval")
    args = {"who": "kim", "amount": 90, "currency": "USD"}
    path = f"{V1}/inbox/{desk.shop.item(session_id, 'approval')}/edit"
    edited = desk.client("bo").post(path, json={"args": args, "reason": "cheaper"})
    assert (edited.status_code, edited.json()["status"]) == (200, "decided")
    (done,) = desk.shop.finish(session_id)["actions"]
    assert (done["status"], done["args"]["amount"], done["asked_args"]["amount"]) == ("succeeded", 90, 120)
    shown = desk.client("bo").get(f"{V1}/actions/{done['id']}").json()
    models.Action.model_validate(shown)
    assert shown["args"]["amount"] == 90


def test_an_idea_is_read_and_declined(desk: Office) -> None:
    idea = desk.client("cleo").post(f"{V1}/ideas", json={"words": "A bell", "agent": "clerk"}).json()
    assert desk.client("bo").get(f"{V1}/ideas/{idea['id']}").json() == idea
    declined = desk.client("bo").post(f"{V1}/ideas/{idea['id']}/decline", json={"reason": "too loud"}).json()
    assert (declined["status"], declined["reason"]) == ("declined", "too loud")


def test_an_action_is_taken_back(desk: Office) -> None:
    session_id = begin(desk.shop, "steps", pays(20))
    (action,) = desk.shop.finish(session_id)["actions"]
    bo = desk.client("bo")
    undone = bo.post(f"{V1}/actions/{action['id']}/undo", json={"reason": "wrong"}).json()
    models.Undone.model_validate(undone)
    until(lambda: bo.get(f"{V1}/actions/{action['id']}").json()["undone_by"] is not None)
    turns = bo.get(f"{V1}/sessions/{session_id}/turns").json()["items"]
    assert (turns[-1]["id"], turns[-1]["kind"]) == (undone["turn"], "undo")
