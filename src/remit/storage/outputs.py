"""Outputs as rows: what agents publish, in versions, and what their readers made of it. Never commits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remit.domain import canonical, ids
from remit.domain.records import Tag
from remit.errors import Conflict, NotFound
from remit.storage.database import safe_text
from remit.storage.ledger import payload_id
from remit.storage.sessions import Db, get_payload, put_payload, record

_COLUMNS = """id, session_id, turn_id, action_id, agent, by, workspace, name, version, kind, title, status, decided_by,
    reason, created_at, decided_at"""
_COPIED = ("action_id", "session_id", "turn_id", "agent", "workspace", "name", "kind", "title")
_TAGS = {
    "accepted": Tag.OUTPUT_ACCEPTED,
    "edited": Tag.OUTPUT_EDITED,
    "rejected": Tag.OUTPUT_REJECTED,
    "disputed": Tag.OUTPUT_DISPUTED,
}
NEXT = {
    "open": {"accepted", "edited", "rejected", "disputed"},
    "accepted": {"disputed"},
    "disputed": {"accepted", "edited", "rejected"},
}
"""What may become of an output, by its status: what was accepted may turn out wrong later, a dispute is settled."""


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
    version = _next_version(db, new.session_id, new.name)
    digest = _insert(db, output_id, version, new, f"agent:{new.agent}", "open")
    record(
        db,
        Tag.OUTPUT_PUBLISHED,
        session=new.session_id,
        turn=new.turn_id,
        action=new.action_id,
        output=output_id,
        name=new.name,
        version=version,
        contents=digest,
    )
    return {"output": output_id, "version": version}


def listing(
    db: Db,
    *,
    status: str | None = None,
    agent: str | None = None,
    workspace: str | None = None,
    session_id: str | None = None,
    kind: str | None = None,
    every_version: bool = False,
    workspaces: list[str] | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """Outputs without their bodies, newest first; of each only the newest version, unless every one is asked for."""
    return db.execute(
        f"""select {_COLUMNS} from remit.outputs o
           where (%(status)s::text is null or status = %(status)s)
             and (%(agent)s::text is null or agent = %(agent)s)
             and (%(workspace)s::text is null or workspace = %(workspace)s)
             and (%(session)s::text is null or session_id = %(session)s)
             and (%(kind)s::text is null or kind = %(kind)s)
             and (%(workspaces)s::text[] is null or workspace = any(%(workspaces)s))
             and (%(before)s::text is null or id < %(before)s)
             and (%(every)s or not exists (
                 select 1 from remit.outputs n
                 where n.session_id = o.session_id and n.name = o.name and n.version > o.version))
           order by id desc limit %(limit)s""",  # noqa: S608 - constants
        {
            "status": status,
            "agent": agent,
            "workspace": workspace,
            "session": session_id,
            "kind": kind,
            "every": every_version,
            "workspaces": workspaces,
            "before": before,
            "limit": limit,
        },
    ).fetchall()


def get(db: Db, output_id: str, *, lock: bool = False) -> dict[str, Any]:
    """One output, without its body; locked for a decision if asked. Raises NotFound."""
    row = db.execute(
        f"select {_COLUMNS} from remit.outputs where id = %s {'for update' if lock else ''}",  # noqa: S608 - constants
        (output_id,),
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no output {output_id}", advice="`remit outputs` lists them.")
    return row


def body(db: Db, output_id: str) -> Any:
    """What the output says, as ordinary JSON; None if it was erased."""
    return canonical.plain(exact_body(db, output_id))


def exact_body(db: Db, output_id: str) -> Any:
    """What the output says, with exact numbers; None if it was erased."""
    return get_payload(db, payload_id(output_id, "b"))


def newest(db: Db, session_id: str) -> set[str]:
    """The newest version of each output of a session."""
    rows = db.execute(
        "select distinct on (name) id from remit.outputs where session_id = %s order by name, version desc",
        (session_id,),
    )
    return {row["id"] for row in rows}


def versions(db: Db, output: dict[str, Any]) -> list[dict[str, Any]]:
    """Every version of an output, oldest first."""
    return db.execute(
        f"select {_COLUMNS} from remit.outputs where session_id = %s and name = %s order by version",  # noqa: S608
        (output["session_id"], output["name"]),
    ).fetchall()


def decide(
    db: Db, output: dict[str, Any], status: str, *, by: str, simulated: bool, reason: str, **more: Any
) -> dict[str, Any]:
    """Write what a reader made of a locked output, and record it. Returns the row as it is now.

    `status` is `accepted`, `edited`, `rejected` or `disputed`. Raises Conflict if somebody else was first, or if there
    is a newer version.
    """
    _must_be_open_for(db, output, status)
    row = db.execute(
        f"""update remit.outputs set status = %s, decided_by = %s, reason = %s, decided_at = clock_timestamp()
            where id = %s returning {_COLUMNS}""",  # noqa: S608 - constants
        (status, by, safe_text(reason, 2_000), output["id"]),
    ).fetchone()
    assert row is not None, "the row is locked"
    words = put_payload(db, payload_id(ids.new_id("wrd"), "w"), output["session_id"], "reason", reason)
    record(
        db,
        _TAGS[status],
        session=output["session_id"],
        turn=output["turn_id"],
        action=output["action_id"],
        output=output["id"],
        version=output["version"],
        before=output["status"],
        by=by,
        simulated=simulated,
        reason=words,
        **more,
    )
    return row


def revise(db: Db, output: dict[str, Any], contents: Any, *, by: str, simulated: bool, reason: str) -> dict[str, Any]:
    """Replace a locked output by a person's own version, which counts as accepted by them. Returns the new version."""
    _must_be_open_for(db, output, "edited")
    db.execute("select 1 from remit.sessions where id = %s for update", (output["session_id"],))
    new = NewOutput(**{name: output[name] for name in _COPIED}, body=contents)
    new_id, version = ids.new_id("out"), _next_version(db, output["session_id"], output["name"])
    decide(db, output, "edited", by=by, simulated=simulated, reason=reason, replaced_by=new_id)
    digest = _insert(db, new_id, version, new, f"person:{by}", "accepted")
    record(
        db,
        Tag.OUTPUT_PUBLISHED,
        session=new.session_id,
        turn=new.turn_id,
        action=new.action_id,
        output=new_id,
        name=new.name,
        version=version,
        contents=digest,
        by=by,
    )
    db.execute(
        "update remit.outputs set decided_by = %s, decided_at = clock_timestamp(), reason = %s where id = %s",
        (by, safe_text(reason, 2_000), new_id),
    )
    return get(db, new_id)


def _must_be_open_for(db: Db, output: dict[str, Any], status: str) -> None:
    newest = versions(db, output)[-1]
    if newest["id"] != output["id"]:
        who = newest["by"].partition(":")[2]
        raise Conflict(
            f"{output['id']} is version {output['version']}; {who} has made version {newest['version']} since",
            advice=f"Look at it: `remit outputs show {newest['id']}`.",
        )
    if status not in NEXT.get(output["status"], ()):
        why = output["reason"] or "no reason given"
        raise Conflict(
            f"{output['id']} was {output['status']} already, by {output['decided_by']}: {why}",
            advice="The first reader's decision counts. Dispute what was accepted; what was rejected stays so.",
        )


def _next_version(db: Db, session_id: str, name: str) -> int:
    row = db.execute(
        "select coalesce(max(version), 0) + 1 as version from remit.outputs where session_id = %s and name = %s",
        (session_id, safe_text(name, 200)),
    ).fetchone()
    assert row is not None, "an aggregate returns a row"
    return int(row["version"])


def _insert(db: Db, output_id: str, version: int, new: NewOutput, by: str, status: str) -> str:
    """Write one version; returns the digest of its contents."""
    payload = payload_id(output_id, "b")
    digest = put_payload(db, payload, new.session_id, "output", new.body)
    db.execute(
        """insert into remit.outputs
               (id, session_id, turn_id, action_id, agent, by, workspace, name, version, kind, title, body, status)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            output_id,
            new.session_id,
            new.turn_id,
            new.action_id,
            new.agent,
            by,
            new.workspace,
            safe_text(new.name, 200),
            version,
            new.kind,
            safe_text(new.title, 500),
            payload,
            status,
        ),
    )
    return digest
