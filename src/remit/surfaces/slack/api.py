"""Slack's web API, with its failures in two kinds: those that waiting mends, and those that it does not."""

from __future__ import annotations

import http.client
import logging
from typing import Any
from urllib.error import URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from remit.runtime.deliveries import RetryLater, Undeliverable

_TIMEOUT = 10  # seconds
_FOR_GOOD = frozenset(
    {
        "account_inactive", "cant_dm_bot", "cannot_dm_bot", "cant_update_message", "channel_not_found",
        "edit_window_closed", "invalid_blocks", "invalid_blocks_format", "invalid_arguments", "is_archived",
        "message_not_found", "msg_too_long", "not_in_channel", "restricted_action", "too_many_blocks",
        "user_disabled", "user_not_found", "user_not_visible", "users_not_found", "no_text",
    }
)  # fmt: skip
"""Answers that another attempt would get again. What is wrong with tokens and scopes somebody can mend meanwhile."""


_READS = frozenset({"auth.test", "conversations.history", "conversations.replies", "users.info"})


class Api:
    """Calls that raise RetryLater or Undeliverable."""

    def __init__(self, token: str, url: str) -> None:
        # The library's own retries are off: it would send a message again whose answer was lost.
        quiet = logging.getLogger("remit.slack.client")
        quiet.setLevel(logging.CRITICAL)
        self.client = WebClient(token=token, base_url=url, timeout=_TIMEOUT, retry_handlers=[], logger=quiet)

    def call(
        self, method: str, arguments: dict[str, Any] | None = None, *, nothing_if: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """Call a method of the API, such as `chat.postMessage`. Empty where Slack answers one of `nothing_if`."""
        try:
            if method in _READS:  # these take no JSON
                answer = self.client.api_call(method, http_verb="GET", params=arguments or {})
            else:
                answer = self.client.api_call(method, json=arguments or {})
        except SlackApiError as error:
            if _said(error) in nothing_if:
                return {}
            raise _failure(method, error) from None
        except (OSError, URLError, SlackClientError, http.client.HTTPException, ValueError) as error:
            raise RetryLater(f"Slack does not answer: {type(error).__name__}") from None
        data = answer.data
        return data if isinstance(data, dict) else {}


def _failure(method: str, error: SlackApiError) -> RetryLater | Undeliverable:
    answer = error.response
    status = getattr(answer, "status_code", 0)
    said = _said(error)
    if status == 429 or said in {"ratelimited", "rate_limited"}:
        return RetryLater(f"Slack asks for patience ({method})", _seconds(getattr(answer, "headers", {})))
    if said in _FOR_GOOD:
        return Undeliverable(f"Slack refuses it: {said} ({method})")
    return RetryLater(f"Slack answers {said or status} ({method})")


def _said(error: SlackApiError) -> str:
    data = getattr(error.response, "data", None)
    return str(data.get("error", "")) if isinstance(data, dict) else ""


def _seconds(headers: Any) -> float:
    value = next((v for k, v in dict(headers).items() if k.lower() == "retry-after"), "30")
    value = value[0] if isinstance(value, list) else value
    try:
        return max(1.0, float(value))
    except (TypeError, ValueError):
        return 30.0
