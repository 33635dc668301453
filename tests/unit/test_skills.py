"""Skills and knowledge as read and checked: what is right, what is wrong and where, and what can do no harm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import SimpleNamespace

import pytest
from tests.integration.road.world import FILES

from remit.config.loader import parse_project
from remit.config.reading import in_order, read_files
from remit.config.references import check_references
from remit.config.skills import read_skill, skills_of
from remit.domain.knowledge import LONGEST, Passage, passages
from remit.domain.project import Project
from remit.domain.skills import Skill
from remit.errors import RemitError
from remit.runtime.builtins.skills import load_skill

RIGHT = """---
name: refunds
description: How to refund a customer.
  Use it for every complaint.
license: MIT
compatibility: Needs a till.
allowed-tools: till.pay, till.peek
metadata: {author: ada, version: "1.0"}
---

# Steps
Pay with `till.pay`.
"""


def project_with(files: Mapping[str, str | bytes]) -> dict[str, bytes]:
    """The world's files with some of the clerk's own added, by their path inside its folder."""
    base = {path: text.strip().encode() + b"\n" for path, text in FILES.items()}
    added = {f"agents/clerk/{path}": text.encode() if isinstance(text, str) else text for path, text in files.items()}
    return {**base, **added}


def said(files: Mapping[str, str | bytes]) -> list[str]:
    """What the check says of them, one line each."""
    loaded = read_files(project_with(files))
    return [str(p) for p in in_order([*loaded.problems, *check_references(loaded)])]


def test_a_skill_is_read_whole() -> None:
    files = {"SKILL.md": RIGHT.encode(), "refs/limits.md": b"x", "logo.png": b"\xff"}
    skill, problems = read_skill("skills", "refunds", files)
    assert problems == []
    assert skill == Skill(
        name="refunds",
        description="How to refund a customer. Use it for every complaint.",
        instructions="# Steps\nPay with `till.pay`.\n",
        files=("logo.png", "refs/limits.md"),
        allowed_tools=("till.pay", "till.peek"),
        license="MIT",
        compatibility="Needs a till.",
    )


def test_line_ends_of_windows_are_line_ends() -> None:
    skill, problems = read_skill("skills", "refunds", {"SKILL.md": RIGHT.replace("\n", "\r\n").encode()})
    assert problems == []
    assert skill is not None
    assert skill.instructions == "# Steps\nPay with `till.pay`.\n"


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"name": "refund"}, "there is no skill 'refund'; there are: refunds"),
        ({"name": "../clerk"}, "there is no skill"),
        ({"name": "refunds", "file": "../../agent.yaml"}, "refunds has no file"),
        ({"name": "refunds", "file": "/etc/passwd"}, "has no file '/etc/passwd'; there are: logo.png, long.md"),
        ({"name": "refunds", "file": "logo.png"}, "is not text"),
        ({"name": "refunds", "file": "long.md"}, "at most 100,000 can be loaded"),
    ],
)
def test_what_cannot_be_loaded_is_told_with_what_can(args: dict[str, str], why: str) -> None:
    files = {"SKILL.md": RIGHT.encode(), "logo.png": b"\xff", "long.md": b"x" * 100_001}
    version = parse_project(project_with({f"skills/refunds/{k}": v for k, v in files.items()})).agents["clerk"]
    with pytest.raises(RemitError, match=re.escape(why)):
        load_skill(SimpleNamespace(version=version, args=args))  # type: ignore[arg-type]


def test_a_right_skill_that_can_be_used_has_no_problems() -> None:
    spec = FILES["agents/clerk/agent.yaml"].replace("tools: [", "tools: [remit.load_skill, ")
    assert said({"skills/refunds/SKILL.md": RIGHT, "agent.yaml": spec}) == []


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("no front matter", 1, "does not begin with front matter"),
        ("---\nname: refunds\n", 1, "does not begin with front matter"),
        ("---\n---\nx", 1, "no mapping"),
        ("---\nname: other\ndescription: d\n---\nx", 2, "stands in the folder 'refunds'"),
        ("---\nname: Refunds\ndescription: d\n---\nx", 2, "lower-case letters"),
        ("---\nname: re--funds\ndescription: d\n---\nx", 2, "lower-case letters"),
        ("---\ndescription: d\n---\nx", 1, "`name` is up to 64"),
        ("---\nname: refunds\n---\nx", 1, "no `description`"),
        ("---\nname: refunds\ndescription: '  '\n---\nx", 3, "no `description`"),
        ("---\nname: refunds\ndescription: " + "d" * 1_025 + "\n---\nx", 3, "at most 1,024"),
        ("---\nname: refunds\ndescription: d\ncompatibility: " + "c" * 501 + "\n---\nx", 4, "at most 500"),
        ("---\nname: refunds\ndescription: a: b\n---\nx", 3, "not YAML"),
        ("---\nname: refunds\ndescription: d\nmetadata: text\n---\nx", 4, "`metadata` maps"),
        ("---\nname: refunds\ndescription: d\nallowed-tools: 3\n---\nx", 4, "`allowed-tools` is a text"),
        ("---\nname: refunds\ndescription: &a d\nlicense: *b\n---\nx", 4, "the alias `*b`"),
        ("---\nname: refunds\ndescription: !!python/name:os.system d\n---\nx", 3, "tag"),
        ("---\nname: refunds\ndescription: d\n---\n\n", 1, "no instructions"),
        ("---\nname: refunds\ndescription: d\n---\nx\n\x1b[2Jhidden", 6, "U+001B"),
        ("---\nname: refunds\ndescription: d\n---\nx \u202egnihton", 5, "U+202E"),
        ("---\nname: refunds\ndescription: d\n---\nx\U000e0041", 5, "U+E0041"),
        ("---\nname: refunds\ndescription: d\n---\n" + "x" * 100_001, 1, "100,0"),
        (b"---\nname: refunds\ndescription: d\n---\n\xff", 5, "not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_skill_is_told_at_its_place(text: str | bytes, line: int, why: str) -> None:
    errors = [e for e in said({"skills/refunds/SKILL.md": text}) if ": error:" in e]
    assert len(errors) == 1, errors
    assert errors[0].startswith(f"agents/clerk/skills/refunds/SKILL.md:{line}:"), errors[0][:200]
    assert why in errors[0]
    assert errors[0].isprintable()


def test_warnings_name_what_the_agent_lacks() -> None:
    text = RIGHT.replace("till.pay, till.peek", "till.pay remit.recall Bash(git:*)").replace(
        "license:", "colour: red\nlicense:"
    )
    warnings = said(
        {
            "skills/refunds/SKILL.md": text.replace("`till.pay`", "`till.pay`, then `remit.suggest`"),
            "skills/refunds/data.bin": b"\xff\xfe",
            "skills/refunds/long.md": "x" * 100_001,
            "skills/README.md": "hello",
            "skills/empty/other.md": "x",
        }
    )
    text = "\n".join(warnings)
    assert "agents/clerk/agent.yaml:7:1: warning: the agent has skills (empty, refunds)" in text
    assert "add `- remit.load_skill` under `tools`" in text
    for tool in ("remit.recall", "Bash(git:*)", "remit.suggest"):
        assert f"the skill refunds names {tool}, which clerk does not have: a skill grants nothing" in text
    assert "`colour` is not a key of the Agent Skills format" in text
    assert "data.bin:1:1: warning: this file cannot be loaded" in text
    assert "long.md:1:1: warning: this file cannot be loaded" in text
    assert "skills/README.md:1:1: warning: this file belongs to no skill" in text
    assert "skills/empty/SKILL.md:1:1: error: the skill has no SKILL.md" in text


def test_too_many_skills_do_not_fit_into_a_prompt() -> None:
    files = {f"skills/s{n}/SKILL.md": f"---\nname: s{n}\ndescription: d\n---\nx" for n in range(51)}
    assert any("has 51 skills" in line for line in said(files))


def test_skills_belong_to_the_agents_version() -> None:
    def version(files: Mapping[str, str]) -> Project:
        return parse_project(project_with(files))

    one, other = version({"skills/refunds/SKILL.md": RIGHT}), version({"skills/refunds/SKILL.md": RIGHT + "More."})
    assert one.agents["clerk"].digest != other.agents["clerk"].digest != version({}).agents["clerk"].digest
    assert skills_of(one.agents["clerk"])["refunds"].instructions.endswith("`till.pay`.\n")
    assert skills_of(version({}).agents["clerk"]) == {}


HANDBOOK = """Before any heading.

# Returns
Within thirty days.

## Lamps ##
Lamps with a fault:

```
# not a heading
```
they are refunded.
# Hours
"""


def test_texts_are_cut_at_their_headings() -> None:
    assert list(passages("a.md", HANDBOOK)) == [
        Passage("a.md", 0, "", 1, "Before any heading."),
        Passage("a.md", 1, "Returns", 4, "Within thirty days."),
        Passage(
            "a.md", 2, "Returns > Lamps", 7, "Lamps with a fault:\n\n```\n# not a heading\n```\nthey are refunded."
        ),
    ]
    assert [p.heading for p in passages("a.txt", HANDBOOK)] == [""], "plain text has no headings"


def test_long_sections_are_cut_between_paragraphs_and_long_lines_between_words() -> None:
    paragraph = "A sentence of nine words stands here for nothing. " * 20  # 1,000 characters
    found = list(passages("a.txt", f"{paragraph}\n\n{paragraph}\n\n{'word ' * 1_000}\n{'x' * 4_000}"))
    assert all(0 < len(p.body) <= LONGEST for p in found)
    assert [p.line for p in found[:3]] == [1, 3, 5]
    assert {p.line for p in found} == {1, 3, 5, 6}
    assert "".join(p.body for p in found if p.line == 6) == "x" * 4_000, "nothing is lost"
    assert "wor" not in {p.body.split()[-1] for p in found}


def test_what_is_wrong_with_knowledge_is_told() -> None:
    text = "\n".join(
        said(
            {
                "knowledge/a.md": "# A\nfine",
                "knowledge/b.pdf": b"%PDF",
                "knowledge/c.txt": b"ok\n\xff",
                "knowledge/d.md": "",
                "knowledge/e.md": "x\x00y",
            }
        )
    )
    assert "knowledge/b.pdf:1:1: warning: this file is not searched" in text
    assert "knowledge/c.txt:2:1: error: this is not UTF-8 text" in text
    assert "knowledge/d.md:1:1: warning: there is nothing in this file" in text
    assert "knowledge/e.md:1:2: warning: here is the invisible character U+0000" in text
    assert "add `- remit.search_knowledge` under `tools`" in text
