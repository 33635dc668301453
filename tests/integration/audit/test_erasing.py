"""Erasing contents: never of open sessions, always with a record, and the digest stays."""

import psycopg
import pytest
from psycopg.rows import dict_row

from remit.errors import Conflict, NotFound
from remit.storage import audit_log


def session(db, identifier, status):
    db.execute(
        "insert into remit.sessions (id, status, agent, agent_version, workspace, principal, trigger, request_id)"
        " values (%s, %s, 'refund-desk', 'v1', 'w', 'person:a', 'cli', 'r')",
        (identifier, status),
    )


def test_contents_of_open_sessions_cannot_be_erased(db):
    for status in ("running", "waiting", "paused"):
        session(db, f"ses_{status}", status)
        db.execute("select remit.put_payload(%s, %s, 'message', 'salt', 'body')", (f"pay_{status}", f"ses_{status}"))
        with pytest.raises(Conflict, match=status):
            audit_log.erase_payload(db, f"pay_{status}", "person:dana", "asked for")
        with pytest.raises(Conflict, match=status):
            audit_log.erase_session(db, f"ses_{status}", "person:dana", "asked for")
    with pytest.raises(NotFound):
        audit_log.erase_payload(db, "pay_none", "person:dana", "asked for")
    with pytest.raises(NotFound):
        audit_log.erase_session(db, "ses_none", "person:dana", "asked for")


def test_erased_contents_leave_their_digest_and_a_record(database, db):
    session(db, "ses_done", "finished")
    for n in range(3):
        db.execute(
            "select remit.put_payload(%s, 'ses_done', 'message', 'salt', %s)", (f"pay_{n}", f"body {n}".encode())
        )
    with psycopg.connect(database.url("app"), row_factory=dict_row) as app:
        assert audit_log.erase_payload(app, "pay_1", "person:dana", "asked for") is True
        assert audit_log.erase_payload(app, "pay_1", "person:dana", "asked for") is False
        assert audit_log.erase_session(app, "ses_done", "person:dana", "asked for") == 2
        assert audit_log.erase_session(app, "ses_done", "person:dana", "asked for") == 0
    rows = db.execute("select * from remit.payloads order by id").fetchall()
    assert all(row["body"] is None and row["salt"] is None and len(row["digest"]) == 32 for row in rows)
    assert {row["erased_by"] for row in rows} == {"person:dana"}
    said = db.execute("select body::jsonb as body from remit.records where tag = 'person:payload:erased'").fetchall()
    assert [len(row["body"]["payloads"]) for row in said] == [1, 2]
    assert said[0]["body"]["payloads"][0]["digest"] == rows[1]["digest"].hex()
