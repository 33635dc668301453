"""A language model behind the gate."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import CompletedStreamedResponse, Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext

from remit.runtime.model_agents.errors import Ungoverned

Ask = Callable[[Model, list[ModelMessage], ModelSettings, ModelRequestParameters], Awaitable[ModelResponse]]


class GovernedModel(WrapperModel):
    """Sends every request over the road.

    It stands directly around the model, inside whatever else an agent wraps it in, so that what is judged and recorded
    is what is sent. Streaming is answered from the settled response: a stream that breaks off could neither be booked
    nor replayed.
    """

    def __init__(self, wrapped: Model, ask: Ask) -> None:
        super().__init__(wrapped)
        self._ask = ask

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask the model, or return what it answered before."""
        return await self._ask(self.wrapped, messages, model_settings or {}, model_request_parameters)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Ask the model without streaming and hand out the whole answer as one stream."""
        del run_context
        response = await self._ask(self.wrapped, messages, model_settings or {}, model_request_parameters)
        yield CompletedStreamedResponse(response, model_request_parameters=model_request_parameters, replay_events=True)

    async def count_tokens(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: it asks the provider past the gate."""
        del args, kwargs
        raise Ungoverned("counting tokens at the provider is a request that the gate does not see")

    async def compact_messages(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: it buys an answer past the gate."""
        del args, kwargs
        raise Ungoverned("compacting the history at the provider is a request that the gate does not see")

    async def batch_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: a batch is bought past the gate."""
        del args, kwargs
        raise Ungoverned("a batch of model requests would be sent past the gate")
