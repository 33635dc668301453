"""What came of a call, made out of a server's answer: bounded, without secrets, and never an exception."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

from remit.domain import canonical
from remit.errors import InvalidInput
from remit.runtime.connections.messages import Reply
from remit.runtime.connections.scrub import Scrubber

_log = logging.getLogger(__name__)
_LONGEST_ERROR = 4000


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """How one call of a tool ended."""

    status: Literal["succeeded", "failed", "unknown"]
    """`failed`: the server says so, or nothing was sent. `unknown`: it was sent, and nobody can know the outcome."""
    result: Any = None
    """Canonical JSON."""
    error: str | None = None
    reason: str = ""
    """Machine word for an `error`: tool_error, protocol_error, http_error, timeout, connection_lost, not_connected,
    clearance_expired, tool_changed, tool_missing, tool_unpinned, person_needed, unknown_connection, closed, defect."""
    truncated: bool = False
    """True if the result was larger than the connection allows and was cut."""
    sent: bool = True
    """False: not one byte of the call left this process, so that it may be repeated."""


def from_reply(reply: Reply, limit: int, scrubber: Scrubber) -> ToolAnswer:
    """The answer in a reply to `tools/call`; results are cut at `limit` bytes of canonical JSON."""
    match reply.kind:
        case "error":
            return ToolAnswer("failed", error=_words(reply.message, scrubber), reason="protocol_error")
        case "neither":
            return ToolAnswer("unknown", error=reply.message, reason="protocol_error")
        case "unreadable" if reply.failed:
            return ToolAnswer("failed", error=f"the tool failed; {reply.message}", reason="tool_error")
        case "unreadable":
            return ToolAnswer("succeeded", result=unstorable(reply.message))
    try:
        return _from_result(reply.result, limit, scrubber)
    except InvalidInput as error:
        return ToolAnswer("succeeded", result=unstorable(scrubber.text(error.message)))
    except Exception as error:  # noqa: BLE001 - the tool has run: whatever its answer is, that it ran must be kept
        _log.error("a tool's result could not be read: %s", type(error).__name__)  # its text may quote secrets
        return ToolAnswer("succeeded", result=unstorable("the result could not be read"))


def unstorable(why: str) -> dict[str, Any]:
    """What stands in place of a result that cannot be kept."""
    return {"result_unstorable": True, "why": why[:_LONGEST_ERROR]}


def _from_result(raw: Any, limit: int, scrubber: Scrubber) -> ToolAnswer:
    if not isinstance(raw, dict):
        return ToolAnswer("succeeded", result=unstorable("the server's result is not an object"))
    if raw.get("resultType") == "input_required":
        return ToolAnswer(
            "failed", error="the tool wants to ask a person or a model, which servers may not", reason="tool_error"
        )
    text, others = _content(raw.get("content"))
    if raw.get("isError") is True:
        return ToolAnswer("failed", error=_words(text or "the tool failed", scrubber), reason="tool_error")
    structured = raw.get("structuredContent")
    if isinstance(structured, dict):
        value = structured
    elif others:
        value = {"text": text, "content": others}
    else:
        value = _parsed(text)
    value = scrubber.value(canonical.normalise(value, what="result"))
    value, truncated = bounded(value, limit)
    return ToolAnswer("succeeded", result=value, truncated=truncated)


def _content(blocks: Any) -> tuple[str, list[dict[str, Any]]]:
    """The text of a result's blocks, and a line about each block that is no text."""
    texts: list[str] = []
    others: list[dict[str, Any]] = []
    for block in blocks if isinstance(blocks, list) else []:
        if not isinstance(block, dict):
            continue
        kind, text = block.get("type"), block.get("text")
        if kind == "text" and isinstance(text, str):
            texts.append(text)
        elif len(others) < 100:
            mime, data = block.get("mimeType"), block.get("data")
            others.append(
                {
                    "type": kind[:100] if isinstance(kind, str) else "unknown",
                    "mime": mime[:200] if isinstance(mime, str) else None,
                    "characters": len(data) if isinstance(data, str) else 0,
                    "omitted": True,
                }
            )
    return "\n".join(texts), others


def _parsed(text: str) -> Any:
    try:
        return canonical.parse(text, what="result")
    except InvalidInput:
        return {"text": text}


def bounded(value: Any, limit: int) -> tuple[Any, bool]:
    """The value, or the beginning of it with a mark where its canonical form is larger than `limit` bytes."""
    rendered = canonical.dumps(value)
    if len(rendered) <= limit:
        return value, False
    only_text = isinstance(value, dict) and set(value) == {"text"}
    text = value["text"] if only_text else rendered.decode("utf-8", "replace")
    keep = limit
    while True:
        cut = {"truncated": True, "bytes": len(rendered), "text": text[:keep]}
        size = len(canonical.dumps(cut))
        if size <= limit or keep == 0:
            return cut, True
        keep = max(0, min(keep - 1, keep * limit // size - 64))


def _words(text: str, scrubber: Scrubber) -> str:
    scrubbed = scrubber.text(text)
    return scrubbed if len(scrubbed) <= _LONGEST_ERROR else scrubbed[:_LONGEST_ERROR] + " [cut]"
