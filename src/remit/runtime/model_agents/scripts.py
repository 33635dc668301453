"""Models that are a Python file: for tests and demonstrations, without a network.

The file has `respond(messages, tools) -> dict`. A message is `{"role": "system" | "user" | "assistant" | "tool",
"content": …}`; one of the assistant may hold `tool_calls`, one of a tool has `name`, `tool_call_id` and `status`. A
tool is `{"name", "description", "parameters"}`, with the name of its action type. The answer is `{"text": …}` or
`{"tool_calls": [{"name", "arguments"}, …]}`, or both; `id` of a call and `usage` are optional. `arguments` may be JSON
text, which is then passed on as it is.
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponsePart,
    RetryFeedbackPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from remit.errors import ConfigurationError

Respond = Callable[[list[dict[str, Any]], list[dict[str, Any]]], Any]


class ScriptFailed(ConfigurationError):
    """A scripted model raised, or answered something that is no answer."""

    code = "script_failed"
    advice = "Correct the script's `respond`; docs/how-to/model-agents.md says what it returns."


def script_model(name: str, path: Path) -> FunctionModel:
    """A model that answers with a file's `respond`. Raises ConfigurationError if there is none."""
    try:
        respond = runpy.run_path(str(path)).get("respond")
    except OSError as error:
        raise ConfigurationError(f"the script of the model {name} cannot be read: {error.strerror}") from None
    except Exception as error:  # noqa: BLE001 - a script may raise anything while it is loaded
        raise ScriptFailed(f"the script of the model {name} ended with {type(error).__name__}: {error}") from None
    if not callable(respond):
        raise ConfigurationError(f"the script of the model {name} has no function `respond(messages, tools)`")
    return respond_model(name, respond)


def respond_model(name: str, respond: Respond) -> FunctionModel:
    """A model that answers with a function."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        offered = {(tool.metadata or {}).get("action", tool.name): tool for tool in info.function_tools}
        tools = [
            {"name": action, "description": tool.description or "", "parameters": tool.parameters_json_schema}
            for action, tool in offered.items()
        ]
        told = _told(messages, info.instructions, {tool.name: action for action, tool in offered.items()})
        try:
            said = respond(told, tools)
            return _response(said, {action: tool.name for action, tool in offered.items()})
        except Exception as error:  # noqa: BLE001 - a script may raise anything
            raise ScriptFailed(f"the scripted model {name} ended with {type(error).__name__}: {error}") from None

    return FunctionModel(answer, model_name=name)


def _told(messages: Sequence[ModelMessage], instructions: str | None, actions: dict[str, str]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
    for message in messages:
        if isinstance(message, ModelResponse):
            told.append(_said(message, actions))
            continue
        for part in message.parts:
            match part:
                case UserPromptPart() | RetryFeedbackPart():
                    told.append({"role": "user", "content": part.content})
                case ToolReturnPart():
                    told.append(
                        {
                            "role": "tool",
                            "name": actions.get(part.tool_name, part.tool_name),
                            "tool_call_id": part.tool_call_id,
                            "content": part.content,
                            "status": part.outcome,
                        }
                    )
                case _ if hasattr(part, "content"):
                    told.append({"role": "system", "content": part.content})
                case _:
                    pass  # marks of pydantic-ai that no model sees as text
    return told


def _said(response: ModelResponse, actions: dict[str, str]) -> dict[str, Any]:
    calls = [
        {"id": part.tool_call_id, "name": actions.get(part.tool_name, part.tool_name), "arguments": part.args}
        for part in response.parts
        if isinstance(part, ToolCallPart)
    ]
    text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
    return {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}


def _response(said: Any, names: dict[str, str]) -> ModelResponse:
    if not isinstance(said, dict) or not (said.get("text") or said.get("tool_calls")):
        raise TypeError('respond returns {"text": …} or {"tool_calls": […]}')
    parts: list[ModelResponsePart] = [TextPart(said["text"])] if said.get("text") else []
    for number, call in enumerate(said.get("tool_calls", ()), start=1):
        arguments = call.get("arguments", {})
        parts.append(
            ToolCallPart(
                names.get(call["name"], call["name"]),
                arguments if isinstance(arguments, str) else json.dumps(arguments),
                tool_call_id=call.get("id", f"call_{number}"),
            )
        )
    usage = said.get("usage")
    return ModelResponse(parts=parts, usage=RequestUsage(**usage) if usage else RequestUsage())
