"""Kill -9 at every point of a delegation: one child, one answer, nothing done twice."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.acceptance.delegating import EXTRA, children, job, output, start
from tests.acceptance.shop import Shop

KILLS = [
    ("call:after", 1),  # the child is there, and the parent does not know it
    ("settle:after", 1),
    ("run:after_end", 1),  # the parent waits, and the engine believes that it runs
    ("run:before_end", 2),  # the child's end
    ("run:after_end", 2),
    ("run:before_end", 3),  # the parent's end, with the answer
]


@pytest.mark.parametrize(("point", "count"), KILLS)
def test_whoever_dies_there_is_one_child_and_one_answer(
    changed_shop: Callable[..., Shop], point: str, count: int
) -> None:
    """Runs of the parent, the child and again the parent: the worker dies in each of them."""
    shop = changed_shop(**EXTRA)
    doomed = shop.doomed(REMIT_KILL_AT=f"{point}:{count}")
    session = start(shop, job({"pay": "kim", "amount": 20}))
    assert doomed.wait(60) == -signal.SIGKILL
    shop.bury(doomed)
    shop.worker()
    (said,) = output(shop, session)
    assert said["output"] == 20
    assert children(shop, session) == [said["session"]]
    assert [b["who"] for b in shop.books()] == ["kim"]
