"""The shop, on a database of its own, and worker processes by fork."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.nursery import Nursery
from tests.acceptance.shop import Shop, open_shop


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def changed_shop(
    tmp_path: Path, make_database: Callable[..., Any], migrated: str, nursery: Nursery
) -> Iterator[Callable[..., Shop]]:
    """`changed_shop(url, **{"agents__clerk__agent.yaml": …})`: the shop with other files."""
    with ExitStack() as stack:
        count = 0

        def make(url: str | None = None, **changed: str) -> Shop:
            nonlocal count
            count += 1
            folder = tmp_path / f"shop{count}"
            return stack.enter_context(open_shop(folder, url or make_database(migrated).url(), nursery, **changed))

        yield make


@pytest.fixture
def shop(changed_shop: Callable[..., Shop]) -> Shop:
    return changed_shop()
