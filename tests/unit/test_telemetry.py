"""Spans say what the rows say, under ids that any worker derives, and hold no contents unless they are handed in."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from remit.telemetry import Contents, enabled, nanoseconds, span_id, span_of, span_of_turn, trace_id

NOON = datetime(2026, 11, 21, 12, 0, 0, 123_456, UTC)
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


def action(**changed: Any) -> dict[str, Any]:
    return {
        "id": "act_1",
        "turn_id": "turn_1",
        "session_id": "ses_1",
        "key": "m1.t1",
        "mode": "tool",
        "action": "till.pay",
        "agent": "teller",
        "agent_version": "abc",
        "status": "succeeded",
        "reasons": [{"code": "needs_human_approval_over_100", "text": "the policy says so", "policy_id": "p"}],
        "policy_ids": ["pay_over_100", "writes"],
        "policy_version": "def",
        "roles": ["accountable"],
        "attempt": 1,
        "usd_micros": 1_250,
        "input_tokens": 0,
        "output_tokens": 0,
        "provider_call_id": "call_0",
        "error": None,
        "override": {"verdict": "approved", "by": "bo", "reason": "private words"},
        "created_at": NOON,
        "cleared_at": NOON + timedelta(hours=2),
        "settled_at": NOON + timedelta(hours=2, seconds=1),
        "model": None,
        **changed,
    }


def turn(**changed: Any) -> dict[str, Any]:
    return {
        "id": "turn_1",
        "session_id": "ses_1",
        "agent": "teller",
        "agent_version": "abc",
        "kind": "agent",
        "status": "finished",
        "run": 2,
        "error": None,
        "created_at": NOON,
        "started_at": NOON + timedelta(seconds=1),
        "finished_at": NOON + timedelta(seconds=3),
        "workspace": "shop",
        "workflow": None,
        "trigger": "person",
        "request_id": "T-1",
        "simulated": False,
        "usd_micros": 700,
        "input_tokens": 300,
        "output_tokens": 20,
        **changed,
    }


def test_a_tool_call():
    span = span_of(action())
    assert span.name == "execute_tool till.pay"
    assert (span.trace_id, span.span_id, span.parent_id) == (trace_id("turn_1"), span_id("act_1"), span_id("turn_1"))
    assert span.start == nanoseconds(NOON + timedelta(hours=2)), "the wait for a person is no part of the call"
    assert span.end - span.start == 1_000_000_000
    assert span.error is None
    assert span.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.agent.id": "teller",
        "gen_ai.agent.name": "teller",
        "gen_ai.agent.version": "abc",
        "gen_ai.conversation.id": "ses_1",
        "gen_ai.tool.name": "till.pay",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call_0",
        "remit.action.id": "act_1",
        "remit.action.type": "till.pay",
        "remit.action.key": "m1.t1",
        "remit.action.status": "succeeded",
        "remit.action.attempts": 1,
        "remit.decision": "permit",
        "remit.policy.ids": ("pay_over_100", "writes"),
        "remit.policy.version": "def",
        "remit.reason.codes": ("needs_human_approval_over_100",),
        "remit.approval.roles": ("accountable",),
        "remit.person.verdict": "approved",
        "remit.cost_usd": 0.00125,
        "remit.waited_seconds": 7200.0,
    }


@pytest.mark.parametrize(
    ("model", "provider", "name"),
    [
        ("openai:gpt-5-mini", "openai", "gpt-5-mini"),
        ("google-vertex:gemini-3", "gcp.vertex_ai", "gemini-3"),
        ("mistral:large:2", "mistral_ai", "large:2"),
        ("local:qwen3", "local", "qwen3"),
    ],
)
def test_a_model_request(model, provider, name):
    row = action(mode="model", action="model.request", model=model, input_tokens=30, output_tokens=4)
    span = span_of(row)
    assert (span.name, span.kind) == (f"chat {name}", "client")
    asked = {k: v for k, v in span.attributes.items() if k.startswith(("gen_ai.provider", "gen_ai.req", "gen_ai.us"))}
    assert asked == {
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": name,
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 4,
    }


def test_a_model_request_whose_arguments_were_erased():
    span = span_of(action(mode="model", action="model.request", model=None))
    assert span.name == "chat"
    assert "gen_ai.request.model" not in span.attributes


def test_a_refusal_was_never_cleared():
    reasons = [{"code": "over_cap", "text": "501 USD is over the cap", "policy_id": None}]
    row = action(status="refused", attempt=0, cleared_at=None, settled_at=NOON, reasons=reasons, override=None)
    span = span_of(row)
    assert (span.error, span.attributes["remit.decision"], span.start, span.end) == (
        "over_cap",
        "forbid",
        nanoseconds(NOON),
        nanoseconds(NOON),
    )


def test_a_turn():
    span = span_of_turn(turn())
    assert (span.name, span.parent_id, span.error) == ("invoke_agent teller", None, None)
    assert span.span_id == span_of(action()).parent_id
    assert span.attributes["gen_ai.usage.input_tokens"] == 300
    assert span.attributes["remit.cost_usd"] == 0.0007
    assert "remit.workflow" not in span.attributes
    failed = span_of_turn(turn(status="failed", error="model_failed: the provider said: secret"))
    assert (failed.error, failed.description) == ("model_failed", "")
    assert span_of_turn(turn(status="failed", error="secret words")).error == "failed"
    assert span_of_turn(turn(status="cancelled")).error == "cancelled"


def test_no_contents_unless_they_are_handed_in():
    told = json.dumps([span_of(action(error="secret")).attributes, span_of_turn(turn(error="secret")).attributes])
    assert "secret" not in told
    assert "private words" not in told
    assert "the policy says so" not in told
    assert "gen_ai.input.messages" not in told


def test_contents_in_the_form_of_the_conventions():
    span = span_of(action(status="failed", error="no such payee"), Contents({"who": "ivy"}, "paid", "no such payee"))
    assert span.attributes["gen_ai.tool.call.arguments"] == '{"who": "ivy"}'
    assert span.attributes["gen_ai.tool.call.result"] == "paid"
    assert (span.error, span.description) == ("failed", "no such payee")
    request = {
        "instructions": {"digest": "d", "value": ["Be kind."]},
        "messages": [
            {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "hi"}]},
            {"kind": "response", "parts": [{"part_kind": "tool-call", "tool_call_id": "c", "tool_name": "pay"}]},
            {"kind": "request", "parts": [{"part_kind": "tool-return", "tool_call_id": "c", "content": "done"}]},
        ],
    }
    answer = {"kind": "response", "parts": [{"part_kind": "text", "content": "bye"}]}
    span = span_of(action(mode="model", model="openai:gpt-5"), Contents(request, answer))
    messages = json.loads(str(span.attributes["gen_ai.input.messages"]))
    assert [m["role"] for m in messages] == ["user", "assistant", "tool"]
    assert messages[1]["parts"] == [{"type": "tool_call", "id": "c", "name": "pay", "arguments": None}]
    assert json.loads(str(span.attributes["gen_ai.output.messages"])) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "bye"}]}
    ]
    assert json.loads(str(span.attributes["gen_ai.system_instructions"])) == [{"type": "text", "content": "Be kind."}]
    asked = span_of_turn(turn(), Contents({"customer": "ada"}, "done"))
    assert "ada" in str(asked.attributes["gen_ai.input.messages"])
    assert "done" in str(asked.attributes["gen_ai.output.messages"])


def test_long_contents_are_cut():
    span = span_of(action(), Contents("x" * 1_000_000, None))
    assert len(str(span.attributes["gen_ai.tool.call.arguments"])) == 100_000


def test_ids_are_the_same_everywhere_and_differ():
    # Another release must not derive others: the spans of a turn that outlives an upgrade would fall apart.
    assert f"{trace_id('turn_1'):032x}" == "b552dcc560b6ca3b983b0eed13eee19c"
    assert f"{span_id('act_1'):016x}" == "afcbdf74347b09e1"
    assert len({trace_id(f"turn_{n}") for n in range(1000)}) == 1000
    assert len({span_id(f"act_{n}") for n in range(1000)}) == 1000
    assert 0 < trace_id("turn_1") < 2**128
    assert 0 < span_id("turn_1") < 2**64


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, False),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "otlp"}, True),
    ],
)
def test_the_standard_variables_decide(environment, wanted):
    assert enabled(environment) is wanted


def test_nothing_is_imported_otherwise():
    code = (
        "import sys, remit.bootstrap, remit.runtime.worker, remit.runtime.turns\n"
        "from unittest.mock import Mock\n"
        "assert remit.bootstrap.Services._tracing(Mock()) == ()\n"
        "assert not [m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PATH": ""})
