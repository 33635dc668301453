"""Slack's two ways in, HTTP and socket mode: signatures, acknowledgement, and which function takes what.

Everything is answered within Slack's three seconds. Clicks are acknowledged at once and worked on in a thread; messages
and forms are written down before they are acknowledged, so that Slack sends again what could not be.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from secrets import token_urlsafe
from typing import Any

from slack_bolt import App, BoltRequest
from slack_bolt.adapter.socket_mode.builtin import SocketModeHandler
from slack_bolt.authorization import AuthorizeResult
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from remit.bootstrap import Services
from remit.config.secrets import SecretResolver
from remit.domain.project import SlackSection
from remit.errors import ConfigurationError
from remit.surfaces.slack import cards, forms
from remit.surfaces.slack.api import Api
from remit.surfaces.slack.channel import SlackChannel
from remit.surfaces.slack.clicks import Clicks
from remit.surfaces.slack.members import Members
from remit.surfaces.slack.talk import Talk

log = logging.getLogger(__name__)

PATH = "/slack/events"
"""Where Slack calls in HTTP mode, for events and for interactivity alike."""

_MOST = 1_000_000  # bytes of a request; Slack's own are far smaller
_AGAIN = 5.0  # seconds between two attempts to connect

Chore = Callable[[asyncio.Event], Awaitable[None]]


class Working(ThreadPoolExecutor):
    """The threads that work on clicks."""

    def __init__(self) -> None:
        super().__init__(max_workers=5, thread_name_prefix="remit-slack")
        self._under_way: set[Future[Any]] = set()

    def submit(self, do: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        """Work on something in a thread."""
        future = super().submit(do, *args, **more)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return future

    def settle(self) -> None:
        """Wait until everything that was begun is done."""
        wait(list(self._under_way))


class Slack:
    """The surface: a channel to tell people by, routes and chores to hear them."""

    ping = 5.0
    """Seconds between two looks whether the connection of socket mode still stands."""

    def __init__(self, services: Services, settings: SlackSection) -> None:
        """Take the secrets. Raises ConfigurationError where the mode needs one that is not declared or not there."""
        if settings.mode == "http" and settings.signing_secret is None:
            raise ConfigurationError(
                "[slack] in HTTP mode needs `signing_secret`, by which Slack's requests are told from forged ones"
            )
        if settings.mode == "socket" and settings.app_token is None:
            raise ConfigurationError('[slack] with `mode = "socket"` needs `app_token`')
        secrets = SecretResolver(services.folder)
        token = secrets.fill(settings.bot_token).reveal()
        self._settings = settings
        # Nothing is signed in socket mode; no request over HTTP shall ever fit, should one come in.
        signed = settings.signing_secret if settings.mode == "http" else None
        self._secret = secrets.fill(signed).reveal() if signed is not None else token_urlsafe()
        self._app_token = secrets.fill(settings.app_token).reveal() if settings.app_token else ""
        api = Api(token, settings.api_url)
        self.channel = SlackChannel(services, settings, api)
        self._members = Members(settings.team, api, lambda: services.deployments.load().project.directory)
        self._clicks = Clicks(services, api, self.channel, self._members)
        self._talk = Talk(services, settings, self._members, self._clicks)
        self._working = Working()
        self._app = self._bolt(api, token)

    def routes(self) -> list[Route]:
        """Where Slack calls; none in socket mode, in which nothing has to be reachable."""
        return [Route(PATH, self._take, methods=["POST"])] if self._settings.mode == "http" else []

    def chores(self) -> tuple[Chore, ...]:
        """The connection of socket mode; none in HTTP mode."""
        return (self._connect,) if self._settings.mode == "socket" else ()

    def settle(self) -> None:
        """Wait until the clicks that were acknowledged have been worked on."""
        self._working.settle()

    async def _take(self, request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST:
                return PlainTextResponse("too large\n", status_code=413)
        try:
            asked = BoltRequest(body=body.decode(), headers=_headers(request), query={})
        except UnicodeDecodeError:
            return PlainTextResponse("not UTF-8\n", status_code=400)
        answer = await asyncio.to_thread(self._app.dispatch, asked)
        return Response(answer.body, answer.status, answer.first_headers_without_set_cookie())

    async def _connect(self, stopping: asyncio.Event) -> None:
        """Keep a connection to Slack. The library mends it where it breaks; the first one is tried until it stands."""
        while not stopping.is_set():
            handler = SocketModeHandler(
                self._app,
                self._app_token,
                logger=logging.getLogger("remit.slack.socket"),
                ping_interval=self.ping,
            )
            try:
                await asyncio.to_thread(handler.connect)
                await stopping.wait()
            except Exception as error:  # noqa: BLE001 - whatever is wrong, Slack may answer later
                log.warning("Slack cannot be connected to (%s); it is tried again", type(error).__name__)
                await _wait(stopping, _AGAIN)
            finally:
                await asyncio.to_thread(handler.close)

    def _bolt(self, api: Api, token: str) -> App:
        """The library's app, which verifies signatures and sends each request to its function."""

        def authorized(enterprise_id: str | None, team_id: str | None, user_id: str | None) -> AuthorizeResult:
            """Asks Slack nothing: who acts is looked up where it matters, and the bot's own messages are left out."""
            return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, user_id=user_id, bot_token=token)

        quiet = logging.getLogger("remit.slack.bolt")
        quiet.setLevel(logging.ERROR)
        app = App(
            name="remit",
            logger=quiet,
            client=api.client,
            authorize=authorized,
            signing_secret=self._secret,
            listener_executor=self._working,
            process_before_response=True,
            ignoring_self_events_enabled=False,
            attaching_function_token_enabled=False,
        )
        for verb, do in self._buttons().items():
            app.action(re.compile(verb))(ack=_acknowledge, lazy=[_lazily(do)])
        for form in (forms.DENIED, forms.EDITED, forms.ANSWERED):
            app.view(form)(self._submitted)
        app.options(forms.SEARCH)(self._searched)
        app.event("message")(self._heard)
        app.event("app_mention")(self._heard)
        return app

    def _buttons(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        form = f"{cards.DENY}|{cards.EDIT}|{cards.ANSWER}|{cards.DETAILS}"
        return {
            f"^{cards.APPROVE}$": self._clicks.approve,
            f"^{cards.CHOOSE}_[0-9]+$": self._clicks.choose,
            f"^({form})$": self._clicks.open_form,
        }

    def _submitted(self, ack: Any, body: dict[str, Any]) -> None:
        ack(**(self._clicks.submit(body) or {}))

    def _searched(self, ack: Any, body: dict[str, Any]) -> None:
        ack(options=self._clicks.search(body))

    def _heard(self, body: dict[str, Any]) -> None:
        self._talk.take(body)


def _acknowledge(ack: Any) -> None:
    ack()


def _lazily(do: Callable[[dict[str, Any]], None]) -> Callable[..., None]:
    def work(body: dict[str, Any]) -> None:
        try:
            do(body)
        except Exception:
            log.exception("a click in Slack could not be worked on")

    work.__name__ = getattr(do, "__name__", "work")
    return work


def _headers(request: Request) -> dict[str, str | Sequence[str]]:
    return {name: value for name, value in request.headers.items() if name.lower() != "cookie"}


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
