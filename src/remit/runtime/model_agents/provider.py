"""Sending one cleared request to a provider, and saying what became of it.

A request is sent again here only where it certainly was not answered: the provider said that it is too busy, or could
not be reached at all. Everything else that leaves the answer open is `unknown`, because it may have been billed.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_ai import exceptions
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from remit.domain import canonical
from remit.domain.agents import ModelPrice
from remit.domain.decisions import Clearance, Outcome
from remit.errors import RemitError
from remit.runtime.model_agents.messages import dump_response
from remit.runtime.model_agents.pricing import cost_micros, measured

_SENDS = 3  # most times that one cleared request leaves, all before its clearance's deadline
_FIRST_WAIT = 0.5  # seconds
_LONGEST_WORDS = 400
_BUSY = (exceptions.ModelRateLimitError, exceptions.ModelUnavailableError)
_REFUSED = (exceptions.ModelRequestRejectedError, exceptions.ModelQuotaExceededError)


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be sent when it is cleared."""

    model: Model
    messages: list[ModelMessage]
    settings: ModelSettings
    parameters: ModelRequestParameters
    price: ModelPrice | None
    input_bytes: int
    output_limit: int

    async def send(self, clearance: Clearance) -> Outcome:
        """Send the request and return the outcome; nothing that the provider does is raised.

        `result` is the answer as the ledger keeps it, or, where there is none, whether asking anew is worth it
        (`again`) and after how many seconds (`wait`).
        """
        for sent in range(1, _SENDS + 1):
            if time.monotonic() >= clearance.deadline:
                return _nothing("failed", "the clearance ran out before the request was sent", again=True)
            try:
                async with asyncio.timeout(clearance.timeout.total_seconds() or None):
                    response = await self.model.request(self.messages, self._settings(clearance), self.parameters)
            except Exception as error:  # noqa: BLE001 - whatever a provider's library raises becomes an outcome
                ending = _classify(error)
                wait = ending.wait if ending.wait is not None else _FIRST_WAIT * 2 ** (sent - 1)
                if ending.unsent and sent < _SENDS and time.monotonic() + wait < clearance.deadline:
                    await asyncio.sleep(wait)
                    continue
                return self._ended(ending, wait, error)
            return self._answered(response)
        raise AssertionError("the last sending returns")

    def _settings(self, clearance: Clearance) -> ModelSettings:
        settings: ModelSettings = {**self.settings}
        ignored = self.model.unsupported_settings
        if "max_retries" not in ignored:
            settings["max_retries"] = 0  # the provider's library must not buy twice what was cleared once
        if "timeout" not in ignored and clearance.timeout:
            settings["timeout"] = clearance.timeout.total_seconds()
        return settings

    def _ended(self, ending: _Ending, wait: float, error: Exception) -> Outcome:
        words = _words(error, ending, secrets=_secrets(self.model))
        if ending.status == "failed":
            return _nothing("failed", words, again=ending.again, wait=wait)
        return Outcome(
            "unknown",
            {"again": ending.again, "wait": _exact(wait)},
            words,
            cost_micros(self.price, self.input_bytes, self.output_limit),
            self.input_bytes,
            self.output_limit,
        )

    def _answered(self, response: ModelResponse) -> Outcome:
        try:
            result = dump_response(response)
            size = len(canonical.dumps(result["parts"]))
            error = None
        except (RemitError, ValueError, TypeError) as problem:
            # Paid for, but nothing that could be kept and replayed, so the agent must not act on it.
            result, size, error = {"again": True}, self.output_limit, f"the model's answer cannot be kept: {problem}"
        used_in, used_out = measured(response.usage, input_bytes=self.input_bytes, output_bytes=size)
        usd = cost_micros(self.price, used_in, used_out)
        return Outcome("succeeded" if error is None else "failed", result, error, usd, used_in, used_out)


@dataclass(frozen=True, slots=True)
class _Ending:
    status: Literal["failed", "unknown"]
    unsent: bool = False
    """True: certainly not answered, so the very same request may leave once more."""
    again: bool = False
    """True: a new request of the same kind may succeed."""
    wait: float | None = None


def _classify(error: Exception) -> _Ending:
    wait = getattr(error, "retry_after", None)
    match error:
        case exceptions.ModelAPIError() if error.in_stream:
            return _Ending("unknown", again=True, wait=wait)
        case exceptions.ModelConnectionError(phase="pool" | "connect"):
            return _Ending("failed", unsent=True, again=True)
        case exceptions.ModelAPIError() if isinstance(error, _BUSY):
            return _Ending("failed", unsent=True, again=True, wait=wait)
        case exceptions.ModelAPIError() if isinstance(error, _REFUSED):
            return _Ending("failed")
        case exceptions.ModelHTTPError(status_code=code) if 400 <= code < 500 and code != 408:
            return _Ending("failed")
        case exceptions.ContentFilterError():
            return _Ending("unknown")
        case exceptions.ModelAPIError() | exceptions.UnexpectedModelBehavior() | TimeoutError():
            return _Ending("unknown", again=True, wait=wait)
        case exceptions.UserError() | RemitError():
            return _Ending("failed")
        case _:
            return _Ending("unknown")


def _nothing(status: Literal["failed"], error: str, *, again: bool, wait: float = 0) -> Outcome:
    return Outcome(status, {"again": again, "wait": _exact(wait)}, error)


def _exact(seconds: float) -> Any:
    return canonical.normalise(round(seconds, 3))


def _words(error: Exception, ending: _Ending, *, secrets: Iterable[str]) -> str:
    """What happened, in a sentence without keys: of a provider's own words only the message is passed on."""
    if isinstance(error, RemitError):
        return scrub(error.message, secrets)
    if isinstance(error, exceptions.ModelHTTPError):
        said = _said(error.body)
        told = f"the model's provider answered {error.status_code}" + (f": {said}" if said else "")
    elif isinstance(error, exceptions.ModelConnectionError) and ending.unsent:
        told = "the model's provider cannot be reached"
    elif isinstance(error, TimeoutError | exceptions.ModelRequestTimeout | exceptions.ModelTimeoutError):
        told = "the model's provider did not answer in time"
    elif isinstance(error, exceptions.UserError | exceptions.UnexpectedModelBehavior):
        told = f"the request cannot be made or its answer not be read: {error}"
    else:
        told = f"the request to the model ended with {type(error).__name__}"
    return scrub(told, secrets)


def _said(body: object) -> str:
    match body:
        case {"error": {"message": str(message)}} | {"message": str(message)} | {"error": str(message)}:
            return message
        case _:
            return ""


_KEYLIKE = re.compile(r"(?=[\w.*-]*[\d*])[\w.*-]{16,}")


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the secrets, and without anything that looks like a key; cut at 400 characters."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[removed]")
    return _KEYLIKE.sub("[removed]", text)[:_LONGEST_WORDS]


def _secrets(model: Model) -> list[str]:
    """The keys that a model's client holds, as far as its library shows them."""
    while isinstance(model, WrapperModel):
        model = model.wrapped
    places: tuple[Callable[[Any], object], ...] = (
        lambda client: client.api_key,
        lambda client: client.auth_token,
        lambda client: client._api_client.api_key,  # noqa: SLF001 - Google's client has no public name for it
    )
    client = getattr(getattr(model, "provider", None), "client", None)
    found = []
    for place in places:
        try:
            value = place(client)
        except AttributeError:
            continue
        if isinstance(value, str):
            found.append(value)
    return found
