"""Every link of the documentation leads somewhere."""

from __future__ import annotations

import re

from tests.contracts.source import name, tracked

LINK = re.compile(r"\]\(([^)\s#]*)(#[^)\s]*)?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The anchors that a Markdown page's headings have."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text))
    return {f"#{words.strip().replace(' ', '-')}" for words in plain}


def test_every_link_leads_to_a_file_and_a_heading():
    broken = []
    for page in (p for p in tracked() if p.suffix == ".md"):
        for target, anchor in LINK.findall(page.read_text("utf-8")):
            if "://" in target:
                continue
            found = (page.parent / target) if target else page
            if not found.exists() or (anchor and anchor not in anchors(found.read_text("utf-8"))):
                broken.append(f"{name(page)}: {target}{anchor}")
    assert broken == []


def test_every_page_of_the_documentation_is_found_from_its_index():
    pages = {p for p in tracked() if p.suffix == ".md" and p.parts[-2:][0] != "template" and "docs" in p.parts}
    index = next(p for p in pages if name(p) == "docs/index.md")
    linked = {(index.parent / target).resolve() for target, _ in LINK.findall(index.read_text("utf-8")) if target}
    assert {name(p) for p in pages - linked} == {"docs/index.md"}, "name these pages in docs/index.md"
