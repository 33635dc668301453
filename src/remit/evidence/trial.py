"""A past case tried with other parameters: what the program puts out now, beside what it put out then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from remit.domain.intents import LedgerRow
from remit.runtime.programs import Request

if TYPE_CHECKING:
    from remit.evidence.replaying import Replayed

PUBLISH = "remit.publish"
_MOST_NAMED = 5


class Trial:
    """What the program put out in one trial. Asking the world for anything else than before still ends it."""

    def __init__(self) -> None:
        self._lists: dict[str, list[dict[str, Any]]] = {}

    @staticmethod
    def shows(row: LedgerRow) -> bool:
        """True for what only shows something, and may be other than it was: notes and published outputs."""
        return row.mode == "note" or row.action == PUBLISH

    def takes(self, request: Request, row: LedgerRow) -> bool:
        """Take down what is put out; False if it is of another kind than what was recorded there."""
        if row.mode == "note":
            if request.op == "explain":
                self._lists.setdefault(request.payload["name"], []).extend(request.payload["rows"])
            return request.op in {"emit", "explain"}
        if row.action == PUBLISH:
            return request.op == "call" and request.payload["action"] == PUBLISH
        return True

    def judged(self, ended: Replayed, rows: Mapping[str, LedgerRow]) -> Replayed:
        """The end of the trial with how its lists differ from those that were recorded."""
        before: dict[str, list[dict[str, Any]]] = {}
        for row in rows.values():
            if row.mode == "note" and isinstance(row.result, dict) and row.result.get("kind") == "rows":
                value = row.result["value"]
                before.setdefault(value["name"], []).extend(value["rows"])
        said = [
            text
            for name in dict.fromkeys([*before, *self._lists])
            for text in _differences(name, before.get(name, []), self._lists.get(name, []))
        ]
        if not said:
            return ended
        return replace(ended, same=False, differs="; ".join([*said, *([ended.differs] if ended.differs else [])]))


def _differences(name: str, before: list[dict[str, Any]], now: list[dict[str, Any]]) -> Iterator[str]:
    """How a list of rows changed, in words."""
    old, new = [_label(row) for row in before], [_label(row) for row in now]
    gone, added = [label for label in old if label not in new], [label for label in new if label not in old]
    if gone:
        yield f"{name}: no longer there: {_some(gone)}"
    if added:
        yield f"{name}: new: {_some(added)}"
    stayed_old, stayed_new = [x for x in old if x in new], [x for x in new if x in old]
    if stayed_old != stayed_new:
        yield f"{name}: another order: {_some(stayed_new)}"
    elif not gone and not added and [_reasons(r) for r in before] != [_reasons(r) for r in now]:
        changed = [_label(r) for r, o in zip(now, before, strict=True) if _reasons(r) != _reasons(o)]
        yield f"{name}: the same order, with other reasons for {_some(changed)}"


def _label(row: dict[str, Any]) -> str:
    return str(row["title"] or row["key"] or row["rank"])


def _reasons(row: dict[str, Any]) -> list[str]:
    return [str(reason["text"] or reason["code"]) for reason in row["reasons"]]


def _some(labels: list[str]) -> str:
    more = f" and {len(labels) - _MOST_NAMED} more" if len(labels) > _MOST_NAMED else ""
    return ", ".join(labels[:_MOST_NAMED]) + more
