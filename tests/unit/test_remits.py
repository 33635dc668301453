"""An agent's remit in plain words, what somebody may know of, and how versions differ."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from remit.config.loader import load_project
from remit.domain.access import Viewer, viewer_of
from remit.domain.agents import AgentVersion
from remit.domain.directory import Directory
from remit.domain.project import Project
from remit.errors import NotFound
from remit.governance import visibility
from remit.governance.policy import PolicyEngine
from remit.governance.policy.reading import Head
from remit.governance.remits import gates_of, may_approve, policies_about, remit_of
from remit.governance.rooms import Room
from remit.governance.state import Governance
from remit.governance.versions import differences, previous, resolve

ACME = Path(__file__).parents[2] / "examples" / "acme"


@cache
def acme() -> Governance:
    return governed(load_project(ACME))


def governed(project: Project) -> Governance:
    specs = {name: agent.spec for name, agent in project.agents.items()}
    engine = PolicyEngine.load(project.policies, project.actions, project.tool, project.directory, specs)
    return Governance(version=1, bundle_digest="b", project=project, policy=engine)


def viewer(person: str) -> Viewer:
    directory = acme().project.directory
    found = directory.person(person)
    assert found is not None
    return viewer_of(directory, found)


def test_a_remit_says_what_an_agent_sees_touches_and_must_ask_for() -> None:
    remit = remit_of(acme(), "refund-desk")
    assert {p.action for p in remit.sees} >= {"helpdesk.get_ticket", "payments.get_charge"}
    touched = {p.action: p for p in remit.touches}
    assert "payments.refund" in touched
    assert "payments.refund" not in {p.action for p in remit.sees}
    assert any("at once" in bound for bound in touched["payments.refund"].bounds)
    asks = {rule.policy.id: rule for rule in remit.asks}
    assert asks["refund_over_100"].actions == ("payments.refund",)
    assert [p.id for p in asks["refund_over_100"].people] == ["dana.kim"]
    assert remit.shut == ()


def test_policies_about_others_say_nothing_about_an_agent() -> None:
    assert "meeting_notes_read" not in {p.id for p in policies_about(acme(), "refund-desk", "helpdesk.get_ticket")}
    about = {p.id for p in policies_about(acme(), "refund-desk", "payments.refund")}
    assert {"desks_refund", "refund_over_100", "observers_change_nothing"} <= about


def test_what_is_on_the_list_and_never_permitted_is_said() -> None:
    project = acme().project
    notes = project.agents["meeting-notes"]
    listed = replace(notes, spec=notes.spec.model_copy(update={"tools": (*notes.spec.tools, "payments.refund")}))
    changed = replace(project, agents={**project.agents, "meeting-notes": listed})
    remit = remit_of(governed(changed), "meeting-notes")
    assert [p.action for p in remit.shut] == ["payments.refund", "payments.cancel_refund"]
    assert [p.implied for p in remit.shut] == [False, True]
    assert "payments.refund" not in {p.action for p in remit.touches}


def test_who_is_started_by_a_trigger_needs_no_other_reason() -> None:
    project = acme().project
    silent = project.agents["daily-priorities"]
    silent = replace(silent, spec=silent.spec.model_copy(update={"persistent": ""}))
    changed = replace(project, agents={**project.agents, "daily-priorities": silent})
    assert gates_of(governed(changed), "daily-priorities")[0].passed
    assert not gates_of(governed(replace(changed, triggers={})), "daily-priorities")[0].passed


def test_who_may_approve_follows_from_policies_and_raci() -> None:
    found = may_approve(acme(), ["refund-desk"])
    assert "accountable" in found["dana.kim"]["payments.refund"]
    assert "tom.becker" not in found, "who has left approves nothing"


@pytest.mark.parametrize(
    ("head", "covers"),
    [
        (Head(), True),
        (Head(entity=("Agent", "a")), True),
        (Head(entity=("Workflow", "w")), True),
        (Head(entity=("Agent", "b")), False),
        (Head(kind="Agent"), True),
        (Head(kind="Person"), False),
        (Head(kind="Agent", entity=("Workspace", "elsewhere")), False),
    ],
)
def test_a_head_covers_whom_it_names(head: Head, covers: bool) -> None:
    assert head.covers(frozenset({("Agent", "a"), ("Workflow", "w")})) is covers


def test_nobody_learns_of_other_workspaces() -> None:
    leo, amara = viewer("leo.brandt"), viewer("amara.osei")
    project = acme().project
    assert "refund-desk" in visibility.agents(leo, project)
    assert "daily-priorities" not in visibility.agents(leo, project)
    with pytest.raises(NotFound):
        visibility.agent(leo, project, "daily-priorities")
    assert "nora.quist" not in visibility.people(leo, acme())
    assert {"leo.brandt", "dana.kim", "maren.holt"} <= visibility.people(leo, acme())
    assert "meeting_notes_read" not in {p.id for p in visibility.policies(leo, acme())}
    assert "meeting_notes_read" in {p.id for p in visibility.policies(amara, acme())}
    assert visibility.workflows(leo, project) == ["refunds"]


def test_names_that_are_hidden_are_not_in_a_policys_text() -> None:
    policy = acme().policy.policies["approved_mailboxes"]
    hidden = visibility.hidden_names(viewer("leo.brandt"), acme())
    shown = visibility.text_of(policy, hidden)
    assert "nora.quist" in policy.statement.text
    assert "nora.quist" not in shown
    assert visibility.NOT_SHOWN in shown
    assert visibility.text_of(policy, frozenset()) == policy.statement.text


def test_what_others_used_of_a_budget_is_not_told() -> None:
    leo, project = viewer("leo.brandt"), acme().project
    seen = {
        name: visibility.may_see_room(leo, project, Room(f"{name}:2026-01-01", "calls", "", 1, 0, 10))
        for name in ("agent:refund-desk", "workflow:refunds", "workflow:sales", "project")
    }
    assert seen == {"agent:refund-desk": True, "workflow:refunds": True, "workflow:sales": False, "project": False}


def test_versions_are_named_by_their_first_digits() -> None:
    known = ["ff00", "aa11", "aa22"]
    assert resolve(known, "f", "x") == "ff00"
    for wrong in ("aa", "zz", ""):
        with pytest.raises(NotFound):
            resolve(known, wrong, "x")
    assert previous(known, "ff00", "x") == "aa11"
    with pytest.raises(NotFound):
        previous(known, "aa22", "x")


def test_versions_differ_by_what_means_something_else() -> None:
    before = acme().project.agents["refund-desk"]
    files = {**before.files, "notes.md": b"new", "blob": b"\xff"}
    after = AgentVersion("refund-desk", "d2", before.spec.model_copy(update={"title": "Desk"}), files)
    found = differences(before, after)
    assert [f["field"] for f in found["fields"]] == ["title"]
    assert {f["path"]: (f["change"], bool(f["diff"])) for f in found["files"]} == {
        "blob": ("added", False),
        "notes.md": ("added", True),
    }


def test_a_directory_without_people_is_no_trouble() -> None:
    empty = replace(acme().project, directory=Directory(), agents={}, triggers={}, workflows={})
    assert may_approve(governed(replace(empty, policies={}, actions={})), []) == {}
