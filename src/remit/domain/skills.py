"""Skills: folders of instructions in the open Agent Skills format, loaded when the task at hand needs them.

The format: https://agentskills.io/specification. A skill is text for a model to read and grants nothing; what an agent
may do stands in its own list of tools and in the policies.
"""

from __future__ import annotations

from dataclasses import dataclass

SKILL_FILE = "SKILL.md"
FOLDER = "skills"
MAX_NAME = 64
MAX_DESCRIPTION = 1_024
MAX_COMPATIBILITY = 500
MAX_SKILLS = 50
"""Most skills of one agent: the name and description of each stand in every prompt."""
MAX_FILE = 100_000
"""Largest file that can be loaded, in bytes: it becomes part of a prompt."""
LONG_INSTRUCTIONS = 500
"""Lines of instructions above which the format advises to move parts into files of their own."""


@dataclass(frozen=True, slots=True)
class Skill:
    """One skill as read from its folder."""

    name: str
    description: str
    """What it does and when to use it, in one line: all that a model sees before it loads the skill."""
    instructions: str
    """`SKILL.md` without its front matter."""
    files: tuple[str, ...] = ()
    """Other files of the folder, by their path inside it."""
    allowed_tools: tuple[str, ...] = ()
    """Tools that the skill says it works with. Nothing is granted by it."""
    license: str | None = None
    compatibility: str | None = None


def listed(skills: dict[str, Skill]) -> str:
    """Names and descriptions for a prompt, one line each."""
    return "\n".join(f"- {skill.name}: {skill.description}" for _, skill in sorted(skills.items()))
