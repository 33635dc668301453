"""The wall around one child, built by the child itself before it has seen a line of the program."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from dataclasses import dataclass
from functools import cache

from remit.runtime.isolation import landlock

from . import syscalls

NOBODY = 65534
_PR_SET_PDEATHSIG = 1
_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use."""

    memory_mb: int
    """Megabytes beyond what the zygote already occupies."""
    cpu_seconds: int
    walled: bool
    """False: isolation was waived; only the limits hold."""


@cache
def _filter() -> bytes:
    return syscalls.filter_program(os.uname().machine)


def prepare(limits: Limits) -> None:
    """Do once, before the fork, what every child would do again."""
    if limits.walled:
        _filter()


def build(pipe: int, limits: Limits) -> None:
    """Leave the child with one descriptor (0, the pipe), no privileges, no files, no sockets. Raises OSError."""
    parent = os.getppid()
    os.setsid()
    occupied = _occupied()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGXFSZ, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(pipe, 0)
    os.closerange(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    _limit(limits, occupied)
    if limits.walled:
        _drop_user()
    libc = ctypes.CDLL(None, use_errno=True)
    # After the change of user, which clears it.
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0 or os.getppid() != parent:
        os._exit(1)
    if limits.walled:
        landlock.no_new_privileges()
        if landlock.abi() >= 1:
            landlock.restrict(read=(), write=(), deny_tcp=True)
    # Only now: Landlock needs a descriptor to say what it refuses.
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, 1))
    if limits.walled:
        syscalls.keep_few(_filter())


def _occupied() -> int:
    """Bytes of address space that the zygote's memory takes."""
    fd = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        return int(os.read(fd, 200).split()[0]) * resource.getpagesize()
    finally:
        os.close(fd)


def _limit(limits: Limits, occupied: int) -> None:
    exact = {
        resource.RLIMIT_AS: occupied + limits.memory_mb * _MB,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    for kind, value in exact.items():
        resource.setrlimit(kind, (value, value))
    # The soft limit's signal can be caught by the program, the hard limit's cannot.
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 1))


def _drop_user() -> None:
    """Root becomes nobody. Another user stays: the filter refuses what one user may do to the same user's processes."""
    if os.geteuid() != 0:
        return
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except PermissionError:
        if _is_powerful():
            raise


def _is_powerful() -> bool:
    """True if root has any capability; without one, as in a locked-down container, it is root in name only."""
    fd = os.open("/proc/self/status", os.O_RDONLY)
    try:
        lines = os.read(fd, 16_384).decode().splitlines()
    finally:
        os.close(fd)
    return any(int(line.split()[1], 16) for line in lines if line.startswith(("CapEff:", "CapPrm:")))
