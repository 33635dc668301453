"""The one form of an export's lines, and what is left out of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.evidence.lines import Chain, LineError, bytes_of, decode, encode, parse_spans, spans, text_of
from remit.evidence.runs import REDACTED, Redactor

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_a_line_has_one_form(value):
    line = {"kind": "run", "inputs": value, "chain": "x"}
    raw = encode(line) + b"\n"
    assert decode(raw) == line
    assert raw.count(b"\n") == 1


@pytest.mark.parametrize(
    "raw",
    [b'{"kind":"run", "chain":"x"}\n', b'{"chain":"x","kind":"run"}\n', b'{"kind":"run","a":1,"a":1,"chain":"x"}\n',
     b'{"kind":"run","a":1.0e0,"chain":"x"}\n', b'{"kind":"run","a":"\\u0041","chain":"x"}\n',
     b'{"kind":"run","chain":"x"}', b'{"kind":"record","body":"","index":0,"leaf":"","root":""}\n',
     b'{"kind":"checkpoint","note":"","final":true,"more":1}\n'],
)  # fmt: skip
def test_another_form_of_the_same_line_is_refused(raw):
    with pytest.raises(LineError):
        decode(raw)


def test_lone_surrogates_survive():
    line = {"kind": "run", "a": "\ud800ü", "chain": "x"}
    assert decode(encode(line) + b"\n") == line


@given(st.binary())
def test_contents_come_back_as_they_were(body):
    assert bytes_of(*text_of(body)) == body


def test_unknown_encodings_are_refused():
    for encoding, text in (("utf-16", "x"), ("base64", "AR=="), ("utf-8", 5), (None, "x")):
        with pytest.raises(LineError):
            bytes_of(encoding, text)


@given(st.sets(st.integers(0, 10_000), max_size=60))
def test_spans_come_back(numbers):
    assert parse_spans(spans(sorted(numbers))) == sorted(numbers)


@pytest.mark.parametrize("text", ["x", "1-", "-", "1,,2", "1-99999999999", "-3"])
def test_spans_that_are_none_are_refused(text):
    with pytest.raises(LineError):
        parse_spans(text)


def test_a_chain_depends_on_order_and_every_line():
    def chain(*lines):
        made = Chain()
        for line in lines:
            made.link(line)
        return made.hex()

    a, b = {"kind": "run", "n": 1}, {"kind": "run", "n": 2}
    assert len({chain(), chain(a), chain(b), chain(a, b), chain(b, a), chain(a, a)}) == 6


def test_a_path_is_left_out_at_every_depth():
    redactor = Redactor({"payments.refund": ["card.number", "email"], "crm.search": ["people.*.phone"]})
    value = {
        "email": "a@b.example",
        "card": {"number": "4111", "brand": "visa"},
        "deep": [{"card": [{"number": 1}, {"number": 2}]}, {"email": None}],
        "people": {"mia": {"phone": "1", "name": "Mia"}},
        "number": 5,
    }
    cleaned = redactor.clean(value)
    assert cleaned == {
        "email": REDACTED,
        "card": {"number": REDACTED, "brand": "visa"},
        "deep": [{"card": [{"number": REDACTED}, {"number": REDACTED}]}, {"email": REDACTED}],
        "people": {"mia": {"phone": REDACTED, "name": "Mia"}},
        "number": 5,
    }
    assert redactor.touches(value)
    assert not redactor.touches({"card": "4111", "number": 4})
    assert json.dumps(value).count("4111") == 1
    assert Redactor().clean(value) is value
