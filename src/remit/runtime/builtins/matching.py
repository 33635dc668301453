"""`remit.match`: which of these names is meant? Scores, never a decision; the asker says how sure is sure enough."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rapidfuzz import fuzz, utils

if TYPE_CHECKING:
    from remit.runtime.builtins.registry import Invocation

_LEGAL_FORMS = re.compile(
    r"\b(ab|ag|bv|co|corp|corporation|gmbh|inc|incorporated|kg|limited|llc|ltd|nv|oy|oyj|plc|pty|sa|sarl|se|spa|srl)\b"
)

_OF_A_PART = 0.9


def match(call: Invocation) -> dict[str, Any]:
    """The best candidates for a query, best first: `id`, the `name` that fitted, and its `score` from 0 to 1."""
    return {"matches": best(call.args["query"], call.args["candidates"], call.args.get("limit", 5))}


def best(query: str, candidates: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """Score every candidate by the one of its names that fits best; equal scores stand in the order of their ids."""
    wanted = _bare(query)
    found: dict[str, dict[str, Any]] = {}
    for candidate in candidates:
        for name in candidate["names"]:
            score = _score(wanted, _bare(name))
            if score > found.get(candidate["id"], {"score": 0.0})["score"]:
                found[candidate["id"]] = {"id": candidate["id"], "name": name, "score": score}
    return sorted(found.values(), key=lambda one: (-one["score"], one["id"]))[:limit]


def _score(wanted: str, name: str) -> float:
    """From 0 to 1. A part of a name counts less than all of it: `Nordlys` may be one of several."""
    whole = fuzz.token_sort_ratio(wanted, name)
    part = _OF_A_PART * fuzz.token_set_ratio(wanted, name)
    return round(max(whole, part) / 100, 4)


def _bare(name: str) -> str:
    """A name without case, punctuation and the legal form of a company, unless nothing else is left of it."""
    plain = utils.default_process(name)
    return " ".join(_LEGAL_FORMS.sub(" ", plain).split()) or plain
