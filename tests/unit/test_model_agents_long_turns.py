"""What a long turn costs: each message is read once, however many requests repeat it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.test_model_agents_turn import spec, turn

from remit.runtime.model_agents import messages
from remit.testing import FakeRoad


def test_a_message_is_read_once_however_many_requests_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    identity = messages._identity

    def counted(message: Any) -> dict[str, Any]:
        nonlocal read
        read += 1
        return identity(message)

    monkeypatch.setattr(messages, "_identity", counted)
    requests = 60

    def respond(said: list[dict[str, Any]], _tools: Any) -> dict[str, Any]:
        done = sum(1 for message in said if message["role"] == "assistant")
        return (
            {"text": "done"}
            if done == requests - 1
            else {"tool_calls": [{"name": "crm.look", "arguments": {"name": f"n{done}"}}]}
        )

    road = FakeRoad()
    assert turn(road, respond, agent=spec(max_model_requests=requests)).output == "done"
    assert requests <= read < 4 * requests
