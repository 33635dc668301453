"""Slack's building blocks, as far as Remit uses them. Text from outside enters by rich text and plain text only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from remit.surfaces.slack import text

Block = dict[str, Any]

MOST = 50
"""Blocks that Slack takes in a message; 100 in a form."""
_LABEL, _OPTION, _VALUE = 75, 75, 150


def heading(words: str) -> Block:
    """A heading of one line."""
    return {"type": "header", "text": plain(words, 150)}


def plain(words: str, limit: int = text.LINE) -> dict[str, Any]:
    """A line of plain text: nothing in it is markup. Slack refuses empty ones."""
    return {"type": "plain_text", "text": text.line(words, limit) or "-", "emoji": False}


def paragraph(words: str, *, limit: int = text.TEXT) -> Block:
    """Text from outside, as it stands."""
    return _rich([{"type": "rich_text_section", "elements": [_run(text.text(words, limit))]}])


def facts(named: Sequence[tuple[str, str]]) -> list[Block]:
    """Names and values, one a line; a value of several lines stands apart. As many blocks as they need."""
    found: list[Block] = []
    elements: list[dict[str, Any]] = []
    size = 0
    for name, value in named:
        if "\n" in value or len(value) > 120:
            more = [
                {"type": "rich_text_section", "elements": [_run(f"{name}:", bold=True)]},
                {"type": "rich_text_preformatted", "elements": [_run(value)]},
            ]
        else:
            more = [{"type": "rich_text_section", "elements": [_run(f"{name}: ", bold=True), _run(value)]}]
        cost = len(name) + len(value) + 4
        if elements and size + cost > text.TEXT:
            found.append(_rich(elements))
            elements, size = [], 0
        elements += more
        size += cost
    return [*found, _rich(elements)] if elements else found


def context(words: str) -> Block:
    """A small line at the end."""
    return {"type": "context", "elements": [plain(words, 300)]}


def button(label: str, action: str, value: str, *, style: str | None = None) -> Block:
    """A button. `value` comes back with the click."""
    found: Block = {"type": "button", "text": plain(label, _LABEL), "action_id": action, "value": value}
    return found if style is None else {**found, "style": style}


def actions(buttons: Sequence[Block]) -> Block:
    """A row of buttons."""
    return {"type": "actions", "elements": list(buttons)[:25]}


def field(block_id: str, label: str, element: Block, *, optional: bool = False, hint: str = "") -> Block:
    """A field of a form. Its element is called `value` unless it has a name of its own."""
    found: Block = {
        "type": "input",
        "block_id": block_id,
        "label": plain(label, 2_000),
        "element": {"action_id": "value", **element},
        "optional": optional,
    }
    return {**found, "hint": plain(hint, 2_000)} if hint else found


def option(label: str, value: str) -> Block:
    """One of the answers of a list."""
    return {"text": plain(label, _OPTION), "value": value[:_VALUE]}


def form(title: str, callback: str, kept: str, blocks: Sequence[Block], *, submit: str | None = "Send") -> Block:
    """A form. `kept` comes back when it is sent."""
    found: Block = {
        "type": "modal",
        "callback_id": callback,
        "private_metadata": kept,
        "title": plain(title, 24),
        "close": plain("Close"),
        "blocks": list(blocks)[:100],
    }
    return found if submit is None else {**found, "submit": plain(submit, 24)}


def _rich(elements: list[dict[str, Any]]) -> Block:
    return {"type": "rich_text", "elements": elements}


def _run(words: str, *, bold: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "text", "text": words or "-"}
    return {**found, "style": {"bold": True}} if bold else found
