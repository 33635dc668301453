"""What a model is told about its calls, in words it can act on, and the tools that an answer may refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets.abstract import ToolsetTool

from remit.domain import canonical
from remit.domain.decisions import ActionStatus
from remit.runtime.model_agents.errors import Ungoverned
from remit.runtime.model_agents.messages import clean
from remit.runtime.road import Performed


def of_tool(performed: Performed) -> str:
    """The result as text. Raises ToolFailed, which the model sees as a failed call, where there is none.

    Text stays as it is; anything else is canonical JSON, so that an exact number stays exact and nothing in a result
    is taken for a picture or a file.
    """
    match performed.status:
        case ActionStatus.SUCCEEDED if performed.error and performed.result is None:
            return f"Done, but the result cannot be shown: {performed.error}"
        case ActionStatus.SUCCEEDED:
            result = clean(performed.result)
            return result if isinstance(result, str) else canonical.dumps(result).decode()
        case ActionStatus.REFUSED:
            raise ToolFailed(f"Refused; nothing was done. {_why(performed)}")
        case ActionStatus.UNKNOWN:
            raise ToolFailed(
                f"It is not known whether this was done; a person looks into it. Do not try again. {_why(performed)}"
            )
        case ActionStatus.CANCELLED:
            raise ToolFailed(f"Cancelled; nothing was done. {_why(performed)}")
        case _:
            raise ToolFailed(f"Failed; nothing was done. {_why(performed)}")


def of_model(performed: Performed) -> str:
    """Why a request to the model brought no answer."""
    if performed.status is ActionStatus.REFUSED:
        return f"the request to the model was refused: {_why(performed)}"
    return f"the request to the model brought no answer: {_why(performed)}"


def unknown_tool(name: str, known: Iterable[str]) -> str:
    """Tell the model which tools there are."""
    return f"there is no tool {name!r}; there are: {', '.join(sorted(known)) or 'none'}"


def _why(performed: Performed) -> str:
    sentences = [reason.text for reason in performed.reasons] or [performed.error or "no reason is known"]
    return str(clean(" ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in sentences)))


def tool_of(ctx: RunContext[Any], name: str) -> ToolsetTool[Any]:
    """The agent's tool of this name. Raises Ungoverned if the run has none."""
    manager = ctx.tool_manager
    tool = manager.tools.get(name) if manager is not None and manager.tools is not None else None
    if tool is None:
        raise Ungoverned(f"the run has no tool {name}")
    return tool


def admit_unknown_tools(
    ctx: RunContext[Any] | None,
    response: ModelResponse,
    parameters: ModelRequestParameters,
    stand_in: Callable[[str], ToolsetTool[Any]],
) -> None:
    """Let calls of tools that do not exist reach the validation hooks, where they are recorded and answered.

    pydantic-ai answers them by itself otherwise, unseen, and ends the run when a model insists.
    """
    if ctx is None or ctx.tool_manager is None or ctx.tool_manager.tools is None:
        return
    known = {tool.name for tool in (*parameters.function_tools, *parameters.output_tools)}
    for part in response.parts:
        if isinstance(part, ToolCallPart) and part.tool_name not in known:
            ctx.tool_manager.tools.setdefault(part.tool_name, stand_in(part.tool_name))
