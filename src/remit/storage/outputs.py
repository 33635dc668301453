"""Outputs as rows: what agents publish, in versions, and what their readers made of it. Never commits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remit.domain.records import Tag
from remit.storage.database import safe_text
from remit.storage.ledger import payload_id
from remit.storage.sessions import Db, put_payload, record


@dataclass(frozen=True, slots=True)
class NewOutput:
    """What an agent publishes."""

    action_id: str
    session_id: str
    turn_id: str
    agent: str
    workspace: str
    name: str
    kind: str
    title: str
    body: Any


def publish(db: Db, new: NewOutput) -> dict[str, Any]:
    """Keep an output once for its action. Returns `output`, its id, and `version`."""
    output_id = f"out_{new.action_id.removeprefix('act_')}"
    db.execute("select 1 from remit.sessions where id = %s for update", (new.session_id,))  # versions in order
    known = db.execute("select id, version from remit.outputs where id = %s", (output_id,)).fetchone()
    if known is not None:
        return {"output": known["id"], "version": known["version"]}
    row = db.execute(
        "select coalesce(max(version), 0) + 1 as version from remit.outputs where session_id = %s and name = %s",
        (new.session_id, new.name),
    ).fetchone()
    assert row is not None, "an aggregate returns a row"
    payload = payload_id(output_id, "b")
    digest = put_payload(db, payload, new.session_id, "output", new.body)
    db.execute(
        """insert into remit.outputs
               (id, session_id, turn_id, action_id, agent, workspace, name, version, kind, title, body)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            output_id,
            new.session_id,
            new.turn_id,
            new.action_id,
            new.agent,
            new.workspace,
            safe_text(new.name, 200),
            row["version"],
            new.kind,
            safe_text(new.title, 500),
            payload,
        ),
    )
    record(
        db,
        Tag.OUTPUT_PUBLISHED,
        session=new.session_id,
        turn=new.turn_id,
        action=new.action_id,
        output=output_id,
        name=new.name,
        version=row["version"],
        contents=digest,
    )
    return {"output": output_id, "version": row["version"]}
