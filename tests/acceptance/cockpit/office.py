"""The shop with its cockpit open: a real server, people who log in, and a real browser."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, Response
from starlette.testclient import TestClient

from remit import asgi
from remit.surfaces.http.guard import COOKIE
from tests.acceptance.shop import Shop

DIRECTORY = """
people:
  - {id: ada, name: Ada Lovell, roles: [risk], workspaces: [shop], access: [{role: admin}]}
  - {id: bo, name: Bo Adeyemi, manager: cleo, workspaces: [shop]}
  - {id: cleo, name: Cleo Marsh, manager: ada, workspaces: [shop]}
  - {id: dov, name: Dov Levin, workspaces: [shop]}
  - {id: rita, name: Rita Stone, access: [{role: risk, workspace: shop}]}
  - {id: vera, name: Vera Holm, access: [{role: viewer, workspace: shop}]}
  - {id: otto, name: Otto Berg, workspaces: [vault]}
  - {id: gone, name: Gone Away, workspaces: [shop], status: left}
roles: [{id: risk, title: Risk}]
workspaces: [{id: shop, title: Shop}, {id: vault, title: Vault, manager: otto}]
"""
"""Ada administers everything, Rita answers for risk in the shop, Vera only looks, Otto is in another workspace."""


class Office:
    """One company's cockpit."""

    def __init__(self, shop: Shop, browser: Browser | None) -> None:
        self.shop = shop
        self.services = shop.services
        self._browser = browser
        self._app = asgi.app(shop.services)
        self._servers: list[_Server] = []
        self.problems: list[str] = []
        """What browsers complained of: errors of scripts, refused contents, failed requests."""

    def token(self, person: str) -> str:
        """The cookie of somebody who has logged in."""
        return self.services.logins.redeem(self.services.logins.offer(person, "test"), None, "test")

    def client(self, person: str | None = None) -> TestClient:
        """A client without a browser; None: nobody is logged in."""
        client = TestClient(self._app, headers={"sec-fetch-site": "same-origin"}, follow_redirects=False)
        if person is not None:
            client.cookies.set(COOKIE, self.token(person))
        return client

    def serve(self) -> str:
        """Start another server process's worth of server; returns where it listens."""
        server = _Server(self.services)
        self._servers.append(server)
        return server.url

    def page(self, person: str, *, url: str | None = None, **how: Any) -> Page:
        """A browser's page, logged in. `how` goes to the browser: `color_scheme`, `viewport`, `java_script_enabled`."""
        assert self._browser is not None, "this test asks for the browser"
        url = url or (self._servers[0].url if self._servers else self.serve())
        context = self._browser.new_context(base_url=url, **how)
        context.add_cookies([{"name": COOKIE, "value": self.token(person), "url": url}])
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.on("pageerror", lambda error: self.problems.append(f"{page.url}: {error}"))
        page.on("console", lambda said: self._note(said.text) if said.type == "error" else None)
        page.on("response", self._loaded)
        return page

    def _note(self, said: str) -> None:
        if not said.startswith("Failed to load resource"):  # `_loaded` sees those, with what they were for
            self.problems.append(said)

    def _loaded(self, response: Response) -> None:
        if response.status >= 400 and response.request.resource_type != "document":
            self.problems.append(f"{response.status} {response.url}")

    def close(self) -> None:
        for context in self._browser.contexts if self._browser is not None else []:
            context.close()
        for server in self._servers:
            server.close()


class _Server:
    """A server on a thread of its own."""

    def __init__(self, services: Any) -> None:
        self._listening = asgi.Server(services, "127.0.0.1", 0)
        self.url = self._listening.url
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listening(self._stopping))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(30)


@contextmanager
def open_office(shop: Shop, browser: Browser | None) -> Iterator[Office]:
    office = Office(shop, browser)
    try:
        yield office
    finally:
        office.close()
