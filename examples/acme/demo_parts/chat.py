"""Acme's Slack in the demo: a workspace in a process of its own, the surface that speaks to it, and its members."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from remit.asgi import Server
from remit.bootstrap import Services

_PATIENCE = 60.0


class Chat:
    """What members see and do, said and read over HTTP."""

    def __init__(self, url: str, members: dict[str, str]) -> None:
        self._url = url
        self._members = members
        """Person to Slack's user id."""

    def messages(self, person: str) -> list[dict[str, Any]]:
        """A person's direct messages from the app as they stand now, oldest first."""
        place = f"D{self._members[person][1:]}"
        return [m for m in self._control("state")["messages"] if m["channel"] == place]

    def wait(self, person: str, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Wait for a message. Raises RuntimeError if none comes."""
        until = time.monotonic() + _PATIENCE
        while True:
            for message in self.messages(person):
                if wanted(message):
                    return message
            if time.monotonic() > until:
                raise RuntimeError(f"waited {_PATIENCE:.0f} s in vain in Slack for {what}")
            time.sleep(0.1)

    def say(self, person: str, text: str) -> None:
        """Write to the app, as its member does."""
        self._control("say", user=self._members[person], channel="dm", text=text)

    def press(self, person: str, message: dict[str, Any], button: str) -> dict[str, Any]:
        """Click a button of a message."""
        where = {"channel": message["channel"], "ts": message["ts"]}
        return self._control("click", user=self._members[person], action=button, **where)

    def fill_in(self, person: str, values: dict[str, Any]) -> None:
        """Fill in the form that stands open before a person, by the names of its fields, and send it.

        Raises RuntimeError if it is not taken.
        """
        form = self.form(person)
        fields = {b["block_id"].partition(":")[0]: b["block_id"] for b in form["blocks"] if b["type"] == "input"}
        given = {fields[name]: value for name, value in values.items()}
        said = self._control("submit", user=self._members[person], view=form["id"], values=given)
        if said["status"] != 200 or said["shown"].get("response_action") == "errors":
            raise RuntimeError(f"Slack's form was not taken: {said}")

    def choice(self, person: str, field: str, label: str) -> str:
        """The value behind a choice of the open form. Raises RuntimeError if it is not offered."""
        (block,) = (b for b in self.form(person)["blocks"] if b.get("block_id", "").partition(":")[0] == field)
        found = [o["value"] for o in block["element"]["options"] if o["text"]["text"] == label]
        if len(found) != 1:
            raise RuntimeError(f"{label} is not offered: {block}")
        return str(found[0])

    def found(self, person: str, field: str, typed: str) -> str:
        """Type into a list of the open form. Returns the value of the first row that it then shows."""
        form = self.form(person)
        (block,) = (b["block_id"] for b in form["blocks"] if b.get("block_id", "").partition(":")[0] == field)
        said = self._control("suggest", user=self._members[person], view=form["id"], block=block, typed=typed)
        options = json.loads(said["body"])["options"]
        if not options or not options[0]["text"]["text"].startswith(typed):
            raise RuntimeError(f"{typed} is not offered: {options}")
        return str(options[0]["value"])

    def form(self, person: str) -> dict[str, Any]:
        """The form that stands open before a person."""
        user = self._members[person]
        until = time.monotonic() + _PATIENCE
        while not (found := [f for f in self._control("state")["forms"] if f["user"] == user and f["open"]]):
            if time.monotonic() > until:
                raise RuntimeError(f"no form was opened for {person}")
            time.sleep(0.1)
        return {"id": found[-1]["id"], **json.loads(found[-1]["view"])}

    def down(self) -> None:
        """Slack is away."""
        self._control("down")

    def up(self) -> None:
        """Slack is back."""
        self._control("up")

    def _control(self, what: str, **given: Any) -> dict[str, Any]:
        body = json.dumps(given).encode()
        with urlopen(Request(f"{self._url}/control/{what}", body, method="POST"), timeout=30) as answer:  # noqa: S310
            said: dict[str, Any] = json.loads(answer.read())
            return said


def text_of(message: dict[str, Any]) -> str:
    """Everything that a message shows."""
    return f"{message['text']}\n{json.dumps(message['blocks'], ensure_ascii=False)}"


@contextmanager
def open_chat(services: Services, place: Path) -> Iterator[Chat]:
    """Start the workspace and the surface, for the time of the block."""
    slack = services.declared.slack
    assert slack is not None, "Acme's remit.toml turns Slack on"
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    people = services.deployments.load().project.directory.people
    members = {p.id: p.slack.partition("/")[2] for p in people if p.slack is not None}
    # Two demos may run on one machine: each has a workspace on a port of its own.
    declared = services.declared.model_copy(update={"slack": slack.model_copy(update={"api_url": f"{url}/api/"})})
    server = Server(replace(services, declared=declared), "127.0.0.1", 0)
    command = [sys.executable, str(services.folder / "servers" / "slack_workspace.py"), "--port", str(port)]
    command += ["--state", str(place / "slack.db"), "--app", f"{server.url}/slack/events"]
    command += [part for person, user in members.items() for part in ("--member", f"{user}={person}")]
    with (place / "slack.log").open("ab") as log:
        workspace = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603
    try:
        _wait_for(url, workspace)
        with _serving(server):
            yield Chat(url, members)
    finally:
        workspace.terminate()
        workspace.wait()


@contextmanager
def _serving(server: Server) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(server(stopping)), name="surfaces")
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the Slack workspace ended by itself with {process.returncode}")
        with suppress(URLError, OSError), urlopen(f"{url}/control/state", timeout=5):  # noqa: S310
            return
        time.sleep(0.05)
    raise RuntimeError("the Slack workspace does not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
