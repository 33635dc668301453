"""How much a model thinks, by the request that each provider's own library really sends."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import ModelMessage, ModelRequest
from pydantic_ai.models import ModelRequestParameters

from remit.domain.agents import AgentSpec, ModelSpec
from remit.errors import ConfigurationError
from remit.runtime.model_agents.boundaries import check_request
from remit.runtime.model_agents.reasoning import settings_for
from remit.runtime.model_agents.registry import resolve_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # models of which the provider says how long
Sent = Callable[..., dict[str, Any]]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append(body)  # type: ignore[attr-defined]
        self.send_response(400)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    """`sent(model, reasoning, limit)`: the body of the request, as it arrives where the provider would be."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    seen: list[dict[str, Any]] = []
    server.seen = seen  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    for name, path in (("OPENAI", "/v1"), ("ANTHROPIC", ""), ("GOOGLE_GEMINI", "")):
        monkeypatch.setenv(f"{name}_BASE_URL", f"{url}{path}")

    def ask(name: str, reasoning: str, limit: int = 4_000, *, compatible: bool = False) -> dict[str, Any]:
        spec = ModelSpec(api_key="env:K", base_url=f"{url}/v1" if compatible else None)
        model = resolve_model(name, spec, lambda _: "key-of-a-test")
        settings = settings_for(_agent(name, reasoning, limit), spec, model)
        check_request(model, settings, ModelRequestParameters())

        async def main() -> None:
            async with model:
                prompt: list[ModelMessage] = [ModelRequest.user_text_prompt("hi")]
                await model.request(prompt, {**settings, "max_retries": 0}, ModelRequestParameters())

        with pytest.raises(ModelAPIError):
            asyncio.run(main())
        return dict(seen.pop())

    yield ask
    server.shutdown()
    server.server_close()
    thread.join()


def _agent(model: str, reasoning: str, limit: int) -> AgentSpec:
    return AgentSpec.model_validate(
        {
            "title": "Desk",
            "purpose": "Helps.",
            "owner": "dana",
            "escalation": "dana",
            "workspace": "w",
            "model": model,
            "reasoning": reasoning,
            "max_output_tokens": limit,
        }
    )


def test_openai_gets_its_effort(sent: Sent) -> None:
    assert sent("openai:gpt-5-mini", "none")["reasoning"] == {"effort": "minimal"}, "as little as it can"
    assert sent("openai:gpt-5-mini", "medium")["reasoning"] == {"effort": "medium"}
    assert sent("openai:gpt-5-mini", "high")["max_output_tokens"] == 4_000
    assert "reasoning" not in sent("openai:gpt-4.1", "high"), "a model without the setting is not sent it"


def test_a_compatible_server_is_told_only_what_was_asked_for(sent: Sent) -> None:
    assert "reasoning_effort" not in sent("local:small", "none", compatible=True)
    assert sent("local:small", "low", compatible=True)["reasoning_effort"] == "low"


def test_anthropic_gets_an_effort_or_where_it_is_older_a_budget_within_the_limit(sent: Sent) -> None:
    newer = sent("anthropic:claude-opus-4-6", "high")
    assert (newer["thinking"], newer["output_config"]) == ({"type": "adaptive"}, {"effort": "high"})
    budgets = [
        sent("anthropic:claude-sonnet-4-5", level)["thinking"]["budget_tokens"] for level in ("low", "medium", "high")
    ]
    assert budgets == [1_024, 2_000, 3_000]
    assert sent("anthropic:claude-sonnet-4-5", "high", 100_000)["thinking"]["budget_tokens"] == 24_576
    assert "thinking" not in sent("anthropic:claude-sonnet-4-5", "none")


def test_google_gets_a_level_or_where_it_is_older_a_budget_within_the_limit(sent: Sent) -> None:
    def thinking(name: str, level: str) -> Any:
        return sent(name, level)["generationConfig"]["thinkingConfig"]

    assert thinking("google:gemini-3-pro-preview", "high")["thinking_level"] == "HIGH"
    assert thinking("google:gemini-2.5-flash", "none") == {"thinking_budget": 0}
    assert thinking("google:gemini-2.5-flash", "high")["thinking_budget"] == 3_000, "4,000 leave room for the answer"
    assert thinking("google:gemini-2.5-pro", "low")["thinking_budget"] == 1_024


@pytest.mark.parametrize("name", ["anthropic:claude-sonnet-4-5", "google:gemini-2.5-flash"])
def test_a_limit_without_room_for_thinking_is_told_before_anything_is_sent(sent: Sent, name: str) -> None:
    with pytest.raises(ConfigurationError, match="max_output_tokens of at least 2,048"):
        sent(name, "low", 1_000)


def test_a_script_is_sent_no_level() -> None:
    spec = ModelSpec(script="model.py")
    assert settings_for(_agent("script:x", "high", 100), spec, None) == {"max_tokens": 100}  # type: ignore[arg-type]
