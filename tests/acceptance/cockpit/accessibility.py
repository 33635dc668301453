"""Whether everybody can use a page: axe finds nothing, light and dark, and nothing sticks out of a phone."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.acceptance.cockpit.office import Office


def clean(page: Page, where: str) -> None:
    """Assert that axe finds nothing on the page as it is now."""
    found = Axe().run(page)
    assert found.violations_count == 0, f"{where}: {found.generate_report()}"


def accessible(office: Office, person: str, *paths: str) -> None:
    """Assert it for every path."""
    for scheme in ("light", "dark"):
        page = office.page(person, color_scheme=scheme, viewport={"width": 1280, "height": 900})
        for path in paths:
            page.goto(path)
            clean(page, f"{scheme} {path}")
    phone = office.page(person, viewport={"width": 390, "height": 800})
    for path in paths:
        phone.goto(path)
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than a phone"
