"""The form on a link's page: which fields it has for an item, and what came back in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from remit.domain.inbox import InboxItem, ItemKind
from remit.domain.questions import Form, form_of, parse_answer
from remit.errors import InvalidInput
from remit.surfaces.http import words

MAX_BODY = 256 * 1024
"""Most bytes of a form that are read."""
MAX_COMMENT = 4_000
"""Most characters of a comment."""
_MAX_FIELDS = 20
_MAX_REASON = 4_000


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers to choose from; `name` is its place in the form, and goes to the browser and back."""

    name: str
    label: str
    details: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """What the page draws."""

    kind: str
    """`decide` (two buttons), or a question's: `choice`, `record`, `text`, `number`, `yes-no`, `json`."""
    form: Form
    choices: tuple[Choice, ...]
    given: Mapping[str, str]
    """What was filled in before and is shown again."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What came back."""

    seal: str
    verdict: str
    reason: str
    given: Mapping[str, str]
    remember: bool


def comment(sent: str) -> str:
    """A comment as it is kept. Raises InvalidInput if it is empty or too long."""
    text = sent.replace("\r\n", "\n").strip()  # browsers count the end of a line once, and send it as two
    if not text:
        raise InvalidInput("nothing was said")
    if len(text) > MAX_COMMENT:
        raise InvalidInput(f"the comment has {len(text):,} characters; at most {MAX_COMMENT:,} are taken")
    return text


def fields_of(item: InboxItem, given: Mapping[str, str]) -> Fields:
    """The fields for an item."""
    form = form_of(item)
    kind = "decide" if item.kind is ItemKind.APPROVAL else form.kind
    choices = tuple(
        Choice(
            str(place),
            words.line(option.label),
            tuple((words.line(str(k), 60), words.shown(v, 500)) for k, v in option.details.items()),
        )
        for place, option in enumerate(form.options)
    )
    return Fields(kind, form, choices, given)


def read(body: bytes, content_type: str) -> Sent:
    """Read a form as a browser sends it. Raises InvalidInput if it is none."""
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise InvalidInput("this is not the form of this page", advice="Use the form on the page behind your link.")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:  # a UnicodeDecodeError is one too
        raise InvalidInput(
            "this is not the form of this page", advice="Use the form on the page behind your link."
        ) from None
    # Browsers send the end of a line as CR LF.
    given = {name: value.replace("\r\n", "\n") for name, value in pairs}
    return Sent(
        given.get("seal", ""),
        given.get("verdict", ""),
        given.get("reason", "").strip()[:_MAX_REASON],
        given,
        given.get("remember") == "yes",
    )


def answer(item: InboxItem, sent: Sent) -> Any:
    """The answer in a form. Raises InvalidInput that says what is wanted."""
    form, given = form_of(item), sent.given.get("value")
    if given is None or given == "":
        raise InvalidInput(f"nothing was chosen or written: {form.wanted} is wanted")
    if form.options:
        if not given.isdecimal() or int(given) >= len(form.options):
            raise InvalidInput(f"that is not one of the answers: {form.wanted} is wanted")
        value = form.options[int(given)].value
        return value if item.kind is not ItemKind.QUESTION else parse_answer(item, value)
    return parse_answer(item, given)
