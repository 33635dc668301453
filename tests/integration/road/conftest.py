"""The world, on a database of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from tests.integration.road.world import World


@pytest.fixture
def make_world(make_database: Callable[..., Any], migrated: str) -> Iterator[Callable[..., World]]:
    """`make_world(url=None, **changed_files)`."""
    with ExitStack() as stack:

        def make(url: str | None = None, **more: Any) -> World:
            return stack.enter_context(closing(World(url or make_database(migrated).url(), **more)))

        yield make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()
