"""Answers as they leave: JSON in the shapes of the reference, pages of lists, and headers that keep it private."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from starlette.responses import Response

from remit.evidence.shaping.values import plain

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def render(value: Any, status: int = 200, *, media_type: str = "application/json") -> Response:
    """A value as JSON."""
    return sent(text_of(value), status, media_type=media_type)


def text_of(value: Any) -> str:
    """A value as JSON text; halves of characters, which agents may have written, become question marks."""
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()


def sent(text: str, status: int = 200, *, media_type: str = "application/json") -> Response:
    """JSON text as it stands."""
    return Response(text.encode(), status, headers=HEADERS, media_type=media_type)


def paged(
    rows: Sequence[Any], limit: int, shape: Callable[[Any], dict[str, Any]], cursor: Callable[[Any], Any]
) -> Response:
    """A page of at most `limit` of the rows; one more was asked for, to see whether there is a next page."""
    shown = rows[:limit]
    after = str(cursor(shown[-1])) if len(rows) > limit else None
    return render({"items": [shape(row) for row in shown], "next": after})
