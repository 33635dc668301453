"""What sessions are called where they stand in lists: a title, a request, or the agent and what it was given."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from remit.domain.sessions import Session
from remit.storage import cockpit_sessions
from remit.storage.sessions import Db
from remit.surfaces.http import words

_VALUES = 2
_SHORT = 40
"""Most characters of a value that a heading is made of."""


def headings(db: Db, sessions: Iterable[Session]) -> dict[str, str]:
    """By session id; those without a title are looked up together."""
    listed = list(sessions)
    bare = [s.id for s in listed if not s.title and _is_id(s.request_id)]
    given = cockpit_sessions.first_inputs(db, bare) if bare else {}
    return {s.id: _heading(s, given.get(s.id)) for s in listed}


def _heading(session: Session, given: Any) -> str:
    if session.title:
        return words.line(session.title)
    if not _is_id(session.request_id):
        return words.line(session.request_id, 160)
    return ", ".join((session.agent, *(_short(given) or [session.id[-6:]])))


def _is_id(request_id: str) -> bool:
    """True of a request that nobody has named: its own session's id, or of a fork its origin's."""
    return request_id.startswith("ses_")


def _short(given: Any) -> list[str]:
    """The first values of an input that are short enough to be told apart by."""
    values = given.values() if isinstance(given, dict) else ()
    lines = [words.shown(v) for v in values if isinstance(v, str | int | Decimal | float) and not isinstance(v, bool)]
    return [words.line(text) for text in lines if text.strip() and len(text) <= _SHORT and "\n" not in text][:_VALUES]
