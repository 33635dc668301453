"""The shop with its surfaces: the HTTP server as a chore of this process, a mail server, and a Slack workspace.

Each of them can be taken away and put back, on the same port, while workers in processes of their own go on.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from remit.asgi import Server
from tests.acceptance.shop import FILES, Shop
from tests.integration.mail.postroom import MailServer, body
from tests.integration.telling.team import served, workspace_module

PEOPLE = """
people:
  - {id: ada, name: Ada, roles: [risk], workspaces: [shop]}
  - {id: bo, name: Bo, email: bo@shop.example, slack: TACME0001/UBO, manager: cleo, workspaces: [shop]}
  - {id: cleo, name: Cleo, manager: ada, workspaces: [shop]}
  - {id: dov, name: Dov, workspaces: [shop]}
roles: [{id: risk, title: Risk}]
workspaces: [{id: shop, title: Shop}]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Front:
    """What people see of the shop."""

    def __init__(self, make: Callable[..., Shop]) -> None:
        self.mail = MailServer()
        self.port, self.slack_port = free_port(), free_port()
        self.shop = make(
            **{
                "remit.toml": FILES["remit.toml"] + self._settings(),
                "directory.yaml": PEOPLE,
                "actions.yaml": FILES["actions.yaml"].replace(
                    "    title: Pay\n", "    title: Pay\n    mail_approval: true\n"
                ),
            }
        )
        self.workspace = workspace_module().Workspace(state=self.shop.folder / "slack.db", channels=["sales"])
        self.workspace.member("UBO", "Bo")

    def _settings(self) -> str:
        return f"""
[server]
url = "http://127.0.0.1:{self.port}"
[mail]
host = "127.0.0.1"
port = {self.mail.port}
security = "none"
sender = "remit@shop.example"
[slack]
team = "TACME0001"
bot_token = "env:SLACK_BOT_TOKEN"
signing_secret = "env:SLACK_SIGNING_SECRET"
api_url = "http://127.0.0.1:{self.slack_port}/api/"
"""

    @contextmanager
    def serving(self) -> Iterator[None]:
        """The HTTP server and the surfaces, for the time of the block."""
        server = Server(self.shop.services, "127.0.0.1", self.port)
        loop, stopping = asyncio.new_event_loop(), asyncio.Event()

        def run() -> None:
            loop.run_until_complete(server(stopping))

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(stopping.set)
            thread.join(30)
            assert not thread.is_alive(), "the server did not end"
            loop.close()

    def chatting(self) -> AbstractContextManager[str]:
        """Slack answers, for the time of the block."""
        return served(workspace_module().application(self.workspace), port=self.slack_port)

    @contextmanager
    def posting(self) -> Iterator[None]:
        """The mail server answers, for the time of the block."""
        self.mail.start()
        try:
            yield
        finally:
            self.mail.stop()

    # -- what is there

    def told(self, session: str, surface: str) -> dict[str, Any]:
        """The delivery of a session's item to Bo on a surface, or nothing yet."""
        with self.shop.services.sessions.transaction() as db:
            row = db.execute(
                "select * from remit.deliveries where session_id = %s and surface = %s and kind = 'item'",
                (session, surface),
            ).fetchone()
        return row or {}

    def mails(self, session: str) -> list[str]:
        """Paths of the links in the mails about a session."""
        texts = [body(m) for m in self.mail.to("bo@shop.example")]
        links = [re.search(r"http://\S+(/links/\S+)", text) for text in texts if session in text]
        return [found[1] for found in links if found is not None]

    def cards(self) -> list[dict[str, Any]]:
        """What Bo was told in Slack."""
        found: list[dict[str, Any]] = self.workspace.messages("DBO")
        return found

    def http(self, path: str, **fields: str) -> tuple[int, str]:
        """Get a page, or send the form that is on it."""
        headers = {"Sec-Fetch-Site": "same-origin"}
        data = None
        if fields:
            seal = re.search(r'name="seal" value="([^"]+)"', self.http(path)[1])
            data = urlencode({"seal": seal[1] if seal else "", **fields}).encode()
        request = Request(f"http://127.0.0.1:{self.port}{path}", data=data, headers=headers)
        try:
            with urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()


def until(found: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until something is true; what it is."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
    return value
