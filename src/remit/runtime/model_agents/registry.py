"""From a name in remit.toml to the model: a provider's, one behind an OpenAI-compatible address, or a script.

Providers' libraries are imported when a model of theirs is made: each takes about a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers import Provider, infer_provider, infer_provider_class

from remit.domain.agents import ModelSpec
from remit.errors import ConfigurationError
from remit.runtime.model_agents.scripts import script_model

Secrets = Callable[[str], str]
"""Resolves a reference such as `env:NAME` to the secret behind it."""

_OTHER_NAMES = {"google-gla": "google", "google-vertex": "google-cloud", "openai-compatible": "openai"}
_NO_KEY = "none"  # servers without keys still want the header


class ModelRegistry:
    """The models of a project, each made once.

    Args:
        models: Name to specification, as in remit.toml.
        secrets: Resolves references to API keys.
        project: Folder that scripts are relative to.
    """

    def __init__(self, models: Mapping[str, ModelSpec], secrets: Secrets, project: Path) -> None:
        self._models = models
        self._secrets = secrets
        self._project = project
        self._made: dict[str, Model] = {}

    def get(self, name: str) -> Model:
        """The model of this name. Raises ConfigurationError if it cannot be made."""
        if name not in self._made:
            self._made[name] = resolve_model(name, self.spec(name), self._secrets, project=self._project)
        return self._made[name]

    def spec(self, name: str) -> ModelSpec:
        """The specification; a model that remit.toml does not name has no price and its provider's usual key."""
        return self._models.get(name) or ModelSpec()


def resolve_model(name: str, spec: ModelSpec, secrets: Secrets, *, project: Path = Path()) -> Model:
    """Make a model. Raises ConfigurationError with the name, never with a key, if that cannot be done."""
    if spec.script is not None:
        return script_model(name, project / spec.script)
    provider, _, model = name.partition(":")
    if not model:
        raise ConfigurationError(
            f"the model name {name} has no provider", advice="Write it as provider:name, for example openai:gpt-5-mini."
        )
    key = secrets(spec.api_key) if spec.api_key is not None else None
    try:
        if spec.base_url is not None:
            return _compatible(provider, model, spec.base_url, key)
        return infer_model(f"{_OTHER_NAMES.get(provider, provider)}:{model}", _factory(key))
    except (UserError, ValueError, TypeError, ImportError) as error:
        words = str(error).replace(key, "[removed]") if key else str(error)
        raise ConfigurationError(
            f"the model {name} cannot be made: {words}",
            advice="Correct its table in remit.toml: its name, `base_url`, and `api_key` as a reference to a secret.",
        ) from None


def _compatible(provider: str, model: str, base_url: str, key: str | None) -> Model:
    """An OpenAI-compatible server. OpenAI's own names keep OpenAI's ways, such as `max_completion_tokens`."""
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415 - see above
    from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider  # noqa: PLC0415

    if provider == "openai":
        return OpenAIChatModel(model, provider=OpenAIProvider(base_url=base_url, api_key=key or _NO_KEY))
    service = OpenAICompatibleProvider(
        _OTHER_NAMES.get(provider, provider),
        base_url=base_url,
        api_key=key or _NO_KEY,
        profile=lambda _: OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False),
    )
    return OpenAIChatModel(model, provider=service)


def _factory(key: str | None) -> Callable[[str], Provider[Any]]:
    if key is None:
        return infer_provider

    def make(provider: str) -> Provider[Any]:
        return infer_provider_class(provider)(api_key=key)  # type: ignore[call-arg]

    return make
