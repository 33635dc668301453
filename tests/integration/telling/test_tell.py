"""`remit.tell`: on the road like every write, once for its action, to whom the directory says and where they are."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.road.world import FILES, World
from tests.integration.telling.office import Office
from tests.integration.telling.team import DIRECTORY, SETTINGS

from remit.runtime.builtins import Builtins, Invocation, registry, telling
from remit.runtime.road import Performed
from remit.runtime.turn_road import TurnRoad

MAIL = '\n[mail]\nhost = "127.0.0.1"\nsecurity = "none"\nsender = "remit@acme.example"\n'
PEOPLE = DIRECTORY.replace("name: Bo,", "name: Bo, email: bo@acme.example,").replace(
    "{id: far, name: Far, workspaces: [depot], slack: TACME0001/UFAR}",
    "{id: far, name: Far, workspaces: [depot], roles: [risk], slack: TOTHER/UFAR}",
)
FILES_OF_TELLING = {
    "directory_DOT_yaml": PEOPLE,
    "actions_DOT_yaml": FILES["actions.yaml"]
    + """
  remit.tell:
    title: Tell people something
    effect: write
    raci: {accountable: bo, system_owner: ada, risk_owner: "role:risk"}
    idempotency: {meta: remit}
""",
    "agents__clerk__agent_DOT_yaml": FILES["agents/clerk/agent.yaml"].replace("till.peek,", "till.peek, remit.tell,"),
}


def tell(office: Office, **args: Any) -> Performed:
    """Have the clerk tell somebody something."""
    world, run = office.world, office.world.run()

    async def made() -> Performed:
        road: TurnRoad = await world.road(run)
        road._builtins = Builtins(office.sessions, office.deployed)
        return await road.tool("1", "remit.tell", {"text": "It rains.", **args})

    return world.do(made())


def rows(office: Office) -> list[tuple[str, str | None, str | None]]:
    return sorted(((r["surface"], r["person"], r["channel"]) for r in office.rows()), key=str)


@pytest.fixture
def office(make_world: Any) -> Office:
    return Office(make_world(remit_DOT_toml=SETTINGS + MAIL, **FILES_OF_TELLING))


def test_a_person_is_told_on_every_surface_that_reaches_them(office: Office) -> None:
    done = tell(office, to="bo", title="Weather")
    assert done.status == "succeeded"
    assert {t["surface"] for t in done.result["told"]} == {"mail", "slack"}
    assert rows(office) == [("mail", "bo", None), ("slack", "bo", None)]
    (record,) = office.world.rows("select body from remit.records where tag = 'agent:people:told'")
    assert "It rains" not in record["body"], "the record holds a digest, no contents"


def test_a_role_is_everybody_who_holds_it_and_who_cannot_be_reached_is_said(office: Office) -> None:
    done = tell(office, to="role:risk")
    assert done.result["unreachable"] == ["far"], "of another Slack team, and without an address"
    assert rows(office) == [("slack", "ada", None), ("slack", "eve", None)]


def test_a_channel_is_told_where_there_are_channels(office: Office) -> None:
    tell(office, channel="#sales")
    assert rows(office) == [("slack", None, "#sales")]


def test_nobody_to_tell_is_a_failure_that_says_so(office: Office) -> None:
    for args, said in (
        ({}, "nobody can be told: nobody was named"),
        ({"to": "nobody"}, "nobody is nobody active in the directory"),
        ({"to": "lea"}, "lea is nobody active"),
        ({"to": "far"}, "nobody can be told: far"),
        ({"channel": "<!channel>"}, "is no channel"),
    ):
        done = tell(office, **args)
        assert done.status == "failed"
        assert said in (done.error or "")
    assert rows(office) == []


def test_no_surface_is_a_failure_too(make_world: Any) -> None:
    world: World = make_world(**FILES_OF_TELLING)
    done = tell(Office(world), to="bo")
    assert done.status == "failed"
    assert "neither [slack] nor [mail]" in (done.error or "")


def test_carried_out_again_it_tells_once(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Invocation] = []

    def carried_out(call: Invocation) -> dict[str, Any]:
        seen.append(call)
        return telling.tell(call)

    monkeypatch.setitem(registry.TOOLS, "tell", carried_out)
    tell(office, to="bo")
    first = rows(office)
    again = telling.tell(seen[0])  # as after a crash between the writing and the settlement
    assert rows(office) == first
    assert len(again["told"]) == 2
    assert len(office.world.rows("select 1 from remit.records where tag = 'agent:people:told'")) == 1
