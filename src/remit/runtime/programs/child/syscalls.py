"""The system calls a program's process keeps; every other one fails with EPERM.

A list of what is allowed, because a list of what is refused grows stale with every kernel. What is left is memory,
time, locks and the descriptor that is open already: nothing opens, connects, starts, signals or looks up anything.
Numbers from the kernel's asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64); filter form from linux/filter.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

# name: (x86_64, aarch64); None where an architecture does not have the call
_KEPT: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "sched_yield": (24, 124),
    "futex": (202, 98),
    "getrandom": (318, 278),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "getrusage": (98, 165),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE, _KILL_PROCESS = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4


def supported() -> bool:
    """True where this machine's call numbers are known here."""
    return os.uname().machine in _ARCHITECTURES


def keep_few(code: bytes) -> None:
    """Give up all system calls but those of this filter program, for good. Needs `no_new_privs`. Raises OSError."""
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(header), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_SECCOMP): {os.strerror(number)}")


def filter_program(machine: str) -> bytes:
    """The filter for one architecture: another architecture's calls end the process, unlisted calls fail.

    Raises OSError for an architecture that is not listed here.
    """
    if machine not in _ARCHITECTURES:
        raise OSError(f"no system calls are listed for {machine}")
    column, architecture = _ARCHITECTURES[machine]
    numbers = [pair[column] for pair in _KEPT.values()]
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    for number in numbers:
        if number is not None:
            code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    code.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(struct.pack("<HBBI", *step) for step in code)
