"""Which lists are drawn as a table, and that nothing is left out of one in silence."""

import pytest

from remit.surfaces.web.tables import Table, tabled


def test_like_things_become_rows():
    given = [
        {
            "name": "Amber",
            "points": 50,
            "big": True,
            "why": [{"code": "a", "text": "a deal"}, {"code": "b", "text": "late"}],
        },
        {"name": "Umbra", "since": None, "tags": ["x", 2]},
    ]
    assert tabled(given) == Table(
        ("name", "points", "big", "why", "since", "tags"),
        (("Amber", "50", "yes", "a deal; late", "", ""), ("Umbra", "", "", "", "", "x; 2")),
    )


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        [1, 2],
        [{}],
        [{"a": 1}, 2],
        {"a": 1},
        [{"a": {"b": 1}}],
        [{"a": [{"text": "seen", "more": "hidden"}]}],
        [{"a": [{"b": 1}]}],
        [{str(n): n for n in range(9)}],
        [{"a": 1}] * 201,
    ],
)
def test_what_a_table_would_hide_stays_json(given):
    assert tabled(given) is None


def test_what_is_long_or_strange_is_shown_as_elsewhere():
    (row,) = tabled([{"a": "x" * 1000, "b": "\u202eevil"}]).rows
    assert len(row[0]) < 500
    assert "\u202e" not in row[1]
