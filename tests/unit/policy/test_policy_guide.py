"""The guide's policies are policies, and do what the guide says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from remit.governance.policy import RACI_ROLES
from remit.governance.policy.vocabulary import ATTRIBUTES

GUIDE = (Path(__file__).parents[3] / "docs" / "how-to" / "write-a-policy.md").read_text("utf-8")
BLOCKS = re.findall(r"```cedar\n(.*?)```", GUIDE, re.DOTALL)


def test_all_examples_together_have_no_problems(desk):
    assert desk.check("\n".join(BLOCKS)) == []


@pytest.mark.parametrize(
    ("args", "kind"),
    [
        ({"amount": 50}, "permit"),
        ({"amount": 120}, "needs_approval"),
        ({"amount": 600}, "forbid"),
        ({"currency": "EUR"}, "forbid"),
    ],
)
def test_the_first_example_does_what_the_guide_says(desk, args, kind):
    assert desk.engine(BLOCKS[0]).judge(desk.question(**args)).kind == kind


def test_every_attribute_and_role_is_in_the_guide():
    for path in ATTRIBUTES:
        assert f".{path[-1]}`" in GUIDE or f"`context.{path[-1]}`" in GUIDE or path == ("approved_by",), path
    assert all(f"`{role}`" in GUIDE for role in RACI_ROLES)
