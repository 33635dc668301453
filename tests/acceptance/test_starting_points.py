"""`remit new`: every starting point passes its gates in a new project, and works against its fakes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from remit.bootstrap import open_services
from remit.config.adding import kinds
from remit.config.init import init_project
from remit.config.loader import load_project
from remit.config.settings import Settings
from remit.errors import Conflict, InvalidInput
from remit.evidence.programs import why
from remit.governance.deployments import deploy
from remit.governance.signing import generate_key
from remit.runtime.sessions import Start
from remit.surfaces.cli.new import make_agent
from remit.surfaces.cli.project import checked
from tests.acceptance.shop import Shop

NOBODY: dict[str, str | None] = {"accountable": None, "system_owner": None, "risk_owner": None}

EXPECTED: dict[str, tuple[dict[str, Any], int]] = {
    # kind: (what its output has, rows that it explains)
    "changelog": ({"lines": 3, "left_out": 1}, 3),
    "daily-priorities": ({"first": "d-1", "deals": 3}, 3),
    "deployment-guardrail": ({"outcome": "deployed"}, 3),
    "lead-enrichment": ({"looked_at": 3, "filled": ["c-1", "c-2"]}, 3),
    "onboarding": ({"there_already": 0}, 4),
    "refund-desk": ({"outcome": "refunded", "amount": "40"}, 1),
    "ticket-triage": ({"sorted": 3, "left": 0}, 3),
}


@pytest.fixture(scope="module")
def company(
    tmp_path_factory: pytest.TempPathFactory, database_factory: Any, migrated: str, nursery: Any
) -> Iterator[tuple[Shop, dict[str, str]]]:
    """A new project with an agent of every kind, one worker, and a session of each, started on its example."""
    folder, database = tmp_path_factory.mktemp("new") / "company", database_factory.create(migrated)
    init_project(folder, make_key=generate_key, person="dana")
    for kind in kinds():
        make_agent(folder, f"my-{kind}", kind, None, NOBODY)
    os.environ["REMIT_DATABASE_URL"] = database.url()
    try:
        with open_services(folder, Settings(database_url=database.url())) as services:
            with services.sessions.transaction() as db:
                deploy(db, load_project(folder), folder / ".remit" / "deploy.key", "person:dana")
            shop = Shop(folder, services, nursery)
            shop.worker()
            started = {}
            for kind in kinds():
                example = json.loads((folder / "agents" / f"my-{kind}" / "example.json").read_text())
                started[kind] = services.sessions.start(Start(f"my-{kind}", example, "person:dana"))
            try:
                yield shop, started
            finally:
                shop.end_workers()
    finally:
        del os.environ["REMIT_DATABASE_URL"]
        database_factory.drop(database)


def test_there_is_one_for_each_common_chore() -> None:
    assert set(kinds()) == set(EXPECTED)


def test_every_one_passes_its_six_gates(company: tuple[Shop, dict[str, str]]) -> None:
    report = checked(company[0].folder)
    assert report.problems == ()
    gates = {name: [result.passed for result in results] for name, results in report.gates.items()}
    assert {f"my-{kind}" for kind in kinds()} <= gates.keys()
    assert all(passed == [True] * 6 for passed in gates.values()), report.gates


@pytest.mark.parametrize("kind", sorted(EXPECTED))
def test_it_works_against_its_fakes_and_says_why(company: tuple[Shop, dict[str, str]], kind: str) -> None:
    shop, started = company
    found = shop.wait(started[kind], "finished", "failed", "waiting", seconds=120)
    assert found["status"] == "finished", [found["reason"], found["turns"]]
    wanted, count = EXPECTED[kind]
    output = found["turns"][0]["output"]
    assert {name: output[name] for name in wanted} == wanted
    assert {a["status"] for a in found["actions"]} == {"succeeded"}
    with shop.services.sessions.transaction() as db:
        rows = why(db, shop.services.deployments.version, started[kind])
    explained = [row for row in rows if row["at"]]
    assert len(explained) == count
    assert all(row["reasons"] for row in explained)
    assert all(row["line"].startswith(("await session.explain", "await session.explain_all")) for row in explained)


def test_production_waits_for_a_person(company: tuple[Shop, dict[str, str]]) -> None:
    shop, _ = company
    given = {"repository": "acme/shop", "commit": "abc1234", "environment": "production"}
    session = shop.services.sessions.start(Start("my-deployment-guardrail", given, "person:dana"))
    found = shop.wait(session, "waiting", "finished", "failed", seconds=120)
    (item,) = found["items"]
    assert item.detail["reasons"][0]["code"] == "production_needs_approval"


def test_a_write_of_a_new_agent_can_be_undone(company: tuple[Shop, dict[str, str]]) -> None:
    shop, started = company
    found = shop.wait(started["lead-enrichment"], "finished", seconds=120)
    action = next(a for a in found["actions"] if a["action"] == "hubspot.update_contact")
    assert action["result"]["before"] == dict.fromkeys(action["args"]["fields"])


def test_what_is_there_is_not_overwritten(company: tuple[Shop, dict[str, str]]) -> None:
    folder = company[0].folder
    with pytest.raises(Conflict, match="an agent my-changelog already"):
        make_agent(folder, "my-changelog", "changelog", None, NOBODY)
    with pytest.raises(InvalidInput, match="no name"):
        make_agent(folder, "../up", "changelog", None, NOBODY)
    with pytest.raises(InvalidInput, match="no workspace"):
        make_agent(folder, "other", "changelog", "moon", NOBODY)
    with pytest.raises(InvalidInput, match="nobody active"):
        make_agent(folder, "other", "changelog", None, {**NOBODY, "accountable": "eve"})
    assert not (folder / "agents" / "other").exists()
