"""One turn as one line for a reader: who, what, under which policy, decided by whom, at what cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from remit.domain import canonical
from remit.errors import InvalidInput
from remit.storage.run_records import Contents, Run

REDACTED = "[redacted]"
ERASED = "[erased]"
WITHHELD = "[withheld]"
_OF_A_DECISION = frozenset({"verdict", "by", "simulated", "at", "reason"})


class Redactor:
    """Leaves declared fields out of contents.

    A path such as `card.number` is looked for at every depth, so that a field is also left out where it comes back
    nested in a result; lists on the way are passed through, and `*` stands for any key. Too much is left out rather
    than too little: the paths of all action types apply everywhere.
    """

    def __init__(self, declared: Mapping[str, Iterable[str]] | None = None) -> None:
        paths = {path for found in (declared or {}).values() for path in found}
        self._paths = [tuple(path.split(".")) for path in sorted(paths) if path]

    def clean(self, value: Any) -> Any:
        """A copy of the value with every declared field replaced by `[redacted]`."""
        return self._walk(value, ()) if self._paths else value

    def touches(self, value: Any) -> bool:
        """True if something in the value would be left out."""
        return bool(self._paths) and bool(self._walk(value, ()) != value)

    def _walk(self, value: Any, pending: tuple[tuple[str, ...], ...]) -> Any:
        if isinstance(value, list):
            return [self._walk(item, pending) for item in value]
        if not isinstance(value, dict):
            return value
        result = {}
        for key, inner in value.items():
            rest = [path[1:] for path in (*self._paths, *pending) if path[0] in {key, "*"}]
            result[key] = REDACTED if () in rest else self._walk(inner, tuple(rest))
        return result


def run_line(run: Run, redactor: Redactor, *, contents: bool) -> dict[str, Any]:
    """The line of one turn, without its chain. Without `contents`, what was said and passed is left out."""

    def show(found: Contents | None) -> Any:
        return _value(found, redactor) if contents else (None if found is None else WITHHELD)

    turn = run.turn
    calls = [_call(run, action, show, contents=contents) for action in run.actions if action["mode"] != "model"]
    models = [_request(action) for action in run.actions if action["mode"] == "model"]
    versions = list(dict.fromkeys(a["policy_version"] for a in run.actions if a["policy_version"]))
    decided = list(_decisions(run, redactor, contents=contents))
    return {
        "kind": "run",
        "timestamp": _time(turn["created_at"]),
        "turn_id": turn["id"],
        "agent_id": turn["agent"],
        "agent_version": turn["agent_version"],
        "workflow": turn["workflow"],
        "workspace": turn["workspace"],
        "request_id": turn["request_id"],
        "session_id": turn["session_id"],
        "principal": turn["principal"],
        "simulated": turn["simulated"],
        "author": turn["author"],
        "on_behalf_of": turn["on_behalf_of"],
        "trigger": turn["trigger"],
        "title": turn["title"] if contents else WITHHELD,
        "status": turn["status"],
        "started_at": _time(turn["started_at"]),
        "finished_at": _time(turn["finished_at"]),
        "inputs": show(run.of(turn["payload"])),
        "tool_calls": calls,
        "model_requests": models,
        "output": show(run.of(turn["output"])),
        "error": turn["error"] if contents or turn["error"] is None else WITHHELD,
        "policy_version": versions[-1] if versions else None,
        "policy_versions": versions,
        "human_override": decided or None,
        "cost_usd": _usd(sum(a["usd_micros"] for a in run.actions)),
        "tokens": {
            "input": sum(a["input_tokens"] for a in run.actions),
            "output": sum(a["output_tokens"] for a in run.actions),
        },
    }


def _call(
    run: Run, action: dict[str, Any], show: Callable[[Contents | None], Any], *, contents: bool
) -> dict[str, Any]:
    """One tool call. `reason` is why it was held up first, if it ever was; `reasons` are those of the last verdict."""
    held = run.held_up.get(action["id"])
    first = (held or action)["reasons"] or []
    policies = list(dict.fromkeys([*((held or {}).get("policy_ids") or []), *action["policy_ids"]]))
    return {
        "tool": action["action"],
        "status": action["status"],
        "reason": first[0]["code"] if first else None,
        "reasons": [*first, *(r for r in action["reasons"] if r not in first)],
        "policy_ids": policies,
        "policy_version": action["policy_version"],
        "action_id": action["id"],
        "key": action["key"],
        "mode": action["mode"],
        "attempts": action["attempt"],
        "arguments": show(run.arguments(action["id"])),
        "result": show(run.result(action["id"])),
        "error": action["error"] if contents or action["error"] is None else WITHHELD,
        "approved_by": [
            {"role": a["role"], "person": a["person"], "at": _time(a["at"]), "used_at": _time(a["used_at"])}
            for a in run.approvals
            if a["action_id"] == action["id"]
        ],
        "undone_by": action["undone_by"],
        "asked_at": _time(action["created_at"]),
        "settled_at": _time(action["settled_at"]),
        "cost_usd": _usd(action["usd_micros"]),
    }


def _request(action: dict[str, Any]) -> dict[str, Any]:
    return {
        "action_id": action["id"],
        "key": action["key"],
        "status": action["status"],
        "reasons": action["reasons"],
        "policy_ids": action["policy_ids"],
        "input_tokens": action["input_tokens"],
        "output_tokens": action["output_tokens"],
        "cost_usd": _usd(action["usd_micros"]),
    }


def _decisions(run: Run, redactor: Redactor, *, contents: bool) -> Iterator[dict[str, Any]]:
    """What people decided in this turn: approvals, edits, denials, answers, reconciliations, in order."""
    decided = [(i["decided_at"], i["id"], i["kind"], i["action_id"], i["decision"] or {}) for i in run.items]
    seen = {action_id for _, _, _, action_id, _ in decided}
    decided += [
        (a["settled_at"], None, "override", a["id"], a["override"])
        for a in run.actions
        if a["id"] not in seen and (a["override"] or {}).get("by") is not None
    ]
    tools = {a["id"]: a["action"] for a in run.actions}
    for at, item_id, kind, action_id, decision in decided:
        said = {name: value for name, value in decision.items() if name not in _OF_A_DECISION}
        yield {
            "item_id": item_id,
            "kind": kind,
            "action_id": action_id,
            "tool": tools.get(action_id),
            "verdict": decision.get("verdict"),
            "by": decision.get("by"),
            "simulated": bool(decision.get("simulated")),
            "at": _time(at),
            "reason": decision.get("reason") if contents else WITHHELD,
            "said": (_plain(redactor.clean(said)) if contents else WITHHELD) if said else None,
        }


def _value(found: Contents | None, redactor: Redactor) -> Any:
    if found is None:
        return None
    if found.body is None:
        return ERASED
    try:
        return _plain(redactor.clean(canonical.parse(found.body)))
    except InvalidInput:
        return found.body.decode("utf-8", "replace")


def _plain(value: Any) -> Any:
    return canonical.plain(value)


def _usd(micros: int) -> int | float:
    """Micro-dollars as dollars; a float's shortest text is exact for every amount below nine billion."""
    amount = Decimal(micros).scaleb(-6)
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
