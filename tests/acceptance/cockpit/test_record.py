"""The record in the cockpit: found by facets, taken away, counted; and the numbers for monitoring."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from pathlib import Path

from playwright.sync_api import expect
from starlette.testclient import TestClient

from remit import asgi
from remit.domain.records import Tag
from remit.evidence.verify import verify_file
from remit.governance.desk import Decider
from remit.governance.sealer import ensure_sealer_key
from remit.runtime.counting import Counting
from remit.storage.sessions import record
from tests.acceptance.cockpit.accessibility import accessible
from tests.acceptance.cockpit.office import Office

HOSTILE = "<script>alert(1)</script>\u202e" + "x" * 1_000_000


def counted(office: Office) -> None:
    """Seal and count what has been written, as a worker does."""
    sealer = office.services.sealer()
    deadline = time.monotonic() + 30
    try:
        while sealer.seal_once().records or unsealed(office):
            assert time.monotonic() < deadline, "a transaction holds the sealer up"
    finally:
        sealer.close()
    counting = Counting(office.services.url)
    while counting.count_once() or counting.tally_once():
        pass


def unsealed(office: Office) -> int:
    with office.services.sessions.transaction() as db:
        row = db.execute(
            "select count(*) as n from remit.records where id not in (select record_id from remit.leaves)"
        ).fetchone()
        return int(row["n"]) if row is not None else 0


def worked(office: Office) -> tuple[str, str]:
    """One session with a payment made at once, and one that Bo denied; both counted. Returns their ids."""
    office.shop.worker()
    paid = office.shop.start({"tool": "pay", "who": "kim", "amount": 20, "currency": "USD"})
    office.shop.finish(paid)
    asked = office.shop.start({"tool": "pay", "who": "lee", "amount": 300, "currency": "USD"})
    office.shop.wait_for(asked, "approval")
    office.services.sessions.deny(office.shop.item(asked, "approval"), Decider("bo"), "Nobody ordered that.")
    office.shop.finish(asked)
    office.shop.end_workers()
    counted(office)
    return paid, asked


def test_a_risk_officer_finds_who_did_what_and_takes_it_away(open_cockpit: Office) -> None:
    _, denied = worked(open_cockpit)
    page = open_cockpit.page("rita")
    page.goto("/insights?span=24h")
    page.get_by_role("row", name="denied 1").get_by_role("link").click()
    expect(page.get_by_text("1 record", exact=True)).to_be_visible()
    shown = page.get_by_role("list", name="Records").get_by_role("listitem")
    expect(shown).to_contain_text("by Bo Adeyemi")
    shown.locator("summary").click()
    expect(shown).to_contain_text('"tag": "person:approval:denied"')
    expect(shown.get_by_role("link", name=re.compile("^session"))).to_have_attribute("href", f"/sessions/{denied}")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8"))))
    assert [(row["tag"], row["who"], row["workspace"]) for row in rows] == [("person:approval:denied", "bo", "shop")]
    counted(open_cockpit)
    exported = open_cockpit.client("ada").get("/audit?tag=person:audit:exported").text
    assert "by Rita Stone" in exported, "that somebody took it away belongs to the whole company's record"


def test_both_pages_are_accessible(open_cockpit: Office) -> None:
    accessible(open_cockpit, "ada", "/audit", "/insights")
    worked(open_cockpit)
    filled = ("/audit", "/audit?outcome=denied", "/audit?since=nonsense", "/insights?span=24h")
    accessible(open_cockpit, "ada", *filled)


def test_facets_choose_and_pages_follow(office: Office) -> None:
    paid, denied = worked(office)
    client = office.client("ada")

    def found(query: str) -> list[str]:
        answer = client.get(f"/audit?{query}")
        assert answer.status_code == 200
        return re.findall(r'<div class="meta"><a href="[^"]*">([a-z:]+)</a>', answer.text)

    assert found("outcome=succeeded") == ["runtime:action:settled"]
    assert found("outcome=denied,refused") == ["gate:action:refused"]
    assert set(found(f"session={paid}")) >= {"trigger:session:started", "gate:action:cleared", "runtime:turn:finished"}
    assert found(f"session={denied}&tag=person:") == ["person:approval:denied"]
    assert found("who=bo&pace=elsewhere") == ["person:approval:denied"]
    assert found("agent=nobody") == found("since=2031-01-01T00:00") == found("until=2001-01-01T00:00") == []
    assert found("agent=clerk&action=till.pay&road=auto&outcome=cleared") == ["gate:action:cleared"]
    everything = found("")
    with office.services.sessions.transaction() as db:
        for _ in range(60):
            record(db, Tag.STOP_SET, by="ada", scope="workspace", target="shop")
    counted(office)
    first = client.get("/audit?tag=person:stop:set")
    assert "<strong>60</strong> records" in first.text
    older = re.search(r'rel="next" href="([^"]+)"', first.text)
    assert older is not None
    second = client.get(older[1].replace("&amp;", "&")).text
    assert second.count("data-row") == 10
    assert everything, "without a facet everything is shown"


def test_other_workspaces_are_not_there(office: Office) -> None:
    paid, _ = worked(office)
    for person in ("bo", "vera"):
        assert office.client(person).get("/audit").status_code == 403, "the record takes the permission for it"
        assert office.client(person).get("/insights").status_code == 403
        assert office.client(person).post("/audit/export", data={"form": "csv"}).status_code == 403
    otto = office.client("otto")
    assert "The record is empty" in otto.get("/audit").text
    for query in (f"session={paid}", "agent=clerk", "workspace=shop"):
        assert "No record fits" in otto.get(f"/audit?{query}").text
    lines = otto.post("/audit/export", data={"form": "jsonl"}).text.splitlines()
    assert lines == []
    assert otto.post("/audit/export", data={"form": "proof", "chosen": f"session={paid}"}).status_code == 404
    assert otto.post("/audit/export", data={"form": "proof"}).status_code == 403
    for address in ("/insights?workspace=shop", "/insights?agent=clerk", "/insights"):
        assert ">0</p><p>actions came to an end" in re.sub("<a [^>]*>|</a>", "", otto.get(address).text)
    counted(office)
    rita = office.client("rita").get("/audit").text
    assert "person:login:" not in rita.partition('aria-label="Records"')[2], "logins belong to no workspace"
    assert "person:login:begun" in office.client("ada").get("/audit").text.partition('aria-label="Records"')[2]


def test_what_is_taken_away_proves_itself(office: Office, tmp_path: Path) -> None:
    paid, _ = worked(office)
    office.shop.worker()
    client = office.client("ada")
    key = ensure_sealer_key(office.services.state).verifier
    for chosen, name in ((f"session={paid}", f"{paid}.remit.jsonl"), ("", "record.remit.jsonl")):
        answer = client.post("/audit/export", data={"form": "proof", "chosen": chosen})
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        file = tmp_path / name
        file.write_bytes(answer.content)
        assert verify_file(file, key=key).ok
        runs = [line for line in map(json.loads, answer.text.splitlines()) if line["kind"] == "run"]
        assert runs[0]["session_id" if "session_id" in runs[0] else "agent_id"] in {paid, "clerk"}
    lines = list(map(json.loads, client.post("/audit/export", data={"form": "jsonl"}).text.splitlines()))
    assert [line["index"] for line in lines] == list(range(len(lines)))
    assert client.post("/audit/export", data={"form": "xml"}).status_code == 422


def test_hostile_text_is_text(office: Office) -> None:
    with office.services.sessions.transaction() as db:
        for tag in (Tag.STOP_SET, Tag.LOGIN_REFUSED):
            record(db, tag, by=HOSTILE[:250], agent=HOSTILE, action="=cmd|' /C calc'!A0", reason=HOSTILE)
    counted(office)
    client = office.client("ada")
    text = client.get("/audit").text
    assert "<script>alert" not in text
    assert "\u202e" not in text
    assert len(text) < 500_000
    sheet = client.post("/audit/export", data={"form": "csv", "chosen": "tag=person:stop:set"}).text
    assert ",'=cmd|' /C calc'!A0," in sheet, "a spreadsheet would run it otherwise"
    for query in ("since=nonsense", "waited=99", "who=" + "x" * 400, "agent=%00"):
        assert client.get(f"/audit?{query}").status_code == 422
    assert client.get("/audit?before=nonsense").status_code == 422
    assert client.get("/insights?span=nonsense&agent=%3Cscript%3E").status_code == 200


def test_an_item_shows_how_it_was_looked_at(office: Office) -> None:
    office.shop.worker()
    session_id = office.shop.start({"tool": "pay", "who": "kim", "amount": 120, "currency": "USD"})
    office.shop.wait_for(session_id, "approval")
    item = office.shop.item(session_id, "approval")
    bo = office.client("bo")
    assert "Who looked" not in office.client("ada").get(f"/inbox/{item}").text
    bo.get(f"/inbox/{item}")
    assert bo.post(f"/inbox/{item}/opened").status_code == 204
    office.services.sessions.approve(item, Decider("bo"), "fine")
    text = bo.get(f"/inbox/{item}").text
    assert re.search(r"first saw it \d+ s after it was asked, decided \d+ s later; opened the details", text)


def local(office: Office, address: str) -> TestClient:
    """A client at an address, without a login."""
    return TestClient(asgi.app(office.services), base_url="http://127.0.0.1:8270", client=(address, 50_000))


def test_metrics_for_whom_they_are(office: Office) -> None:
    worked(office)
    text = local(office, "127.0.0.1").get("/metrics").text
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert samples['remit_actions_total{workspace="shop",outcome="succeeded",road="auto"}'] == "1"
    assert samples['remit_actions_total{workspace="shop",outcome="denied",road="asked"}'] == "1"
    assert samples['remit_turns_total{workspace="shop",end="finished"}'] == "2"
    assert samples['remit_inbox_open_items{kind="approval"}'] == "0"
    assert samples["remit_record_uncounted"] == "0"
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    assert all(
        re.fullmatch(r'[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+-]+', line)
        for line in text.splitlines()
        if line[0] != "#"
    )
    for proxied in ({"x-forwarded-for": "203.0.113.9"}, {"forwarded": "for=203.0.113.9"}, {"host": "remit.example"}):
        assert local(office, "127.0.0.1").get("/metrics", headers=proxied).status_code == 401
    assert local(office, "203.0.113.9").get("/metrics").status_code == 401


def test_a_proof_is_offered_to_whom_it_is_given(office: Office) -> None:
    office.shop.worker()
    session_id = office.shop.start({"tool": "peek"})
    office.shop.finish(session_id)
    rita, ada = office.client("rita"), office.client("ada")
    assert "Export everything, with proof" in ada.get("/audit").text
    assert "Export everything, with proof" not in rita.get("/audit").text
    assert "takes the permission audit over the whole company" in rita.get("/audit").text
    assert rita.post("/audit/export", data={"form": "proof"}).status_code == 403
    assert "Export this session, with proof" in rita.get(f"/audit?session={session_id}").text
    assert "Export this session" not in rita.get("/audit?session=ses_none").text
    for person, sees in (("rita", True), ("bo", False), ("vera", False)):
        client = office.client(person)
        for place in ("/audit", "/insights"):
            assert (f'href="{place}"' in client.get("/inbox").text) is sees
            assert (client.get(place).status_code == 200) is sees
    assert "<kbd>r</kbd>" in rita.get("/help").text
    assert "<kbd>r</kbd>" not in office.client("vera").get("/help").text
    for tab in ("", "/timeline"):
        page = f"/sessions/{session_id}{tab}"
        assert f"/sessions/{session_id}/fork?at=" in office.client("bo").get(page).text
        assert f"/sessions/{session_id}/fork" not in office.client("vera").get(page).text


def test_behind_the_oldest_record_there_is_nothing_older(office: Office) -> None:
    worked(office)
    for before in ("0", "-5"):
        shown = office.client("ada").get(f"/audit?before={before}").text
        assert "Nothing older" in shown
        assert "The record is empty" not in shown
    assert office.client("ada").get(f"/audit?before={2**70}").status_code == 422
