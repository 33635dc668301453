"""What `remit check` says of agents whose code is elsewhere, and of tools that live in their process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from remit.config.check import PolicyReport, check_project
from remit.config.loader import load_project
from remit.domain.gates import Gate, judge_gates

COMPANY = Path(__file__).parents[2] / "examples" / "governed_agent" / "company"


@pytest.fixture
def company(tmp_path: Path) -> Path:
    return Path(shutil.copytree(COMPANY, tmp_path / "company", ignore=shutil.ignore_patterns(".remit")))


def said(company: Path) -> list[str]:
    report = check_project(company, policy_check=lambda *_: PolicyReport((), lambda _: True))
    return [f"{p.file}: {p.message} ({p.mend})" for p in report.problems]


def test_the_example_is_in_order(company: Path) -> None:
    assert said(company) == []


def test_the_version_of_an_external_agent_says_nothing_of_its_code(company: Path) -> None:
    results = judge_gates(load_project(company), "refund-desk", bounded=lambda _: True)
    (identity,) = [r for r in results if r.gate is Gate.GOVERNED_IDENTITY]
    assert identity.passed
    assert [f.text for f in identity.findings] == [
        "the agent's code is not part of its version: what runs is known to those who run it"
    ]


@pytest.mark.parametrize(("file", "text"), [("prompt.md", "Be kind."), ("program.py", "async def run(s): ...")])
def test_an_external_agent_has_neither_prompt_nor_program(company: Path, file: str, text: str) -> None:
    (company / "agents/refund-desk" / file).write_text(text)
    (problem,) = said(company)
    assert problem.startswith(f"agents/refund-desk/{file}: no worker runs an external agent")


def test_any_other_agent_needs_one(company: Path) -> None:
    spec = company / "agents/refund-desk/agent.yaml"
    spec.write_text(spec.read_text().replace("external: true", "external: false"))
    (problem,) = said(company)
    assert "has neither prompt.md nor program.py" in problem


def test_nobody_else_can_call_a_local_tool(company: Path) -> None:
    actions = company / "actions.yaml"
    lookup = "    lookup: {tool: shop.charge, arguments: {customer: $args.charge}, found: id}\n"
    actions.write_text(actions.read_text() + lookup)
    (problem,) = said(company)
    assert "shop.charge lives in the process of its agent" in problem


def test_local_tools_are_pinned_from_the_code(company: Path) -> None:
    (company / "tools.lock.json").write_text('{"version": 1, "connections": {}}')
    problems = said(company)
    assert len(problems) == 2
    assert all("pin it from its agent's code by `remit.pin_tools`" in problem for problem in problems)
