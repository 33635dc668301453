"""Forking: another session that begins where one stood, with what was done until there as its history.

What is history is never executed again: the fork's turn begins with those rows of the ledger, and its replay takes
them as they are. Everything else is new, and judged anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from remit.domain.actions import Effect
from remit.domain.agents import AgentVersion
from remit.domain.sessions import Session
from remit.errors import InvalidInput, NotFound
from remit.governance.state import Governance
from remit.storage import forks
from remit.storage.forks import ForkedTurn
from remit.storage.sessions import Db, Fork, Inherited

_PLACE = re.compile(r"(?:m(?P<request>\d+)(?:\.t(?P<call>\d+))?|(?P<ordinal>\d+))(?=\.|$)")
END = "end"
"""As a key: behind everything that the turn has done so far."""
_DONE = {"succeeded", "failed", "refused"}


@dataclass(frozen=True, slots=True)
class Done:
    """An action, as the plan of a fork tells of it."""

    id: str
    key: str
    mode: str
    action: str
    status: str
    """Where it stands in the session that is forked."""
    writes: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What a fork would be."""

    session: str
    """The session that is forked."""
    point: str
    """`TURN:KEY` or `TURN`: the first thing that the fork does anew; empty where it begins with a new message.

    `TURN:end` is behind everything that the turn had done.
    """
    turn: ForkedTurn | None
    """The turn that is done anew or gone on with; None: a new message is answered."""
    turns: tuple[str, ...]
    """Turns before it, oldest first: history."""
    history: tuple[Done, ...]
    """Actions of the turn at the point that the fork begins with. They are not done again."""
    rows: tuple[str, ...]
    """Ids of these and of what hangs on them, such as look-ups and kept values."""
    anew: tuple[Done, ...]
    """Actions of that turn behind the point. The fork asks for them, or for others, once more."""

    def as_fork(self, answering: AgentVersion) -> Fork:
        """The plan as the new session is written with it."""
        inherited = Inherited()
        if self.turn is not None and self.rows:
            inherited = Inherited(self.rows, self.turn.seed_turn, self.turn.seed_at)
        return Fork(self.session, self.point, self.turns, answering.agent, answering.digest, inherited)

    @property
    def repeats(self) -> tuple[Done, ...]:
        """Writes behind the point that have happened, or may have: the fork may do them a second time."""
        return tuple(e for e in self.anew if e.writes and e.status in {"succeeded", "cleared", "unknown"})


def plan(db: Db, governance: Governance, session: Session, at: str | None, *, said: bool) -> Plan:
    """Work out a fork. `said`: there is a message, which the fork begins with.

    Raises NotFound if there is no such point, InvalidInput if the fork would have nothing to do.
    """
    turns = forks.turns(db, session.id)
    before = forks.inherited_turns(db, session.id)
    if said:
        return _with_message(session, turns, before, at)
    turn, key = _point(session, turns, at)
    if turn.kind != "agent":
        raise InvalidInput(
            f"turn {turn.id} cannot be done anew in a fork: it is {_KINDS[turn.kind]}",
            advice="Name a turn before it, or give `--message`.",
        )
    rows = forks.actions(db, turn)
    kept = _kept(rows, key) if at is None or key is not None else set()
    first = key or next((row["key"] for row in rows if row["id"] not in kept and _is_call(row)), END)
    return Plan(
        session=session.id,
        point=f"{turn.id}:{first}" if kept else turn.id,
        turn=turn,
        turns=(*before, *(t.id for t in turns if t.id < turn.id and t.ended)),
        history=tuple(_effect(governance, row) for row in rows if row["id"] in kept and _is_call(row)),
        rows=tuple(row["id"] for row in rows if row["id"] in kept),
        anew=tuple(_effect(governance, row) for row in rows if row["id"] not in kept and _is_call(row)),
    )


_KINDS = {"undo": "the taking back of an action", "external": "run by its owner, not by a worker"}


def _with_message(session: Session, turns: list[ForkedTurn], before: tuple[str, ...], at: str | None) -> Plan:
    if at is not None and ":" in at:
        raise InvalidInput(
            "a new message cannot be said in the middle of a turn",
            advice=f"Fork at the whole turn, `--at {at.partition(':')[0]}`, or leave `--message` out.",
        )
    until = _named(session, turns, at).id if at is not None else None
    history = tuple(t.id for t in turns if t.ended and (until is None or t.id < until))
    return Plan(session.id, at or "", None, (*before, *history), (), (), ())


def _point(session: Session, turns: list[ForkedTurn], at: str | None) -> tuple[ForkedTurn, str | None]:
    """The turn, and the key in it or None. Without `at` the newest turn, unless it has finished."""
    if at is None:
        if turns[-1].status == "finished":
            raise InvalidInput(
                f"session {session.id} has finished: a fork of it would have nothing to do",
                advice="Say with `--at TURN` or `--at TURN:KEY` from where on, or give `--message`.",
            )
        return turns[-1], None
    name, _, key = at.partition(":")
    return _named(session, turns, name), key or None


def _named(session: Session, turns: list[ForkedTurn], name: str) -> ForkedTurn:
    found = next((turn for turn in turns if turn.id == name), None)
    if found is None:
        raise NotFound(
            f"session {session.id} has no turn {name} of its own",
            advice=f"Its turns: {', '.join(turn.id for turn in turns)}.",
        )
    return found


def _kept(rows: list[dict[str, Any]], key: str | None) -> set[str]:
    """Ids of the rows that are inherited: settled, and before the point; what hangs on a call goes with it."""
    if key not in {None, END} and not any(row["key"] == key and _is_call(row) for row in rows):
        raise NotFound(
            f"the turn has done nothing at {key}",
            advice=f"Its places: {', '.join([row['key'] for row in rows if _is_call(row)] + [END])}.",
        )
    end = _place(key) if key is not None and key != END else None
    whole = {_place(row["key"]) for row in rows if _is_call(row) and row["status"] in _DONE and not row["open_work"]}
    return {
        row["id"]
        for row in rows
        if (_place(row["key"]) in whole or _place(row["key"]) == _BEGINNING)
        and (end is None or _place(row["key"]) < end)
        and row["status"] in ({"succeeded"} if row["mode"] == "note" else _DONE)
    }


_BEGINNING = (0, 0)


def _place(key: str) -> tuple[int, int]:
    """Where a key stands in its turn. What is kept before the first call, such as the prompt, stands first."""
    found = _PLACE.match(key)
    if found is None:
        return _BEGINNING
    return (int(found["ordinal"] or found["request"]), int(found["call"] or 0))


def _is_call(row: dict[str, Any]) -> bool:
    """True for what the agent itself asked for, not what hangs on it, such as a look-up or an outcome."""
    return _PLACE.fullmatch(row["key"]) is not None


def _effect(governance: Governance, row: dict[str, Any]) -> Done:
    action_type = governance.action_type(row["action"]) if row["mode"] == "tool" else None
    writes = row["mode"] == "tool" and (action_type is None or action_type.effect is Effect.WRITE)
    return Done(row["id"], row["key"], row["mode"], row["action"], row["status"], writes)
