"""The shop, on a database of its own, for acceptance tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.shop import Shop, open_shop


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[Shop]:
    with open_shop(tmp_path / "shop", database_url) as opened:
        yield opened


@pytest.fixture
def changed_shop(tmp_path: Path, make_database: Callable[..., Any]) -> Iterator[Callable[..., Shop]]:
    """`changed_shop(agents__clerk__agent_yaml=…)`: the shop with other files."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        count = 0

        def make(**changed: str) -> Shop:
            nonlocal count
            count += 1
            return stack.enter_context(open_shop(tmp_path / f"shop{count}", make_database().url(), **changed))

        yield make
