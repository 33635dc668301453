"""Resources: one thing has one id, and no argument can pretend to be another thing."""

from __future__ import annotations

import pytest

from remit.domain.decisions import ReasonCode
from remit.governance.policy.resources import canonical_id, parse_template
from remit.governance.policy.shapes import UnfitError

READ_ONE = '@id("one") permit (principal, action == Action::"files.write", resource == File::"reports/caf\u00e9.txt");'


@pytest.mark.parametrize(
    "path", ["reports/caf\u00e9.txt", "reports/cafe\u0301.txt", "reports//caf\u00e9.txt", "./reports/./caf\u00e9.txt"]
)
def test_spellings_of_one_path_are_one_resource(desk, path):
    assert desk.engine(READ_ONE).judge(desk.question("files.write", path=path)).kind == "permit"


@pytest.mark.parametrize("path", ["reports/Caf\u00e9.txt", "/reports/caf\u00e9.txt", "reports/caf\u00e9.txt2"])
def test_other_paths_are_other_resources(desk, path):
    assert desk.engine(READ_ONE).judge(desk.question("files.write", path=path)).kind == "forbid"


@pytest.mark.parametrize("path", ["..", "../x", "a/../b", "a/..", "a\\..\\b", "https://host/../x"])
def test_parent_folders_are_refused(desk, codes, path):
    verdict = desk.engine('@id("all") permit (principal, action, resource);').judge(
        desk.question("files.write", path=path)
    )
    assert codes(verdict) == ("policy_error",)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("ch_..x", "ch_..x"),
        ("a/b/", "a/b"),
        ("/a//b", "/a/b"),
        ("https://host//a/./b/", "https://host/a/b"),
        ("", ""),
        ("/", "/"),
    ],
)
def test_canonical_ids(text, made):
    assert canonical_id(text) == made


def test_two_arguments_cannot_be_shifted_into_each_other(desk, codes):
    engine = desk.engine('@id("one") permit (principal, action == Action::"files.move", resource == Page::"hr/pay");')
    assert engine.judge(desk.question("files.move")).kind == "permit"
    assert codes(engine.judge(desk.question("files.move", space="hr/pay", page="x"))) == ("policy_error",)


def test_a_template_takes_text_and_whole_numbers_only():
    template = parse_template("Ticket::T-{ticket.id}", "helpdesk.read")
    assert template.render({"ticket": {"id": 7}}) == "T-7"
    assert template.render({"ticket": {"id": 'é\n"'}}) == 'T-é\n"'
    for bad in (True, 1.5, ["7"], {"x": 1}):
        with pytest.raises(UnfitError) as caught:
            template.render({"ticket": {"id": bad}})
        assert caught.value.code is ReasonCode.POLICY_ERROR
    for missing in ({}, {"ticket": None}, {"ticket": {"id": None}}, {"ticket": "7"}):
        with pytest.raises(UnfitError) as caught:
            template.render(missing)
        assert caught.value.code is ReasonCode.ARGUMENT_REQUIRED
