"""Messages between an agent and its model as canonical values: what identifies a request, what is kept of an answer.

A request is identified by what is new in it and by a digest of what it stands on, so that a turn of n requests stores
n messages and not n². Timestamps, run ids and everything else that differs between two runs of the same turn stay out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse, ToolCallPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_core import to_jsonable_python

from remit.domain import canonical
from remit.errors import InvalidInput

# What identifies a part. Anything else differs between runs, never reaches the model, or may come with a new release.
_IDENTITY = frozenset({"part_kind", "content", "tool_name", "args", "tool_call_id", "outcome"})
_KEPT = (
    "parts",
    "usage",
    "model_name",
    "timestamp",
    "kind",
    "provider_name",
    "provider_url",
    "canonical_system",
    "provider_details",
    "provider_response_id",
    "finish_reason",
    "state",
)
_UNSEEN_SETTINGS = frozenset({"timeout", "request_timeout", "first_event_timeout", "max_retries", "extra_headers"})
_BYTES_OF_A_REQUEST = 1_024  # what providers add around a request that offers tools
_BYTES_OF_A_LINK = 20_000  # a file or picture given by its URL: the provider counts its contents
_LINKS = frozenset({"image-url", "audio-url", "video-url", "document-url", "uploaded-file"})


def clean(value: Any) -> Any:
    """The value with surrogates joined, and lone ones, which no provider takes, replaced by U+FFFD."""
    match value:
        case str():
            return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {clean(key): clean(item) for key, item in value.items()}
        case list() | tuple():
            return [clean(item) for item in value]
        case _:
            return value


def load_messages(history: Sequence[Any]) -> list[ModelMessage]:
    """Read messages from their JSON values. Raises InvalidInput if they are none."""
    text = canonical.dumps(canonical.normalise(list(history), what="history"))
    try:
        return ModelMessagesTypeAdapter.validate_json(text)
    except ValidationError as error:
        raise InvalidInput(f"the history holds no messages of a model agent: {error.errors()[0]['msg']}") from None


def dump_messages(messages: Sequence[ModelMessage]) -> list[Any]:
    """Messages as canonical JSON values, without what belongs to one run."""
    values = [{k: v for k, v in _jsonable(message).items() if k in _KEPT} for message in messages]
    return list(canonical.normalise(clean(values), what="messages"))


def dump_response(response: ModelResponse) -> Any:
    """An answer as the ledger keeps it. Raises InvalidInput if it cannot be kept.

    Arguments of tool calls are kept as JSON text, as the model wrote them where the provider passes that on.
    """
    parts = [
        replace(part, args=json.dumps(part.args))
        if isinstance(part, ToolCallPart) and isinstance(part.args, dict)
        else part
        for part in response.parts
    ]
    dumped = _jsonable(replace(response, parts=parts))
    return canonical.normalise(clean({k: v for k, v in dumped.items() if k in _KEPT}), what="answer")


def load_response(value: Any) -> ModelResponse:
    """The answer that the ledger keeps."""
    message = ModelMessagesTypeAdapter.validate_json(canonical.dumps([value]))[0]
    if not isinstance(message, ModelResponse):
        raise TypeError("a recorded answer of a model is a response")
    return message


@dataclass(frozen=True, slots=True)
class Described:
    """A request as it is identified and reserved for."""

    args: dict[str, Any]
    input_bytes: int
    """Upper bound of the request's size, in bytes; no tokenizer makes more tokens of a text than it has bytes."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A message as it was read. It holds what it was read from: no other object can take that place in memory."""

    message: ModelMessage
    holds: tuple[Any, ...]
    identity: dict[str, Any]
    digest: str
    size: int

    def is_of(self, message: ModelMessage, holds: tuple[Any, ...]) -> bool:
        """True if the message has still the very parts, with the very contents, that it was read with."""
        return (
            self.message is message
            and len(self.holds) == len(holds)
            and all(mine is other for mine, other in zip(self.holds, holds, strict=True))
        )


class RequestLog:
    """The requests of one run, each described by what it adds to the one before.

    Args:
        history: Messages that are on record already.
        noted: `instructions` and `tools` that are on record already.
    """

    def __init__(self, history: Sequence[ModelMessage] = (), noted: Mapping[str, Any] | None = None) -> None:
        self._read: dict[int, _Read] = {}
        self._sent = [self._reading(message).digest for message in history]
        self._known = {name: canonical.digest(canonical.normalise(value)) for name, value in (noted or {}).items()}

    def describe(
        self, messages: Sequence[ModelMessage], parameters: ModelRequestParameters, settings: ModelSettings
    ) -> Described:
        """Describe the next request of the run; the next one will refer to it."""
        read = [self._reading(message) for message in messages]
        digests = [message.digest for message in read]
        same = _common(self._sent, digests)
        self._sent = digests
        instructions = [part.content for part in parameters.instruction_parts or ()]
        tools = [definition(tool) for tool in (*parameters.function_tools, *parameters.output_tools)]
        output = to_jsonable_python(parameters.output_object)
        seen = canonical.normalise(
            to_jsonable_python({k: v for k, v in settings.items() if k not in _UNSEEN_SETTINGS}, fallback=str),
            what="settings of the model request",
        )
        args: dict[str, Any] = {
            "messages": [message.identity for message in read[same:]],
            "instructions": self._once("instructions", instructions),
            "tools": self._once("tools", tools),
            "settings": seen,
        }
        if same:
            args["after"] = {"messages": same, "digest": canonical.digest(digests[:same])}
        if parameters.output_mode != "text":
            args["output"] = self._once("output", {"mode": parameters.output_mode, "object": output})
        size = sum(len(canonical.dumps(v)) for v in (instructions, tools, seen, canonical.normalise(output)))
        return Described(args, size + sum(message.size for message in read) + _BYTES_OF_A_REQUEST)

    def answered(self, response: ModelResponse) -> None:
        """Note the answer, which the next request is expected to repeat."""
        self._sent.append(self._reading(response).digest)

    def _reading(self, message: ModelMessage) -> _Read:
        """The message, read once for as long as it is the same: a request repeats everything that came before it."""
        holds = _holds(message)
        found = self._read.get(id(message))
        if found is None or not found.is_of(message, holds):
            identity = _identity(message)
            body = canonical.dumps(identity)
            size = len(body) + _BYTES_OF_A_LINK * _links(identity)
            found = _Read(message, holds, identity, canonical.digest_bytes(body), size)
            self._read[id(message)] = found
        return found

    def _once(self, name: str, value: Any) -> dict[str, Any]:
        """The value where it is new, else only its digest: prompts and tool definitions are long and stay the same."""
        value = canonical.normalise(value, what=name)
        digest = canonical.digest(value)
        if self._known.get(name) == digest:
            return {"digest": digest}
        self._known[name] = digest
        return {"digest": digest, "value": value}


def _jsonable(message: ModelMessage) -> dict[str, Any]:
    dumped: dict[str, Any] = ModelMessagesTypeAdapter.dump_python([message], mode="json", exclude_none=True)[0]
    return dumped


def _holds(message: ModelMessage) -> tuple[Any, ...]:
    held: list[Any] = []
    for part in message.parts:
        held += (part, getattr(part, "content", None), getattr(part, "args", None), getattr(part, "tool_call_id", None))
    return tuple(held)


def _identity(message: ModelMessage) -> dict[str, Any]:
    dumped = _jsonable(message)
    parts = [{k: v for k, v in part.items() if k in _IDENTITY} for part in dumped["parts"]]
    return dict(canonical.normalise({"kind": dumped["kind"], "parts": parts}, what="message"))


def definition(tool: ToolDefinition) -> dict[str, Any]:
    """A tool as the model sees it."""
    return {"name": tool.name, "description": tool.description or "", "schema": tool.parameters_json_schema}


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    same = 0
    for left, right in zip(old, new, strict=False):
        if left != right:
            break
        same += 1
    return same


def _links(identity: dict[str, Any]) -> int:
    """How many contents of a message are given by their address only."""
    contents = [part["content"] for part in identity["parts"] if isinstance(part.get("content"), list)]
    return sum(1 for content in contents for item in content if isinstance(item, dict) and item.get("kind") in _LINKS)
