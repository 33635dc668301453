"""Which wall stands between a child process and this machine."""

from __future__ import annotations

import shutil
from typing import Literal

from remit.errors import ConfigurationError, IsolationUnavailable
from remit.runtime.isolation import landlock, seccomp

Wall = Literal["bubblewrap", "landlock", "none"]


def choose(wanted: str) -> Wall:
    """The wall to use for `auto`, `bubblewrap`, `landlock` or `none`.

    `auto` takes bubblewrap where it is installed, else Landlock with seccomp. Raises IsolationUnavailable if there is
    no such wall here, and never falls back to none.
    """
    match wanted:
        case "none":
            return "none"
        case "auto" | "bubblewrap" if bubblewrap() is not None:
            return "bubblewrap"
        case "bubblewrap":
            raise IsolationUnavailable("bubblewrap (`bwrap`) is not installed on this machine")
        case "auto" | "landlock" if landlock_usable():
            return "landlock"
        case "auto" | "landlock":
            raise IsolationUnavailable("this machine has neither bubblewrap nor a kernel with Landlock and seccomp")
        case _:
            raise ConfigurationError(f"{wanted!r} is not a kind of isolation: use auto, bubblewrap, landlock or none")


def bubblewrap() -> str | None:
    """Path of the bubblewrap program, or None."""
    return shutil.which("bwrap")


def landlock_usable() -> bool:
    """True where Landlock and the system call filter can both be put in force."""
    return landlock.abi() >= 1 and seccomp.supported()
