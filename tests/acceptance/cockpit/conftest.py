"""The cockpit of the shop, with and without a browser."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.acceptance.cockpit.bureau import named
from tests.acceptance.cockpit.desk import DESK
from tests.acceptance.cockpit.office import DIRECTORY, Office, open_office
from tests.acceptance.nursery import Nursery
from tests.acceptance.shop import Shop, open_shop
from tests.browser import find
from tests.conftest import DatabaseFactory

expect.set_options(timeout=20_000)  # how fast it is, is measured elsewhere
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium. Without one the test is skipped; where CI is set it fails.

    Its library has an event loop run in this thread as long as it is open, beside which `asyncio.run` refuses to work:
    it is closed before tests of another file begin.
    """
    path = find()
    if path is None:
        said = "there is no Chromium: see tests/browser.py"
        pytest.fail(said) if os.environ.get("CI") else pytest.skip(said)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def office(changed_shop: Callable[..., Shop]) -> Iterator[Office]:
    """The cockpit without a browser."""
    with open_office(changed_shop(**{"directory.yaml": DIRECTORY}), None) as office:
        yield office


@pytest.fixture
def open_cockpit(changed_shop: Callable[..., Shop], browser: Browser) -> Iterator[Office]:
    """The cockpit in a browser; whatever the browser complains of fails the test."""
    with open_office(changed_shop(**{"directory.yaml": DIRECTORY}), browser) as office:
        yield office
        assert office.problems == []


@pytest.fixture
def bureau(changed_shop: Callable[..., Shop]) -> Iterator[Office]:
    """The larger company without a browser."""
    with open_office(changed_shop(**named()), None) as office:
        yield office


@pytest.fixture
def open_bureau(changed_shop: Callable[..., Shop], browser: Browser) -> Iterator[Office]:
    """The larger company in a browser; whatever the browser complains of fails the test."""
    with open_office(changed_shop(**named()), browser) as office:
        yield office
        assert office.problems == []


@pytest.fixture(scope="module")
def desk(
    database_factory: DatabaseFactory,
    migrated: str,
    nursery: Nursery,
    browser: Browser,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Office]:
    """A company of several agents with a worker and a browser, shared by the tests of a file."""
    database = database_factory.create(migrated)
    with open_shop(tmp_path_factory.mktemp("desk") / "shop", database.url(), nursery, **DESK) as shop:
        shop.worker()
        with open_office(shop, browser) as office:
            yield office
            assert office.problems == []
    database_factory.drop(database)
