"""seccomp: a process gives up system calls for itself and its children.

Complements Landlock, which knows neither UDP nor sockets on the file system (a database's, a container engine's).
Pairs of connected sockets (`socketpair`) stay: event loops wake themselves through one.
Source: linux/seccomp.h, linux/filter.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import Literal

from remit.runtime.isolation import landlock

Sockets = Literal["none", "internet"]
"""`none`: no socket can be made. `internet`: TCP and UDP, no sockets on the file system."""

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_X32_BIT = 0x40000000
_AF_INET, _AF_INET6, _AF_NETLINK = 2, 10, 16  # name look-ups ask the kernel for its addresses over netlink

# What no tool server or program needs and what reaches around a wall: other processes' memory, the kernel's own
# machinery, new name spaces and mounts, and io_uring, whose operations no filter sees.
_REFUSED = {
    "x86_64": {
        "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "io_uring_setup": 425, "bpf": 321,
        "userfaultfd": 323, "perf_event_open": 298, "add_key": 248, "request_key": 249, "keyctl": 250, "mount": 165,
        "umount2": 166, "pivot_root": 155, "unshare": 272, "setns": 308, "open_by_handle_at": 304, "init_module": 175,
        "finit_module": 313, "kexec_load": 246, "kexec_file_load": 320, "pidfd_getfd": 438, "kcmp": 312, "reboot": 169,
    },
    "aarch64": {
        "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "io_uring_setup": 425, "bpf": 280,
        "userfaultfd": 282, "perf_event_open": 241, "add_key": 217, "request_key": 218, "keyctl": 219, "mount": 40,
        "umount2": 39, "pivot_root": 41, "unshare": 97, "setns": 268, "open_by_handle_at": 265, "init_module": 105,
        "finit_module": 273, "kexec_load": 104, "kexec_file_load": 294, "pidfd_getfd": 438, "kcmp": 272, "reboot": 142,
    },
}  # fmt: skip
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SOCKET = {"x86_64": 41, "aarch64": 198}


def supported() -> bool:
    """True where this machine's architecture is known here and the kernel takes filters."""
    return sys.platform.startswith("linux") and platform.machine() in _ARCHITECTURE


def restrict(sockets: Sockets) -> None:
    """Put the filter in force for the calling thread and all its future children, for good.

    A refused call fails with EACCES (sockets) or EPERM. Raises OSError where the kernel does not take the filter.
    """
    if not supported():
        raise OSError(f"no system call filter is known for {platform.machine()}")
    program = _program(platform.machine(), sockets)
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    landlock.no_new_privileges()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(header), 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl(PR_SET_SECCOMP): {os.strerror(code)}")


def _program(machine: str, sockets: Sockets) -> bytes:
    """The filter: `return` straight after each test, so that every jump is one or two steps long."""
    refuse = _ERRNO | errno.EPERM
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURE[machine]),
        (_RETURN, 0, 0, refuse),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_AT_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, refuse),
    ]
    for number in _REFUSED[machine].values():
        code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, refuse)]
    no_socket = _ERRNO | errno.EACCES
    if sockets == "none":
        code += [(_JUMP_EQUAL, 0, 1, _SOCKET[machine]), (_RETURN, 0, 0, no_socket)]
    else:
        code += [
            (_JUMP_EQUAL, 0, 5, _SOCKET[machine]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
            (_JUMP_EQUAL, 3, 0, _AF_INET),
            (_JUMP_EQUAL, 2, 0, _AF_INET6),
            (_JUMP_EQUAL, 1, 0, _AF_NETLINK),
            (_RETURN, 0, 0, no_socket),
        ]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *step) for step in code)
