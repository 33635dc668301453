"""`remit.match`: names as people write them, and names as a system has them."""

from __future__ import annotations

import pytest

from remit.runtime.builtins.matching import best

ACCOUNTS = [
    {"id": "a1", "names": ["Nordlys Interiors AB", "nordlys.example"]},
    {"id": "a2", "names": ["Nordlys Energi AS"]},
    {"id": "a3", "names": ["Pohl Metallbau GmbH"]},
    {"id": "a4", "names": ["Vogel-Apotheke", "Apotheke Vogel e.K."]},
]


@pytest.mark.parametrize(
    ("query", "meant"),
    [("nordlys interiors", "a1"), ("POHL Metallbau", "a3"), ("Apotheke  vogel", "a4"), ("Pohl Metalbau", "a3")],
)
def test_a_name_that_is_written_otherwise(query: str, meant: str) -> None:
    first, second = best(query, ACCOUNTS, 5)[:2]
    assert first["id"] == meant
    assert first["score"] > 0.9
    assert first["score"] - second["score"] > 0.2, "nobody has to be asked"


def test_a_part_that_two_share_is_a_tie_below_certainty() -> None:
    found = best("Nordlys", ACCOUNTS, 5)
    assert [one["id"] for one in found[:2]] == ["a1", "a2"]
    assert found[0]["score"] == found[1]["score"] == 0.9


def test_nothing_alike_scores_low_and_nothing_given_gives_nothing() -> None:
    assert best("Zebra Holdings", ACCOUNTS, 1)[0]["score"] < 0.5
    assert best("Zebra", [], 5) == []
    assert best("GmbH", [{"id": "x", "names": ["GmbH"]}], 5)[0]["score"] == 1.0
    assert len(best("o", ACCOUNTS, 2)) == 2
