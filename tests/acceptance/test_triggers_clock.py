"""Schedules against a real database and a clock that the tests move: due, missed, paused, changed, set back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from remit.config.loader import load_project
from remit.governance.deployments import deploy
from remit.runtime.triggers import Triggers
from tests.acceptance.shop import FILES, Shop

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
        before = Counter(self.fired())
        if now is not None:
            self.now = at(now)
        self.triggers.look()
        return sorted((Counter(self.fired()) - before).elements())

    def fired(self, status: str = "started") -> list[str]:
        with self.shop.services.sessions.transaction() as db:
            rows = db.execute("select key from remit.firings where status = %s order by due_at, key", (status,))
            return [row["key"] for row in rows]

    def keys(self, trigger: str, status: str) -> list[str]:
        """Times of the day, of one trigger."""
        found = [f for f in reversed(self.triggers.history(trigger, limit=500)) if f.status == status]
        return [f.key.partition("T")[2].removesuffix("Z") for f in sorted(found, key=lambda f: f.due_at)]

    def reasons(self, trigger: str) -> str:
        """Why the newest was left out or refused."""
        return next(f.reason for f in self.triggers.history(trigger) if f.reason)

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


def directory(**people: str) -> str:
    """The shop's, with other lines for some: a time zone, or more fields."""
    text = FILES["directory.yaml"]
    for who, more in people.items():
        line = next(line for line in text.splitlines() if f"id: {who}," in line)
        changed = line.replace("workspaces:", f"{more if ': ' in more else f'time_zone: {more}'}, workspaces:")
        text = text.replace(line, changed)
    return text


STRICT = FILES["agents/clerk/agent.yaml"] + "input: {type: object, properties: {steps: {type: array}}}\n"


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


def test_what_was_missed_is_left_out_made_up_for_once_or_each(make: Callable[..., Desk]) -> None:
    triggers = schedule("*/10 * * * *", missed="skip").replace("daily", "skip")
    for missed in ("once", "all"):
        triggers += schedule("*/10 * * * *", missed=missed).replace("daily", missed).removeprefix("triggers:\n")
    desk = make(triggers, "2026-03-02T09:01:00")
    assert desk.look() == []
    desk.look("2026-03-02T09:47:00")
    keys = {name: desk.keys(name, "started") for name in ("skip", "once", "all")}
    assert keys == {
        "skip": [],
        "once": ["09:40:00"],
        "all": ["09:10:00", "09:20:00", "09:30:00", "09:40:00"],
    }
    assert desk.keys("skip", "skipped") == ["09:40:00"]
    assert desk.keys("once", "skipped") == ["09:30:00"]
    assert "from 2026-03-02T09:10:00+00:00 to 2026-03-02T09:40:00+00:00" in desk.reasons("skip")
    assert desk.look("2026-03-02T09:50:00") == ["2026-03-02T09:50:00Z"] * 3
    assert desk.look("2026-03-02T11:02:00") != []
    assert desk.keys("skip", "started") == ["09:50:00", "11:00:00"], "in time, so not missed"
    assert desk.keys("once", "started") == ["09:40:00", "09:50:00", "11:00:00"], "which does for what was missed"


def test_long_gone_minutes_are_made_up_for_in_batches(make: Callable[..., Desk]) -> None:
    desk = make(schedule("* * * * *", missed="all"), "2026-03-02T00:00:30")
    desk.look()
    desk.look("2026-03-02T04:10:00")
    assert len(desk.sessions()) == 250
    assert desk.look() == []


def test_everyone_at_nine_of_their_own(make: Callable[..., Desk]) -> None:
    people = schedule(
        "0 9 * * *", time_zone="person", people='[dov, "role:risk"]',
        input="{steps: [], who: $person.id, due: $due}", title="$person.name",
    )  # fmt: skip
    bo = "time_zone: Asia/Tokyo, roles: [risk]"
    desk = make(people, "2026-02-28T23:59:59", **{"directory.yaml": directory(bo=bo, dov="America/New_York")})
    assert desk.look() == []
    assert desk.look("2026-03-01T00:00:30") == ["2026-03-01T00:00:00Z bo"]
    assert desk.look("2026-03-01T09:00:00") == ["2026-03-01T09:00:00Z ada"]
    assert desk.look("2026-03-01T14:00:00") == ["2026-03-01T14:00:00Z dov"]
    ada, dov = desk.sessions()[-2:]
    assert (ada["title"], dov["title"], dov["on_behalf_of"]) == ("Ada", "Dov", "dov")
    said = desk.shop.session(dov["id"])["turns"][0]["input"]
    assert said == {"steps": [], "who": "dov", "due": "2026-03-01T09:00:00-05:00"}
    # bo leaves, cleo holds the role from now on, dov moves to Berlin
    desk.deploy(directory=directory(dov="Europe/Berlin", cleo="roles: [risk]", bo=f"status: left, {bo}"))
    desk.look("2026-03-01T14:10:00")
    assert desk.look("2026-03-02T08:00:00") == ["2026-03-02T08:00:00Z dov"]
    assert desk.look("2026-03-02T09:00:00") == ["2026-03-02T09:00:00Z ada", "2026-03-02T09:00:00Z cleo"]
    assert desk.look("2026-03-03T00:00:00") == [], "nobody in Tokyo any more"


def test_daylight_saving_in_a_session_of_one_time_zone(make: Callable[..., Desk]) -> None:
    desk = make(schedule("30 2 * * *", time_zone="Europe/Berlin"), "2026-03-28T00:00:00")
    desk.look()
    assert desk.look("2026-03-28T01:30:00") == ["2026-03-28T01:30:00Z"]
    assert desk.look("2026-03-29T00:59:59") == []
    assert desk.look("2026-03-29T01:00:00") == ["2026-03-29T01:00:00Z"], "02:30 is not there; 03:00 is"
    assert desk.look("2026-03-30T00:30:00") == ["2026-03-30T00:30:00Z"]
    desk.look("2026-10-24T23:00:00")
    assert desk.look("2026-10-25T00:30:00") == ["2026-10-25T00:30:00Z"], "02:30 comes twice"
    assert desk.look("2026-10-25T01:30:00") == []
    assert desk.look("2026-10-26T01:30:00") == ["2026-10-26T01:30:00Z"]


def test_a_clock_that_is_set_back_fires_nothing_twice_and_does_not_fall_silent(make: Callable[..., Desk]) -> None:
    desk = make(schedule(), "2026-03-02T09:30:00")
    desk.look()
    assert desk.look("2026-03-02T10:00:00") == ["2026-03-02T10:00:00Z"]
    assert desk.look("2026-03-02T11:00:00") == ["2026-03-02T11:00:00Z"]
    assert desk.look("2026-03-02T09:30:00") == []
    assert desk.look("2026-03-02T10:00:00") == []
    assert desk.look("2026-03-02T11:00:00") == []
    assert desk.look("2026-03-02T12:00:00") == ["2026-03-02T12:00:00Z"]
    # A clock that ran ahead by years and was put right, unseen by anybody: another process begins.
    assert desk.look("2031-01-01T00:30:00") == ["2031-01-01T00:00:00Z"]
    desk.triggers = desk.another()
    assert desk.look("2026-03-02T12:30:00") == []
    assert desk.look("2026-03-02T13:00:00") == ["2026-03-02T13:00:00Z"]


def test_another_cron_begins_anew_and_fires_nothing_of_the_past(make: Callable[..., Desk]) -> None:
    desk = make(schedule("0 * * * *", missed="all"), "2026-03-02T09:30:00")
    desk.look()
    desk.now += timedelta(hours=3)
    desk.deploy(triggers=schedule("15 * * * *", missed="all"))
    assert desk.look() == []
    assert desk.look("2026-03-02T13:15:00") == ["2026-03-02T13:15:00Z"]
    desk.deploy(triggers="triggers: {}\n")
    assert desk.look("2026-03-02T14:15:00") == []
    desk.deploy(triggers=schedule("15 * * * *", missed="all"))
    assert desk.look("2026-03-02T15:15:00") == []
    assert desk.look("2026-03-02T16:15:00") == ["2026-03-02T16:15:00Z"]


def test_what_was_due_while_it_was_paused_was_missed(make: Callable[..., Desk]) -> None:
    triggers = schedule("*/2 * * * *", missed="skip", grace="1h").replace("daily", "skip")
    triggers += schedule("*/2 * * * *", grace="1h").replace("daily", "once").removeprefix("triggers:\n")
    desk = make(triggers, "2026-03-02T09:01:00")
    desk.look()
    for name in ("skip", "once"):
        desk.triggers.pause(name, "person:ada", "lunch")
    assert desk.look("2026-03-02T09:05:00") == []
    with desk.shop.services.sessions.transaction() as db:
        db.execute("update remit.trigger_state set paused = false, at = %s", (desk.now,))
    desk.look()
    assert (desk.keys("skip", "started"), desk.keys("once", "started")) == ([], ["09:04:00"])
    desk.look("2026-03-02T09:06:00")
    assert desk.keys("skip", "started") == ["09:06:00"]
    listed = {one.name: one for one in desk.triggers.listing()}
    assert listed["skip"].next_at == at("2026-03-02T09:08:00")
    assert listed["skip"].last is not None
    assert listed["skip"].last.key == "2026-03-02T09:06:00Z"


def test_what_cannot_be_started_is_written_and_the_clock_goes_on(make: Callable[..., Desk]) -> None:
    desk = make(schedule(input="{steps: $person}"), "2026-03-02T09:30:00", **{"agents/clerk/agent.yaml": STRICT})
    desk.look()
    assert desk.look("2026-03-02T10:00:00") == []
    assert desk.keys("daily", "refused") == ["10:00:00"]
    assert desk.reasons("daily") == "the input at steps breaks the rule properties/steps/type of the agent's schema"
    desk.deploy(triggers=schedule())
    stop = desk.shop.services.sessions.stop("all", "", "careful", "ada")
    assert desk.look("2026-03-02T11:00:00") == []
    assert desk.reasons("daily") == "a stop covers clerk"
    desk.shop.services.sessions.release(stop.scope, stop.target, "ada", "fine")
    assert desk.look("2026-03-02T12:00:00") == ["2026-03-02T12:00:00Z"]
    made = desk.triggers.backfill("daily", "dov", at("2026-03-02T09:00:00"), at("2026-03-02T12:00:00"))
    assert [(due.hour, fired.status) for due, _, fired in made if fired] == [
        (9, "started"),
        (10, "started"),
        (11, "started"),
    ]
    assert desk.triggers.backfill("daily", "dov", at("2026-03-02T09:00:00"), at("2026-03-02T12:00:00")) == []
    assert desk.sessions()[-1]["principal"] == "person:dov"
    assert desk.look("2026-03-02T12:00:01") == []


def test_one_that_fails_does_not_keep_the_others(make: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch) -> None:
    triggers = schedule() + schedule(title="bad").replace("daily", "bad").removeprefix("triggers:\n")
    desk = make(triggers, "2026-03-02T09:30:00")
    desk.look()
    sessions = desk.shop.services.sessions
    whole = sessions.planned

    def planned(start: Any, governance: Any) -> Any:
        if start.title == "bad":
            raise ZeroDivisionError
        return whole(start, governance)

    monkeypatch.setattr(sessions, "planned", planned)
    assert desk.look("2026-03-02T10:00:00") == ["2026-03-02T10:00:00Z"]
    assert (desk.keys("daily", "started"), desk.keys("bad", "refused")) == (["10:00:00"], ["10:00:00"])
    assert desk.reasons("bad") == "ZeroDivisionError"
