"""Questions as forms, and answers as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from remit.domain.inbox import InboxItem, ItemKind, ItemStatus
from remit.domain.questions import check_schema, form_of, parse_answer
from remit.errors import InvalidInput
from remit.runtime.programs.child.asks import NOTHING, more_of, schema_of


def asked(kind: ItemKind = ItemKind.QUESTION, **ways: Any) -> InboxItem:
    """An item; `ways` as in session.ask."""
    schema = schema_of(**{"schema": None, "choices": None, "text": False, "number": False, "yes_no": False, **ways})
    detail = {"schema": schema} if kind is ItemKind.QUESTION else {}
    now = datetime.now(UTC)
    return InboxItem(
        "itm_1", kind, ItemStatus.OPEN, "ses_1", None, None, "shop", "?", (), (), now, None, None, 0, detail
    )


RECORDS = [{"id": "a1", "title": "Acme", "owner": "bo"}, {"id": "a2", "title": "Acme"}, {"id": 3, "title": "Three"}]
WAYS: list[tuple[dict[str, Any], str, list[tuple[Any, Any]], list[Any]]] = [
    ({"choices": ["yes", "no"]}, "choice", [("yes", "yes"), (" no ", "no"), ("YES", "yes")], ["maybe", "", True]),
    (
        {"choices": [1, "1", True]},
        "choice",
        [("1", "1"), (1, 1), (True, True), ("true", True)],
        [2, "on", Decimal("1.5")],
    ),
    ({"choices": {"a": "Alpha", "b": "Beta"}}, "choice", [("a", "a"), ("beta", "b")], ["Gamma", None]),
    ({"choices": RECORDS}, "record", [("a1", "a1"), ("3", 3), ("three", 3)], ["Acme", "acme", {"id": "a1"}]),
    ({"choices": [{"x": 1}]}, "choice", [('{"x": 1}', {"x": 1}), ({"x": 1}, {"x": 1})], ["x"]),
    ({"yes_no": True}, "yes-no", [("Yes", True), ("n", False), (True, True)], ["perhaps", 1, None]),
    ({"text": True}, "text", [("true", "true"), ("", ""), (" as it is\n", " as it is\n")], [1, None, ["x"]]),
    ({"text": {"min": 2, "max": 3}}, "text", [("ab", "ab")], ["a", "abcd"]),
    (
        {"number": True},
        "number",
        [("1.5", Decimal("1.5")), (" -2 ", -2), (0.5, Decimal("0.5"))],
        ["1,5", "NaN", "", True],
    ),
    ({"number": {"min": 0, "max": 9, "whole": True}}, "number", [("9", 9), ("3.0", 3)], ["9.5", -1, 10, "1e1"]),
    ({"schema": {"type": "object", "required": ["a"]}}, "json", [('{"a": 1}', {"a": 1})], ["{}", "a", '{"a":1,"a":2}']),
    ({"schema": {"type": ["string", "null"]}}, "json", [("null", None), ("17x", "17x"), ("17", "17")], [17]),
]


@pytest.mark.parametrize(("way", "kind", "right", "wrong"), WAYS)
def test_what_people_write_is_read_as_the_form_says(
    way: dict[str, Any], kind: str, right: list[tuple[Any, Any]], wrong: list[Any]
) -> None:
    item = asked(**way)
    form = form_of(item)
    assert form.kind == kind
    check_schema(item.detail["schema"])
    for given, value in right:
        found = parse_answer(item, given)
        assert (type(found), found) == (type(value), value), given
    for given in wrong:
        with pytest.raises(InvalidInput) as refused:
            parse_answer(item, given)
        assert form.wanted in refused.value.message, given
        assert form.wanted in refused.value.advice


def test_forms_say_what_surfaces_need() -> None:
    form = form_of(asked(choices=RECORDS))
    assert next((o.value, o.label, o.details) for o in form.options) == ("a1", "Acme", {"owner": "bo"})
    assert form.wanted == "one of: a1 (Acme), a2 (Acme), 3 (Three)"
    form = form_of(asked(text={"min": 1, "max": 500, "multiline": True}))
    assert (form.min_length, form.max_length, form.multiline) == (1, 500, True)
    assert form.wanted == "a text from 1 to 500 characters"
    form = form_of(asked(number={"min": 0, "whole": True}))
    assert (form.minimum, form.maximum, form.whole, form.wanted) == (0, None, True, "a whole number of at least 0")
    assert form_of(asked(choices=list(range(40)))).wanted.endswith(" and 28 more")


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (ItemKind.RECONCILIATION, "happened", "perhaps"),
        (ItemKind.RECONCILIATION, "It did not happen", True),
        (ItemKind.ATTENTION, "continue", None),
        (ItemKind.ATTENTION, "cancel", {"verdict": "cancel"}),
    ],
)
def test_other_kinds_take_their_own_words(kind: ItemKind, right: str, wrong: Any) -> None:
    item = asked(kind, yes_no=True)
    assert parse_answer(item, right) in {o.value for o in form_of(item).options}
    with pytest.raises(InvalidInput, match="say `"):
        parse_answer(item, wrong)


@pytest.mark.parametrize("schema", [{"type": "txt"}, {"enum": 3}, {"minimum": "a"}, {"properties": []}])
def test_a_schema_that_is_none_is_refused_before_anybody_is_asked(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="no JSON Schema"):
        check_schema(schema)


def test_a_schema_fetches_nothing() -> None:
    with pytest.raises(InvalidInput, match="not looked up"):
        parse_answer(asked(schema={"$ref": "http://127.0.0.1:9/schema.json"}), "x")


@pytest.mark.parametrize(
    "ways",
    [
        {},
        {"choices": []},
        {"choices": "yes"},
        {"choices": ["a"], "text": True},
        {"text": {"least": 1}},
        {"number": 3},
        {"schema": {}, "yes_no": True},
    ],
)
def test_a_question_is_asked_in_exactly_one_way(ways: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        asked(**ways)


MORE: dict[str, Any] = {
    "timeout": None,
    "default": NOTHING,
    "then": (),
    "remember": None,
    "scope": "agent",
    "subject": None,
    "keep_days": None,
}


def test_what_else_belongs_to_a_question_is_sent_only_where_it_was_given() -> None:
    assert more_of(**MORE) == {}
    given = more_of(
        **{
            **MORE,
            "timeout": timedelta(hours=2),
            "default": None,
            "then": [("cleo", 60)],
            "remember": "k",
            "keep_days": 9,
        }
    )
    assert given == {
        "timeout": 7200.0,
        "default": None,
        "then": [{"to": "cleo", "after": 60}],
        "remember": {"key": "k", "scope": "agent", "subject": None, "keep_days": 9},
    }
    for wrong in (
        {"default": 1},
        {"timeout": 0},
        {"timeout": float("inf")},
        {"timeout": True},
        {"then": [("cleo", -1)]},
        {"then": [(None, 5)]},
        {"scope": "person"},
        {"keep_days": 3},
        {"remember": ""},
        {"remember": "k", "scope": "all"},
    ):
        with pytest.raises((TypeError, ValueError)):
            more_of(**{**MORE, **wrong})
