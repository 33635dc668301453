"""How much a model thinks: the agent's level as each provider's own setting.

Levels: `none` is off, or as little as the model can. OpenAI takes the level as its reasoning effort, Anthropic's newer
models as the effort of adaptive thinking, Google's newer ones as a thinking level. Older models of Anthropic and Google
take a number of tokens, and count them into the output limit: there a level is a share of that limit.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal, cast

from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from remit.domain.agents import AgentSpec, ModelSpec
from remit.errors import ConfigurationError

Level = Literal["low", "medium", "high"]

_SHARE: dict[Level, Fraction] = {"low": Fraction(1, 4), "medium": Fraction(1, 2), "high": Fraction(3, 4)}
"""Of the output limit; the rest is for the answer."""
_MOST: dict[Level, int] = {"low": 2_048, "medium": 8_192, "high": 24_576}
"""Tokens; more is not better, and 24,576 is what the smallest of these models take."""
_LEAST = 1_024  # tokens, of Anthropic's


def settings_for(agent: AgentSpec, spec: ModelSpec, model: Model) -> ModelSettings:
    """Settings of every request of an agent: the output limit, and how much it thinks.

    Raises ConfigurationError if the output limit leaves no room for thinking where the provider counts it in.
    """
    limit, reasoning = agent.max_output_tokens, agent.reasoning
    if spec.script is not None:
        return ModelSettings(max_tokens=limit)
    common = ModelSettings(max_tokens=limit, parallel_tool_calls=True)
    if spec.base_url is not None:
        # Nobody knows what such a server's models can do, so it is told only what was asked for.
        return common if reasoning == "none" else _with(common, openai_reasoning_effort=reasoning)
    if reasoning == "none":
        return _with(common, thinking=False)
    profile = model.profile
    if model.system == "anthropic" and not profile.get("anthropic_supports_adaptive_thinking", False):
        return _with(common, anthropic_thinking={"type": "enabled", "budget_tokens": _budget(model, reasoning, limit)})
    if (
        model.system.startswith("google")
        and profile.get("supports_thinking", False)
        and not profile.get("google_supports_thinking_level", True)
    ):
        budget = {"include_thoughts": True, "thinking_budget": _budget(model, reasoning, limit)}
        return _with(common, google_thinking_config=budget)
    return _with(common, thinking=reasoning)


def _budget(model: Model, level: Level, limit: int) -> int:
    """Tokens to think with. Providers refuse a budget that fills the limit, or answer with nothing."""
    if limit < 2 * _LEAST:
        raise ConfigurationError(
            f"with reasoning, {model.model_name} needs max_output_tokens of at least {2 * _LEAST:,}",
            advice="Raise max_output_tokens in agent.yaml, or set reasoning: none.",
        )
    return min(_MOST[level], max(_LEAST, int(limit * _SHARE[level])))


def _with(settings: ModelSettings, **more: Any) -> ModelSettings:
    return cast("ModelSettings", {**settings, **more})
