"""The six gates: each opens for the template's agent, and shuts for exactly what it is there to find."""

from __future__ import annotations

from dataclasses import replace

import pytest

from remit.config.init import template_files
from remit.config.loader import parse_project
from remit.domain.connections import ToolPins
from remit.domain.directory import Directory, PersonStatus
from remit.domain.gates import Gate, judge_gates, raci_is_live
from remit.domain.project import AuditSection, Project

KEY = "ed25519:" + "A" * 43 + "="
PROJECT = parse_project({p: t.encode() for p, t in template_files(project="p", person="dana", deploy_key=KEY).items()})


def shut(project: Project, *, bounded=lambda _: True, triggered: bool = False) -> dict[Gate, list[str]]:
    """The gates that do not open, with what they found."""
    results = judge_gates(project, "hello", bounded=bounded, triggered=triggered)
    assert [r.gate for r in results] == list(Gate)
    assert all(f.mend for r in results for f in r.findings)
    return {r.gate: [f.text for f in r.findings if f.blocking] for r in results if not r.passed}


def with_agent(**changes) -> Project:
    agent = PROJECT.agents["hello"]
    return replace(PROJECT, agents={"hello": replace(agent, spec=agent.spec.model_copy(update=changes))})


def with_person(**changes) -> Project:
    people = tuple(p.model_copy(update=changes) for p in PROJECT.directory.people)
    # Made anew: a copied directory keeps the index of the old one.
    return replace(PROJECT, directory=Directory(people=people, workspaces=PROJECT.directory.workspaces))


def with_action(name: str, **changes) -> Project:
    actions = PROJECT.actions | {name: PROJECT.actions[name].model_copy(update=changes)}
    return replace(PROJECT, actions=actions)


def test_all_six_open_for_the_template():
    assert shut(PROJECT) == {}


def test_persistent_work():
    assert set(shut(with_agent(persistent=" "))) == {Gate.PERSISTENT_WORK}
    assert shut(with_agent(persistent=""), triggered=True) == {}


@pytest.mark.parametrize(
    ("owner", "said"),
    [("bob", "who is not in the directory"), ("role:ops", "the role ops, which nobody active holds")],
)
def test_clear_owner(owner, said):
    found = shut(with_agent(owner=owner))
    assert set(found) == {Gate.CLEAR_OWNER}
    assert said in found[Gate.CLEAR_OWNER][0]


def test_a_person_who_left_shuts_every_gate_that_leans_on_them():
    found = shut(with_person(status=PersonStatus.LEFT))
    assert set(found) == {Gate.CLEAR_OWNER, Gate.HUMAN_ESCALATION, Gate.AUDIT_TRAIL}
    assert found[Gate.CLEAR_OWNER] == ["the owner is dana, who has left"]
    assert len(found[Gate.AUDIT_TRAIL]) == 3


def test_a_role_counts_by_who_holds_it():
    assert Gate.CLEAR_OWNER not in shut(
        replace(with_agent(owner="role:ops"), directory=with_person(roles=("ops",)).directory)
    )


def test_governed_identity():
    assert set(shut(with_agent(workspace="other"))) == {Gate.GOVERNED_IDENTITY}
    assert set(shut(with_agent(layer="assisted"))) == {Gate.GOVERNED_IDENTITY}
    nameless = replace(PROJECT, agents={"hello": replace(PROJECT.agents["hello"], digest="")})
    assert set(shut(nameless)) == {Gate.GOVERNED_IDENTITY}


def test_scoped_access():
    assert shut(with_agent(tools=())) == {Gate.SCOPED_ACCESS: ["the allow-list is empty"]}
    assert shut(replace(PROJECT, pins=ToolPins()))[Gate.SCOPED_ACCESS] == [
        "the definition of notes.list is not pinned",
        "the definition of notes.write is not pinned",
    ]
    unclassified = replace(PROJECT, actions={"notes.list": PROJECT.actions["notes.list"]})
    assert shut(unclassified) == {Gate.SCOPED_ACCESS: ["notes.write is not classified"]}


def test_every_write_is_bounded_by_policy():
    asked = []
    assert set(shut(PROJECT, bounded=lambda name: bool(asked.append(name)))) == {Gate.SCOPED_ACCESS}
    assert asked == ["notes.write"]


def test_a_policy_engine_that_fails_bounds_nothing():
    assert set(shut(PROJECT, bounded=lambda _: 1 / 0)) == {Gate.SCOPED_ACCESS}


def test_human_escalation():
    found = shut(with_agent(escalation="role:oncall"))
    assert found == {Gate.HUMAN_ESCALATION: ["the escalation contact is the role oncall, which nobody active holds"]}


@pytest.mark.parametrize("role", ["accountable", "system_owner", "risk_owner"])
def test_audit_trail_needs_each_role_alive(role):
    raci = PROJECT.actions["notes.write"].raci
    changed = with_action("notes.write", raci=raci.model_copy(update={role: "bob"}))
    found = shut(changed)
    assert set(found) == {Gate.AUDIT_TRAIL}
    assert role.replace("_", " ") in found[Gate.AUDIT_TRAIL][0]
    assert not raci_is_live(changed.directory, "notes.write", changed.actions["notes.write"])
    assert raci_is_live(PROJECT.directory, "notes.write", PROJECT.actions["notes.write"])


def test_audit_trail_without_raci():
    assert set(shut(with_action("notes.write", raci=None))) == {Gate.AUDIT_TRAIL}
    assert shut(with_action("notes.list", raci=None)) == {}


def test_who_is_only_informed_does_not_shut_the_gate():
    raci = PROJECT.actions["notes.write"].raci.model_copy(update={"informed": ("bob",)})
    project = with_action("notes.write", raci=raci)
    assert shut(project) == {}
    audit = judge_gates(project, "hello", bounded=lambda _: True)[-1]
    assert [f.text for f in audit.findings] == ["the informed of notes.write is bob, who is not in the directory"]


def test_no_place_for_checkpoints_is_a_warning():
    project = replace(PROJECT, settings=PROJECT.settings.model_copy(update={"audit": AuditSection()}))
    assert shut(project) == {}
    assert len(judge_gates(project, "hello", bounded=lambda _: True)[-1].findings) == 1
