"""Forms: a reason for a no, changed arguments, a typed answer, and everything there is to know about a request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from remit.domain import canonical
from remit.domain.inbox import InboxItem, ItemKind
from remit.domain.questions import Form, Option, form_of
from remit.errors import InvalidInput
from remit.governance.cases import Case
from remit.surfaces.slack import blocks, cards, text
from remit.surfaces.slack.blocks import Block

DENIED, EDITED, ANSWERED = (f"remit_form_{verb}" for verb in ("denied", "edited", "answered"))
"""Forms' ids."""
SEARCH = "remit_search"
"""The list whose options Slack fetches while somebody types."""
REASON, ALL, ANSWER, REMEMBER = "reason", "arguments", "answer", "remember"
"""Blocks of forms; an argument's own is `arg:NAME`."""

_FIELDS = 10
_LONGEST = 3_000
_LISTED = 100


def deny(item: InboxItem, kept: str) -> Block:
    """Asks for the reason of a no."""
    found = [blocks.paragraph(cards.sentence(item)), _reason(required=True)]
    return blocks.form("Deny", DENIED, kept, found, submit="Deny")


def edit(case: Case, clean: cards.Clean, kept: str) -> Block:
    """The arguments to change: a field each, or JSON where they are many. What may not be shown stays as it is."""
    shown = editable(case, clean)
    found = [blocks.paragraph(cards.sentence(case.item))]
    if len(shown) <= _FIELDS and all(len(_written(v)) <= _LONGEST for v in shown.values()):
        found += [blocks.field(f"arg:{name}", name, _input(_written(value))) for name, value in shown.items()]
    else:
        whole = canonical.dumps(canonical.normalise(shown)).decode()
        if len(whole) > _LONGEST:
            raise InvalidInput(
                "these arguments are too long for a form in Slack",
                advice=f"Change them with `remit decide {case.item.id} edit`.",
            )
        found.append(blocks.field(ALL, "Arguments, as JSON", _input(whole)))
    found += [_reason(required=False), blocks.context("Changed arguments are judged anew, and may need another's yes.")]
    return blocks.form("Edit and approve", EDITED, kept, found, submit="Approve")


def edited(case: Case, clean: cards.Clean, values: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The arguments as the form has them. Raises `FieldError` where a field cannot be read."""
    args = dict(case.args or {})
    if ALL in values:
        given = _json(ALL, typed(values[ALL]))
        if not isinstance(given, dict):
            raise FieldError(ALL, "Write a JSON object.")
        hidden = {name: value for name, value in args.items() if name not in editable(case, clean)}
        return {**given, **hidden}
    for name in editable(case, clean):
        if f"arg:{name}" in values:
            said = typed(values[f"arg:{name}"])
            args[name] = said if isinstance(args[name], str) else _json(f"arg:{name}", said)
    return args


def editable(case: Case, clean: cards.Clean) -> dict[str, Any]:
    """The arguments that may be shown."""
    args = canonical.plain(case.args or {})
    return {name: value for name, value in args.items() if clean({name: value}) == {name: value}}


def answer(item: InboxItem, kept: str) -> Block:
    """Asks for a typed answer."""
    form = form_of(item)
    found = [blocks.paragraph(cards.sentence(item)), _answer_field(item, form)]
    if form.may_remember:
        option = blocks.option("Remember the answer, so that this is not asked again", "yes")
        found.append(blocks.field(REMEMBER, "Remember", {"type": "checkboxes", "options": [option]}, optional=True))
    if item.kind is not ItemKind.QUESTION:
        found.append(_reason(required=False))
    return blocks.form("Answer", ANSWERED, kept, found)


def answered(item: InboxItem, values: Mapping[str, Mapping[str, Any]]) -> tuple[Any, bool]:
    """The answer that a form has, and whether it is to be remembered. Raises `FieldError`."""
    form = form_of(item)
    said = _only(next(block for name, block in values.items() if name.partition(":")[0] == ANSWER))
    remember = REMEMBER in values and bool(_only(values[REMEMBER]).get("selected_options"))
    if form.options:
        chosen = said.get("selected_option")
        number = int(chosen["value"]) if chosen is not None and str(chosen["value"]).isdigit() else -1
        if not 0 <= number < len(form.options):
            raise FieldError(ANSWER, "Choose one of the options.")
        return form.options[number].value, remember
    wrote = str(said.get("value") or "")
    return (wrote if form.kind in {"text", "json"} else _json(ANSWER, wrote)), remember


def found_options(item: InboxItem, typed: str) -> list[Block]:
    """The options that fit what somebody types, for a long list."""
    wanted = typed.casefold().split()
    fitting = (
        (number, option)
        for number, option in enumerate(form_of(item).options)
        if all(word in f"{_label(option)} {option.value}".casefold() for word in wanted)
    )
    return [
        blocks.option(_label(option), str(number)) for (number, option), _ in zip(fitting, range(_LISTED), strict=False)
    ]


def details(case: Case, clean: cards.Clean, zone: str) -> Block:
    """Everything about a request, to read."""
    named = [*cards.facts(case, clean, zone)]
    if case.asked_args is not None and case.asked_args != case.args:
        named.append(("The agent had asked for", text.shown(clean(case.asked_args))))
    named += [(role.replace("_", " ").capitalize(), ", ".join(holders)) for role, holders in case.raci.items()]
    for policy in case.policies:
        named.append((f"Policy {text.line(policy.id, 60)}", text.text(policy.text, 1_500)))
    for past in case.history[:5]:
        by = (past["override"] or {}).get("by") or "nobody"
        named.append(("Decided before", f"{past['created_at']:%Y-%m-%d} {past['status']}, by {by}"))
    named += [("May answer", ", ".join(case.item.assignees) or "nobody"), ("Session", case.item.session_id or "none")]
    named.append(("Item", case.item.id))
    return blocks.form("Details", "remit_form_details", "", [*_lines(case, named)], submit=None)


def explained(title: str, said: str) -> Block:
    """A form's place taken by an explanation."""
    return blocks.form(title, "remit_form_explained", "", [blocks.paragraph(said)], submit=None)


class FieldError(Exception):
    """A field that cannot be read; Slack shows the words below it."""

    def __init__(self, block: str, words: str) -> None:
        super().__init__(words)
        self.block = block
        self.words = words


def _lines(case: Case, named: list[tuple[str, str]]) -> Iterator[Block]:
    yield blocks.paragraph(cards.sentence(case.item))
    yield from blocks.facts(named)


def _answer_field(item: InboxItem, form: Form) -> Block:
    hint = f"Wanted: {form.wanted}"
    if form.kind == "yes-no" or (form.options and len(form.options) <= _LISTED and form.kind != "record"):
        options = [blocks.option(_label(option), str(n)) for n, option in enumerate(form.options)]
        return blocks.field(ANSWER, "Answer", {"type": "static_select", "options": options})
    if form.options:
        # The item's id stands in the block's, because Slack names no form when it asks for options.
        element = {"type": "external_select", "min_query_length": 0, "action_id": SEARCH}
        return blocks.field(f"{ANSWER}:{item.id}", "Answer", element, hint="Type to search.")
    if form.kind == "number":
        limits = {"min_value": form.minimum, "max_value": form.maximum}
        given = {name: _plain(value) for name, value in limits.items() if value is not None}
        return blocks.field(
            ANSWER, "Answer", {"type": "number_input", "is_decimal_allowed": not form.whole, **given}, hint=hint
        )
    most = {"max_length": min(form.max_length or _LONGEST, _LONGEST)}
    least = {"min_length": form.min_length} if form.min_length else {}
    multiline = form.multiline or form.kind == "json"
    element = {"type": "plain_text_input", "multiline": multiline, **most, **least}
    return blocks.field(ANSWER, "Answer", element, hint=hint, optional=form.kind == "text" and not form.min_length)


def _reason(*, required: bool) -> Block:
    element = {"type": "plain_text_input", "multiline": True, "max_length": 1_000}
    return blocks.field(REASON, "Reason", element, optional=not required)


def _input(value: str) -> Block:
    return {
        "type": "plain_text_input",
        "multiline": "\n" in value or len(value) > 80,
        "max_length": _LONGEST,
        **({"initial_value": value} if value else {}),
    }


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def typed(block: Mapping[str, Any]) -> str:
    """What somebody wrote into a field; empty where nothing."""
    return str(_only(block).get("value") or "")


def _only(block: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(iter(block.values()), {})


def _json(block: str, typed: str) -> Any:
    try:
        return canonical.parse(typed.strip())
    except InvalidInput as wrong:
        raise FieldError(block, f"This cannot be read: {text.line(wrong.message, 120)}") from None


def _label(option: Option) -> str:
    more = ", ".join(str(v) for v in option.details.values())
    return f"{option.label} ({more})" if more else option.label


def _plain(number: float) -> str:
    return f"{number:g}" if number != int(number) else str(int(number))
