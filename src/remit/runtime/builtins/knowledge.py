"""`remit.search_knowledge`: passages of the agent's knowledge folder, as the session began with it, to be cited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remit.domain.knowledge import FOLDER
from remit.storage import knowledge

if TYPE_CHECKING:
    from remit.runtime.builtins.registry import Invocation

_USUAL = 5


def search_knowledge(invocation: Invocation) -> dict[str, Any]:
    """The best passages, best first. Each has `source`, as `FILE:LINE`, and its `heading` to be cited by."""
    version = invocation.version
    with invocation.sessions.transaction() as db:
        found = knowledge.search(db, version, invocation.args["query"], invocation.args.get("limit", _USUAL))
    return {"passages": [passage(one) for one in found]}


def passage(found: knowledge.Found) -> dict[str, Any]:
    """A passage as agents and people get it."""
    return {
        "source": f"{FOLDER}/{found.path}:{found.line}",
        "heading": found.heading,
        "text": found.body,
        "excerpt": found.excerpt,
    }
