"""Tools that live in the agent's own process: run under a clearance, with the very arguments that were judged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import ValidationError
from pydantic_ai.exceptions import ModelRetry, ToolFailed, ToolFailedError, ToolRetryError, UnexpectedModelBehavior
from pydantic_ai.messages import ToolReturn
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets.abstract import ToolsetTool
from pydantic_ai.toolsets.wrapper import WrapperToolset
from pydantic_core import PydanticSerializationError, to_jsonable_python

from remit.domain import canonical
from remit.domain.decisions import Clearance, Outcome
from remit.errors import RemitError
from remit.runtime.model_agents.errors import Ungoverned
from remit.runtime.model_agents.messages import clean

_SAID = (ModelRetry, ToolFailed, ToolFailedError, ToolRetryError, UnexpectedModelBehavior)


@dataclass(frozen=True, slots=True)
class _Cleared:
    clearance: Clearance
    args: dict[str, Any]


_CLEARED: ContextVar[_Cleared | None] = ContextVar("remit_cleared", default=None)


def clearance() -> Clearance:
    """The clearance under which this tool runs: its `idempotency_key` makes a repeat harmless.

    Raises Ungoverned outside a governed tool call.
    """
    cleared = _CLEARED.get()
    if cleared is None:
        raise Ungoverned("no governed call is under way here")
    return cleared.clearance


class Wall(WrapperToolset[Any]):
    """Stands directly before the tools: nobody reaches one without a clearance for exactly these arguments."""

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """Call the tool if it was cleared. Raises Ungoverned otherwise."""
        cleared = _CLEARED.get()
        if cleared is None:
            raise Ungoverned(f"the tool {name} was called past the gate")
        if tool_args != cleared.args:
            raise Ungoverned(
                f"the arguments of {name} were changed after they had been judged",
                advice="Let no other capability rewrite arguments of governed tools.",
            )
        return await super().call_tool(name, tool_args, ctx, tool)


@dataclass(frozen=True, slots=True)
class LocalCall:
    """A call of a function tool, as the road executes it."""

    tool: ToolsetTool[Any]
    asked: dict[str, Any]
    """The canonical arguments that the model asked for."""
    validated: dict[str, Any]
    """What the tool's own validator made of them."""
    run: Callable[[dict[str, Any]], Awaitable[Any]]

    async def execute(self, clearance: Clearance) -> Outcome:
        """Run the tool and return the outcome. Only what the tool itself reports counts as a known failure."""
        began = time.monotonic()
        if began >= clearance.deadline:
            return Outcome("failed", None, "the clearance ran out before the tool was called")
        try:
            args = self.validated if clearance.args == self.asked else validate(self.tool, clearance.args)
        except (ValidationError, ValueError) as error:
            return Outcome("failed", None, f"the approved arguments do not fit the tool: {sentence(error)}")
        token = _CLEARED.set(_Cleared(clearance, args))
        try:
            async with asyncio.timeout(clearance.timeout.total_seconds() or None):
                return _outcome(await self.run(args))
        except Ungoverned as error:
            return Outcome("failed", None, error.message)
        except TimeoutError:
            return Outcome("unknown", None, "the tool did not end in time")
        except _SAID as error:
            limit = self.tool.tool_def.timeout
            if limit is not None and time.monotonic() - began >= limit:
                return Outcome("unknown", None, "the tool did not end in time")
            return Outcome("failed", None, _said(error))
        except Exception as error:  # noqa: BLE001 - a tool may raise anything, and anything may have happened before
            return Outcome("unknown", None, f"the tool ended with {type(error).__name__}: {error}")
        finally:
            _CLEARED.reset(token)


def validate(tool: ToolsetTool[Any], args: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the tool's function takes them. Raises ValidationError if they do not fit."""
    given = for_validator(args)
    validator = tool.args_validator
    return dict(validator.validate_json(given) if isinstance(given, str) else validator.validate_python(given))


def for_validator(args: dict[str, Any]) -> str | dict[str, Any]:
    """The arguments in the form in which pydantic takes them without loss.

    That is JSON text, which pydantic is lenient with, unless a number in it does not fit a binary float.
    """
    return canonical.dumps(args).decode() if _fits_floats(args) else args


def _fits_floats(value: Any) -> bool:
    match value:
        case Decimal():
            return Decimal(repr(float(value))) == value
        case dict():
            return all(map(_fits_floats, value.values()))
        case list():
            return all(map(_fits_floats, value))
        case _:
            return True


def sentence(error: Exception) -> str:
    """What is wrong with arguments, without the values and without links."""
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}" for one in found[:5])
    return getattr(error, "message", None) or str(error)


def _outcome(returned: Any) -> Outcome:
    value = returned
    if isinstance(returned, ToolReturn):
        value = returned.return_value
        if returned.content:
            value = {"result": value, "content": returned.content}
    try:
        return Outcome("succeeded", canonical.normalise(clean(to_jsonable_python(value)), what="result"))
    except (RemitError, PydanticSerializationError, ValueError) as error:
        return Outcome("succeeded", None, f"the result cannot be written as JSON: {error}")


def _said(error: Exception) -> str:
    match error:
        case ToolFailedError():
            return str(error.tool_failed.content)
        case ToolRetryError():
            return str(error.tool_retry.content)
        case UnexpectedModelBehavior() if isinstance(error.__cause__, ModelRetry | ToolFailed):
            return error.__cause__.message
        case _:
            return str(error)
