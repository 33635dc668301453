"""A stand-in for a language model, so that the example runs without a network: it does what a model would do here."""

from __future__ import annotations

import json

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Look the charge up, pay it back, say so."""
    del info
    parts = [part for message in messages for part in message.parts]
    results = [part for part in parts if isinstance(part, ToolReturnPart)]
    if not results:
        customer = next(str(part.content) for part in parts if isinstance(part, UserPromptPart)).split()[0].lower()
        return ModelResponse([ToolCallPart("find_charge", {"customer": customer})])
    if len(results) == 1:
        charge = json.loads(str(results[0].content))
        arguments = {"charge": charge["id"], "amount": charge["amount"], "currency": charge["currency"]}
        return ModelResponse([TextPart("The whole charge goes back."), ToolCallPart("refund", arguments)])
    if results[-1].outcome == "success":
        return ModelResponse([TextPart("Your money is on its way.")])
    return ModelResponse([TextPart(f"I may not pay this back. {results[-1].content}")])


model = FunctionModel(answer, model_name="desk")
