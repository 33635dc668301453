"""A Slack workspace and the surface beside an office: two HTTP servers on loopback, one for each side."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn
from starlette.applications import Starlette
from tests.integration.road.world import FILES, World
from tests.integration.telling.office import Office

from remit.domain.project import SlackSection
from remit.surfaces.slack.app import Slack

SERVERS = Path(__file__).parents[3] / "examples/acme/servers"

DIRECTORY = """
people:
  - {id: ada, name: Ada, roles: [risk], workspaces: [shop], slack: TACME0001/UADA}
  - {id: eve, name: Eve, roles: [risk], manager: ada, workspaces: [shop], slack: TACME0001/UEVE}
  - {id: bo, name: Bo, manager: cleo, workspaces: [shop], slack: TACME0001/UBO}
  - {id: cleo, name: Cleo, manager: ada, workspaces: [shop], slack: TACME0001/UCLEO}
  - {id: dov, name: Dov, workspaces: [shop], slack: TACME0001/UDOV}
  - {id: gus, name: Gus, workspaces: [shop], slack: TACME0001/UGUS}
  - {id: lea, name: Lea, workspaces: [shop], slack: TACME0001/ULEA, status: left}
  - {id: far, name: Far, workspaces: [depot], slack: TACME0001/UFAR}
roles: [{id: risk, title: Risk}]
workspaces: [{id: shop, title: Shop}, {id: depot, title: Depot}]
"""
SETTINGS = (
    FILES["remit.toml"]
    + '\n[slack]\nteam = "TACME0001"\nbot_token = "env:SLACK_BOT_TOKEN"\nsigning_secret = "env:SLACK_SIGNING_SECRET"\n'
)


def workspace_module() -> Any:
    """The example's Slack workspace."""
    if "slack_workspace" not in sys.modules:
        spec = importlib.util.spec_from_file_location("slack_workspace", SERVERS / "slack_workspace.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules["slack_workspace"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["slack_workspace"]


@contextmanager
def served(app: Starlette, *, port: int = 0) -> Iterator[str]:
    """An application on loopback for the time of the block; its URL."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(64)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


class SlackOffice(Office):
    """An office whose people are in Slack."""

    def __init__(self, world: World, workspace: Any, slack: Slack) -> None:
        super().__init__(world, slack.channel)
        self.workspace = workspace
        self.slack = slack

    def card(self, user: str, action: str = "remit_approve") -> dict[str, Any]:
        """The one message to a member that has this button."""
        direct = self.workspace.messages(f"D{user[1:]}")
        (found,) = (m for m in direct if action in buttons(m))
        return found

    def press(self, user: str, message: dict[str, Any], action: str) -> None:
        """Click, on the message as it was read, and wait until the click has been worked on."""
        said = self.workspace.acts.click(user, message["channel"], message["ts"], action, blocks=message["blocks"])
        assert said["status"] == 200, said
        self.slack.settle()

    def fill(self, user: str, **values: Any) -> dict[str, Any]:
        """Send the form that is open before a member. What Slack shows afterwards."""
        form = self.workspace.form(user)
        assert form is not None, self.workspace.whispers(user)
        known = {b["block_id"].partition(":")[0]: b["block_id"] for b in form["blocks"] if "block_id" in b}
        named = {known.get(name, name): value for name, value in values.items()}
        said = self.workspace.acts.submit(user, form["id"], named)
        assert said["status"] == 200, said
        return dict(said["shown"])


@contextmanager
def slack_office(world: World, folder: Path, **settings: Any) -> Iterator[SlackOffice]:
    """The office, its workspace, and both servers."""
    module = workspace_module()
    workspace = module.Workspace(state=folder / "slack.db", channels=["sales"], socket=settings.get("mode") == "socket")
    for user in ("UADA", "UEVE", "UBO", "UCLEO", "UDOV", "ULEA", "UFAR", "USTRANGER"):
        workspace.member(user, user.title())
    workspace.member("UGUS", "Gus", is_restricted=True)
    workspace.member("UOTHER", "Other", team_id="TOTHER")
    os.environ |= {"SLACK_BOT_TOKEN": module.BOT_TOKEN, "SLACK_SIGNING_SECRET": module.SIGNING_SECRET}
    os.environ["SLACK_APP_TOKEN"] = module.APP_TOKEN
    with ExitStack() as stack:
        url = stack.enter_context(served(module.application(workspace)))
        declared = {
            "team": module.TEAM,
            "bot_token": "env:SLACK_BOT_TOKEN",
            "signing_secret": "env:SLACK_SIGNING_SECRET",
            "app_token": "env:SLACK_APP_TOKEN",
            "api_url": f"{url}/api/",
            **settings,
        }
        section = SlackSection.model_validate(declared)
        base = Office(world)
        services: Any = SimpleNamespace(
            folder=folder, deployments=base.deployed, sessions=base.sessions, declared=SimpleNamespace(slack=section)
        )
        slack = Slack(services, section)
        if slack.routes():
            workspace.app = stack.enter_context(served(Starlette(routes=slack.routes()))) + "/slack/events"
        yield SlackOffice(world, workspace, slack)


def buttons(message: dict[str, Any]) -> list[str]:
    """The buttons of a message."""
    return [e["action_id"] for b in message["blocks"] if b["type"] == "actions" for e in b["elements"]]


def words(message: dict[str, Any]) -> str:
    """Everything that a message or a form shows."""

    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("text"), str):
                yield value["text"]
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    return "\n".join(walk(message["blocks"]))


def until(found: Any, seconds: float = 30) -> Any:
    """Wait until something is true; what it is."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
    return value
