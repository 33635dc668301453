"""What comes before an endpoint: who writes must be logged in, and a body must be JSON that can be judged exactly."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from remit.domain import canonical
from remit.errors import InvalidInput, RemitError
from remit.surfaces.api.problems import NotJson, TooLarge, WrongType, problem
from remit.surfaces.http.guard import LoginNeeded, entered

MAX_BODY = 1024 * 1024
"""Largest body that is read, in bytes."""
_READS = {"GET", "HEAD", "OPTIONS"}


class Doorway:
    """Turns away what nobody has to look at: strangers who write, and bodies that are too large or no JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with its body read and parsed, or answer it."""
        if scope["type"] != "http" or scope["method"] in _READS:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            if await run_in_threadpool(entered, request) is None:
                raise LoginNeeded("you are not logged in")
            body = await _body(request)
            request.state.parsed = _parsed(request, body)
        except RemitError as error:
            await problem(error)(scope, receive, send)
            return
        await self._app(scope, _again(body, receive), send)


class Exact(Request):
    """A request whose JSON is what the doorway has read, with exact numbers."""

    async def json(self) -> Any:
        """The body."""
        return self.state.parsed


class Route(APIRoute):
    """An endpoint that gets exact numbers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with the request in its exact form."""
        handle = super().get_route_handler()

        async def exact(request: Request) -> Response:
            return await handle(Exact(request.scope, request.receive))

        return exact


async def _body(request: Request) -> bytes:
    announced = request.headers.get("content-length", "0")
    parts, size = [], int(announced) if announced.isdecimal() else 0
    too_large = TooLarge(f"the body is larger than {MAX_BODY:,} bytes")
    if size > MAX_BODY:
        raise too_large
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            raise too_large
        parts.append(part)
    return b"".join(parts)


def _parsed(request: Request, body: bytes) -> Any:
    if not body:
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise WrongType("the body is not announced as JSON")
    try:
        return canonical.parse(body, what="body")
    except InvalidInput as error:
        raise NotJson(error.message) from None


def _again(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return waiting.pop() if waiting else await receive()

    return give
