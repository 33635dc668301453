"""Questions: what a person is asked, how the answer has to look, and how it is read from whatever surface it came.

A question carries a JSON Schema. The shortcuts that programs and model agents use (choices, records, text, numbers,
yes or no) are schemas of a certain shape, and `form_of` finds that shape again, so that every surface can draw buttons,
a list or a field without knowing JSON Schema. Keywords beginning with `x-` are hints for the form and restrict nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from remit.domain import canonical
from remit.domain.inbox import InboxItem, ItemKind
from remit.errors import InvalidInput

MAX_ANSWER = 64 * 1024
"""Longest answer, in bytes of canonical JSON."""
FormKind = Literal["choice", "record", "text", "number", "yes-no", "json"]
_SHOWN = 12  # options that a sentence names
_YES, _NO = {"yes", "y", "true"}, {"no", "n", "false"}


@dataclass(frozen=True, slots=True)
class Remember:
    """Under which key an answer is, or may be, remembered."""

    key: str
    scope: Literal["agent", "workspace", "person"] = "agent"
    subject: str | None = None
    """With scope `person`: whose; None is the person whom the work concerns."""
    keep_days: int | None = None
    """None: as long as agent.yaml says."""


@dataclass(frozen=True, slots=True)
class Step:
    """Who is asked as well if nobody has answered after some time."""

    to: str
    """A person's id or `role:ID`."""
    after: timedelta
    """Since the step before, or since the question was asked."""


@dataclass(frozen=True, slots=True)
class Question:
    """What an agent asks a person."""

    text: str
    schema: dict[str, Any]
    """JSON Schema of the answer."""
    to: str | None = None
    """Person, `role:ID` or `channel:NAME`; None: the agent's escalation contact."""
    context: Any = None
    confidence: float | None = None
    timeout: timedelta | None = None
    """When it expires; None: it waits until somebody answers."""
    default: Any = None
    """The answer if it expires, where `has_default`."""
    has_default: bool = False
    then: tuple[Step, ...] = ()
    """Who is asked as well, one after the other; empty: the reporting line."""
    remember: Remember | None = None
    """The key under which the answer may be remembered, and is looked for before anybody is asked."""


@dataclass(frozen=True, slots=True)
class Option:
    """One of the answers to choose from."""

    value: Any
    """The answer itself."""
    label: str
    """What people read."""
    details: Mapping[str, Any]
    """Of a record: what else is known of it."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a surface asks: what kind of field, and within which limits."""

    kind: FormKind
    options: tuple[Option, ...] = ()
    """For `choice` and `record`; of `yes-no` true and false."""
    minimum: float | None = None
    maximum: float | None = None
    whole: bool = False
    """Numbers without a fraction only."""
    min_length: int | None = None
    max_length: int | None = None
    multiline: bool = False
    may_remember: bool = False
    """True: the surface offers to remember the answer, so that this is not asked again."""

    @property
    def wanted(self) -> str:
        """What is taken as an answer, in words."""
        match self.kind:
            case "choice" | "record":
                shown = [_named(option) for option in self.options[:_SHOWN]]
                more = len(self.options) - _SHOWN
                return f"one of: {', '.join(shown)}" + (f" and {more} more" if more > 0 else "")
            case "yes-no":
                return "yes or no"
            case "number":
                return f"a {'whole ' if self.whole else ''}number{_between(self.minimum, self.maximum)}"
            case "text":
                return f"a text{_between(self.min_length, self.max_length)}" + (
                    " characters" if self.min_length is not None or self.max_length is not None else ""
                )
            case "json":
                return "JSON that fits the question's schema"


def form_of(item: InboxItem) -> Form:
    """The form of an item, whatever its kind: a question's own, and the words that the other kinds take."""
    match item.kind:
        case ItemKind.QUESTION:
            return form_of_schema(item.detail.get("schema") or {}, may_remember="remember" in item.detail)
        case ItemKind.RECONCILIATION:
            return _words({"happened": "It happened", "did-not-happen": "It did not happen"})
        case ItemKind.ATTENTION:
            return _words({"continue": "Go on", "cancel": "Cancel the work"})
        case ItemKind.APPROVAL:
            return _words({"approve": "Approve", "deny": "Deny"})
        case ItemKind.IDEA:
            return _words({"accept": "Accept", "decline": "Decline"})


def form_of_schema(schema: Mapping[str, Any], *, may_remember: bool = False) -> Form:
    """The form of a JSON Schema; `json` where it has none of the simple shapes."""
    kinds = schema.get("type")
    one_of = schema.get("oneOf")
    if isinstance(schema.get("enum"), list):
        options = tuple(Option(value, _label(value), {}) for value in schema["enum"])
        return Form("choice", options, may_remember=may_remember)
    if isinstance(one_of, list) and one_of and all(isinstance(o, Mapping) and "const" in o for o in one_of):
        options = tuple(
            Option(o["const"], str(o.get("title") or _label(o["const"])), o.get("x-details") or {}) for o in one_of
        )
        return Form("record" if schema.get("x-record") else "choice", options, may_remember=may_remember)
    match kinds:
        case "boolean":
            options = (Option(True, "Yes", {}), Option(False, "No", {}))
            return Form("yes-no", options, may_remember=may_remember)
        case "string":
            return Form(
                "text",
                min_length=schema.get("minLength"),
                max_length=schema.get("maxLength"),
                multiline=bool(schema.get("x-multiline")),
                may_remember=may_remember,
            )
        case "number" | "integer":
            return Form(
                "number",
                minimum=schema.get("minimum"),
                maximum=schema.get("maximum"),
                whole=kinds == "integer",
                may_remember=may_remember,
            )
        case _:
            return Form("json", may_remember=may_remember)


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises InvalidInput if no answer could ever be held against this schema."""
    plain = canonical.plain(schema)
    try:
        Draft202012Validator.check_schema(plain)
    except SchemaError as error:
        raise InvalidInput(f"the question's schema is no JSON Schema: {error.message[:300]}") from None


def check_answer(schema: Mapping[str, Any], value: Any) -> Any:
    """The answer in canonical form. Raises InvalidInput that says what is wanted."""
    wanted = form_of_schema(schema).wanted
    value = canonical.normalise(value, what="answer")
    size = len(canonical.dumps(value))
    if size > MAX_ANSWER:
        raise InvalidInput(f"the answer has {size:,} bytes; at most {MAX_ANSWER:,} are taken", advice=_advice(wanted))
    # An empty registry: a schema cannot make this process fetch anything.
    validator = Draft202012Validator(canonical.plain(schema), registry=Registry())
    try:
        error = next(validator.iter_errors(canonical.plain(value)), None)
    except Unresolvable:
        raise InvalidInput("the question's schema refers to another document, which is not looked up") from None
    if error is not None:
        raise InvalidInput(
            f"that is not an answer to this question, which takes {wanted}: {error.message[:200]}",
            advice=_advice(wanted),
        )
    canonical.check_unicode(value, what="answer")
    return value


def parse_answer(item: InboxItem, given: Any) -> Any:
    """The answer that somebody gave on a surface, as text or as a value, checked.

    Text is read as the item's form says: a choice by its value or its label, a number as a number, `yes` or `no`, and
    text as it stands. Raises InvalidInput that says what is wanted; nothing is changed then.
    """
    form = form_of(item)
    if item.kind is not ItemKind.QUESTION:
        value = _option(form, given) if isinstance(given, str) else given
        if not any(option.value == value for option in form.options):
            raise InvalidInput(f"say {' or '.join(f'`{o.value}`' for o in form.options)}", advice=_advice(form.wanted))
        return value
    schema = item.detail.get("schema") or {}
    value = _read(form, given, schema) if isinstance(given, str) else given
    return check_answer(schema, value)


def key_of(text: str, schema: Any, context: Any) -> str:
    """The key under which an answer is remembered where the asker names none: of the question itself."""
    return f"answer:{canonical.digest([text, schema, context])[:32]}"


def _read(form: Form, given: str, schema: Mapping[str, Any]) -> Any:
    match form.kind:
        case "text":
            return given
        case "choice" | "record":
            return _option(form, given)
        case "yes-no":
            said = given.strip().casefold()
            return True if said in _YES else False if said in _NO else given
        case "number":
            return _json_or_text(given.strip())
        case "json":
            value = _json_or_text(given)
            try:
                return check_answer(schema, value)
            except InvalidInput:
                return given if value != given and _takes(schema, given) else value


def _takes(schema: Mapping[str, Any], text: str) -> bool:
    try:
        check_answer(schema, text)
    except InvalidInput:
        return False
    return True


def _option(form: Form, given: str) -> Any:
    """The value of the option that a text means: the value as written, or its label in any case, if only one has it."""
    said = given.strip()
    for option in form.options:
        if option.value == given or (isinstance(option.value, str) and option.value == said):
            return option.value
    value = _json_or_text(said)
    for option in form.options:
        if type(option.value) is type(value) and option.value == value:
            return option.value
    named = [o.value for o in form.options if o.label.casefold() == said.casefold()]
    return named[0] if len(named) == 1 else given


def _json_or_text(given: str) -> Any:
    try:
        return canonical.parse(given, what="answer")
    except InvalidInput:
        return given


def _words(options: Mapping[str, str]) -> Form:
    return Form("choice", tuple(Option(value, label, {}) for value, label in options.items()))


def _label(value: Any) -> str:
    return value if isinstance(value, str) else canonical.dumps(canonical.normalise(value)).decode()


def _named(option: Option) -> str:
    value = _label(option.value)
    return (value if value == option.label else f"{value} ({option.label})")[:80]


def _between(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f" from {_plain(least)} to {_plain(most)}"
    if least is not None:
        return f" of at least {_plain(least)}"
    return f" of at most {_plain(most)}" if most is not None else ""


def _plain(number: float) -> str:
    return format(Decimal(str(number)), "f")


def _advice(wanted: str) -> str:
    return f"Answer with {wanted}. The question is still open."
