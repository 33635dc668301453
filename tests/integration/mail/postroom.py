"""A postroom for tests: a real SMTP server that keeps what it is given, and the world's people with mailboxes."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.integration.road.world import FILES, World
from tests.integration.telling.office import Office

from remit.domain.project import MailSection, ServerSection
from remit.surfaces import mail

URL = "https://remit.example"
DIRECTORY = """
people:
  - {id: ada, name: Ada, email: ada@shop.example, roles: [risk], workspaces: [shop]}
  - {id: eve, name: Eve, email: eve@shop.example, roles: [risk], manager: ada, workspaces: [shop]}
  - {id: bo, name: "Bo Öst", email: bo@shop.example, manager: cleo, workspaces: [shop], time_zone: Europe/Berlin}
  - {id: cleo, name: Cleo, email: cleo@shop.example, manager: ada, workspaces: [shop]}
  - {id: dov, name: Dov, workspaces: [shop]}
roles: [{id: risk, title: Risk}]
workspaces: [{id: shop, title: Shop}]
"""
BY_MAIL = FILES["actions.yaml"].replace("    title: Pay\n", "    title: Pay\n    mail_approval: true\n")


@dataclass
class MailServer:
    """An SMTP server on this machine. It can be stopped and started again on the same port."""

    tls: ssl.SSLContext | None = None
    implicit: bool = False
    """TLS from the first byte, instead of STARTTLS."""
    logins: dict[str, str] = field(default_factory=dict)
    utf8: bool = True
    mails: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """What it says to the next recipients instead of taking them."""
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            self.port: int = probe.getsockname()[1]
        self._controller: Controller | None = None

    def start(self) -> None:
        more: dict[str, Any] = {"enable_SMTPUTF8": self.utf8}
        if self.logins:
            # The server does not count TLS from the first byte as TLS.
            needs_tls = self.tls is not None and not self.implicit
            more |= {"authenticator": self._login, "auth_required": True, "auth_require_tls": needs_tls}
        if self.tls is not None:
            more |= {"ssl_context": self.tls} if self.implicit else {"tls_context": self.tls, "require_starttls": True}
        self._controller = Controller(self, hostname=self.host, port=self.port, **more)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop(no_assert=True)
            self._controller = None

    def _login(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        right = self.logins.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=right, handled=False)

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.raw.append(envelope.content)
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        self.recipients += envelope.rcpt_tos
        return "250 taken"

    def to(self, address: str) -> list[EmailMessage]:
        return [m for m, to in zip(self.mails, self.recipients, strict=True) if to == address]


class Postroom(Office):
    """The office of the tests of telling, with mails as its one channel and the pages behind their links."""

    def __init__(self, world: World, server: MailServer, folder: Path, **settings: Any) -> None:
        self.server = server
        usual = {"host": server.host, "port": server.port, "security": "none", "sender": "remit@shop.example"}
        settings = usual | settings
        super().__init__(world)
        self.services: Any = SimpleNamespace(
            declared=SimpleNamespace(
                slack=None,
                mail=MailSection(**settings),
                server=ServerSection(url=URL),
                project=SimpleNamespace(name="world"),
            ),
            deployments=self.deployed,
            sessions=self.sessions,
            folder=folder,
            state=folder / ".remit",
        )
        channel = mail.channel(self.services)
        assert channel is not None
        self.channels = (channel,)
        self.dispatcher._channels = (channel,)
        self.browser = self.visitor()

    def visitor(self) -> TestClient:
        return TestClient(Starlette(routes=mail.routes(self.services)), base_url=URL, follow_redirects=False)

    def mailed(self, address: str = "bo@shop.example") -> str:
        """The path of the link in the newest mail to an address."""
        text = body(self.server.to(address)[-1])
        found = re.search(rf"{re.escape(URL)}(/links/\S+)", text)
        assert found is not None, text
        return found[1]

    def fill(self, path: str, **fields: str) -> dict[str, str]:
        """The fields of the form on a page, with what the page itself puts in."""
        page = self.browser.get(path).text
        found = re.search(r'name="seal" value="([^"]+)"', page)
        return {"seal": found[1] if found else "", **fields}

    def send(self, path: str, *, site: str = "same-origin", **fields: str) -> Any:
        """Send the form on a page, as a browser does."""
        headers = {"origin": "null", "sec-fetch-site": site}
        return self.browser.post(path, data=self.fill(path, **fields), headers=headers)


def body(found: EmailMessage, kind: str = "plain") -> str:
    part = found.get_body((kind,))
    assert part is not None
    return str(part.get_content())
