"""The shapes of what sessions delegate, fork and stream; `fields` says how shapes are kept."""

from __future__ import annotations

CHILD = {
    "id": "Id of the delegated session.",
    "agent": "Its agent.",
    "status": "Its status.",
    "title": "Its title; may be empty.",
    "turn_id": "The turn that delegated it, or null.",
    "key": "The place in that turn, or null.",
}

FORK_ACTION = {
    "id": "The action in the session that was forked.",
    "key": "Its place in the turn.",
    "mode": "`tool`, `model`, `ask` or `note`.",
    "action": "Its type.",
    "status": "Where it stands there.",
    "writes": "true if its type changes something in the world.",
}

FORK = {
    "id": "The new session; null with `--dry-run`.",
    "forked_from": "The session that was forked.",
    "fork_point": "The first thing that the fork does anew, `TURN` or `TURN:KEY`; empty with `--message`.",
    "turns": "Ids of the turns before it: history.",
    "history": "Actions of that turn that are history and are not done again: "
    + ", ".join(f"`{name}`" for name in FORK_ACTION)
    + ".",
    "anew": "Actions behind the point, in the same form: the fork asks for them, or for others, once more.",
    "repeats": "Ids of those of `anew` that changed something, or may have.",
}

LINE = {
    "position": "Where the record stands in the stream: give it to `--after` to go on behind it.",
    "at": "When it was written.",
    "tag": "What happened; see the audit reference.",
    "session_id": "The session.",
    "turn_id": "The turn, or null.",
    "action_id": "The action, or null.",
    "body": "The record itself.",
}
