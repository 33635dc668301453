"""Why a child ended without a last word, in a sentence for the program's owner."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from remit.errors import RemitError
from remit.runtime.programs.calls import ProgramFailed, ProgramHostLost
from remit.runtime.programs.child.turn import OUT_OF_MEMORY
from remit.runtime.programs.forks import Ended


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use."""

    memory_mb: int
    cpu_seconds: int
    stall_seconds: float


def explain(ended: Ended, limits: Limits) -> RemitError:
    """The error for a child that ended without saying how."""
    if ended.error:
        return ProgramHostLost(ended.error)
    out_of_time = ended.signal in {signal.SIGXCPU, signal.SIGKILL} and ended.cpu_seconds > limits.cpu_seconds - 0.5
    if out_of_time:
        return ProgramFailed(
            f"the program used more than {limits.cpu_seconds} seconds of processor time and was ended",
            advice="Look for a loop that does not end, or raise `cpu_seconds` under `[programs]` in remit.toml.",
        )
    if ended.code == OUT_OF_MEMORY:
        return ProgramFailed(
            f"the program used more than {limits.memory_mb} MB of memory and was ended",
            advice="Work on less at once, or raise `memory_mb` under `[programs]` in remit.toml.",
        )
    if ended.silent:
        return ProgramFailed("the program closed its own pipe and was ended")
    if ended.signal == signal.SIGKILL:
        return ProgramFailed("the program's process was killed from outside, as a system does that is out of memory")
    if ended.signal:
        return ProgramFailed(f"the program's process crashed ({signal.Signals(ended.signal).name})")
    return ProgramFailed(f"the program ended its own process (status {ended.code}) without an output")
