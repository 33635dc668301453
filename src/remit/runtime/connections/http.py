"""A server reached by streamable HTTP.

The deadline of a clearance is checked when the connection stands (resolved, connected, TLS agreed) and the first byte
of the request is about to be written. Credentials go to the configured address only: no redirect is followed, no proxy
or `.netrc` of the environment is used, and certificates are verified.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import httpx2

from remit.runtime.connections import messages
from remit.runtime.connections.frames import Collector, Frame, Lines
from remit.runtime.connections.messages import Reply
from remit.runtime.connections.wire import (
    Attempt,
    Inbox,
    LostError,
    MisbehavedError,
    NotSentError,
    RefusedError,
    SessionEndedError,
)

_BOTH = "application/json, text/event-stream"
_CONNECT_SECONDS = 5.0
_NOTE_SECONDS = 5.0
_LONGEST_BODY = 256_000_000
_LISTEN_AGAIN_SECONDS = (1.0, 5.0, 30.0)
_PLAIN = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
_NOT_TAKEN = {400, 401, 403, 404, 405, 406, 410, 411, 413, 414, 415, 421, 422, 426, 429, 431, 451}
"""Statuses by which a server, or what stands before it, says that it did not take the request."""


class _Events:
    """Server-sent events out of a stream of bytes, each a bounded frame."""

    def __init__(self, limit: int) -> None:
        self._lines = Lines(limit)
        self._event = Collector(limit)
        self.last_id = ""

    def feed(self, data: bytes) -> list[Frame]:
        """The messages that these bytes complete."""
        found: list[Frame] = []
        for line in self._lines.feed(data):
            if not line.whole:
                found.append(Frame(line.data.removeprefix(b"data:"), line.size, line.tail))
                continue
            text = line.data.rstrip(b"\r")
            name, _, value = text.partition(b":")
            value = value.removeprefix(b" ")
            if not text:
                if self._event.size:
                    found.append(self._event.take())
            elif name == b"data":
                self._event.add(b"\n" + value if self._event.size else value)
            elif name == b"id" and len(value) <= 1000:
                self.last_id = value.decode("latin-1")
        return found


class HttpWire:
    """The line to one HTTP server, with the session that the server gave it."""

    def __init__(self, url: str, headers: dict[str, str], changed: Callable[[], None], limit: int) -> None:
        self.version: str | None = None
        self.one_line = False
        self.modern = False
        """True for a server of the revision without a handshake: each request names its method in a header."""
        self._url, self._limit = url, limit
        self._inbox = Inbox(self._refuse, changed)
        self._session: str | None = None
        self._why: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._client = httpx2.AsyncClient(
            headers={"accept-encoding": "identity", "user-agent": "remit", **headers},
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=5.0),
            verify=ssl.create_default_context(),
            follow_redirects=False,
            trust_env=False,
        )

    def __repr__(self) -> str:
        return "HttpWire(...)"

    @property
    def closed(self) -> bool:
        """True once it was closed, its session ended, its credential was refused, or its server misbehaved."""
        return self._why is not None

    async def request(self, ident: int, method: str, params: dict[str, Any], attempt: Attempt, seconds: float) -> Reply:
        """See Wire."""
        if self._why is not None:
            raise NotSentError("not_connected", self._why)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._inbox.waiting[ident] = future
        try:
            async with asyncio.timeout(seconds):
                return await self._post(method, params, messages.request(ident, method, params), attempt, future)
        except TimeoutError:
            if attempt.sent:
                raise LostError("timeout", f"no answer within {seconds:g} s") from None
            raise NotSentError("timeout", f"not connected within {seconds:g} s") from None
        except MisbehavedError as error:
            self._why = str(error)
            raise LostError("connection_lost", str(error)) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError) as error:
            what = f"{type(error).__name__}: {error}"
            if attempt.sent:
                raise LostError("connection_lost", f"the connection was lost ({what})") from None
            raise NotSentError("not_connected", f"no connection ({what})") from None
        finally:
            attempt.given_up = True
            self._inbox.waiting.pop(ident, None)
            if future.done() and not future.cancelled():
                future.exception()

    async def notify(self, method: str) -> None:
        """See Wire. Once the server knows that it is ready, its own notifications are listened for."""
        await self._note(messages.notification(method))
        if method == "notifications/initialized" and self._session is not None:
            self._spawn(self._listen())

    async def close(self) -> None:
        """See Wire; the server's session is ended as well, if it answers within two seconds."""
        if self._why is None:
            self._why = "the connection was closed"
        self._inbox.fail("connection_lost", self._why)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        session, self._session = self._session, None
        if session is not None:
            ending = self._headers() | {"mcp-session-id": session}
            with contextlib.suppress(httpx2.HTTPError, OSError, TimeoutError):
                async with asyncio.timeout(2.0), self._client.stream("DELETE", self._url, headers=ending):
                    pass
        await self._client.aclose()

    async def _post(
        self, method: str, params: dict[str, Any], body: bytes, attempt: Attempt, future: asyncio.Future[Reply]
    ) -> Reply:
        async def about_to(event: str, _: dict[str, Any]) -> None:
            if event.endswith("send_request_headers.started"):
                attempt.release()

        headers = self._headers() | self._modern_headers(method, params)
        extensions = {"trace": about_to}
        async with self._client.stream("POST", self._url, content=body, headers=headers, extensions=extensions) as got:
            self._check_status(got)
            if got.headers.get("content-encoding", "identity") != "identity":
                raise LostError("connection_lost", "the answer came compressed, which was not asked for")
            self._session = got.headers.get("mcp-session-id", self._session)
            last_id = await self._read(got, future)
        if not future.done() and last_id:
            await self._resume(last_id, future)
        if not future.done():
            raise LostError("connection_lost", "the server ended its response without an answer")
        return await future

    def _check_status(self, got: httpx2.Response) -> None:
        status = got.status_code
        if status < 300:
            return
        if status < 400:
            raise RefusedError(f"HTTP {status}: a redirect, which is not followed because it would carry credentials")
        if status in (401, 403):
            self._why = f"HTTP {status}: the credential was refused"  # the next call resolves it anew
            raise RefusedError(self._why)
        if status == 404 and self._session is not None:
            self._why = self._why or "the server ended the session"
            self._session = None
            raise SessionEndedError(self._why)
        if got.headers.get("content-type", "").startswith("application/json") and status in _NOT_TAKEN:
            return  # the body says why, as a JSON-RPC error
        if status in _NOT_TAKEN:
            raise RefusedError(f"HTTP {status}")
        raise LostError("http_error", f"HTTP {status}: it is not known whether the server did it")

    async def _read(self, got: httpx2.Response, future: asyncio.Future[Reply]) -> str:
        """Read until the answer is there; the id of the last event, from which a broken stream may be taken up."""
        if got.headers.get("content-type", "").startswith("text/event-stream"):
            events = _Events(self._limit)
            with contextlib.suppress(httpx2.TransportError):
                await self._receive(got, events, future.done)
            return events.last_id
        body = Collector(self._limit)
        async for chunk in got.aiter_raw():
            body.add(chunk)
            if body.size > _LONGEST_BODY:
                raise MisbehavedError("the server sends one answer without end")
        self._inbox.receive(body.take())
        if not future.done() and got.status_code >= 400:
            raise RefusedError(f"HTTP {got.status_code}")
        return ""

    async def _receive(self, got: httpx2.Response, events: _Events, enough: Callable[[], bool]) -> None:
        async with contextlib.aclosing(got.aiter_raw()) as chunks:
            async for chunk in chunks:
                for frame in events.feed(chunk):
                    self._inbox.receive(frame)
                if enough():
                    return

    async def _resume(self, last_id: str, future: asyncio.Future[Reply]) -> None:
        """A stream that ended early may be taken up again; the request itself is not repeated."""
        headers = self._headers() | {"accept": "text/event-stream", "last-event-id": last_id}
        for _ in range(3):
            await asyncio.sleep(0.2)
            async with self._client.stream("GET", self._url, headers=headers) as got:
                if got.status_code != 200:
                    return
                headers["last-event-id"] = await self._read(got, future) or headers["last-event-id"]
            if future.done():
                return

    async def _listen(self) -> None:
        """Hear of changed tools; where the server offers no such stream, the age of the list has to do."""
        headers = self._headers() | {"accept": "text/event-stream"}
        try:
            for pause in _LISTEN_AGAIN_SECONDS:
                with contextlib.suppress(httpx2.TransportError):
                    async with self._client.stream("GET", self._url, headers=headers) as got:
                        kind = got.headers.get("content-type", "")
                        if got.status_code != 200 or not kind.startswith("text/event-stream"):
                            return
                        await self._receive(got, _Events(self._limit), lambda: self.closed)
                await asyncio.sleep(pause)
        except MisbehavedError as error:
            self._why = str(error)
            self._inbox.fail("connection_lost", self._why)

    def _refuse(self, answer: bytes) -> None:
        if len(self._tasks) < 16:
            self._spawn(self._note(answer))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _note(self, body: bytes) -> None:
        """Post what wants no answer; what comes back is not looked at."""
        with contextlib.suppress(httpx2.HTTPError, OSError, TimeoutError):
            async with (
                asyncio.timeout(_NOTE_SECONDS),
                self._client.stream("POST", self._url, content=body, headers=self._headers()),
            ):
                pass

    def _headers(self) -> dict[str, str]:
        headers = {"accept": _BOTH, "content-type": "application/json"}
        if self._session is not None:
            headers["mcp-session-id"] = self._session
        if self.version is not None:
            headers["mcp-protocol-version"] = self.version
        return headers

    def _modern_headers(self, method: str, params: dict[str, Any]) -> dict[str, str]:
        if not self.modern:
            return {}
        headers = {"mcp-method": method}
        if isinstance(name := params.get("name"), str):
            headers["mcp-name"] = _header_value(name)
        return headers


def _header_value(text: str) -> str:
    """Text as MCP puts it into a header: as it is if it is plain, else in base64 between marks."""
    if _PLAIN.fullmatch(text) and not text.startswith("=?base64?"):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode('ascii')}?="
