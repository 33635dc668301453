"""What a model request may cost at most, and what it has cost."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from pydantic_ai.usage import RequestUsage

from remit.domain.agents import ModelPrice, ModelSpec
from remit.domain.budgets import Usage


def cost_micros(price: ModelPrice | None, input_tokens: int, output_tokens: int) -> int:
    """Micro-dollars of a request, rounded up; 0 without a price.

    A price in USD for a million tokens is the same number of micro-dollars for one token.
    """
    if price is None:
        return 0
    exact = price.input * Decimal(input_tokens) + price.output * Decimal(output_tokens)
    return int(exact.to_integral_value(rounding=ROUND_CEILING))


def reserve(spec: ModelSpec, input_bytes: int, output_limit: int) -> Usage:
    """Upper bound of one request: its bytes as input tokens, the output limit sent to the provider as output tokens."""
    return Usage(
        usd_micros=cost_micros(spec.price, input_bytes, output_limit), tokens=input_bytes + output_limit, calls=1
    )


def measured(usage: RequestUsage, *, input_bytes: int, output_bytes: int) -> tuple[int, int]:
    """Input and output tokens to book.

    Tokens written to a provider's prompt cache count twice, since providers charge up to double for them. A provider
    that reports nothing is booked by the bytes.
    """
    input_tokens = usage.input_tokens + usage.cache_write_tokens
    return input_tokens or input_bytes, usage.output_tokens or output_bytes
