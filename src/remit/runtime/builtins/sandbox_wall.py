"""The wall around the sandbox, should the interpreter itself have a hole: no files, no sockets, no privileges.

It is the same wall as around servers and programs. The interpreter's library starts a program by its path and knows
nothing of walls, so the path leads to a few lines of shell in this process's memory, which start the launcher.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sysconfig
from functools import lru_cache

from remit.errors import ConfigurationError, IsolationUnavailable
from remit.runtime.isolation import paths
from remit.runtime.isolation.choice import landlock_usable
from remit.runtime.isolation.launch import Spec, command_line


def interpreter(isolation: str) -> str:
    """Path of what runs the sandbox; `isolation` is that of remit.toml.

    Raises IsolationUnavailable where this machine has no such wall and none was waived.
    """
    program = shutil.which("monty", path=sysconfig.get_path("scripts")) or shutil.which("monty")
    if program is None:
        raise ConfigurationError("the sandbox's interpreter `monty` is not installed")
    if isolation == "none":
        return program
    if not landlock_usable():
        raise IsolationUnavailable(
            "code that a model writes needs a kernel with Landlock and seccomp around its sandbox"
        )
    return f"/proc/{os.getpid()}/fd/{_launcher(program, os.getpid())}"


@lru_cache(maxsize=1)
def _launcher(program: str, _process: int) -> int:
    """A file in memory, open as long as this process lives; a forked one makes its own."""
    read = [program, *(str(path) for path in paths.system())]
    spec = Spec(command=(program, "subprocess"), keep_env=(), read=tuple(read), network=False)
    descriptor = os.memfd_create("remit-sandbox")
    os.write(descriptor, f"#!/bin/sh\nexec {shlex.join(command_line(spec))}\n".encode())
    os.fchmod(descriptor, 0o500)
    return descriptor
