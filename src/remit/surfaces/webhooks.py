"""Webhooks: `POST /hooks/NAME` starts the session that the trigger NAME declares.

In this order: the size, while it is read; the signature, over the raw bytes; then the contents. A name that is not
there, a signature that does not hold and a secret that cannot be had look the same from outside.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from remit.config.secrets import SecretResolver, SecretUnavailable, SecretValue
from remit.domain import canonical
from remit.domain.actions import Label
from remit.domain.templates import at
from remit.domain.triggers import Verification, WebhookTrigger
from remit.errors import DatabaseUnavailable, InvalidInput, RemitError
from remit.runtime.sessions import Start
from remit.runtime.triggers import Asked, Fired, mapping
from remit.runtime.triggers.signatures import message_id, signature_header, verified
from remit.storage.group_commit import GroupCommit

if TYPE_CHECKING:
    from remit.bootstrap import Services

log = logging.getLogger(__name__)

_READ_WITHIN = 10.0  # seconds for a whole request
_LARGEST_UNKNOWN = 1_000_000  # bytes, where no trigger says anything else
_REFRESH = 0.5  # seconds between two looks at what is deployed
_SECRET_KEPT = 30.0  # seconds
_NOBODY = Verification(scheme="github", secret="env:NOBODY")  # noqa: S106 - a reference
_LATER = {"paused": 60, "stopped": 60, "not_entitled": 300, "not_found": 300}
"""What passes by itself or by a person's doing, and after how many seconds to try again."""


def routes(services: Services) -> list[BaseRoute]:
    """The surface's routes."""
    taker = _Taker(services)

    async def hook(request: Request) -> Response:
        try:
            body = await asyncio.wait_for(_read(request, taker.largest()), _READ_WITHIN)
        except TimeoutError:
            return _problem(408, "too_slow", "The request took too long to arrive.")
        if body is None:
            return _problem(413, "too_large", "The request is too large.")
        try:
            found = await run_in_threadpool(taker.read, request.path_params["name"], request.headers, body)
            return found if isinstance(found, Response) else _said(await taker.fire(found))
        except DatabaseUnavailable as error:
            log.warning("%s", error.message)
            return _later(10, error.code, "The message cannot be kept now.")

    return [Route("/hooks/{name}", hook, methods=["POST"])]


async def _read(request: Request, most: int) -> bytes | None:
    """The body; None as soon as it is known to be larger than `most` bytes."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most:
        return None
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            return None
        parts.append(part)
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class _Message:
    """A message whose signature holds."""

    name: str
    trigger: WebhookTrigger
    headers: dict[str, str]
    body: bytes
    value: dict[str, Any]


class _Taker:
    """Takes messages. Called from several threads."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._resolver = SecretResolver(services.folder)
        self._secrets: dict[str, tuple[float, SecretValue]] = {}
        self._groups: WeakKeyDictionary[asyncio.AbstractEventLoop, GroupCommit[Asked, Fired]] = WeakKeyDictionary()
        self._looked = 0.0
        self._looking = threading.Lock()

    def largest(self) -> int:
        """The most bytes that any trigger takes: the same for all names, so that a limit tells nothing of a name."""
        try:
            triggers = self._services.deployments.current().project.triggers.values()
        except RemitError:
            return _LARGEST_UNKNOWN
        return max((t.max_bytes for t in triggers if isinstance(t, WebhookTrigger)), default=_LARGEST_UNKNOWN)

    async def fire(self, asked: Asked) -> Fired:
        """Fire, together with whatever else comes in at the time. Raises DatabaseUnavailable."""
        loop = asyncio.get_running_loop()
        if loop not in self._groups:
            self._groups[loop] = GroupCommit(self._fire_all)
        return await self._groups[loop].submit(asked)

    async def _fire_all(self, asked: list[Asked]) -> list[Fired]:
        return await asyncio.to_thread(self._services.triggers.take, asked)

    def read(self, name: str, headers: Mapping[str, str], body: bytes) -> Response | Asked:
        """What a message asks for, or the answer if it asks for nothing. Raises DatabaseUnavailable."""
        self._refresh()
        return self._read(name, {k.lower(): v for k, v in headers.items()}, body)

    def _read(self, name: str, headers: dict[str, str], body: bytes) -> Response | Asked:
        trigger = self._verified(name, headers, body)
        if trigger is None:
            return _problem(401, "unauthenticated", "There is no such webhook, or the signature does not hold.")
        if len(body) > min(trigger.max_bytes, canonical.MAX_BYTES):
            return _problem(413, "too_large", "The request is too large.")
        try:
            value = canonical.parse(body, what="body")
        except InvalidInput as error:
            return _problem(400, error.code, error.message)
        if not isinstance(value, dict):
            return _problem(400, "invalid_input", "The body is not a JSON object.")
        if trigger.verify.scheme == "slack" and value.get("type") == "url_verification":
            return JSONResponse({"challenge": str(value.get("challenge", ""))})
        return self._asked(_Message(name, trigger, headers, body, value))

    def _asked(self, message: _Message) -> Response | Asked:
        trigger, how = message.trigger, message.trigger.verify
        known: dict[str, Any] = {
            "body": message.value,
            "headers": mapping.Headers(message.headers, without=frozenset({signature_header(how)})),
        }
        if not all(_holds(at(known, place), wanted) for place, wanted in trigger.when.items()):
            return JSONResponse({"ignored": True})
        key = message_id(how, message.headers, message.value, message.body)
        if key is None:
            return _problem(400, "no_id", "The message has no id where the trigger looks for one.")
        known["id"] = key
        start = Start(
            trigger.agent,
            mapping.given(trigger, known),
            principal=f"trigger:{message.name}",
            trigger=message.name,
            request_id=mapping.words(trigger.request_id, known) or key,
            title=mapping.words(trigger.title, known),
            labels=frozenset({Label.UNTRUSTED.value}),
        )
        return Asked(message.name, key, datetime.now(UTC), start, again=True)

    def _verified(self, name: str, headers: dict[str, str], body: bytes) -> WebhookTrigger | None:
        """The trigger if it is there and the signature holds. Where it is not, as much is computed."""
        trigger = self._services.deployments.current().project.triggers.get(name)
        if not isinstance(trigger, WebhookTrigger):
            verified(_NOBODY, "nobody", {**headers, "x-hub-signature-256": "sha256="}, body, datetime.now(UTC))
            return None
        try:
            secret = self._secret(trigger.verify.secret)
        except SecretUnavailable as error:
            log.error("the webhook %s cannot be verified: %s", name, error.message)  # noqa: TRY400 - no traceback
            return None
        return trigger if verified(trigger.verify, secret.reveal(), headers, body, datetime.now(UTC)) else None

    def _secret(self, reference: str) -> SecretValue:
        """A secret, looked up anew now and then, so that a vault is not asked for every message."""
        kept = self._secrets.get(reference)
        if kept is not None and time.monotonic() - kept[0] < _SECRET_KEPT:
            return kept[1]
        secret = self._resolver.resolve(reference)
        self._secrets[reference] = (time.monotonic(), secret)
        return secret

    def _refresh(self) -> None:
        """Look at what is deployed, unless somebody just has. Raises DatabaseUnavailable."""
        with self._looking:
            if time.monotonic() - self._looked < _REFRESH:
                return
            self._services.deployments.load()
            self._looked = time.monotonic()


def _holds(found: Any, wanted: str | int | bool | tuple[str, ...]) -> bool:
    if isinstance(wanted, tuple):
        return isinstance(found, str) and found in wanted
    return type(found) is type(wanted) and found == wanted


def _said(fired: Fired) -> Response:
    if fired.status == "started":
        more = {"repeated": True} if fired.repeated else {}
        return JSONResponse({"session": fired.session_id, **more}, status_code=200 if fired.repeated else 202)
    if fired.code in _LATER:
        return _later(_LATER[fired.code], fired.code, "The message cannot be worked on now.")
    return _problem(422, fired.code or "refused", fired.reason)


def _later(seconds: int, code: str, detail: str) -> Response:
    return _problem(503, code, detail, {"Retry-After": str(seconds)})


def _problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error as RFC 9457 writes it. It repeats nothing of what was sent but names of fields."""
    content = {"title": code.replace("_", " "), "status": status, "detail": detail, "code": code}
    return JSONResponse(content, status_code=status, headers=headers, media_type="application/problem+json")
