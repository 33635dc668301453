"""Every error that Remit shows to a person.

One base, `RemitError`. A subclass sets `code` (stable, documented, for scripts), `http_status` (for the
surfaces that speak HTTP) and `advice` (what the reader can do next). The message says what happened; the advice
says what to do about it. Errors that are about a place in a file carry it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class RemitError(Exception):
    """Something went wrong and the message says what to do next."""

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    #: What the reader can do next; an instance may give a more exact one.
    advice: str = "See the message."

    def __init__(self, message: str, *, advice: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if advice is not None:
            self.advice = advice


class NotFound(RemitError):
    """No such session, action, inbox item, agent or person."""

    code = "not_found"
    http_status = 404
    advice = "List what exists first, for example with `remit sessions` or `remit inbox`."


class Conflict(RemitError):
    """The thing is no longer in a state in which this can be done."""

    code = "conflict"
    http_status = 409
    advice = "Look at it again: somebody or something else changed it first."


class NotEntitled(RemitError):
    """This person may not do this."""

    code = "not_entitled"
    http_status = 403
    advice = "Ask one of the people named in the message."


class InvalidInput(RemitError):
    """A value given on the command line, over the API or by an agent does not fit."""

    code = "invalid_input"
    http_status = 422
    advice = "Correct the value named in the message and try again."


class ConfigurationError(RemitError):
    """Settings are missing or contradict each other."""

    code = "configuration"
    advice = "Correct the setting named in the message; docs/reference/settings.md lists them all."


class DatabaseUnavailable(RemitError):
    """The database cannot be reached, started or written to. Nothing was executed."""

    code = "database_unavailable"
    http_status = 503
    advice = "Check the database named in the message; Remit executes nothing without it."


class IntegrityError(RemitError):
    """A signature, digest or proof does not hold."""

    code = "integrity"
    advice = "Do not use what failed; compare it with the copy in git and deploy again."


class ProgramDiverged(RemitError):
    """A program asked for something else than it did before at the same place of the same turn.

    Raised when the ledger holds an action under this key with other arguments. Nothing is executed.
    """

    code = "program_diverged"
    http_status = 409
    advice = "Make the program deterministic: take time, randomness and outside data from the session."


class IsolationUnavailable(RemitError):
    """This machine offers no way to isolate a program, and none was waived."""

    code = "isolation_unavailable"
    advice = (
        "Install bubblewrap, use a Linux kernel with Landlock, or accept the risk with "
        '`[programs] isolation = "none"` in remit.toml.'
    )


class ToolFailed(RemitError):
    """A connection answered with an error; the outcome is known: it did not happen, or it says why."""

    code = "tool_failed"
    http_status = 502
    advice = "Read the tool's own words in the action; retry or correct the arguments."


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a project file: where, what, and what to mend. `severity` is `error` or `warning`."""

    file: str
    line: int
    column: int
    message: str
    mend: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        """Render as `file:line:column: message (mend)`."""
        text = f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message}"
        return f"{text} ({self.mend})" if self.mend else text


class ProjectInvalid(RemitError):
    """The project's files have errors; `problems` holds all of them."""

    code = "project_invalid"
    http_status = 422
    advice = "Mend the lines named above, then run `remit check` again."

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        count = sum(1 for p in problems if p.severity == "error")
        super().__init__("\n".join(map(str, problems)) + f"\n{count} error(s) in the project")
