"""A model behind an OpenAI-compatible address, asked by a real worker: a fake server says what was really sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.shop import FILES, Shop
from tests.acceptance.teller import AGENT, Teller, open_teller

KEY = "tiny-key-0123456789abcdef"


class Provider:
    """Answers each request with the next of its answers: a status and a body."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                provider.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                provider.keys.append(self.headers["Authorization"])
                status, body = provider.answers.pop(0)
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


def said(*, text: str | None = None, calls: list[tuple[str, str]] | None = None) -> tuple[int, dict[str, Any]]:
    """An answer in the shape of OpenAI's chat completions; every call has the same id."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {"id": "call_0", "type": "function", "function": {"name": name, "arguments": arguments}}
            for name, arguments in calls
        ]
    return 200, {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "tiny-2026",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320},
    }


def failed(status: int, words: str) -> tuple[int, dict[str, Any]]:
    """An error in OpenAI's shape."""
    return status, {"error": {"message": words, "type": "server_error"}}


PAY = ("till__pay", '{"who": "ivy", "amount": 20.10, "currency": "USD"}')


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def teller(
    changed_shop: Callable[..., Shop], tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> Teller:
    monkeypatch.setenv("TINY_KEY", KEY)
    model = f'[models."local:tiny"]\nbase_url = "{provider.url}"\napi_key = "env:TINY_KEY"\n'
    changed = {
        "remit.toml": FILES["remit.toml"] + model + 'price = {{input = 1, output = "2.5"}}\n',
        "agents/teller/agent.yaml": AGENT.replace("script:till", "local:tiny"),
    }
    teller = open_teller(changed_shop, tmp_path, changed)
    teller.shop.worker()
    return teller


def test_it_is_asked_in_the_usual_way(teller: Teller, provider: Provider) -> None:
    provider.answers = [said(calls=[PAY, ("till__peek", "{}")]), said(text="paid")]
    session = teller.start()
    found = teller.shop.wait(session, "finished", "failed")
    assert found["turns"][0]["output"] == "paid", found["turns"][0]["error"]
    assert [b["amount"] for b in teller.shop.books()] == [20.1]
    first, second = provider.requests
    assert first["model"] == "tiny"
    assert first["max_tokens"] == 100
    assert sorted(tool["function"]["name"] for tool in first["tools"]) == ["till__hand_out", "till__pay", "till__peek"]
    assert set(provider.keys) == {f"Bearer {KEY}"}
    told = [m for m in second["messages"] if m["role"] == "tool"]
    assert len({m["tool_call_id"] for m in told}) == 2, "the provider's repeated ids are told apart"
    assert json.loads(told[0]["content"])["amount"] == 20.1
    asked = [a for a in found["actions"] if a["mode"] == "model"]
    assert [(a["input_tokens"], a["output_tokens"], a["usd_micros"]) for a in asked] == [(300, 20, 350)] * 2
    stored = (teller.shop.folder / "worker.log").read_text() + json.dumps(found, default=str)
    assert KEY not in stored


def test_a_busy_provider_is_asked_again(teller: Teller, provider: Provider) -> None:
    provider.answers = [failed(503, "overloaded"), said(text="done")]
    found = teller.shop.wait(teller.start(), "finished", "failed")
    assert found["turns"][0]["output"] == "done"
    assert sum(a["usd_micros"] for a in found["actions"]) == 350, "what was not answered costs nothing"


def test_what_may_have_been_billed_is_booked(teller: Teller, provider: Provider) -> None:
    provider.answers = [failed(500, "lost"), said(text="done")]
    found = teller.shop.wait(teller.start(), "finished", "failed")
    assert found["turns"][0]["output"] == "done", found["turns"][0]["error"]
    lost, done = (a for a in found["actions"] if a["mode"] == "model")
    assert (lost["key"], lost["status"], done["key"]) == ("m1", "failed", "m2")
    assert lost["usd_micros"] > done["usd_micros"] == 350
    assert "answered 500: lost" in lost["error"]
    with teller.shop.services.sessions.transaction() as db:
        budgets = db.execute("select tokens_reserved, tokens_spent, blocked from remit.budgets").fetchall()
    assert budgets
    assert not any(b["blocked"] or b["tokens_reserved"] for b in budgets), "exactly what was reserved is booked"
    tokens = sum(a["input_tokens"] + a["output_tokens"] for a in (lost, done))
    assert all(b["tokens_spent"] in {0, tokens} for b in budgets)


def test_a_refused_key_fails_the_turn_without_showing_it(teller: Teller, provider: Provider) -> None:
    provider.answers = [failed(401, f"Incorrect API key provided: {KEY}")]
    found = teller.shop.wait(teller.start(), "finished", "failed")
    assert found["status"] == "failed"
    assert "answered 401" in found["turns"][0]["error"]
    assert KEY not in json.dumps(found, default=str)
    assert len(provider.requests) == 1
    assert sum(a["usd_micros"] for a in found["actions"]) == 0
