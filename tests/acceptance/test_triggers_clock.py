"""Schedules against a real database and a clock that the tests move: due, missed, paused, changed, set back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from remit.config.loader import load_project
from remit.governance.deployments import deploy
from remit.runtime.triggers import Triggers
from tests.acceptance.shop import Shop

STEPS = "{steps: [{tool: peek}]}"


class Desk:
    """A shop with triggers, and a clock that stands until it is moved."""

    def __init__(self, shop: Shop, now: str) -> None:
        self.shop = shop
        self.now = at(now)
        self.triggers = self.another()

    def another(self) -> Triggers:
        """Another process's triggers."""
        services = self.shop.services
        return Triggers(services.pool, services.deployments, services.sessions, now=lambda _db: self.now)

    def look(self, now: str | None = None) -> list[str]:
        """Look, at a time; what was fired since the last look, as keys."""
        before = set(self.fired())
        if now is not None:
            self.now = at(now)
        self.triggers.look()
        return sorted(set(self.fired()) - before)

    def fired(self, status: str = "started") -> list[str]:
        with self.shop.services.sessions.transaction() as db:
            rows = db.execute("select key from remit.firings where status = %s order by due_at, key", (status,))
            return [row["key"] for row in rows]

    def sessions(self) -> list[dict[str, Any]]:
        with self.shop.services.sessions.transaction() as db:
            return db.execute("select * from remit.sessions order by id").fetchall()

    def deploy(self, **files: str) -> None:
        """Put other files in force."""
        for name, text in files.items():
            path = self.shop.folder / f"{name}.yaml"
            path.write_text(text)
        with self.shop.services.sessions.transaction() as db:
            deploy(db, load_project(self.shop.folder), self.shop.folder / ".remit" / "deploy.key", "person:ada")
        self.shop.services.deployments.load()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def schedule(cron: str = "0 * * * *", **more: str) -> str:
    fields = {"kind": "schedule", "agent": "clerk", "cron": f'"{cron}"', "input": STEPS, **more}
    return "triggers:\n  daily: {" + ", ".join(f"{k}: {v}" for k, v in fields.items()) + "}\n"


@pytest.fixture
def make(changed_shop: Callable[..., Shop]) -> Callable[..., Desk]:
    def made(triggers: str, now: str, **changed: str) -> Desk:
        return Desk(changed_shop(**{"triggers.yaml": triggers}, **changed), now)

    return made


def test_a_new_schedule_begins_with_what_is_to_come(make: Callable[..., Desk]) -> None:
    desk = make(schedule(), "2026-03-02T09:00:30")
    assert desk.look() == []
    assert desk.look("2026-03-02T09:59:59") == []
    assert desk.look("2026-03-02T10:00:00") == ["2026-03-02T10:00:00Z"]
    assert desk.look("2026-03-02T10:00:01") == []
    (session,) = desk.sessions()
    assert (session["principal"], session["trigger"], session["status"]) == ("trigger:daily", "daily", "running")


def test_two_workers_fire_a_time_once(make: Callable[..., Desk]) -> None:
    desk = make(schedule(), "2026-03-02T09:30:00")
    other = desk.another()
    desk.look()
    desk.now += timedelta(minutes=30)
    other.look()
    assert desk.look() == []
    assert len(desk.sessions()) == 1
