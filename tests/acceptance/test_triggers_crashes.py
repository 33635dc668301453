"""Kill -9 at every step of firing: everybody's session once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from remit.runtime.boundaries import POINTS
from tests.acceptance.shop import Shop

OF_A_FIRING = [p for p in POINTS if p.startswith("fire:")]


def rows(shop: Shop, what: str, *values: Any) -> list[dict[str, Any]]:
    with shop.services.sessions.transaction() as db:
        return db.execute(what, values).fetchall()


def test_a_worker_dies_at_each_step_of_firing(changed_shop: Callable[..., Shop]) -> None:
    """It takes everybody's session with it or nobody's: none is lost, and nobody gets two."""
    schedule = '{kind: schedule, agent: clerk, cron: "0 0 1 1 *", input: {steps: []}, people: [ada, bo, cleo, dov]}'
    names = {point: point.replace(":", "-") for point in OF_A_FIRING}
    lines = "".join(f"\n  {name}: {schedule}" for name in names.values())
    shop = changed_shop(**{"triggers.yaml": f"triggers:{lines}"})
    shop.services.triggers.look()
    for point, name in names.items():
        with shop.services.sessions.transaction() as db:
            db.execute("update remit.trigger_clocks set next_at = '2026-01-01T00:00:00Z' where trigger = %s", (name,))
        doomed = shop.doomed(REMIT_KILL_AT=point, wait=False)
        assert doomed.wait(60) == -signal.SIGKILL
        committed = rows(shop, "select count(*) as n from remit.firings where trigger = %s", name)[0]["n"]
        assert committed == (4 if point == "fire:committed" else 0), point
        shop.services.triggers.look()
    found = rows(shop, "select f.trigger, f.key, count(w.workflow_uuid) as runs from remit.firings f "
                       "join dbos.workflow_status w on w.queue_partition_key = f.session_id group by 1, 2")  # fmt: skip
    assert [row["runs"] for row in found] == [1] * 16
    assert rows(shop, "select count(*) as n from remit.sessions") == [{"n": 16}]
