"""Runs PostgreSQL's programs detached from us and, for root, as somebody else. Started as a script.

It imports nothing but the standard library, because it is run by `python -I -S` with an empty environment. Its one
argument is a JSON object:

- `argv`: the program and its arguments; `cwd`: the folder it is started in;
- `owner`: user id that owns the project's `.remit/` folder; `owned`: files and folders the program must own;
- `root_as`: how root starts it, `auto`, `namespace` or `account`;
- `supervise`: absent to run the program in our place; to keep it as a server `lock`, `clients`, `members` and `alive`,
  four lock files (see `locks.py`), `run`, the folder of its socket, and `ready`, the descriptor whose closing tells the
  starter that the server is gone.

PostgreSQL refuses to run as root. Root therefore starts it

1. as the owner of `.remit/`, if that is an ordinary user of this machine;
2. else in a user namespace in which root's id is shown as an ordinary one: nothing on disk changes hands;
3. else, where namespaces are forbidden (most containers) or do not reach the folder, under a system account, which is
   given the files and the one capability that lets it pass through folders such as /root. The passwords stay root's.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import pwd
import signal
import stat
import struct
import sys
import threading
import time
from typing import Any, NoReturn

_CLONE_NEWUSER = 0x10000000
_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP = 28, 1 << 2
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_CAPABILITY_VERSION_3 = 0x20080522
#: Pauses in seconds before a server that was killed is started again; afterwards it stays down until the next command.
_REVIVE_AFTER = (0.1, 0.5, 1.0, 2.0, 5.0)


def _libc(name: str, *arguments: Any) -> None:
    """Call a function of the C library that returns 0 when it worked. Raises OSError."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4]]
    _libc("prctl", ctypes.c_int(option), *padded)


def _account() -> pwd.struct_passwd:
    """Return the system account to run as; the program looks its own name up, so it has to exist."""
    for name in ("postgres", "daemon", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise OSError("root needs a system account named postgres, daemon or nobody to run PostgreSQL")


def _enter_namespace(account: pwd.struct_passwd) -> None:
    _libc("unshare", ctypes.c_int(_CLONE_NEWUSER))
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{account.pw_uid} 0 1"),
        ("gid_map", f"{account.pw_gid} 0 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - pathlib doubles the start-up time
            file.write(text)


def _namespace_works(account: pwd.struct_passwd, spec: dict[str, Any]) -> bool:
    """Try in a child, for there is no way back, whether it may be entered and reaches the program and its files."""
    child = os.fork()
    if child == 0:
        try:
            _enter_namespace(account)
        except (OSError, AttributeError):
            os._exit(1)
        reached = os.access(spec["argv"][0], os.X_OK) and os.access(os.path.dirname(spec["cwd"]), os.X_OK)  # noqa: PTH120
        os._exit(0 if reached else 1)
    return os.waitpid(child, 0)[1] == 0


def _become_account(account: pwd.struct_passwd) -> None:
    """Drop root for an account, keeping only the right to pass through and read folders that it could not enter."""
    last: OSError | None = None
    _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)  # or access(2) would ignore the capability
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):  # containers often hold only the second
        mask = 1 << capability
        try:
            _libc("capset", struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), struct.pack("=6I", mask, mask, mask, 0, 0, 0))
        except OSError as error:
            last = error
            continue
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)
        return
    assert last is not None
    raise last


def _give(path: str, uid: int, gid: int) -> None:
    """Make a file, or a folder with all that is in it, somebody's; symbolic links are not followed."""
    state = os.lstat(path)
    if state.st_uid == uid:
        return
    if stat.S_ISDIR(state.st_mode):
        for folder, folders, files in os.walk(path):
            for name in folders + files:
                os.chown(os.path.join(folder, name), uid, gid, follow_symlinks=False)  # noqa: PTH118
    os.chown(path, uid, gid, follow_symlinks=False)  # last: it marks the rest as done


def _become(spec: dict[str, Any]) -> None:
    """Turn this process into whom the program shall run as, and give that user its files."""
    if os.geteuid() != 0:
        return
    if spec["owner"] != 0:
        owner = pwd.getpwuid(spec["owner"])
        for path in spec["owned"]:
            _give(path, owner.pw_uid, owner.pw_gid)
        os.initgroups(owner.pw_name, owner.pw_gid)
        os.setgid(owner.pw_gid)
        os.setuid(owner.pw_uid)
        return
    account = _account()
    if spec["root_as"] == "namespace" or (spec["root_as"] == "auto" and _namespace_works(account, spec)):
        for path in spec["owned"]:
            _give(path, 0, 0)
        _enter_namespace(account)
        return
    for path in spec["owned"]:
        _give(path, account.pw_uid, account.pw_gid)
    _become_account(account)


def _execute(spec: dict[str, Any]) -> NoReturn:
    """Become the program; what goes wrong is told on standard error, which is the log or the starter's pipe."""
    try:
        os.chdir(spec["cwd"])
        _become(spec)
        os.execve(spec["argv"][0], spec["argv"], {"LC_ALL": "C", "TZ": "UTC"})  # noqa: S606 - a shell is not wanted
    except (OSError, KeyError, AttributeError) as error:
        sys.stderr.write(f"cannot run {spec['argv'][0]}: {error}\n")
        sys.stderr.flush()
    os._exit(126)


class _Supervisor:
    """Parent of the server: stops it when no client lives any more, and starts it again when it was killed."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        files = spec["supervise"]
        # Opened once: if the folder is deleted and made anew, this server still belongs to the old one. The start lock
        # is opened for each of the two threads, because locks exclude open files, not threads.
        self._lock, self._watch_lock, self._clients, self._members = (
            os.open(files[name], os.O_RDWR | os.O_CLOEXEC) for name in ("lock", "lock", "clients", "members")
        )
        self._server = 0
        self._stopping = False
        self._ours: set[int] = set()

    def run(self) -> None:
        self._spawn()
        os.close(self._spec["supervise"]["ready"])
        threading.Thread(target=self._stop_when_alone, daemon=True).start()
        for attempt, pause in enumerate(_REVIVE_AFTER):
            status = self._wait()
            if self._stopping:  # the locks are held: nobody is preparing this folder for the next server
                with contextlib.suppress(OSError):
                    os.rmdir(self._spec["supervise"]["run"])  # noqa: PTH106
                return
            if os.WIFEXITED(status) and (os.WEXITSTATUS(status) == 0 or attempt == 0):
                return  # stopped on purpose, or it never came up and the starter says why
            time.sleep(pause)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if self._alone() or self._replaced():
                return
            self._spawn()
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        self._wait()

    def _spawn(self) -> None:
        server = os.fork()
        if server == 0:
            # Inherited by all processes of the server, so that it is free only when none of them lives.
            alive = os.open(self._spec["supervise"]["alive"], os.O_RDWR)
            os.set_inheritable(alive, True)
            try:
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os._exit(1)
            _execute(self._spec)
        self._ours.add(server)
        self._server = server

    def _wait(self) -> int:
        _, status = os.waitpid(self._server, 0)
        self._server = 0
        return status

    def _alone(self) -> bool:
        """Say whether no client lives. Only while the start lock is held; then no client can come either."""
        try:
            fcntl.flock(self._members, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _replaced(self) -> bool:
        """Say whether a client has started another server meanwhile."""
        try:
            with open(os.path.join(self._spec["cwd"], "postmaster.pid")) as file:  # noqa: PTH118, PTH123
                return int(file.readline()) not in self._ours
        except (OSError, ValueError):
            return False

    def _stop_when_alone(self) -> None:
        while True:
            fcntl.flock(self._clients, fcntl.LOCK_EX)  # granted when the last client is gone, however it went
            fcntl.flock(self._clients, fcntl.LOCK_UN)  # before the start lock: a starter holds that and waits for this
            fcntl.flock(self._watch_lock, fcntl.LOCK_EX)
            if self._alone():
                break
            fcntl.flock(self._watch_lock, fcntl.LOCK_UN)
        # The locks are held until the server has ended, and this process with it.
        self._stopping = True
        for number, patience in ((signal.SIGINT, 30), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
            if self._server == 0:  # it is down already, and would only be started again for clients
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._server, number)
            time.sleep(patience)
        os._exit(0)


def main() -> None:
    """Run what the argument describes."""
    spec = json.loads(sys.argv[1])
    if "supervise" not in spec:
        _execute(spec)
    if os.fork() != 0:
        os._exit(0)
    os.chdir("/")
    _Supervisor(spec).run()
    os._exit(0)


if __name__ == "__main__":
    main()
