"""YAML is read with exact marks, and nothing in it can surprise or overwhelm."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.config.source import MAX_BYTES, MAX_DEPTH, Mark, SourceError
from remit.config.yaml_source import MAX_ANCHORS, read_yaml


def refused(text: str | bytes) -> list[str]:
    with pytest.raises(SourceError) as caught:
        read_yaml("f.yaml", text if isinstance(text, bytes) else text.encode())
    return [f"{p.line}:{p.column} {p.message}" for p in caught.value.problems]


def test_values_follow_the_core_schema_of_yaml_1_2():
    text = "a: no\nb: 2026-11-21\nc: 0o17\nd: 1_000\ne: '5'\nf: true\ng: ~\nh: 99.50\ni: 0x1F\nj: -3\nk: 1:30\nl:\n"
    assert read_yaml("f.yaml", text.encode()).value == {
        "a": "no", "b": "2026-11-21", "c": 15, "d": "1_000", "e": "5", "f": True,
        "g": None, "h": 99.5, "i": 31, "j": -3, "k": "1:30", "l": None,
    }  # fmt: skip


def test_every_key_and_value_has_its_exact_place():
    source = read_yaml("f.yaml", b"# c\nactions:\n  pay.refund:\n    caps: {each: [1, 2]}\n  x:\n  - y: 'z'\n")
    assert source.at(("actions", "pay.refund")) == Mark(3, 3)
    assert source.at(("actions", "pay.refund", "caps", "each", 1)) == Mark(4, 22)
    assert source.at(("actions", "x", 0, "y")) == Mark(6, 8)
    assert source.at(("actions", "x", 0, "y"), key=True) == Mark(6, 5)
    assert source.at(("actions", "x", 0)) == Mark(6, 5)
    assert source.at(("actions", "absent", "deep")) == Mark(2, 1)
    assert source.at(("nothing",)) == Mark(1, 1)


def test_a_byte_order_mark_shifts_no_column():
    assert read_yaml("f.yaml", b"\xef\xbb\xbfa: 1").at(("a",)) == Mark(1, 4)


def test_an_alias_stands_for_its_value_and_is_found_where_it_is_used():
    source = read_yaml("f.yaml", b"a: &x {k: 1}\nb: *x\n")
    assert source.value == {"a": {"k": 1}, "b": {"k": 1}}
    assert source.at(("b", "k")) == Mark(2, 1)


def test_all_duplicate_and_odd_keys_are_told_at_once():
    assert refused("a: 1\nb: 2\na: 3\nb: 4\n1: x\nnull: y\n") == [
        "3:1 the key `a` stands twice; first in line 1",
        "4:1 the key `b` stands twice; first in line 2",
        "5:1 the key `1` is not text",
        "6:1 the key `null` is not text",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: !!python/object/apply:os.system ['x']", "1:4 the tag `tag:yaml.org,2002:python/object/apply:os.system`"),
        ("a: !!str 5", "1:4 the tag"),
        ("a: ! x", "1:4 the tag"),
        ("a: &a [*a]", "1:8 the alias `*a` stands inside what it refers to"),
        ("a: *b", "1:4 the alias `*b` refers to nothing"),
        ("? [a]\n: b", "1:3 a key that is not plain text"),
        ("a: &x {k: 1}\nb:\n  <<: *x", "3:3 merge keys"),
        ("a: 1\n---\nb: 2", "2:1 a second document"),
        ("a: .nan", "1:4 this is not a finite number"),
        ("a: 1e999", "1:4 this is not a finite number"),
        ("a: 0.12345678901234567890", "1:4 this number has more digits"),
        (f"a: {'9' * 50}", "1:4 this number has more than 40 digits"),
        ("a: {b: 1", "1:9 this is not YAML"),
        ("a:\n\t- b", "2:1 this is not YAML"),
        ("a: \x01", "1:4 a control character"),
        ('a: "\\ud800"', "1:4 half a character"),
        ('"\\ud800": 1', "1:1 half a character"),
        ("a: " + "[" * 200 + "]" * 200, f"nested deeper than {MAX_DEPTH}"),
        ("".join(f"k{i}: &a{i} 1\n" for i in range(MAX_ANCHORS + 1)), f"more than {MAX_ANCHORS} anchors"),
    ],
)
def test_refusals_say_what_and_where(text, said):
    assert any(said in line for line in refused(text)), refused(text)


def test_bytes_that_are_no_text_are_refused_at_their_place():
    assert refused(b"a: 1\nb: \xff\n") == ["2:4 this is not UTF-8 text"]


def test_a_file_over_the_limit_is_not_read():
    assert "at most 1,000,000" in refused(b"#" * (MAX_BYTES + 1))[0]


def test_aliases_may_not_nest_deeper_than_values():
    chain = "a0: &a0 [1]\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 90))
    assert f"nests deeper than {MAX_DEPTH}" in refused(chain)[0]


@pytest.mark.parametrize(
    "bomb",
    [
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{c}: &{c} [{','.join([f'*{p}'] * 10)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)),
        "a: &a {x: 1}\nb: [" + "*a," * 90_000 + "]",
        "[" * 900_000,
        "{a: " * 200_000,
        "- " * 400_000,
        "a: " + "!" * 900_000,
    ],
    ids=["laughs", "aliases", "brackets", "braces", "dashes", "tag"],
)
def test_a_bomb_is_refused_within_a_second(bomb):
    began = time.process_time()
    assert refused(bomb)
    assert time.process_time() - began < 1


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200), st.text("a&*!|>'\"{}[]:,-?#%@`~<\\ \n\t\r0.\ud7ff\u2028", max_size=80).map(str.encode)
    )
)
def test_any_bytes_are_read_or_refused(data):
    try:
        source = read_yaml("f.yaml", data)
    except SourceError as error:
        assert all(p.line >= 1 and p.column >= 1 and p.message and p.mend for p in error.problems)  # noqa: PT017
    else:
        assert source.file == "f.yaml"
