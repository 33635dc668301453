"""Whether everybody can use a page: axe finds nothing, light and dark, and nothing sticks out of a phone."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.acceptance.cockpit.office import Office

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
_OF_COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
"""The rules that the theme makes a difference to: the rest of a page is the same in both."""
_DRAWN = """async () => {
    await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    await Promise.all(document.getAnimations().map((one) => one.finished.catch(() => null)));
}"""


def clean(page: Page, where: str) -> None:
    """Assert that axe finds nothing on the page as it is now, in either theme."""
    for scheme, options in (("light", None), ("dark", _OF_COLOURS)):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(_DRAWN)
        response: dict[str, Any] = Axe().run(page, options=options).response
        found = [(v["id"], v["nodes"][0]["html"][:200]) for v in response["violations"]]
        assert found == [], f"{where}, {scheme}: {found}"
        assert response["passes"], f"{where}, {scheme}: nothing was looked at"


def fits(page: Page, where: str) -> None:
    """Assert that nothing of the page is wider than a phone."""
    page.set_viewport_size(PHONE)
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size(WIDE)
    assert wide <= PHONE["width"], f"{where} is wider than a phone: {wide}"


def accessible(office: Office, person: str, *paths: str) -> None:
    """Assert both for every path, with everything open that can be."""
    page = office.page(person, viewport=WIDE, reduced_motion="reduce")  # nothing is waited for that only moves
    for path in paths:
        page.goto(path)
        page.evaluate("document.querySelectorAll('main details').forEach((part) => (part.open = true))")
        clean(page, path)
        fits(page, path)
