"""Exports of a real database: what a reader gets, and what the verifier makes of it."""

import io
import json
import random
import threading
import time
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from psycopg.rows import dict_row

from remit.domain.checkpoints import SigningKey
from remit.domain.records import Tag
from remit.errors import Conflict, IntegrityError, NotFound
from remit.evidence.export import ExportRequest, database_lines, write_export
from remit.evidence.reference import CALL_FIELDS, RUN_FIELDS
from remit.evidence.verify import verify_file, verify_lines
from remit.governance.sealer import Sealer
from remit.storage import audit_log, sessions
from remit.storage.ledger import payload_id
from remit.storage.sessions import NewSession, put_payload, record

KEY = SigningKey.generate()
REQUEST = ExportRequest(by="person:dana", wait=timedelta(seconds=30))


@pytest.fixture
def db(database):
    with psycopg.connect(database.url("app"), row_factory=dict_row) as connection:
        yield connection


@pytest.fixture
def sealer(database):
    made = Sealer(database.url("sealer"), KEY)
    yield made
    made.close()


def refund(db, ticket, *, card="4111", approve=True):
    """A refund of 120 that was asked about, approved and paid, as the gate and the desk leave it."""
    new = NewSession(
        agent="refund-desk", agent_version="v1", workspace="support", workflow="refunds", principal="trigger:tickets",
        on_behalf_of=None, trigger="cli", request_id=ticket, title=f"Ticket {ticket}", simulated=False, assisted=False,
        input={"ticket": ticket, "customer": {"card": {"number": card}}},
    )  # fmt: skip
    session, turn = sessions.create(db, new)
    action = f"act_{turn.partition('_')[2]}7"
    why = [{"code": "needs_human_approval_over_100", "text": "over 100", "policy_id": "refund_over_100"}]
    args = put_payload(db, payload_id(action, "a"), session, "arguments", {"amount": 120, "card": {"number": card}})
    say = {"session": session, "turn": turn, "action": action}
    record(db, Tag.ACTION_WAITING, **say, status="waiting", reasons=why, policy_ids=["refund_over_100"], arguments=args)
    db.execute(
        """insert into remit.actions (id, turn_id, session_id, key, mode, action, agent, agent_version, asked_digest,
               args_digest, status, reasons, policy_ids, policy_version, attempt, settled_at, usd_micros)
           values (%s, %s, %s, '7', 'tool', 'payments.refund', 'refund-desk', 'v1', 'x', 'x', 'succeeded', '[]',
                   '{refunds}', 'pv1', 1, clock_timestamp(), 250000)""",
        (action, turn, session),
    )
    db.execute(
        """insert into remit.actions (id, turn_id, session_id, key, mode, action, agent, agent_version, asked_digest,
               args_digest, status, policy_version, attempt, usd_micros, input_tokens, output_tokens)
           values (%s, %s, %s, 'm1', 'model', 'model.request', 'refund-desk', 'v1', 'x', 'x', 'succeeded', 'pv1', 1,
                   1500, 900, 40)""",
        (action + "m", turn, session),
    )
    item = f"itm_{turn.partition('_')[2]}"
    decision = {"verdict": "approved", "by": "mia", "reason": "was charged twice", "simulated": False, "at": "x"}
    db.execute(
        """insert into remit.inbox_items (id, kind, status, session_id, turn_id, action_id, workspace, summary,
               decision, decided_at)
           values (%s, 'approval', 'decided', %s, %s, %s, 'support', 's', %s, clock_timestamp())""",
        (item, session, turn, action, json.dumps(decision)),
    )
    db.execute(
        """insert into remit.approvals (action_id, role, item_id, person, args_digest, determining, expires_at, used_at)
           values (%s, 'accountable', %s, 'mia', 'x', 'd', now(), now())""",
        (action, item),
    )
    record(db, Tag.APPROVAL_GIVEN, **say, by="mia")
    result = put_payload(db, payload_id(action, "r"), session, "result", {"refund": "re_1", "text": "ok\u0000"})
    record(db, Tag.ACTION_SETTLED, **say, status="succeeded", usd_micros=250_000, result=result)
    output = put_payload(db, payload_id(turn, "o"), session, "output", {"refunded": 120.5})
    db.execute(
        "update remit.turns set status = 'finished', output = %s, finished_at = clock_timestamp() where id = %s",
        (payload_id(turn, "o"), turn),
    )
    record(db, Tag.TURN_FINISHED, session=session, turn=turn, output=output)
    db.execute("update remit.sessions set status = 'finished' where id = %s", (session,))
    db.commit()
    return session, turn, action


def export(db, sealer, **changes):
    out = io.BytesIO()
    summary = write_export(db, out, KEY.verifier, replace(REQUEST, **changes), sealer.seal_once)
    db.commit()
    return summary, out.getvalue().splitlines(keepends=True)


def of_kind(lines, kind):
    return [line for line in map(json.loads, lines) if line["kind"] == kind]


def test_one_line_a_turn_says_all_that_was_asked_decided_and_done(db, sealer):
    session, turn, action = refund(db, "CS-19422")
    summary, lines = export(db, sealer)
    (run,) = of_kind(lines, "run")
    assert (summary.runs, summary.payloads) == (1, 4)
    assert {name: run[name] for name in ("agent_id", "agent_version", "workflow", "request_id", "session_id")} == {
        "agent_id": "refund-desk", "agent_version": "v1", "workflow": "refunds", "request_id": "CS-19422",
        "session_id": session,
    }  # fmt: skip
    assert (run["turn_id"], run["principal"], run["on_behalf_of"], run["trigger"]) == (
        turn,
        "trigger:tickets",
        None,
        "cli",
    )
    assert run["inputs"]["ticket"] == "CS-19422"
    assert run["output"] == {"refunded": 120.5}
    assert run["policy_version"] == "pv1"
    assert (run["cost_usd"], run["tokens"]) == (0.2515, {"input": 900, "output": 40})
    assert list(run) == list(RUN_FIELDS)
    (call,) = run["tool_calls"]
    assert list(call) == list(CALL_FIELDS)
    assert (call["tool"], call["status"], call["action_id"]) == ("payments.refund", "succeeded", action)
    assert call["reason"] == "needs_human_approval_over_100"
    assert call["policy_ids"] == ["refund_over_100", "refunds"]
    assert call["cost_usd"] == 0.25
    assert call["arguments"] == {"amount": 120, "card": {"number": "4111"}}
    assert call["result"]["text"] == "ok\u0000"
    assert [(a["role"], a["person"]) for a in call["approved_by"]] == [("accountable", "mia")]
    (decided,) = run["human_override"]
    assert (decided["verdict"], decided["by"], decided["tool"]) == ("approved", "mia", "payments.refund")
    assert decided["reason"] == "was charged twice"
    assert [m["input_tokens"] for m in run["model_requests"]] == [900]


def test_a_whole_export_verifies_from_a_file(db, sealer, tmp_path):
    for n in range(40):
        refund(db, f"CS-{n}")
    sealer.seal_once()
    kept = audit_log.latest_checkpoint(db).note
    db.commit()
    summary, lines = export(db, sealer)
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(lines))
    result = verify_file(path, key=KEY.verifier, outside=[kept])
    assert result.findings == []
    assert result.limits == []
    assert result.counts["runs"] == 40
    assert result.counts["records"] == summary.records == summary.tree_size == 201
    assert "160 of 160 different payloads here are named in records" in " ".join(result.facts)
    inner = [c for c in of_kind(lines, "checkpoint") if not c["final"]]
    assert json.loads(lines[-1])["final"] is True
    assert len(inner) <= 3


def test_an_excerpt_of_a_session_verifies(db, sealer):
    wanted = [refund(db, f"CS-{n}") for n in range(12)][5][0]
    sealer.seal_once()
    kept = audit_log.latest_checkpoint(db)
    db.commit()
    refund(db, "CS-later")
    opened = KEY.verifier.open(kept.note)
    summary, lines = export(db, sealer, session_id=wanted, continues=opened)
    result = verify_lines(lines, key=KEY.verifier, outside=[kept.note])
    assert result.findings == []
    assert result.excerpt
    assert (summary.runs, summary.records) == (1, 6)
    assert all(json.loads(r["body"])["session_id"] == wanted for r in of_kind(lines, "record"))
    for at in range(len(lines)):
        assert not verify_lines([*lines[:at], *lines[at + 1 :]], key=KEY.verifier).ok


def test_every_kind_of_tampering_with_a_real_export_is_found(db, sealer):
    for n in range(6):
        refund(db, f"CS-{n}")
    _, lines = export(db, sealer)
    chooser = random.Random(7)
    for at in range(len(lines)):
        assert not verify_lines([*lines[:at], *lines[at + 1 :]], key=KEY.verifier).ok, at
        assert not verify_lines([*lines[:at], lines[at], *lines[at:]], key=KEY.verifier).ok, at
        raw = bytearray(lines[at])
        bit = chooser.randrange((len(raw) - 1) * 8)
        raw[bit // 8] ^= 1 << (bit % 8)
        assert not verify_lines([*lines[:at], bytes(raw), *lines[at + 1 :]], key=KEY.verifier).ok, (at, bit)
        if at + 1 < len(lines):
            swapped = [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]
            assert not verify_lines(swapped, key=KEY.verifier).ok, at


def test_a_record_altered_in_the_database_is_named(database, db, sealer):
    for n in range(3):
        refund(db, f"CS-{n}")
    sealer.seal_once()
    with psycopg.connect(database.url(), autocommit=True) as owner:
        owner.execute("update remit.records set body = replace(body, 'mia', 'bob') where id = 3")
        index = owner.execute("select leaf_index from remit.leaves where record_id = 3").fetchone()[0]
        result = verify_lines(database_lines(db, KEY.verifier), key=KEY.verifier)
        assert [f.index for f in result.findings] == [index]
        owner.execute("delete from remit.records where id = 3")
        result = verify_lines(database_lines(db, KEY.verifier), key=KEY.verifier)
        assert "missing" in result.findings[0].text
        assert result.findings[0].index == index


def test_erased_contents_are_said_to_be_erased_and_the_proof_stays_whole(db, sealer):
    session, _, _ = refund(db, "CS-1")
    refund(db, "CS-2")
    _, before = export(db, sealer)
    assert audit_log.erase_session(db, session, "person:dana", "asked for by the customer") == 4
    db.commit()
    _, lines = export(db, sealer)
    result = verify_lines(lines, key=KEY.verifier)
    assert result.findings == []
    assert (result.counts["erased"], result.counts["present"]) == (4, 4)
    assert any("4 payloads were erased" in fact for fact in result.facts)
    run = of_kind(lines, "run")[0]
    assert (run["inputs"], run["output"], run["tool_calls"][0]["arguments"]) == ("[erased]",) * 3
    assert b"CS-1" in b"".join(before)
    assert verify_lines(before, key=KEY.verifier).ok
    _, excerpt = export(db, sealer, session_id=session)
    assert verify_lines(excerpt, key=KEY.verifier).ok


def test_contents_that_vanished_without_a_record_are_found(database, db, sealer):
    refund(db, "CS-1")
    with psycopg.connect(database.url(), autocommit=True) as owner:
        owner.execute("update remit.payloads set body = null, salt = null where kind = 'result'")
    _, lines = export(db, sealer)
    assert "no record says that it was erased" in verify_lines(lines, key=KEY.verifier).findings[0].text


def test_contents_that_were_altered_are_found(database, db, sealer):
    refund(db, "CS-1")
    with psycopg.connect(database.url(), autocommit=True) as owner:
        owner.execute("update remit.payloads set body = '{\"amount\":9}' where kind = 'arguments'")
    _, lines = export(db, sealer)
    assert "not the one with the digest" in verify_lines(lines, key=KEY.verifier).findings[0].text


def test_declared_fields_are_left_out_everywhere(db, sealer):
    refund(db, "CS-1", card="4111222233334444")
    _, lines = export(db, sealer, redact={"payments.refund": ("card.number",)})
    assert b"4111222233334444" not in b"".join(lines)
    (run,) = of_kind(lines, "run")
    assert run["inputs"]["customer"]["card"]["number"] == "[redacted]"
    assert run["tool_calls"][0]["arguments"] == {"amount": 120, "card": {"number": "[redacted]"}}
    result = verify_lines(lines, key=KEY.verifier)
    assert result.ok
    assert (result.counts["withheld"], result.counts["present"]) == (2, 2)


def test_contents_can_be_withheld_altogether(db, sealer):
    refund(db, "CS-SECRET", card="4111222233334444")
    _, lines = export(db, sealer, contents=False)
    text = b"".join(line for line in lines if b'"kind":"record"' not in line)
    assert b"4111222233334444" not in text
    assert b"charged twice" not in text
    assert b"re_1" not in text
    assert verify_lines(lines, key=KEY.verifier).counts["withheld"] == 4


def test_without_a_sealer_of_its_own_an_export_waits_for_the_running_one(db, database, sealer):
    refund(db, "CS-1")
    stop = threading.Event()

    def elsewhere():
        while not stop.wait(0.05):
            sealer.seal_once()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    try:
        out = io.BytesIO()
        write_export(db, out, KEY.verifier, REQUEST)
        assert verify_lines(out.getvalue().splitlines(keepends=True), key=KEY.verifier).ok
    finally:
        stop.set()
        thread.join()


def test_what_cannot_be_exported_is_said(db, sealer):
    refund(db, "CS-1")
    with pytest.raises(NotFound, match="ses_none"):
        export(db, sealer, session_id="ses_none")
    db.rollback()
    started = time.monotonic()
    with pytest.raises(Conflict, match="were not sealed within"):
        write_export(db, io.BytesIO(), KEY.verifier, replace(REQUEST, wait=timedelta(milliseconds=200)))
    assert time.monotonic() - started < 10
    other = SigningKey.generate().verifier
    with pytest.raises(IntegrityError, match="no signature of"):
        write_export(db, io.BytesIO(), other, REQUEST, sealer.seal_once)


def test_records_while_exporting_do_not_matter(database, db, sealer):
    session, _, _ = refund(db, "CS-1")
    stop = threading.Event()

    def busy():
        with psycopg.connect(database.url("app"), row_factory=dict_row) as own:
            n = 0
            while not stop.is_set():
                refund(own, f"busy-{(n := n + 1)}")

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(3):
            _, lines = export(db, sealer)
            assert verify_lines(lines, key=KEY.verifier).findings == []
            _, lines = export(db, sealer, session_id=session)
            assert verify_lines(lines, key=KEY.verifier).findings == []
    finally:
        stop.set()
        thread.join()


def test_nothing_sealed_yet_is_said(db):
    with pytest.raises(NotFound, match="nothing has been sealed"):
        list(database_lines(db, KEY.verifier))


def test_an_export_of_an_empty_project_holds_its_own_record(db, sealer):
    summary, lines = export(db, sealer)
    assert (summary.runs, summary.records) == (0, 1)
    assert verify_lines(lines, key=KEY.verifier).ok
