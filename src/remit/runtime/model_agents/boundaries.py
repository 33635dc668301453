"""What a governed request may not contain, because it would act or spend where the gate does not see it.

Settings are an allow-list: a setting that nobody looked at is refused by name.
"""

from __future__ import annotations

from pydantic_ai.messages import ModelResponse, NativeToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from remit.runtime.model_agents.errors import Ungoverned

_SETTINGS = frozenset(
    {
        "cache",
        "extra_headers",
        "first_event_timeout",
        "framing_announcement",
        "frequency_penalty",
        "logit_bias",
        "max_retries",
        "max_tokens",
        "parallel_tool_calls",
        "presence_penalty",
        "request_timeout",
        "seed",
        "service_tier",
        "stop_sequences",
        "temperature",
        "thinking",
        "timeout",
        "tool_choice",
        "top_k",
        "top_p",
        "anthropic_cache",
        "anthropic_cache_instructions",
        "anthropic_cache_messages",
        "anthropic_cache_tool_definitions",
        "anthropic_effort",
        "anthropic_metadata",
        "anthropic_thinking",
        "google_labels",
        "google_safety_settings",
        "google_thinking_config",
        "openai_cache_instructions",
        "openai_logprobs",
        "openai_prompt_cache_key",
        "openai_prompt_cache_options",
        "openai_prompt_cache_retention",
        "openai_reasoning_effort",
        "openai_reasoning_summary",
        "openai_send_reasoning_ids",
        "openai_store",
        "openai_text_verbosity",
        "openai_top_logprobs",
        "openai_truncation",
        "openai_user",
    }
)
_TIERS = frozenset({"auto", "default", "flex"})  # a dearer tier would cost more than was reserved


def check_request(model: Model, settings: ModelSettings, parameters: ModelRequestParameters) -> None:
    """Raise Ungoverned if the request would act or spend past the gate."""
    if parameters.native_tools:
        names = ", ".join(sorted(tool.kind for tool in parameters.native_tools))
        raise Ungoverned(
            f"the model request offers tools that run at the provider ({names}); the gate would not see their calls"
        )
    unknown = sorted(set(settings) - _SETTINGS)
    if unknown:
        raise Ungoverned(
            f"the model setting {unknown[0]} is not among those that a governed agent may use",
            advice="Leave it out. docs/how-to/govern-your-own-agent.md says which settings are taken, and why.",
        )
    if settings.get("service_tier", "default") not in _TIERS:
        raise Ungoverned("the service tier costs more than its model's price says", advice="Use the default tier.")
    while True:
        if isinstance(model, FallbackModel):
            raise Ungoverned(
                "a FallbackModel buys from several providers in one request",
                advice="Use pydantic-ai's ModelFallback capability: each of its attempts is governed by itself.",
            )
        if not isinstance(model, WrapperModel):
            return
        model = model.wrapped


def check_response(response: ModelResponse) -> None:
    """Raise Ungoverned if the provider ran tools by itself, which some models do unasked."""
    for part in response.parts:
        if isinstance(part, NativeToolCallPart):
            raise Ungoverned(f"the model ran {part.tool_name} at its provider, which the gate did not see")
