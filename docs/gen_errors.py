"""The page of the errors."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from gen_markdown import NOTE, page, table

import remit
from remit.domain.decisions import ReasonCode
from remit.errors import RemitError

_ABOUT = (
    "An error says what happened and what to do next. On the command line it is printed to standard error and the "
    "command exits with 1, or with 2 for wrong usage; over HTTP it has the status below. `code` is stable. The advice "
    "may be more exact than the one here where more is known."
)


def errors() -> list[type[RemitError]]:
    """Every error that Remit shows to a person, by code."""
    for module in pkgutil.walk_packages(remit.__path__, "remit."):
        if not _is_script(module.name):
            importlib.import_module(module.name)
    found = {e for e in _below(RemitError) if e.__module__.partition(".")[0] == "remit"}
    return sorted(found, key=lambda e: (e.code, e.__name__))


def errors_reference() -> str:
    """The page as Markdown."""
    rows = [(f"`{e.code}`", str(e.http_status), _meaning(e), e.advice) for e in errors() if e is not RemitError]
    return page(
        "# Errors",
        NOTE,
        _ABOUT,
        table(("code", "HTTP", "meaning", "advice"), rows),
        "## Reasons of a decision",
        "A refusal by the gate is no error: the action is recorded with its reasons. The gate's own reason codes are "
        'these; policies add others with `@reason("…")`.',
        table(("code", "meaning"), [(f"`{code.value}`", REASONS[code]) for code in ReasonCode]),
    )


def _below(error: type[RemitError]) -> Iterator[type[RemitError]]:
    yield error
    for child in error.__subclasses__():
        yield from _below(child)


def _is_script(name: str) -> bool:
    """Modules that are run, never imported: they stand in processes of their own, or do something when imported."""
    return name == "remit.__main__" or name.startswith(("remit.storage.migrations.", "remit.config.template"))


def _meaning(error: type[RemitError]) -> str:
    return (error.__doc__ or "").strip().split("\n\n")[0]


REASONS: dict[ReasonCode, str] = {
    ReasonCode.AGENT_UNKNOWN: "No agent of this name is deployed.",
    ReasonCode.AGENT_SUSPENDED: "Somebody suspended the agent.",
    ReasonCode.PERSON_UNKNOWN: "The person through whom the agent acts is not active any more.",
    ReasonCode.STOPPED: "A stop covers it; the turn waits until the stop is released.",
    ReasonCode.NOT_IN_SCOPE: "The tool or model is not on the agent's list.",
    ReasonCode.ACTION_UNCLASSIFIED: "No file says what this tool does.",
    ReasonCode.TOOL_NOT_PINNED: "Nobody has reviewed the tool's definition yet.",
    ReasonCode.TOOL_CHANGED: "The server describes the tool otherwise than it was pinned, or offers it no more.",
    ReasonCode.ARGUMENTS_INVALID: "The arguments are not what the tool takes.",
    ReasonCode.ARGUMENT_REQUIRED: "The action type requires an argument that is absent or null.",
    ReasonCode.RACI_INCOMPLETE: "Nobody active is accountable, owns the system or owns the risk.",
    ReasonCode.POLICY_FORBIDS: "A policy forbids it, and gave no reason of its own.",
    ReasonCode.POLICY_ERROR: "Policy could not be evaluated, so the answer is no.",
    ReasonCode.NO_POLICY_PERMITS: "No policy permits it.",
    ReasonCode.NEEDS_APPROVAL: "A person has to approve it, and the policy gave no reason of its own.",
    ReasonCode.APPROVAL_DENIED: "A person said no.",
    ReasonCode.APPROVAL_EXPIRED: "Nobody said yes in time.",
    ReasonCode.QUESTION_EXPIRED: "Nobody answered a question in time, and it has no default.",
    ReasonCode.NOBODY_TO_ASK: "Nobody is here who could ever answer a question.",
    ReasonCode.DUPLICATE_EFFECT: "Another action already had this business effect and was not undone.",
    ReasonCode.OVER_CAP: "It moves more money than its type may, at once or in a day, or money without a cap.",
    ReasonCode.OVER_BUDGET: "A budget has no room for it.",
    ReasonCode.BUDGET_BLOCKED: "A budget is blocked because something cost more than was reserved.",
    ReasonCode.MODEL_WITHOUT_PRICE: "A budget limits money, and the model has no price.",
    ReasonCode.OVER_RATE: "Too often; it is tried again later.",
    ReasonCode.OVER_CONCURRENCY: "Too many at once; it is tried again later.",
    ReasonCode.LOOP_DETECTED: "The same call again and again, or a turn without an end; the owner is asked.",
    ReasonCode.SESSION_NOT_RUNNING: "The session was paused or cancelled.",
    ReasonCode.STALE_RUN: "A newer run of the turn has taken over.",
    ReasonCode.CHECK_FAILED: "A check itself failed, so the answer is no; the worker's log says why.",
}
