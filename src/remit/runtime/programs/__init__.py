"""Programs: plain Python, each run in a walled-in process of its own, replayed from what the ledger holds."""

from remit.runtime.programs.calls import (
    Emitted,
    ProgramFailed,
    ProgramHostLost,
    ProgramOutcome,
    ProgramSource,
    RecordedCall,
    Reply,
    Request,
    RequestHandler,
    TurnSeed,
    describe,
    request_digest,
)
from remit.runtime.programs.host import ProgramHost

__all__ = [
    "Emitted",
    "ProgramFailed",
    "ProgramHost",
    "ProgramHostLost",
    "ProgramOutcome",
    "ProgramSource",
    "RecordedCall",
    "Reply",
    "Request",
    "RequestHandler",
    "TurnSeed",
    "describe",
    "request_digest",
]
