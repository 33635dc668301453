"""Whether the skills and the knowledge in agents' folders are whole, and fit the agents that they stand with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from remit.config import files as names
from remit.config.reading import Loaded
from remit.config.skills import hidden, read_skill, skill_folders
from remit.config.source import SourceError, decode
from remit.domain import builtins, knowledge, skills
from remit.domain.agents import AgentVersion
from remit.errors import Problem

_SPOKEN_OF = re.compile(r"(?<![\w./-])[a-z0-9][a-z0-9_-]*\.[A-Za-z0-9_-]+(?![\w/-])")


def check_skills(loaded: Loaded) -> Iterator[Problem]:
    """Errors in skills and knowledge, and warnings where an agent could not use them."""
    for name, agent in loaded.project.agents.items():
        yield from _skills(loaded, f"agents/{name}/{skills.FOLDER}", agent)
        yield from _knowledge(loaded, f"agents/{name}/{knowledge.FOLDER}", agent)


def _skills(loaded: Loaded, place: str, agent: AgentVersion) -> Iterator[Problem]:
    folders = skill_folders(agent.files)
    for path in agent.files:
        top, _, rest = path.partition("/")
        if top == skills.FOLDER and "/" not in rest:
            mend = f"move it to {skills.FOLDER}/NAME/{skills.SKILL_FILE}"
            yield Problem(f"{place}/{rest}", 1, 1, "this file belongs to no skill and is not read", mend, "warning")
    if len(folders) > skills.MAX_SKILLS:
        said = f"the agent has {len(folders)} skills; the names of at most {skills.MAX_SKILLS} fit into a prompt"
        yield Problem(place, 1, 1, said, "give some of them to another agent")
    for name, files in folders.items():
        skill, problems = read_skill(place, name, files)
        yield from problems
        yield from _files(f"{place}/{name}", files)
        if skill is not None:
            yield from _unknown_tools(loaded, f"{place}/{name}/{skills.SKILL_FILE}", skill, files, agent)
    if folders:
        yield from _tool_needed(loaded, agent, builtins.LOAD_SKILL, f"has skills ({', '.join(sorted(folders))[:80]})")


def _files(place: str, files: Mapping[str, bytes]) -> Iterator[Problem]:
    """What is odd about the files beside SKILL.md."""
    for path, content in files.items():
        if path == skills.SKILL_FILE:
            continue
        try:
            text = decode(f"{place}/{path}", content, limit=skills.MAX_FILE)
        except SourceError as error:
            for problem in error.problems:
                said = f"this file cannot be loaded: {problem.message}"
                yield Problem(problem.file, problem.line, problem.column, said, problem.mend, "warning")
        else:
            yield from hidden(f"{place}/{path}", text)


def _unknown_tools(
    loaded: Loaded, file: str, skill: skills.Skill, files: Mapping[str, bytes], agent: AgentVersion
) -> Iterator[Problem]:
    """Tools that a skill counts on and that the agent does not have: the gate would refuse them."""
    has = set(agent.spec.tools)
    text = files[skills.SKILL_FILE].decode("utf-8-sig")
    known = set(loaded.project.actions) | set(builtins.ACTION_TYPES)
    spoken = {found for found in _SPOKEN_OF.findall(skill.instructions) if found in known}
    for tool in sorted({*skill.allowed_tools, *spoken} - has):
        at = text.find(tool)
        line, column = text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1
        said = f"the skill {skill.name} names {tool[:80]}, which {agent.agent} does not have: a skill grants nothing"
        mend = f"add `{tool}` to `tools` of {agent.agent}, or take it out of the skill"
        if tool not in known:
            mend = "take it out, or name a tool of this project as `connection.tool`"
        yield Problem(file, max(line, 1), max(column, 1), said, mend, "warning")


def _knowledge(loaded: Loaded, place: str, agent: AgentVersion) -> Iterator[Problem]:
    inside = {path: content for path, content in agent.files.items() if path.startswith(f"{knowledge.FOLDER}/")}
    count = 0
    for path, content in inside.items():
        file = f"{place}/{path.removeprefix(f'{knowledge.FOLDER}/')}"
        if not path.endswith(knowledge.SUFFIXES):
            said = f"this file is not searched: only {' and '.join(knowledge.SUFFIXES)} are"
            yield Problem(file, 1, 1, said, "save it as text, or remove it", "warning")
            continue
        try:
            text = decode(file, content, limit=knowledge.MAX_FILE)
        except SourceError as error:
            yield from error.problems
            continue
        yield from hidden(file, text, "warning")  # texts from right to left may hold such marks rightly
        found = sum(1 for _ in knowledge.passages(path, text))
        if not found:
            yield Problem(file, 1, 1, "there is nothing in this file", "write something, or remove it", "warning")
        count += found
    if count > knowledge.MAX_PASSAGES:
        said = f"the folder has {count:,} passages; at most {knowledge.MAX_PASSAGES:,} are kept"
        yield Problem(place, 1, 1, said, "split it between agents, or connect a search system by MCP")
    if inside:
        yield from _tool_needed(loaded, agent, builtins.SEARCH_KNOWLEDGE, "has a knowledge folder")


def _tool_needed(loaded: Loaded, agent: AgentVersion, tool: str, why: str) -> Iterator[Problem]:
    if tool in agent.spec.tools:
        return
    file = f"agents/{agent.agent}/{names.AGENT}"
    source = loaded.sources.get(file)
    said, mend = f"the agent {why}, and no tool to use it", f"add `- {tool}` under `tools`"
    if source is None:
        yield Problem(file, 1, 1, said, mend, "warning")
    else:
        yield source.problem(("tools",), said, mend, key=True, severity="warning")
