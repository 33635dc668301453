"""Spans in OpenTelemetry's conventions for generative AI, made from rows of the ledger.

Pure: rows go in, spans come out, so that traces say what the record says. Ids are derived from those of turns and
actions: whichever worker exports a span, it joins the others of its turn, and a span exported twice is the same one.

A span holds no contents (prompts, arguments, results, messages of errors) unless contents are handed in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Value = str | bool | int | float | tuple[str, ...]
"""What an attribute may be."""

_PROVIDERS = {
    "google": "gcp.gemini",
    "google-gla": "gcp.gemini",
    "google-vertex": "gcp.vertex_ai",
    "google-cloud": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
    "grok": "x_ai",
    "watsonx": "ibm.watsonx.ai",
}
_LONGEST_CONTENTS = 100_000  # characters of one attribute; collectors refuse requests of some megabytes


@dataclass(frozen=True, slots=True)
class SpanData:
    """One span, ready to be exported. Times are nanoseconds since 1970."""

    name: str
    trace_id: int
    span_id: int
    parent_id: int | None
    kind: Literal["internal", "client"]
    start: int
    end: int
    attributes: dict[str, Value]
    error: str | None = None
    """A word for what went wrong, `error.type`; None: nothing did."""
    description: str = ""
    """What went wrong in words; these are contents."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What was said and passed: canonical JSON values, or None where there is none or it may not be shown."""

    given: Any = None
    """Arguments of a tool, a model's request, or the message that a turn answers."""
    result: Any = None
    """Result of a tool, a model's answer, or a turn's output."""
    error: str | None = None


def enabled(environment: Mapping[str, str]) -> bool:
    """True if the standard variables name an endpoint for traces, and none of them turns traces off."""
    named = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return (
        any(environment.get(name, "").strip() for name in named)
        and environment.get("OTEL_SDK_DISABLED", "").strip().lower() != "true"
        and environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() != "none"
    )


def trace_id(turn_id: str) -> int:
    """The trace of a turn: 128 bits, never 0."""
    return int.from_bytes(hashlib.sha256(f"remit trace {turn_id}".encode()).digest()[:16]) or 1


def span_id(thing_id: str) -> int:
    """The span of a turn or an action: 64 bits, never 0."""
    return int.from_bytes(hashlib.sha256(f"remit span {thing_id}".encode()).digest()[:8]) or 1


def span_of(row: Mapping[str, Any], contents: Contents | None = None) -> SpanData:
    """The span of a settled tool or model action: `execute_tool NAME` or `chat MODEL`.

    It reaches from the newest clearance to the outcome; how long the action waited before (for a person, a limit) is
    an attribute. One that was never cleared reaches from the question to the refusal. `row` has the columns of
    `remit.actions`, and `model` for a model action.
    """
    model = row["mode"] == "model"
    began, ended = row["cleared_at"] or row["created_at"], row["settled_at"]
    began = min(began, ended)
    codes = tuple(reason["code"] for reason in row["reasons"])
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": "chat" if model else "execute_tool",
        **_agent(row),
        "remit.action.id": row["id"],
        "remit.action.type": row["action"],
        "remit.action.key": row["key"],
        "remit.action.status": row["status"],
        "remit.action.attempts": row["attempt"],
        "remit.decision": "forbid" if row["status"] == "refused" else "permit",
        "remit.policy.ids": tuple(row["policy_ids"]),
        "remit.policy.version": row["policy_version"],
        "remit.reason.codes": codes,
        "remit.approval.roles": tuple(row["roles"]),
        "remit.cost_usd": row["usd_micros"] / 1_000_000,
        "remit.waited_seconds": (began - row["created_at"]).total_seconds(),
    }
    if row["override"]:
        attributes["remit.person.verdict"] = str(row["override"].get("verdict", ""))
    if model:
        attributes |= _model(row)
        name = f"chat {attributes['gen_ai.request.model']}".strip()
    else:
        attributes |= _tool(row)
        name = f"execute_tool {row['action']}"
    if contents is not None:
        attributes |= _model_contents(contents) if model else _tool_contents(contents)
    failed = row["status"] != "succeeded"
    return SpanData(
        name=name,
        trace_id=trace_id(row["turn_id"]),
        span_id=span_id(row["id"]),
        parent_id=span_id(row["turn_id"]),
        kind="client" if model else "internal",
        start=nanoseconds(began),
        end=nanoseconds(ended),
        attributes=_present(attributes),
        error=(codes[-1] if codes and row["status"] == "refused" else row["status"]) if failed else None,
        description=(contents.error or "") if contents is not None and failed else "",
    )


def span_of_turn(row: Mapping[str, Any], contents: Contents | None = None) -> SpanData:
    """The span of a turn that has ended: `invoke_agent NAME`, from its first run to its end, waits included.

    `row` has the columns of `remit.turns`, of its session (`workspace`, `workflow`, `trigger`, `request_id`,
    `simulated`) and the sums of its actions (`usd_micros`, `input_tokens`, `output_tokens`).
    """
    failed = row["status"] != "finished"
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": "invoke_agent",
        **_agent(row),
        "gen_ai.usage.input_tokens": row["input_tokens"],
        "gen_ai.usage.output_tokens": row["output_tokens"],
        "remit.turn.id": row["id"],
        "remit.turn.kind": row["kind"],
        "remit.turn.status": row["status"],
        "remit.turn.runs": row["run"],
        "remit.workspace": row["workspace"],
        "remit.workflow": row["workflow"] or "",
        "remit.trigger": row["trigger"],
        "remit.request.id": row["request_id"],
        "remit.simulated": row["simulated"],
        "remit.cost_usd": row["usd_micros"] / 1_000_000,
    }
    if contents is not None:
        attributes |= _shown("gen_ai.input.messages", [_said("user", _text(contents.given))])
        if contents.result is not None:
            attributes |= _shown("gen_ai.output.messages", [_said("assistant", _text(contents.result))])
    began = row["started_at"] or row["created_at"]
    code = (row["error"] or "").partition(":")[0]
    return SpanData(
        name=f"invoke_agent {row['agent']}",
        trace_id=trace_id(row["id"]),
        span_id=span_id(row["id"]),
        parent_id=None,
        kind="internal",
        start=nanoseconds(began),
        end=nanoseconds(max(began, row["finished_at"])),
        attributes=_present(attributes),
        error=(code if code.isidentifier() else row["status"]) if failed else None,
        description=(row["error"] or "") if contents is not None and failed else "",
    )


def nanoseconds(at: datetime) -> int:
    """Nanoseconds since 1970, exact to the microsecond."""
    return int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1_000


def _agent(row: Mapping[str, Any]) -> dict[str, Value]:
    return {
        "gen_ai.agent.id": row["agent"],
        "gen_ai.agent.name": row["agent"],
        "gen_ai.agent.version": row["agent_version"],
        "gen_ai.conversation.id": row["session_id"],
    }


def _model(row: Mapping[str, Any]) -> dict[str, Value]:
    provider, _, name = (row["model"] or "").partition(":")
    return {
        "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
        "gen_ai.request.model": name or provider,
        "gen_ai.usage.input_tokens": row["input_tokens"],
        "gen_ai.usage.output_tokens": row["output_tokens"],
    }


def _tool(row: Mapping[str, Any]) -> dict[str, Value]:
    return {
        "gen_ai.tool.name": row["action"],
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": row["provider_call_id"] or "",
    }


def _tool_contents(contents: Contents) -> dict[str, Value]:
    shown = _shown("gen_ai.tool.call.arguments", contents.given)
    return shown if contents.result is None else shown | _shown("gen_ai.tool.call.result", contents.result)


def _model_contents(contents: Contents) -> dict[str, Value]:
    """What was new in the request, and the answer, in the form of the conventions."""
    given = contents.given if isinstance(contents.given, dict) else {}
    asked = [_message(message) for message in given.get("messages", ()) if isinstance(message, dict)]
    if "prompt" in given:
        asked.append(_said("user", _text(given["prompt"])))
    shown = _shown("gen_ai.input.messages", asked)
    instructions = given.get("instructions")
    if isinstance(instructions, dict) and "value" in instructions:
        texts = [{"type": "text", "content": _text(text)} for text in instructions["value"]]
        shown |= _shown("gen_ai.system_instructions", texts)
    if isinstance(contents.result, dict) and "parts" in contents.result:
        shown |= _shown("gen_ai.output.messages", [_message(contents.result)])
    return shown


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    parts = [_part(part) for part in message.get("parts", ())]
    if message.get("kind") == "response":
        return {"role": "assistant", "parts": parts}
    tool = bool(parts) and all(part["type"] == "tool_call_response" for part in parts)
    return {"role": "tool" if tool else "user", "parts": parts}


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    match part.get("part_kind"):
        case "tool-call":
            return {
                "type": "tool_call",
                "id": part.get("tool_call_id"),
                "name": part.get("tool_name"),
                "arguments": part.get("args"),
            }
        case "tool-return":
            return {"type": "tool_call_response", "id": part.get("tool_call_id"), "response": part.get("content")}
        case "thinking":
            return {"type": "reasoning", "content": part.get("content")}
        case _:
            return {"type": "text", "content": _text(part.get("content"))}


def _said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _shown(name: str, value: Any) -> dict[str, Value]:
    return {name: _text(value)[:_LONGEST_CONTENTS]}


def _present(attributes: dict[str, Value]) -> dict[str, Value]:
    """Without what there is nothing to say of."""
    return {name: value for name, value in attributes.items() if value not in ("", ())}
