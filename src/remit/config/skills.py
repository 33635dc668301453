"""Reads skills and knowledge of an agent's folder, and says what is wrong with them.

Their authors are often not the company's own, so nothing in them is trusted: front matter is read by the strict
reader, and characters that a reader cannot see or that command a terminal are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from remit.config.source import Source, SourceError, decode, mark_at
from remit.config.yaml_source import read_yaml
from remit.domain.agents import AgentVersion
from remit.domain.skills import (
    FOLDER,
    LONG_INSTRUCTIONS,
    MAX_COMPATIBILITY,
    MAX_DESCRIPTION,
    MAX_FILE,
    MAX_NAME,
    SKILL_FILE,
    Skill,
)
from remit.errors import Problem

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_KNOWN = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
_END = re.compile(r"^---[ \t]*$", re.MULTILINE)
# Controls but for tab and line ends; marks that turn the direction of writing; letters that no reader can see.
_HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")


def skills_of(version: AgentVersion) -> dict[str, Skill]:
    """The skills of an agent's version, by name. What has mistakes is left out; `remit check` told of it."""
    found = (read_skill("", name, files)[0] for name, files in skill_folders(version.files).items())
    return {skill.name: skill for skill in found if skill is not None}


def skill_folders(files: Mapping[str, bytes]) -> dict[str, dict[str, bytes]]:
    """Name of a skill's folder to its files, from the files of an agent's folder."""
    folders: dict[str, dict[str, bytes]] = {}
    for path, content in files.items():
        top, _, rest = path.partition("/")
        name, _, inside = rest.partition("/")
        if top == FOLDER and inside:
            folders.setdefault(name, {})[inside] = content
    return folders


def read_skill(place: str, name: str, files: Mapping[str, bytes]) -> tuple[Skill | None, list[Problem]]:
    """The skill in a folder called `name`, or None with the errors that it has. `place` is the path of `skills`."""
    file = f"{place}/{name}/{SKILL_FILE}".lstrip("/")
    if SKILL_FILE not in files:
        return None, [Problem(file, 1, 1, "the skill has no SKILL.md", "write one, or remove the folder")]
    try:
        text = decode(file, files[SKILL_FILE], limit=MAX_FILE).replace("\r\n", "\n")
        header, body = _parts(file, text)
    except SourceError as error:
        return None, error.problems
    problems = [*_header_problems(header, name), *hidden(file, text)]
    if not body.strip():
        problems.append(Problem(file, 1, 1, "the skill has no instructions", "write them below the front matter"))
    elif body.count("\n") > LONG_INSTRUCTIONS:
        problems.append(
            Problem(
                file,
                1,
                1,
                f"the instructions have more than {LONG_INSTRUCTIONS} lines, all of which enter the prompt",
                "move parts that are rarely needed into files beside it",
                "warning",
            )
        )
    if any(p.severity == "error" for p in problems):
        return None, problems
    return _skill(header, body, tuple(sorted(path for path in files if path != SKILL_FILE))), problems


def hidden(file: str, text: str, severity: str = "error") -> Iterator[Problem]:
    """The first character of a text that nobody sees and that a model or a terminal would obey."""
    found = _HIDDEN.search(text)
    if found is not None:
        mark = mark_at(text, found.start())
        said = f"here is the invisible character U+{ord(found[0]):04X}, which can hide text or command a terminal"
        yield Problem(file, mark.line, mark.column, said, "remove it", severity)


def _parts(file: str, text: str) -> tuple[Source, str]:
    """The front matter, with the marks of the whole file, and what stands below it."""
    first = _END.match(text)
    last = _END.search(text, first.end()) if first is not None else None
    if first is None or last is None:
        said = "the file does not begin with front matter between two lines of `---`"
        raise SourceError([Problem(file, 1, 1, said, "write `name` and `description` there")])
    # An empty line in place of the first mark: line numbers are those of the file.
    source = read_yaml(file, text[first.end() : last.start()].encode())
    return source, text[last.end() :].lstrip("\n")


def _header_problems(source: Source, folder: str) -> Iterator[Problem]:
    if not isinstance(source.value, dict):
        yield source.problem((), "the front matter is no mapping", "write `name: …` and `description: …`")
        return
    for key in source.value:
        if key not in _KNOWN:
            said = f"`{key[:60]}` is not a key of the Agent Skills format"
            yield source.problem((key,), said, "put it under `metadata`", key=True, severity="warning")
    yield from _name_problems(source, folder)
    for key, limit in (("description", MAX_DESCRIPTION), ("compatibility", MAX_COMPATIBILITY), ("license", 500)):
        value = source.get((key,))
        if key not in source.value and key != "description":
            continue
        if not isinstance(value, str) or not value.strip():
            yield source.problem((key,), f"the skill has no `{key}` in words", _mend(key))
        elif len(value) > limit:
            yield source.problem(
                (key,), f"`{key}` has {len(value):,} characters; at most {limit:,} are taken", "cut it"
            )
    metadata = source.value.get("metadata", {})
    if not isinstance(metadata, dict) or any(isinstance(v, dict | list) for v in metadata.values()):
        yield source.problem(("metadata",), "`metadata` maps names to texts", "write `metadata: {author: …}`")
    if _tools(source.value.get("allowed-tools", "")) is None:
        yield source.problem(("allowed-tools",), "`allowed-tools` is a text with names of tools", "write `a.b c.d`")


def _name_problems(source: Source, folder: str) -> Iterator[Problem]:
    name = source.get(("name",))
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        said = "`name` is up to 64 lower-case letters, digits and single dashes"
        yield source.problem(("name",), said, f"write `name: {folder}`" if _NAME.fullmatch(folder) else "rename it")
    elif name != folder:
        yield source.problem(("name",), f"the skill {name} stands in the folder {folder[:80]!r}", "name both alike")


def _mend(key: str) -> str:
    return "say what the skill does and when to use it" if key == "description" else "say it, or remove the key"


def _tools(value: Any) -> tuple[str, ...] | None:
    """Names of tools: separated by white space or commas, as tools of other makers write them, or a list."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else None


def _skill(source: Source, body: str, files: tuple[str, ...]) -> Skill:
    value = source.value
    return Skill(
        name=value["name"],
        description=" ".join(value["description"].split()),
        instructions=body,
        files=files,
        allowed_tools=_tools(value.get("allowed-tools", "")) or (),
        license=value.get("license"),
        compatibility=value.get("compatibility"),
    )
