"""`remit.load_skill`: the instructions of one of the agent's skills, or one of its files, as the session began with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remit.config.skills import skill_folders, skills_of
from remit.domain.skills import MAX_FILE, SKILL_FILE
from remit.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from remit.runtime.builtins.registry import Invocation


def load_skill(invocation: Invocation) -> dict[str, Any]:
    """A text of the skill, and which `files` it has. Raises NotFound or InvalidInput with what there is instead.

    Names are looked up among the deployed files, never on a disk: there is nothing that `../` could lead to.
    """
    version, name = invocation.version, invocation.args["name"]
    skills = skills_of(version)
    skill = skills.get(name)
    if skill is None:
        raise NotFound(f"there is no skill {name[:80]!r}; there are: {', '.join(sorted(skills)) or 'none'}")
    found = {"skill": skill.name, "files": list(skill.files)}
    file = invocation.args.get("file", SKILL_FILE)
    if file == SKILL_FILE:
        return {**found, "file": file, "text": skill.instructions}
    content = skill_folders(version.files)[name].get(file)
    if content is None:
        raise NotFound(f"{name} has no file {file[:80]!r}; there are: {', '.join(skill.files) or 'none'}")
    if len(content) > MAX_FILE:
        raise InvalidInput(f"{file} has {len(content):,} bytes; at most {MAX_FILE:,} can be loaded")
    try:
        return {**found, "file": file, "text": content.decode("utf-8-sig")}
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is not text") from None
