"""What Slack refuses: blocks and forms that are too long, too many or not built as they have to be."""

from __future__ import annotations

from typing import Any

_KNOWN = {"header", "section", "rich_text", "context", "actions", "input", "divider"}
_ELEMENTS = {
    "button", "static_select", "external_select", "plain_text_input", "number_input", "checkboxes", "radio_buttons",
}  # fmt: skip


def refused(blocks: Any, *, most: int) -> str | None:
    """Why Slack takes no such blocks, or None."""
    if not isinstance(blocks, list) or len(blocks) > most:
        return f"more than {most} blocks"
    ids = [b.get("block_id") for b in blocks if b.get("block_id")]
    if len(ids) != len(set(ids)):
        return "the same block_id twice"
    return next((why for block in blocks if (why := _block(block))), None)


def refused_form(view: dict[str, Any]) -> str | None:
    """Why Slack opens no such form, or None."""
    if view.get("type") != "modal":
        return "not a modal"
    if len(view.get("private_metadata", "")) > 3000:
        return "private_metadata is too long"
    titles = [(view.get("title"), 24), (view.get("close"), 24), (view.get("submit"), 24)]
    if view.get("title") is None:
        return "no title"
    if any(b["type"] == "input" for b in view["blocks"]) and view.get("submit") is None:
        return "fields and no submit"
    wrong = next((why for words, limit in titles if words is not None and (why := _plain(words, limit))), None)
    return wrong or refused(view["blocks"], most=100)


def _block(block: dict[str, Any]) -> str | None:
    if block.get("type") not in _KNOWN:
        return f"unknown block {block.get('type')}"
    if len(block.get("block_id", "")) > 255:
        return "block_id is too long"
    match block["type"]:
        case "header":
            return _plain(block["text"], 150)
        case "section":
            return _words(block["text"], 3000)
        case "context":
            return next((w for e in block["elements"] if (w := _words(e, 3000))), None)
        case "actions":
            if not 1 <= len(block["elements"]) <= 25:
                return "no buttons, or too many"
            names = [e["action_id"] for e in block["elements"]]
            if len(names) != len(set(names)):
                return "the same action_id twice"
            return next((w for e in block["elements"] if (w := _element(e))), None)
        case "input":
            return _plain(block["label"], 2000) or _element(block["element"])
        case "rich_text":
            return _rich(block["elements"])
    return None


def _rich(elements: list[dict[str, Any]]) -> str | None:
    runs = [run for element in elements for run in element.get("elements", ())]
    if not elements or not runs:
        return "rich text with nothing in it"
    if any(run["type"] != "text" or not run["text"] for run in runs):
        return "rich text that is no text, or empty"
    return "rich text is too long" if sum(len(run["text"]) for run in runs) > 4000 else None


def _element(element: dict[str, Any]) -> str | None:
    if element.get("type") not in _ELEMENTS or not 1 <= len(element.get("action_id", "")) <= 255:
        return f"element {element.get('type')} without a name, or unknown"
    match element["type"]:
        case "button":
            if len(element.get("value", "")) > 2000 or element.get("style") not in {None, "primary", "danger"}:
                return "button's value or style"
            return _plain(element["text"], 75)
        case "static_select" | "checkboxes" | "radio_buttons":
            options = element["options"]
            most = 100 if element["type"] == "static_select" else 10
            if not 1 <= len(options) <= most:
                return "no options, or too many"
            if len({o["value"] for o in options}) != len(options):
                return "the same option twice"
            return next((w for o in options if (w := _option(o))), None)
        case "plain_text_input":
            most = element.get("max_length", 3000)
            if not 1 <= most <= 3000 or len(element.get("initial_value", "-")) not in range(1, most + 1):
                return "text field's lengths"
        case "number_input":
            limits = [element.get("min_value"), element.get("max_value")]
            if any(not isinstance(v, str) for v in limits if v is not None) or "is_decimal_allowed" not in element:
                return "number field's limits"
    return None


def _option(option: dict[str, Any]) -> str | None:
    return "option's value" if not 1 <= len(option["value"]) <= 150 else _plain(option["text"], 75)


def _plain(words: dict[str, Any], limit: int) -> str | None:
    return "not plain text" if words.get("type") != "plain_text" else _words(words, limit)


def _words(words: dict[str, Any], limit: int) -> str | None:
    if words.get("type") not in {"plain_text", "mrkdwn"}:
        return "text of no known kind"
    return None if 1 <= len(words["text"]) <= limit else f"a text has {len(words['text'])} characters, not 1 to {limit}"
