"""The capability that puts a pydantic-ai agent under Remit.

Every model request and every tool call of the agent goes to the road: judged, written down before it happens, settled
after it. Run again from the top, the agent gets the recorded answers and results, so that nothing is bought or done
twice. Keys are places: `m3` is the third model request of the turn, `m3.t1` the first tool call in its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from pydantic_ai.capabilities.abstract import AbstractCapability, CapabilityOrdering
from pydantic_ai.exceptions import ModelRetry, ToolFailed
from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponsePart, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestContext, ModelRequestParameters
from pydantic_ai.run import AgentRunResult
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets.abstract import AbstractToolset

from remit.domain import canonical
from remit.domain.agents import ModelPrice
from remit.domain.decisions import ActionStatus
from remit.errors import InvalidInput, ProgramDiverged
from remit.runtime.model_agents import answers
from remit.runtime.model_agents.boundaries import check_request, check_response
from remit.runtime.model_agents.errors import ModelFailed, ModelLimitReached, Ungoverned
from remit.runtime.model_agents.governed_model import GovernedModel
from remit.runtime.model_agents.local import LocalCall, Wall, for_validator, sentence, validate
from remit.runtime.model_agents.messages import RequestLog, load_response
from remit.runtime.model_agents.provider import Request
from remit.runtime.model_agents.tools import PinnedTools, unknown_tool
from remit.runtime.road import Performed, Road, TurnSuspendedError

_TRIES = 3  # requests in a row for one answer, each cleared and booked by itself
_LONGEST_WAIT = 30.0  # seconds between two of them
_LONGEST_REASON = 1_000
_LONGEST_RAW = 65_536


@dataclass(slots=True)
class _Asked:
    """A tool call as the model asked for it."""

    key: str
    provider_call_id: str
    raw: str
    reason: str
    args: dict[str, Any] | None = None


class Governance(AbstractCapability[Any]):
    """Puts an agent's model requests and tool calls under Remit; one instance governs one turn.

    Give it to the agent or to its run: `Agent(..., capabilities=[Governance(road, actions={"refund":
    "payments.refund"})])`. Several runs of agents within one turn may share an instance as long as they come one after
    the other; agents that run side by side each take an instance with a `prefix` of its own.

    Args:
        road: The turn's way to the gate.
        actions: Name of a function tool of the agent to action type. A tool without one is refused.
        model: Name of the model in remit.toml; None is the name that pydantic-ai gives it, `provider:name`.
        price: What the model costs; None books no money, and is refused wherever a money budget covers the agent.
        max_output_tokens: Upper limit sent with every request and reserved before it.
        max_model_requests: Most model requests of the turn.
        prefix: Put before every key.
        tools: Tools of connections that the agent was given; they need no mapping.
        history: The messages that the agent's first request starts with, where they are on record already.
        noted: `instructions` and `tools` of the agent, where they are on record already.
    """

    def __init__(
        self,
        road: Road,
        *,
        actions: Mapping[str, str] | None = None,
        model: str | None = None,
        price: ModelPrice | None = None,
        max_output_tokens: int = 2_000,
        max_model_requests: int = 50,
        prefix: str = "",
        tools: PinnedTools | None = None,
        history: Sequence[ModelMessage] = (),
        noted: Mapping[str, Any] | None = None,
    ) -> None:
        self._road = road
        self._tools = tools
        self._actions = {**(actions or {}), **(tools.actions if tools is not None else {})}
        self._model = model
        self._price = price
        self._max_output_tokens = max_output_tokens
        self._max_model_requests = max_model_requests
        self._prefix = prefix
        self._log = RequestLog(history, noted)
        self._requests = 0
        self._calls: dict[str, _Asked] = {}
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._ended: TurnSuspendedError | ProgramDiverged | None = None
        self._ctx: RunContext[Any] | None = None

    # --- Where it stands in the agent ------------------------------------------------------------------------------

    def get_ordering(self) -> CapabilityOrdering:
        """Next to the model and to the tools: what is judged is what happens."""
        return CapabilityOrdering(position="innermost")

    def get_wrapper_model(self, model: Model) -> Model:
        """The model behind the gate."""
        return GovernedModel(model, self._ask)

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any]:
        """The tools behind a wall that only a clearance opens."""
        return Wall(toolset)

    async def prepare_tools(self, ctx: RunContext[Any], tool_defs: list[ToolDefinition]) -> list[ToolDefinition]:
        """Refuse tools without an action type, and those that would be executed or approved elsewhere."""
        del ctx
        for tool in tool_defs:
            if tool.name not in self._actions:
                raise Ungoverned(
                    f"the tool {tool.name} has no action type",
                    advice=f'Name it: Governance(road, actions={{"{tool.name}": "connection.tool"}}).',
                )
            if tool.kind != "function":
                raise Ungoverned(
                    f"the tool {tool.name} is to be executed or approved outside of Remit ({tool.kind})",
                    advice="Offer a plain function tool; policy decides what needs approval.",
                )
        return tool_defs

    async def wrap_run(
        self, ctx: RunContext[Any], *, handler: Callable[[], Awaitable[AgentRunResult[Any]]]
    ) -> AgentRunResult[Any]:
        """Leave no call behind: what is in flight when the run ends is settled first."""
        del ctx
        try:
            result = await handler()
        finally:
            await self._settle()
        if self._ended is not None:  # somebody swallowed it; this run ends nevertheless
            raise self._ended
        return result

    # --- Model requests --------------------------------------------------------------------------------------------

    async def wrap_model_request(
        self,
        ctx: RunContext[Any],
        *,
        request_context: ModelRequestContext,
        handler: Callable[[ModelRequestContext], Awaitable[ModelResponse]],
    ) -> ModelResponse:
        """Keep the context of the step: its tools are needed when the answer is there."""
        self._ctx = ctx
        return await handler(request_context)

    async def _ask(
        self,
        model: Model,
        messages: list[ModelMessage],
        settings: ModelSettings,
        parameters: ModelRequestParameters,
    ) -> ModelResponse:
        check_request(model, settings, parameters)
        limit = min(settings.get("max_tokens", self._max_output_tokens), self._max_output_tokens)
        settings = {**settings, "max_tokens": limit}
        performed = None
        for _ in range(_TRIES):
            performed = await self._request(model, messages, settings, parameters)
            if performed.status is ActionStatus.SUCCEEDED:
                return self._answered(load_response(performed.result), parameters)
            result = performed.result if isinstance(performed.result, dict) else {}
            if not result.get("again") or performed.status not in {ActionStatus.FAILED, ActionStatus.UNKNOWN}:
                break
            if not performed.replayed:
                await asyncio.sleep(min(float(result.get("wait", 0)), _LONGEST_WAIT))
        assert performed is not None
        raise ModelFailed(answers.of_model(performed), reasons=performed.reasons)

    async def _request(
        self,
        model: Model,
        messages: list[ModelMessage],
        settings: ModelSettings,
        parameters: ModelRequestParameters,
    ) -> Performed:
        if self._requests >= self._max_model_requests:
            raise ModelLimitReached(
                f"the agent asked its model {self._requests} times in this turn, which is its limit"
            )
        self._requests += 1
        described = self._log.describe(messages, parameters, settings)
        limit = settings["max_tokens"]
        request = Request(model, messages, settings, parameters, self._price, described.input_bytes, limit)
        return await self._governed(
            self._road.model(
                self._key(),
                self._model or model.model_id,
                described.args,
                input_bytes=described.input_bytes,
                output_limit=limit,
                execute=request.send,
            )
        )

    def _key(self) -> str:
        return f"{self._prefix}m{self._requests}"

    def _answered(self, response: ModelResponse, parameters: ModelRequestParameters) -> ModelResponse:
        """Take the answer in: number its tool calls, and let those of unknown tools be recorded and answered."""
        check_response(response)
        parts: list[ModelResponsePart] = []
        reason = " ".join(part.content for part in response.parts if isinstance(part, TextPart))[:_LONGEST_REASON]
        calls = 0
        for part in response.parts:
            if not isinstance(part, ToolCallPart):
                parts.append(part)
                continue
            calls += 1
            key = f"{self._key()}.t{calls}"
            # Some providers repeat their ids. Ours stay unique, so that every result finds its own call.
            taken = not part.tool_call_id or part.tool_call_id in self._calls
            call = replace(part, tool_call_id=key.replace(".", "_")) if taken else part
            raw = call.args if isinstance(call.args, str) else call.args_as_json_str()
            self._calls[call.tool_call_id] = _Asked(key, part.tool_call_id, raw or "{}", reason)
            parts.append(call)
        response = replace(response, parts=parts)
        self._log.answered(response)
        answers.admit_unknown_tools(self._ctx, response, parameters, unknown_tool)
        return response

    # --- Tool calls ------------------------------------------------------------------------------------------------

    async def wrap_tool_validate(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: str | dict[str, Any],
        handler: Callable[[str | dict[str, Any]], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        """Take the arguments from the model's own text, once; record what is not a call, and tell the model."""
        del args
        asked = self._asked(call)
        if tool_def.name not in self._actions:
            return await self._invalid(asked, tool_def.name, answers.unknown_tool(tool_def.name, self._actions))
        action = self._actions[tool_def.name]
        try:
            value = canonical.parse(asked.raw, what="arguments")
        except InvalidInput as error:
            return await self._invalid(asked, action, error.message)
        if not isinstance(value, dict):
            return await self._invalid(asked, action, "the arguments are no JSON object")
        asked.args = value
        if self._tools is not None and tool_def.name in self._tools.actions:
            problem = self._tools.problem(tool_def.name, value)
            return value if problem is None else await self._invalid(asked, action, problem)
        try:
            validated = await handler(for_validator(value))
            changed = validated != validate(answers.tool_of(ctx, tool_def.name), value)
        except (ValidationError, ModelRetry, ToolFailed) as error:
            return await self._invalid(asked, action, sentence(error))
        if changed:
            raise Ungoverned(
                f"the arguments of {tool_def.name} were changed after the model had written them",
                advice="Let no other capability rewrite arguments of governed tools.",
            )
        return validated

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: Callable[[dict[str, Any]], Awaitable[Any]],
    ) -> Any:
        """Take the call to the gate; give its result, or why there is none, to the model."""
        asked = self._asked(call)
        if asked.args is None:
            raise Ungoverned(f"the call of {tool_def.name} was not validated")
        execute = None
        if self._tools is None or tool_def.name not in self._tools.actions:
            execute = LocalCall(answers.tool_of(ctx, tool_def.name), asked.args, args, handler).execute
        performed = await self._governed(
            self._road.tool(
                asked.key,
                self._actions[tool_def.name],
                asked.args,
                provider_call_id=asked.provider_call_id,
                reason=asked.reason,
                execute=execute,
            )
        )
        return answers.of_tool(performed)

    def _asked(self, call: ToolCallPart) -> _Asked:
        asked = self._calls.get(call.tool_call_id)
        if asked is None:
            raise Ungoverned(f"no recorded answer of the model holds this call of {call.tool_name}")
        return asked

    async def _invalid(self, asked: _Asked, action: str, error: str) -> dict[str, Any]:
        await self._governed(
            self._road.invalid(
                asked.key, action, asked.raw[:_LONGEST_RAW], error, provider_call_id=asked.provider_call_id
            )
        )
        raise ToolFailed(f"This was not a valid call and did nothing: {error}")

    # --- In flight -------------------------------------------------------------------------------------------------

    async def _governed(self, call: Coroutine[Any, Any, Performed]) -> Performed:
        """Await a call of the road. It ends and settles even if the agent's loop gives it up."""
        if self._ended is not None:
            call.close()
            raise self._ended
        task = asyncio.create_task(call)
        self._in_flight.add(task)
        task.add_done_callback(self._landed)
        try:
            return await asyncio.shield(task)
        except (TurnSuspendedError, ProgramDiverged) as end:
            self._ended = end
            await self._settle()
            raise

    def _landed(self, task: asyncio.Task[Any]) -> None:
        self._in_flight.discard(task)
        if not task.cancelled():
            task.exception()  # whoever gave the call up does not fetch it

    async def _settle(self) -> None:
        while self._in_flight:
            await asyncio.wait(self._in_flight)
