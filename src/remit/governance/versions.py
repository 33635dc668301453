"""An agent's versions: which one somebody means by its first digits, and how two of them differ."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from remit.domain.agents import AgentVersion
from remit.errors import NotFound


def resolve(known: list[str], given: str, agent: str) -> str:
    """The one of the known versions that begins so. Raises NotFound."""
    found = [digest for digest in known if digest.startswith(given)]
    if len(found) != 1 or not given:
        said = "is not exactly one version" if found else "is no version"
        raise NotFound(f"{given!r} {said} of {agent}", advice=f"Versions: {', '.join(d[:12] for d in known)}.")
    return found[0]


def previous(known: list[str], after: str, agent: str) -> str:
    """The version before one; `known` has the newest first. Raises NotFound."""
    older = known[known.index(after) + 1 :] if after in known else known
    if not older:
        raise NotFound(
            f"there is no version of {agent} before {after[:12]}", advice="Name the two versions to be compared."
        )
    return older[0]


def differences(before: AgentVersion, after: AgentVersion) -> dict[str, Any]:
    """In the shape of `remit agents diff --json`."""
    return {
        "agent": after.agent,
        "old": before.digest,
        "new": after.digest,
        "fields": list(_fields(before, after)),
        "files": list(_files(before, after)),
    }


def _fields(before: AgentVersion, after: AgentVersion) -> Iterator[dict[str, Any]]:
    """Fields of agent.yaml that mean something else; defaults that were only written down are none."""
    old, new = before.spec.model_dump(mode="json"), after.spec.model_dump(mode="json")
    for field in new:
        if old[field] != new[field]:
            yield {"field": field, "old": old[field], "new": new[field]}


def _files(before: AgentVersion, after: AgentVersion) -> Iterator[dict[str, Any]]:
    for path in sorted({*before.files, *after.files}):
        old, new = before.files.get(path), after.files.get(path)
        if old == new:
            continue
        change = "added" if old is None else "removed" if new is None else "changed"
        yield {"path": path, "change": change, "diff": _lines(path, old, new, before.digest[:12], after.digest[:12])}


def _lines(path: str, old: bytes | None, new: bytes | None, before: str, after: str) -> list[str]:
    """A unified diff; empty for what is not text."""
    try:
        was, now = ((content or b"").decode().splitlines() for content in (old, new))
    except UnicodeDecodeError:
        return []
    was_at = "(not there)" if old is None else f"{path} ({before})"
    now_at = "(not there)" if new is None else f"{path} ({after})"
    return list(difflib.unified_diff(was, now, was_at, now_at, lineterm=""))
