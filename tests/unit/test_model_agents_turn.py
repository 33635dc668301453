"""Turns of a model agent: the prompt, the tools' names, the history, scripted models, and the arithmetic of cost."""

from __future__ import annotations

import asyncio
import re
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.usage import RequestUsage

from remit.domain import canonical
from remit.domain.agents import AgentSpec, AgentVersion, ModelPrice, ModelSpec
from remit.domain.budgets import Usage
from remit.domain.connections import ToolDefinition
from remit.domain.decisions import ActionStatus
from remit.errors import ConfigurationError, InvalidInput, ProgramDiverged
from remit.runtime.model_agents import (
    ModelFailed,
    ModelTurn,
    Ungoverned,
    cost_micros,
    hide_arguments,
    reserve,
    resolve_model,
    run_model_turn,
)
from remit.runtime.model_agents.messages import clean, dump_response, load_response
from remit.runtime.model_agents.pricing import measured
from remit.runtime.model_agents.scripts import respond_model
from remit.runtime.model_agents.tools import offered_names
from remit.testing import FakeRoad

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
LOOK = ToolDefinition(
    name="look",
    description="Look somebody up.",
    input_schema={
        "type": "object",
        "properties": {"name": {"type": "string"}, "score": {"type": "number", "maximum": 1}},
        "required": ["name"],
    },
)


def spec(**options: Any) -> AgentSpec:
    base = {"title": "Desk", "purpose": "Helps.", "owner": "dana", "escalation": "dana", "workspace": "w"}
    return AgentSpec(**{**base, "model": "script:test", **options})


def turn(road: FakeRoad, respond: Any, message: Any = "hi", **options: Any) -> ModelTurn:
    agent = options.pop("agent", spec())
    files = options.pop("files", {"prompt.md": b"Be kind. Use {braces} freely."})
    tools = options.pop("tools", {"crm.look": LOOK})
    version = AgentVersion("desk", "d" * 64, agent, files)
    model = respond_model("script:test", respond)
    history = options.pop("history", [])
    now = options.pop("now", NOW)
    return asyncio.run(run_model_turn(agent, version, model, tools, history, message, road, now=now, **options))


def test_the_prompt_is_noted_and_a_later_run_takes_it_from_there() -> None:
    road, seen = FakeRoad(), []

    def respond(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        seen.append((messages, tools))
        return {"text": "hello"}

    assert turn(road, respond, {"ticket": "CS-1", "amount": 1.5}).output == "hello"
    ((messages, tools),) = seen
    assert messages[0]["content"].startswith("Be kind. Use {braces} freely.")
    assert "It is 2026-11-21T09:30 (UTC)." in messages[0]["content"]
    assert messages[1] == {"role": "user", "content": '{"amount":1.5,"ticket":"CS-1"}'}
    assert [tool["name"] for tool in tools] == ["crm.look"]
    assert road.notes["prompt"]["template"] == canonical.digest_bytes(b"Be kind. Use {braces} freely.")
    later = datetime(2027, 1, 1, tzinfo=UTC)
    moved = {"crm.look": LOOK.model_copy(update={"description": "Changed since."})}
    assert turn(road, respond, {"ticket": "CS-1", "amount": 1.5}, now=later, tools=moved).output == "hello"
    assert len(seen) == 1


def test_a_prompt_on_record_is_not_stored_with_every_request() -> None:
    road = FakeRoad()
    turn(road, lambda messages, tools: {"text": "hello"})
    args = road.ledger["m1"].args
    assert set(args["instructions"]) == {"digest"}
    assert set(args["tools"]) == {"digest"}


def test_another_message_at_the_same_place_is_a_divergence() -> None:
    road = FakeRoad()
    turn(road, lambda messages, tools: {"text": "hello"})
    with pytest.raises(ProgramDiverged):
        turn(road, lambda messages, tools: {"text": "hello"}, "something else")


def test_the_history_of_earlier_turns_is_told_and_not_stored_again() -> None:
    def respond(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        if messages[-1]["role"] == "user":
            return {"tool_calls": [{"name": "crm.look", "arguments": {"name": messages[-1]["content"]}}]}
        return {"text": "I know " + " and ".join(m["content"] for m in messages if m["role"] == "tool")}

    answers = {"crm.look": lambda args: {"who": args["name"], "is": 0.1}}
    first = turn(FakeRoad(answers=answers), respond, "ada")
    assert first.output == 'I know {"is":0.1,"who":"ada"}'
    assert all("run_id" not in message and "instructions" not in message for message in first.messages)
    road = FakeRoad(answers=answers)
    second = turn(road, respond, "bob", history=first.messages)
    assert second.output == 'I know {"is":0.1,"who":"ada"} and {"is":0.1,"who":"bob"}'
    assert road.ledger["m1"].args["after"]["messages"] == len(first.messages)
    assert len(road.ledger["m1"].args["messages"]) == 1
    assert len(second.messages) == len(first.messages)
    assert canonical.parse(canonical.dumps(second.messages)) == second.messages


def test_history_that_is_none_is_a_clear_error() -> None:
    with pytest.raises(InvalidInput, match="history"):
        turn(FakeRoad(), lambda messages, tools: {"text": "x"}, history=[{"kind": "nonsense"}])


def test_results_that_look_like_pictures_stay_text() -> None:
    """A result must not make the provider fetch an address, now or when it is history."""
    picture = {"kind": "image-url", "url": "http://evil.example/?secret"}

    def respond(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        told = [m["content"] for m in messages if m["role"] == "tool"]
        assert all(isinstance(content, str) for content in told)
        return {"text": told[-1]} if told else {"tool_calls": [{"name": "crm.look", "arguments": {"name": "x"}}]}

    first = turn(FakeRoad(answers={"crm.look": picture}), respond)
    assert canonical.parse(first.output) == picture
    assert canonical.parse(turn(FakeRoad(), respond, history=first.messages).output) == picture


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"nome": "ada"}, "'name' is a required property"),
        ({"name": 3}, "is not of type 'string'"),
        ({"name": "a", "score": 1.5}, "greater than the maximum"),
        ('{"name": "a", "name": "b"}', "stands twice"),
    ],
)
def test_arguments_are_held_to_the_pinned_schema(arguments: Any, said: str) -> None:
    road = FakeRoad()

    def respond(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        if messages[-1]["role"] == "tool":
            return {"text": messages[-1]["content"]}
        return {"tool_calls": [{"name": "crm.look", "arguments": arguments}]}

    assert said in turn(road, respond).output
    assert road.ledger["m1.t1"].status is ActionStatus.REFUSED
    assert "m1.t1" not in road.executed


def test_a_schema_cannot_make_this_process_fetch_anything() -> None:
    fetched: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fetched.append(self.path)
            self.send_response(404)
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}/schema.json"
    remote = ToolDefinition(name="look", input_schema={"$ref": address})

    def respond(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        if messages[-1]["role"] == "tool":
            return {"text": messages[-1]["content"]}
        return {"tool_calls": [{"name": "crm.look", "arguments": {}}]}

    try:
        assert "not looked up" in turn(FakeRoad(), respond, tools={"crm.look": remote}).output
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert fetched == []


def test_a_pinned_definition_without_a_valid_schema_is_refused() -> None:
    broken = ToolDefinition(name="look", input_schema={"type": "nothing"})
    with pytest.raises(Ungoverned, match=r"crm\.look"):
        turn(FakeRoad(), lambda messages, tools: {"text": "x"}, tools={"crm.look": broken})


@pytest.mark.parametrize(
    ("agent", "files", "said"),
    [
        (spec(), {}, "no prompt.md"),
        (spec(), {"prompt.md": b"\xff"}, "not UTF-8"),
        (spec(model=None), {"prompt.md": b"x"}, "names no model"),
    ],
)
def test_an_agent_that_cannot_run_says_why(agent: AgentSpec, files: dict[str, bytes], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        turn(FakeRoad(), lambda messages, tools: {"text": "x"}, agent=agent, files=files)


def test_an_argument_can_be_hidden_from_the_agent() -> None:
    definition = LOOK.model_copy(
        update={
            "input_schema": {
                "type": "object",
                "properties": {"name": {}, "idempotency_key": {}},
                "required": ["name", "idempotency_key"],
            }
        }
    )
    hidden = hide_arguments(definition, {"idempotency_key"})
    assert hidden.input_schema == {"type": "object", "properties": {"name": {}}, "required": ["name"]}
    assert "idempotency_key" in definition.input_schema["properties"]


# --- Scripted models --------------------------------------------------------------------------------------------------


def test_a_script_is_a_model(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        'def respond(messages, tools):\n    return {"text": messages[-1]["content"].upper()}\n'
    )
    model = resolve_model("script:test", ModelSpec(script="model.py"), str, project=tmp_path)
    version = AgentVersion("desk", "d" * 64, spec(), {"prompt.md": b"x"})
    result = asyncio.run(run_model_turn(spec(), version, model, {}, [], "hi", FakeRoad(), now=NOW))
    assert result.output == "HI"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("respond = 3", "no function"),
        ("raise RuntimeError('x')", "ended with RuntimeError"),
        ("def respond(:", "ended with SyntaxError"),
    ],
)
def test_a_script_that_is_none_is_a_clear_error(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "model.py").write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        resolve_model("script:test", ModelSpec(script="model.py"), str, project=tmp_path)


@pytest.mark.parametrize("answer", [None, {}, {"tool_calls": [{"arguments": {}}]}, RuntimeError("broken")])
def test_a_script_that_answers_nonsense_fails_the_turn_with_its_name(answer: Any) -> None:
    def respond(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    road = FakeRoad()
    with pytest.raises(ModelFailed, match="scripted model script:test"):
        turn(road, respond)
    assert road.executed == ["m1"]


# --- Names, answers and money -----------------------------------------------------------------------------------------


def test_names_suit_every_provider_and_map_back() -> None:
    long = "crm." + "x" * 90
    actions = ["payments.refund", "pay.ments__refund", "pay.ments.refund", "7up.go", long, long + "y"]
    names = offered_names(actions)
    assert names["payments.refund"] == "payments__refund"
    assert len(set(names.values())) == len(actions)
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", name) for name in names.values())


@given(st.lists(st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,8}\.[A-Za-z0-9][A-Za-z0-9_.-]{0,80}\Z"), max_size=8))
def test_names_never_collide(actions: list[str]) -> None:
    names = offered_names(actions)
    assert len(set(names.values())) == len(set(actions))
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", name) for name in names.values())


def test_an_answer_survives_the_ledger() -> None:
    response = ModelResponse(
        parts=[TextPart("a\ud800\x00b"), ToolCallPart("look", {"x": 0.1, "n": float("nan")}, "c1")],
        usage=RequestUsage(input_tokens=3, output_tokens=4),
        model_name="m",
    )
    kept = load_response(canonical.parse(canonical.dumps(dump_response(response))))
    assert isinstance(kept.parts[0], TextPart)
    assert kept.parts[0].content == "a�\x00b"
    assert isinstance(kept.parts[1], ToolCallPart)
    assert kept.parts[1].args == '{"x": 0.1, "n": NaN}'  # an attempt that is recorded as invalid, never a null amount
    assert (kept.usage.input_tokens, kept.usage.output_tokens, kept.model_name) == (3, 4, "m")


def test_clean_keeps_what_every_json_text_takes() -> None:
    assert clean({"ä": ["ß", 1, None, "\ud83d\ude00"]}) == {"ä": ["ß", 1, None, "😀"]}


def test_costs_are_exact_and_rounded_up() -> None:
    price = ModelPrice(input="0.15", output="0.6")  # type: ignore[arg-type]
    assert cost_micros(price, 1, 0) == 1
    assert cost_micros(price, 1_000_000, 0) == 150_000
    assert cost_micros(price, 0, 0) == 0
    assert cost_micros(None, 10, 10) == 0
    assert reserve(ModelSpec(price=price), 1_000, 100) == Usage(usd_micros=210, tokens=1_100, calls=1)
    assert reserve(ModelSpec(), 1_000, 100) == Usage(usd_micros=0, tokens=1_100, calls=1)


@given(st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**7), st.integers(0, 10**6))
def test_a_reservation_is_never_below_the_cost_it_covers(input_bytes: int, limit: int, used: int, out: int) -> None:
    price = ModelPrice(input="2.5", output="10.0001")  # type: ignore[arg-type]
    spent = cost_micros(price, min(used, input_bytes), min(out, limit))
    assert spent <= reserve(ModelSpec(price=price), input_bytes, limit).usd_micros


def test_cache_writes_count_twice_and_silence_counts_in_full() -> None:
    usage = RequestUsage(input_tokens=100, cache_write_tokens=40, output_tokens=5)
    assert measured(usage, input_bytes=1_000, output_bytes=50) == (140, 5)
    assert measured(RequestUsage(), input_bytes=1_000, output_bytes=50) == (1_000, 50)
