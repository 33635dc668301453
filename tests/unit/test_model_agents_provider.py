"""Providers over HTTP: what is sent, how failures are told apart, what is retried, and that no key gets out."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.exceptions import ModelConnectionError, ModelHTTPError, UnexpectedModelBehavior
from pydantic_ai.models.test import TestModel

from remit.domain.agents import AgentSpec, AgentVersion, ModelPrice, ModelSpec
from remit.domain.decisions import ActionStatus
from remit.errors import ConfigurationError, InvalidInput
from remit.runtime.model_agents import ModelFailed, ModelRegistry, resolve_model, run_model_turn
from remit.runtime.model_agents.provider import _classify, scrub
from remit.testing import FakeRoad

KEY = "sk-test-5ecret-0123456789abcdef"
PRICE = ModelPrice(input="1.25", output="10")  # type: ignore[arg-type]


def completion(content: str | None, *calls: tuple[str, str], usage: dict[str, int] | None = None) -> dict[str, Any]:
    tool_calls = [
        {"id": "call_0", "type": "function", "function": {"name": name, "arguments": arguments}}
        for name, arguments in calls
    ]
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if tool_calls:
        message["tool_calls"] = tool_calls
    body: dict[str, Any] = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "small",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if tool_calls else "stop"}],
    }
    if usage is not None:
        body["usage"] = usage
    return body


USAGE = {"prompt_tokens": 101, "completion_tokens": 7, "total_tokens": 108}


class Server(ThreadingHTTPServer):
    """An OpenAI-compatible provider that answers with a script of (status, body, headers)."""

    def __init__(self, script: list[tuple[int, Any, dict[str, str]]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.seen: list[dict[str, Any]] = []
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.seen.append(json.loads(body))
        self.server.keys.append(self.headers.get("authorization"))
        status, answer, headers = self.server.script.pop(0)
        if status == 0:  # break the line after the request was read
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        data = json.dumps(answer).encode() if not isinstance(answer, bytes) else answer
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(*script: Any) -> Iterator[Server]:
    server = Server([one if len(one) == 3 else (*one, {}) for one in script])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def agent(**options: Any) -> AgentSpec:
    return AgentSpec(
        title="Desk",
        purpose="Helps.",
        owner="dana",
        escalation="dana",
        workspace="w",
        model="local:small",
        max_output_tokens=321,
        **options,
    )


def ask(server: Server, road: FakeRoad, *, name: str = "local:small", **options: Any) -> str:
    spec = agent(**options)
    model_spec = ModelSpec(price=PRICE, base_url=server.url, api_key="env:MODEL_KEY")
    version = AgentVersion("desk", "d" * 64, spec, {"prompt.md": b"Be kind."})

    async def main() -> str:
        model = resolve_model(name, model_spec, {"env:MODEL_KEY": KEY}.__getitem__)
        now = datetime(2026, 11, 21, tzinfo=UTC)
        async with model:
            turn = await run_model_turn(spec, version, model, {}, [], "hi", road, now=now, model_spec=model_spec)
        return turn.output

    return asyncio.run(main())


def test_the_output_limit_and_the_reasoning_are_sent_and_the_cost_is_booked() -> None:
    road = FakeRoad()
    with serving((200, completion("hello", usage=USAGE))) as server:
        assert ask(server, road, reasoning="high") == "hello"
    (request,) = server.seen
    assert request["max_tokens"] == 321
    assert request["reasoning_effort"] == "high"
    assert "tools" not in request
    assert server.keys == [f"Bearer {KEY}"]
    outcome = road.outcomes["m1"]
    assert (outcome.input_tokens, outcome.output_tokens) == (101, 7)
    assert outcome.usd_micros == 197  # 101 * 1.25 + 7 * 10 = 196.25, rounded up
    assert road.reserved["m1"][1] == 321
    assert road.reserved["m1"][0] >= len(json.dumps(request["messages"]))


def test_the_names_of_openai_keep_the_ways_of_openai() -> None:
    with serving((200, completion("hello", usage=USAGE))) as server:
        assert ask(server, FakeRoad(), name="openai:gpt-5-mini") == "hello"
    assert server.seen[0]["max_completion_tokens"] == 321
    assert "reasoning_effort" not in server.seen[0]


def test_a_provider_that_reports_no_usage_is_booked_by_the_bytes() -> None:
    road = FakeRoad()
    with serving((200, completion("hello"))) as server:
        ask(server, road)
    outcome = road.outcomes["m1"]
    assert outcome.input_tokens == road.reserved["m1"][0]
    assert outcome.output_tokens >= len("hello")
    assert outcome.usd_micros > 0


def test_a_busy_provider_is_asked_again_under_the_same_clearance() -> None:
    road = FakeRoad()
    busy = (429, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, {"retry-after": "0"})
    with serving(busy, busy, (200, completion("hello", usage=USAGE))) as server:
        assert ask(server, road) == "hello"
    assert len(server.seen) == 3
    assert road.executed == ["m1"]


def test_the_providers_library_does_not_retry_by_itself() -> None:
    """Its retries would buy twice under one reservation."""
    road = FakeRoad()
    broken = (500, {"error": {"message": "oops"}}, {"retry-after": "0"})
    with serving(broken, broken, broken) as server, pytest.raises(ModelFailed, match="answered 500: oops"):
        ask(server, road)
    assert len(server.seen) == 3
    assert road.executed == ["m1", "m2", "m3"]
    assert {road.ledger[key].status for key in road.executed} == {ActionStatus.UNKNOWN}
    # Nobody knows what it cost, so all of the reservation is booked.
    assert road.outcomes["m1"].usd_micros >= 321 * 10
    assert (road.outcomes["m1"].input_tokens, road.outcomes["m1"].output_tokens) == road.reserved["m1"]


def test_an_unknown_answer_is_asked_for_anew_with_a_clearance_of_its_own() -> None:
    road = FakeRoad()
    with serving((502, {}, {"retry-after": "0"}), (200, completion("hello", usage=USAGE))) as server:
        assert ask(server, road) == "hello"
    assert road.executed == ["m1", "m2"]
    assert road.ledger["m1"].status is ActionStatus.UNKNOWN
    with serving() as nobody:
        assert ask(nobody, road) == "hello"  # replayed, also what was unknown
    assert nobody.seen == []


def test_a_broken_line_is_unknown_and_a_closed_door_is_not() -> None:
    road = FakeRoad()
    with serving((0, None), (200, completion("hello", usage=USAGE))) as server:
        assert ask(server, road) == "hello"
    assert road.ledger["m1"].status is ActionStatus.UNKNOWN
    road = FakeRoad(window=0.05)
    with pytest.raises(ModelFailed, match="cannot be reached"):
        ask_closed(road)
    assert {road.ledger[key].status for key in road.executed} == {ActionStatus.FAILED}
    assert road.outcomes["m1"].usd_micros == 0


def ask_closed(road: FakeRoad) -> None:
    """Ask a server that is no longer there."""
    with serving() as server:
        pass
    import remit.runtime.model_agents.governance as module

    patch = pytest.MonkeyPatch()
    patch.setattr(module, "_LONGEST_WAIT", 0.0)
    try:
        ask(server, road)
    finally:
        patch.undo()


def test_a_refused_request_is_not_repeated_and_says_why() -> None:
    road = FakeRoad()
    refused = (400, {"error": {"message": "max_tokens is too large", "type": "invalid_request_error"}})
    with serving(refused) as server, pytest.raises(ModelFailed, match="answered 400: max_tokens is too large"):
        ask(server, road)
    assert len(server.seen) == 1
    assert road.outcomes["m1"].status == "failed"
    assert road.outcomes["m1"].usd_micros == 0


def test_keys_never_get_into_errors() -> None:
    road = FakeRoad()
    said = f"Incorrect API key provided: {KEY}. Also Bearer abcdefgh12345678ijkl was seen."
    with serving((401, {"error": {"message": said}})) as server, pytest.raises(ModelFailed) as failed:
        ask(server, road)
    everything = f"{failed.value}{failed.value.__cause__}{failed.value.__context__}{road.outcomes}{road.ledger}"
    assert KEY not in everything
    assert "abcdefgh12345678ijkl" not in everything
    assert "Incorrect API key provided: [removed]" in failed.value.message


def test_an_answer_that_is_no_answer_is_unknown() -> None:
    road = FakeRoad()
    odd = (200, b"<html>welcome</html>", {"content-type": "text/html", "retry-after": "0"})
    with serving(odd, odd, odd) as server, pytest.raises(ModelFailed):
        ask(server, road)
    assert road.outcomes["m1"].status == "unknown"
    assert len(server.seen) <= 3


def test_a_provider_that_hangs_is_unknown_after_its_timeout() -> None:
    class Hanging(TestModel):
        async def request(self, *args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(30)

    import remit.runtime.model_agents.provider as module

    road = FakeRoad(timeout=timedelta(milliseconds=20))
    version = AgentVersion("desk", "d" * 64, agent(), {"prompt.md": b"Be kind."})
    now = datetime(2026, 11, 21, tzinfo=UTC)
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "_FIRST_WAIT", 0.0)
    with pytest.raises(ModelFailed, match="did not answer in time"):
        asyncio.run(run_model_turn(agent(), version, Hanging(), {}, [], "hi", road, now=now))
    patch.undo()
    assert [road.outcomes[key].status for key in road.executed] == ["unknown"] * 3


@pytest.mark.parametrize(
    ("error", "status", "unsent"),
    [
        (ModelHTTPError(429, "m"), "failed", False),
        (ModelHTTPError(404, "m"), "failed", False),
        (ModelHTTPError(408, "m"), "unknown", False),
        (ModelHTTPError(500, "m"), "unknown", False),
        (ModelConnectionError("m", "x", phase="connect"), "failed", True),
        (ModelConnectionError("m", "x", phase="pool"), "failed", True),
        (ModelConnectionError("m", "x", phase="read"), "unknown", False),
        (ModelConnectionError("m", "x", phase="write"), "unknown", False),
        (ModelConnectionError("m", "x"), "unknown", False),
        (UnexpectedModelBehavior("x"), "unknown", False),
        (TimeoutError(), "unknown", False),
        (InvalidInput("x"), "failed", False),
        (KeyError("x"), "unknown", False),
    ],
)
def test_only_what_certainly_was_not_answered_leaves_twice(error: Exception, status: str, unsent: bool) -> None:
    ending = _classify(error)
    assert (ending.status, ending.unsent) == (status, unsent)


def test_scrubbing_keeps_words_and_takes_keys() -> None:
    assert scrub("the request has unsupported parameters") == "the request has unsupported parameters"
    assert scrub("token ghp_abc123def456ghi789 is bad") == "token [removed] is bad"
    assert scrub("key: short", ["short"]) == "key: [removed]"
    assert len(scrub("word " * 1000)) == 400


# --- Making models ----------------------------------------------------------------------------------------------------


def no_secret(reference: str) -> str:
    raise AssertionError(f"{reference} is not needed")


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("openai:gpt-5-mini", "openai"),
        ("anthropic:claude-sonnet-4-5", "anthropic"),
        ("google-gla:gemini-2.5-flash", "google"),
        ("google:gemini-2.5-flash", "google"),
    ],
)
def test_providers_go_by_their_usual_names(name: str, system: str) -> None:
    model = resolve_model(name, ModelSpec(api_key="env:K"), lambda _: KEY)
    assert model.system == system
    assert model.model_name == name.partition(":")[2]


@pytest.mark.parametrize("name", ["gpt-5", "nobody:model", "openai:"])
def test_a_name_that_means_nothing_is_a_clear_error(name: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        resolve_model(name, ModelSpec(api_key="env:K"), lambda _: KEY)
    assert name in error.value.message
    assert KEY not in error.value.message


def test_a_missing_key_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="openai:gpt-5-mini"):
        resolve_model("openai:gpt-5-mini", ModelSpec(), no_secret)


def test_the_registry_makes_a_model_once_and_reads_its_key_only_then() -> None:
    asked: list[str] = []

    def secrets(reference: str) -> str:
        asked.append(reference)
        return KEY

    registry = ModelRegistry({"openai:gpt-5-mini": ModelSpec(api_key="env:K", price=PRICE)}, secrets, Path())
    assert asked == []
    assert registry.get("openai:gpt-5-mini") is registry.get("openai:gpt-5-mini")
    assert asked == ["env:K"]
    assert registry.spec("openai:gpt-5-mini").price == PRICE
    assert registry.spec("anthropic:other").price is None
