"""Outputs reviewed by their readers: in the cockpit, with and without scripts, and over the API."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from remit.storage import outputs
from remit.surfaces.api import models
from tests.acceptance.cockpit.accessibility import accessible
from tests.acceptance.cockpit.office import Office
from tests.acceptance.talking import begin

V1 = "/api/v1"


def published(desk: Office, agent: str = "lister", given: Any = None, **more: Any) -> tuple[str, str]:
    """A session with one output. Returns both ids."""
    session_id = begin(desk.shop, agent, given or {}, **more)
    desk.shop.wait(session_id, "finished", "failed")
    (output,) = versions(desk, session_id)
    return session_id, output["id"]


def versions(desk: Office, session_id: str) -> list[dict[str, Any]]:
    with desk.services.sessions.transaction() as db:
        found = outputs.listing(db, session_id=session_id, every_version=True)
        return [{**row, "body": outputs.body(db, row["id"])} for row in found]


def test_a_reader_accepts_disputes_and_the_owner_settles(desk: Office) -> None:
    session_id, output_id = published(desk)
    page = desk.page("dov")
    page.goto(f"/sessions/{session_id}/results")
    page.locator("summary", has_text="Accept").click()
    page.get_by_role("button", name="Accept version 1").click()
    expect(page.get_by_text("It is accepted.")).to_be_visible()
    expect(page.get_by_text("accepted by Dov Levin")).to_be_visible()
    expect(page.locator("summary", has_text="Reject")).to_have_count(0)
    page.locator("summary", has_text="Dispute").click()
    page.get_by_label("Why").fill("Acme has left us")
    page.get_by_role("button", name="Dispute version 1").click()
    expect(page.get_by_text("disputed by Dov Levin: Acme has left us")).to_be_visible()
    item = desk.shop.item(session_id, "attention")
    owner = desk.page("bo")
    owner.goto(f"/inbox/{item}")
    owner.get_by_role("link", name="the output").click()
    expect(owner.locator("summary", has_text="Dispute")).to_have_count(0)
    owner.locator("summary", has_text="Reject").click()
    owner.get_by_label("Why", exact=True).fill("So it is")
    owner.get_by_role("button", name="Reject version 1").click()
    expect(owner.get_by_text("rejected by Bo Adeyemi: So it is")).to_be_visible()
    expect(owner.locator(".verbs")).to_have_count(0)
    assert [v["status"] for v in versions(desk, session_id)] == ["rejected"]
    owner.goto(f"/inbox/{item}")
    expect(owner.get_by_role("heading", name="Settled")).to_be_visible()
    assert desk.client("bo").get(f"/search?q={output_id}").headers["location"].endswith(f"/results#{output_id}")


def test_a_version_of_ones_own_replaces_it_without_scripts(desk: Office) -> None:
    session_id, _ = published(desk)
    page = desk.page("bo", java_script_enabled=False)
    page.goto(f"/sessions/{session_id}/results")
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Your version")).to_have_value("Dear Acme")
    page.get_by_label("Your version").fill("\n  Dear Acme,\nthank you.")
    page.get_by_label("Why").fill("Kinder")
    page.get_by_role("button", name="Replace it by this").dblclick()
    expect(page.get_by_text("It is replaced by your version 2.")).to_be_visible()
    expect(page.get_by_text("there is a newer one")).to_be_visible()
    mine, its = versions(desk, session_id)
    assert (mine["body"], mine["status"], mine["by"]) == ("\n  Dear Acme,\nthank you.", "accepted", "person:bo")
    assert (its["body"], its["status"], its["reason"]) == ("Dear Acme", "edited", "Kinder")
    page.goto(f"/sessions/{session_id}/results?edit={mine['id']}")
    expect(page.get_by_label("Your version")).to_have_count(0)  # what was accepted is disputed, and not edited


def test_json_stays_json_and_numbers_stay_exact(desk: Office) -> None:
    session_id, output_id = published(desk, "reporter", {"total": 1, "of": ["a", "ü"]})
    page, path = desk.page("bo"), f"/sessions/{session_id}/outputs/{output_id}"
    page.goto(f"/sessions/{session_id}/results?edit={output_id}")
    page.get_by_label("Your version").fill('{"total": ')
    page.get_by_role("button", name="Replace it by this").click()
    expect(page.get_by_role("alert")).to_contain_text("This was not done")
    expect(page.get_by_label("Your version")).to_have_value('{"total": ')
    exact = '{"total": 0.12345678901234567890123, "of": []}'
    page.get_by_label("Your version").fill(exact)
    page.get_by_role("button", name="Replace it by this").click()
    expect(page.get_by_text("It is replaced by your version 2.")).to_be_visible()
    with desk.services.sessions.transaction() as db:
        kept = outputs.exact_body(db, versions(desk, session_id)[0]["id"])
    assert str(kept["total"]) == "0.12345678901234567890123"
    late = desk.client("cleo").post(path, data={"verdict": "accepted"})
    assert late.status_code == 409
    assert "bo has made version 2 since" in late.text


def test_only_readers_review_and_with_a_reason(desk: Office) -> None:
    session_id, output_id = published(desk)
    path = f"/sessions/{session_id}/outputs/{output_id}"
    for who, status in (("vera", 403), ("rita", 403), ("otto", 404)):
        assert desk.client(who).post(path, data={"verdict": "accepted"}).status_code == status, who
        assert desk.client(who).post(f"{V1}/outputs/{output_id}/accept", json={}).status_code == status, who
    assert "Accept version" not in desk.client("vera").get(f"/sessions/{session_id}/results").text
    bo = desk.client("bo")
    for verdict in ("rejected", "disputed"):
        refused = bo.post(path, data={"verdict": verdict, "reason": " "})
        assert refused.status_code == 422
        assert f"say why it is {verdict}" in refused.text
    assert bo.post(path, data={"verdict": "deleted"}).status_code == 422
    other, _ = published(desk)
    assert bo.post(f"/sessions/{other}/outputs/{output_id}", data={"verdict": "accepted"}).status_code == 404
    assert bo.get(f"/sessions/{other}/results?edit={output_id}").status_code == 404
    assert [v["status"] for v in versions(desk, session_id)] == ["open"]


def test_what_waits_for_a_reader_is_listed_over_all_sessions(desk: Office) -> None:
    session_id, output_id = published(desk, on_behalf_of="dov")
    link = f'href="/sessions/{session_id}/results#{output_id}"'
    page = desk.page("dov")
    page.goto("/sessions")
    page.get_by_role("link", name="Outputs").click()
    page.get_by_label("Agent").select_option("lister")
    page.get_by_role("button", name="Show").click()
    page.locator(f"a[{link}]").click()
    page.locator(f"#{output_id} summary", has_text="Accept").click()
    page.get_by_role("button", name="Accept version 1").click()
    expect(page.get_by_text("It is accepted.")).to_be_visible()
    bo, otto = desk.client("bo"), desk.client("otto")
    assert link not in bo.get("/outputs").text
    assert "for Dov Levin" in bo.get("/outputs?status=accepted").text
    assert "accepted by Dov Levin" in bo.get("/outputs?status=accepted").text
    assert [link in bo.get(f"/outputs?status=all&{q}").text for q in ("kind=list", "kind=draft")] == [False, True]
    assert link not in otto.get("/outputs?status=all").text, "nothing of another workspace"
    assert link not in otto.get("/outputs?status=all&workspace=shop&agent=lister").text
    assert bo.get("/outputs?status=no%00thing&before='&kind=%F0%9F%92%A5").status_code == 200
    accessible(desk, "bo", "/outputs", "/outputs?status=rejected")


def test_hostile_and_long_outputs_harm_no_page(desk: Office) -> None:
    hostile = "</textarea><script>alert(1)</script>\u202egpj.exe"
    session_id, output_id = published(desk, "reporter", {"text": hostile})
    bo, path = desk.client("bo"), f"/sessions/{session_id}/results"
    assert "\u202e" not in bo.get(path).text
    shown = bo.get(f"{path}?edit={output_id}").text
    assert "<script>alert" not in shown
    assert "change the order in which others are shown" in shown
    long, long_output = published(desk, "reporter", {"text": "x" * 300_000})
    shown = bo.get(f"/sessions/{long}/results?edit={long_output}").text
    assert "It is too long to be edited here" in shown
    assert len(shown) < 100_000
    for n in range(60):
        with desk.services.sessions.transaction() as db:
            of = outputs.get(db, output_id)
            new = outputs.NewOutput(
                f"act_{n}",
                *(of[k] for k in ("session_id", "turn_id", "agent", "workspace")),
                f"sheet {n}",
                "other",
                f"Sheet {n}",
                {"n": n},
            )
            outputs._insert(db, f"out_zz{n:02}", 1, new, "agent:reporter", "open")
    listed = bo.get("/outputs").text
    assert listed.count('class="row-link"') == 50
    assert "Sheet 9<" in bo.get(listed.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")).text
    older = bo.get(path).text.split('rel="next" href="')[1].split('"')[0]
    assert bo.get(older).text.count('class="card pad" id="out_') == 11


def test_programs_review_outputs(desk: Office) -> None:
    bo, dov = desk.client("bo"), desk.client("dov")
    session_id, first = published(desk)
    (listed,) = bo.get(f"{V1}/outputs?session_id={session_id}").json()["items"]
    models.Output.model_validate(listed)
    shown = bo.get(f"{V1}/outputs/{first}").json()
    models.OutputInFull.model_validate(shown)
    assert (shown["body"], shown["status"]) == ("Dear Acme", "open")
    key = {"idempotency-key": first}
    for _ in range(2):
        accepted = dov.post(f"{V1}/outputs/{first}/accept", json={"reason": "fine"}, headers=key)
        assert (accepted.status_code, accepted.json()["status"], accepted.json()["decided_by"]) == (
            200,
            "accepted",
            "dov",
        )
    assert bo.post(f"{V1}/outputs/{first}/accept", json={}).status_code == 409
    disputed = dov.post(f"{V1}/outputs/{first}/dispute", json={"reason": "not fine"}).json()
    assert (disputed["status"], disputed["reason"]) == ("disputed", "not fine")
    edited = bo.post(f"{V1}/outputs/{first}/edit", json={"body": "Dear all", "reason": "better"}).json()
    assert (edited["version"], edited["status"], edited["by"]) == (2, "accepted", "person:bo")
    assert bo.get(f"{V1}/outputs/{edited['id']}").json()["body"] == "Dear all"
    assert [v["version"] for v in bo.get(f"{V1}/outputs/{edited['id']}").json()["versions"]] == [1, 2]
    waits = bo.get(f"{V1}/inbox?kind=attention&mine=true").json()["items"]
    assert session_id not in {item["session_id"] for item in waits}, "the dispute is settled"
    _, second = published(desk)
    assert bo.post(f"{V1}/outputs/{second}/reject", json={}).status_code == 422
    rejected = bo.post(f"{V1}/outputs/{second}/reject", json={"reason": "old numbers"}).json()
    assert (rejected["status"], rejected["reason"]) == ("rejected", "old numbers")


def test_everybody_can_use_the_page(desk: Office) -> None:
    session_id, output_id = published(desk)
    accessible(desk, "bo", f"/sessions/{session_id}/results", f"/sessions/{session_id}/results?edit={output_id}")
