"""TOML and JSON: the standard library reads them, and every key has its place."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.config.json_source import read_json
from remit.config.source import Mark, SourceError
from remit.config.toml_source import read_toml

TEXT = b'''# c
a = 1
b.c = "x" # k
[t."x.y".z]
q = """multi ""quoted""
line"""
r = [1, [2,
  3], {a = 1, b = {c=2}}]
[[arr]]
n = 1
[[arr]]
n = 2
[arr.sub]
k = 'l'
[models."openai:gpt"]
price = { input = "1.25", output = 10.5 }
d = """\\
  hello \\"""  """
e = 5
'''


def refused(read, data: bytes) -> list[str]:
    with pytest.raises(SourceError) as caught:
        read("f", data)
    return [f"{p.line}:{p.column} {p.message}" for p in caught.value.problems]


def test_the_value_is_what_the_standard_library_reads():
    assert read_toml("f", TEXT).value == tomllib.loads(TEXT.decode())


@pytest.mark.parametrize(
    ("path", "key", "place"),
    [
        (("a",), False, (2, 5)),
        (("b", "c"), True, (3, 3)),
        (("t", "x.y", "z", "q"), False, (5, 5)),
        (("t", "x.y", "z", "r", 1, 1), False, (8, 3)),
        (("t", "x.y", "z", "r", 2, "b", "c"), True, (8, 20)),
        (("arr", 1, "n"), False, (12, 5)),
        (("arr", 1, "sub", "k"), True, (14, 1)),
        (("models", "openai:gpt"), False, (15, 9)),
        (("models", "openai:gpt", "price", "output"), False, (16, 36)),
        (("models", "openai:gpt", "e"), False, (19, 5)),
        (("models", "openai:gpt", "absent"), False, (15, 9)),
        (("absent",), False, (1, 1)),
    ],
)
def test_places(path, key, place):
    assert read_toml("f", TEXT).at(path, key=key) == Mark(*place)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a = ", "1:5 this is not TOML"),
        (b"a = 1\r\nb = 2\r\n\r\nc =", "4:4 this is not TOML"),
        (b"a = 1\na = 2", "2:6 this is not TOML"),
        (b"a = nan", "1:5 this is not a finite number"),
        (b"x = 1\nb = 1979-05-27", "2:5 no setting takes a date"),
        (b"c = [1, 1e999]", "1:9 this is not a finite number"),
        (b"a = " + b"[" * 5000, "nested deeper"),
        (b"a = " + b"[" * 100 + b"]" * 100, "nested deeper"),
        (b"a = " + b"1" * 5000, "this is not TOML"),
        (b"a = 0x" + b"f" * 100, "1:5 this number has more than 40 digits"),
        (b"a = 1\n\xff", "2:1 this is not UTF-8"),
    ],
)
def test_toml_refusals(data, said):
    assert said in refused(read_toml, data)[0]


def test_every_wrong_value_is_told():
    assert len(refused(read_toml, b"a = nan\nb = 1979-05-27\nc = inf")) == 3


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a": 1,}', "1:9 this is not JSON"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "1:24 the key `c` stands twice"),
        (b'{"a": NaN}', "1:1 this is not JSON: NaN"),
        (b'{"a": "\\ud800"}', "1:7 half a character"),
        (b"[" * 100 + b"]" * 100, "nested deeper"),
        (b"[" * 100_000, "nested deeper"),
        (b"", "1:1 this is not JSON"),
    ],
)
def test_json_refusals(data, said):
    assert said in refused(read_json, data)[0]


def test_json_is_located_when_somebody_asks():
    source = read_json("f", b'{\n "a": {\n  "b": 1}}')
    assert source.value == {"a": {"b": 1}}
    assert source.at(("a", "b")) == Mark(3, 8)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=120), st.text("a=.[]{}'\"#,\n\r \\01-:T", max_size=60).map(str.encode)))
def test_any_bytes_are_read_or_refused(data):
    for read in (read_toml, read_json):
        try:
            value = read("f", data)
        except SourceError as error:
            assert all(p.line >= 1 and p.column >= 1 for p in error.problems)  # noqa: PT017 - either way is right
        else:
            assert value.file == "f"


toml_values = st.recursive(
    st.integers(-9, 9) | st.booleans() | st.text("ab'\"\\\n ]},#=", max_size=5),
    lambda inside: (
        st.lists(inside, max_size=3) | st.dictionaries(st.text("ab.\" ]'=", min_size=1, max_size=3), inside, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text("xy", min_size=1, max_size=3), toml_values, max_size=4))
def test_every_path_of_any_document_has_its_place(value):
    source = read_toml("f", "\n".join(f"{_quoted(k)} = {_written(v)}" for k, v in value.items()).encode())
    assert source.value == value
    for path in _paths(value, ()):
        assert path in source.values


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _written(value) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return _quoted(value)
        case list():
            return "[" + ",\n ".join(map(_written, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{_quoted(k)} = {_written(v)}" for k, v in value.items()) + "}"
        case _:
            return str(value)


def _paths(value, path):
    for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        if isinstance(inside, dict | list):
            yield from _paths(inside, (*path, key))
