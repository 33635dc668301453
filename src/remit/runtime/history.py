"""A session's earlier turns as a model is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from remit.domain import canonical
from remit.storage.turns import Earlier

_LONGEST = 20_000  # characters of one message or output of another agent


def messages_of(earlier: Sequence[Earlier], agent: str) -> list[Any]:
    """The messages of earlier turns, oldest first, as the model of this agent gets them.

    Of its own turns it gets what it said and heard. Of turns that another agent or a program answered it gets what was
    asked and what came of it: the tools in between are not its own.
    """
    return [message for turn in earlier for message in _messages(turn, agent)]


def _messages(turn: Earlier, agent: str) -> list[Any]:
    if turn.agent == agent and turn.messages is not None:
        return turn.messages
    asked = f"[{turn.author} to agent {turn.agent}]\n{_text(turn.said)}"
    answered = f"[agent {turn.agent}]\n{_text(turn.output)}"
    return [
        {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": asked}]},
        {"kind": "response", "parts": [{"part_kind": "text", "content": answered}]},
    ]


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else canonical.dumps(canonical.normalise(value)).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
