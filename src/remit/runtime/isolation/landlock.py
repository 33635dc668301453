"""Landlock: a process gives up, for itself and its children, every file and TCP port that is not named.

Needs no privilege and no helper program; Linux 5.13 or later with Landlock enabled. What it cannot do: hide that a path
exists (`stat` is not covered), and limit UDP or sockets on the file system (see `seccomp`).
Source: the kernel's userspace-api/landlock and linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_CHANGE_TREE = sum(1 << bit for bit in range(4, 13))  # remove and make files, folders, links, sockets, devices
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_TCP_BIND_AND_CONNECT = 0b11
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


def abi() -> int:
    """The kernel's Landlock version, 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    version = _syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    return max(version, 0)


def restrict(*, read: Iterable[Path], write: Iterable[Path], deny_tcp: bool) -> None:
    """Confine the calling thread and all its future children, for good.

    Paths in `read` may be read and executed, paths in `write` also changed; everything else is refused. A path that
    does not exist is passed over. With `deny_tcp` no TCP port can be bound or connected (from version 4; refused
    sockets are seccomp's part). From version 6 signals and abstract sockets end at the wall too. Raises OSError where
    the kernel refuses; then nothing may be run.
    """
    version = abi()
    if version < 1:
        raise OSError("this kernel has no Landlock")
    reading = _EXECUTE | _READ_FILE | _READ_DIR
    writing = reading | _WRITE_FILE | _CHANGE_TREE
    writing |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    handled = writing | (_IOCTL_DEVICE if version >= 5 else 0)
    ruleset = _new_ruleset(version, handled, _TCP_BIND_AND_CONNECT if deny_tcp else 0)
    try:
        for path in read:
            _allow(ruleset, path, reading)
        for path in write:
            _allow(ruleset, path, writing)
        no_new_privileges()
        _check(_syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def no_new_privileges() -> None:
    """Programs started from here on gain nothing from set-uid bits. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def _new_ruleset(version: int, files: int, network: int) -> int:
    attributes = struct.pack("<Q", files)
    if version >= 4:
        attributes += struct.pack("<Q", network)
    if version >= 6:
        attributes += struct.pack("<Q", _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS)
    return _check(_syscall(_CREATE_RULESET, attributes, len(attributes), 0), "landlock_create_ruleset")


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _ON_FILES
        rule = struct.pack("<Qi", access, descriptor)  # a packed struct of twelve bytes
        _check(_syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0), f"landlock_add_rule for {path}")
    finally:
        os.close(descriptor)


def _syscall(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return int(libc.syscall(ctypes.c_long(number), *words))


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result
