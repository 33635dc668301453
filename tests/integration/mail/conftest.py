"""A mail server, and a project that writes to people through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.mail.postroom import MailServer, Postroom
from tests.integration.road.conftest import make_world, world
from tests.integration.road.world import World

__all__ = ["make_world", "world"]


@pytest.fixture
def server() -> Iterator[MailServer]:
    server = MailServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def postroom(world: World, server: MailServer, tmp_path: Path) -> Postroom:
    return Postroom(world, server, tmp_path)


@pytest.fixture
def make_postroom(make_world: Callable[..., World], server: MailServer, tmp_path: Path) -> Callable[..., Postroom]:
    """`make_postroom(mail={…}, **changed_files)`."""

    def make(mail: dict[str, Any] | None = None, **files: str) -> Postroom:
        return Postroom(make_world(**files), server, tmp_path, **(mail or {}))

    return make
