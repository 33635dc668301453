"""Programs made plain: the source that a session ran, and why a row of its lists is where it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from remit.domain.agents import AgentVersion
from remit.domain.rows import ExplainedRow, Origin, find
from remit.errors import NotFound
from remit.storage import rows, sessions
from remit.storage.sessions import Db

Version = Callable[[str, str], AgentVersion]
"""Gives an agent's version by name and digest."""

_SHORT = 60


def sources(db: Db, version: Version, session_id: str, turn_id: str | None = None) -> list[dict[str, Any]]:
    """The files of every turn's agent, as that turn ran them, oldest turn first; each version once.

    Raises NotFound if there is no such session or turn.
    """
    sessions.get(db, session_id)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for turn in sessions.turns(db, session_id):
        if turn_id is not None and turn["id"] != turn_id:
            continue
        key = (turn["agent"], turn["agent_version"])
        if key not in found:
            files = version(*key).files
            found[key] = {
                "session_id": session_id,
                "turn_id": turn["id"],
                "agent": turn["agent"],
                "agent_version": turn["agent_version"],
                "files": {path: content.decode("utf-8", "replace") for path, content in sorted(files.items())},
            }
    if not found:
        raise NotFound(f"session {session_id} has no turn {turn_id}")
    return list(found.values())


def why(
    db: Db, version: Version, session_id: str, wanted: str | None = None, *, name: str | None = None
) -> list[dict[str, Any]]:
    """The rows that somebody means, by key, rank or words of the title, each with what was recorded of it.

    Without `wanted` every row of the session. Raises NotFound where none is meant, with those that there are.
    """
    sessions.get(db, session_id)
    known = rows.of_session(db, session_id)
    found = [r for r in known if name is None or r.name == name] if wanted is None else find(known, wanted, name=name)
    if not found:
        raise NotFound(_nothing(session_id, wanted), advice=_there_are(known))
    turns = {turn["id"]: turn for turn in sessions.turns(db, session_id)}
    asked: dict[str, dict[int, dict[str, Any]]] = {}
    answers: dict[str, Any] = {}
    told = []
    for row in found:
        turn = turns[row.turn_id]
        if row.turn_id not in asked:
            asked[row.turn_id] = {a["request"]: a for a in rows.requests(db, row.turn_id)}
        before = [a for request, a in asked[row.turn_id].items() if request < row.request]
        told.append(
            {
                "list": row.name,
                "key": row.key,
                "rank": row.rank,
                "title": row.title,
                "row": row.row,
                "reasons": [{"code": reason.code, "text": reason.text} for reason in row.reasons],
                "from": [_origin(db, origin, asked[row.turn_id], answers) for origin in row.origins],
                "before": [{"request": a["request"], "action": a["action"], "status": a["status"]} for a in before],
                "at": row.at,
                "line": _line(version(turn["agent"], turn["agent_version"]), row.at),
                "turn_id": row.turn_id,
                "agent": turn["agent"],
                "agent_version": turn["agent_version"],
            }
        )
    return told


def _origin(db: Db, origin: Origin, asked: dict[int, dict[str, Any]], answers: dict[str, Any]) -> dict[str, Any]:
    action = asked.get(origin.request)
    value = None
    if action is not None:
        if action["id"] not in answers:
            answers[action["id"]] = rows.result(db, action["id"])
        value = _at(answers[action["id"]], origin.path)
    return {"request": origin.request, "action": origin.action, "path": origin.path, "value": value}


def _at(value: Any, path: str) -> Any:
    """What stands at a dotted path; None where nothing does."""
    for part in path.split(".") if path else ():
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _line(version: AgentVersion, at: str) -> str:
    file, _, number = at.rpartition(":")
    lines = version.files.get(file, b"").decode("utf-8", "replace").splitlines()
    return lines[int(number) - 1].strip() if number.isdigit() and 0 < int(number) <= len(lines) else ""


def _nothing(session_id: str, wanted: str | None) -> str:
    return f"no row of session {session_id} " + ("has recorded reasons" if wanted is None else f"fits {wanted!r}")


def _there_are(known: list[ExplainedRow]) -> str:
    if not known:
        return "Its program puts out no rows: see `session.explain` in docs/how-to/write-a-program.md."
    some = ", ".join(f"#{row.rank} {row.title or row.key or row.name}"[:_SHORT] for row in known[:5])
    more = f" and {len(known) - 5} more" if len(known) > 5 else ""
    return f"There are: {some}{more}. Name one by its key, its rank or words of its title."
