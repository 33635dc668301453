"""Named points on the way of an action at which a process may die, so that tests can make it die there.

Every commit and every call has a point before and after it. `REMIT_KILL_AT=POINT` or `POINT:N` kills this process
with SIGKILL when it passes the point for the N-th time; `REMIT_PAUSE_AT=POINT` stops it with SIGSTOP. Without these
variables a point costs a dictionary look-up.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Literal, get_args

Point = Literal[
    "run:before_epoch",
    "run:after_epoch",
    "admit:before",
    "admit:after",
    "call:before",
    "call:after",
    "settle:after",
    "suspend:before",
    "run:before_end",
    "run:after_end",
    "fire:before",
    "fire:started",
    "fire:written",
    "fire:committed",
]
POINTS: tuple[Point, ...] = get_args(Point)
"""All points, in the order of the way."""

_passed: Counter[str] = Counter()


def passing(point: Point) -> None:
    """Say that this process passes a point."""
    for variable, number in (("REMIT_KILL_AT", signal.SIGKILL), ("REMIT_PAUSE_AT", signal.SIGSTOP)):
        wanted = os.environ.get(variable)
        if wanted is None:
            continue
        name, _, count = wanted.rpartition(":") if wanted.rpartition(":")[2].isdigit() else (wanted, "", "1")
        if name == point:
            _passed[f"{variable}{point}"] += 1
            if _passed[f"{variable}{point}"] == int(count):
                os.kill(os.getpid(), number)
