"""The zygote: an interpreter that has loaded the standard library and forks one child for each run of a turn.

It is started with an empty environment and one socket (descriptor 0), over which its host asks for children and hears
of their ends. It never sees a program, an input or a result: a child's pipe is handed through to it unread.
"""

from __future__ import annotations

import array
import gc
import importlib
import io
import json
import os
import pkgutil
import resource
import select
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
import zoneinfo
from pathlib import Path
from typing import Any

from . import clock, loop, turn, wall
from .loader import UNAVAILABLE, cut_off

_SKIPPED = {*UNAVAILABLE, "antigravity", "this", "turtledemo", "test", "lib2to3", "ensurepip", "venv", "distutils"}
_SKIPPED |= {"_pyrepl", "sitecustomize", "usercustomize", "rlcompleter", "webbrowser", "msilib", "_ios_support"}
_SKIPPED_PARTS = ("__main__", "test", "tests", "idle_test", "mbcs", "oem")
_DESCRIPTORS = 1024


def main() -> None:
    """Serve until the host goes. Its one argument says the limits as JSON."""
    control = socket.socket(fileno=0)
    try:
        limits = wall.Limits(**json.loads(sys.argv[1]))
        os.chdir("/")
        os.umask(0o077)
        resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
        os.closerange(3, _DESCRIPTORS)
        _load()
        time.tzset()
        clock.install()
        loop.install()
        os.environ.clear()
        wall.prepare(limits)
        cut_off()
        gc.collect()
        gc.freeze()  # children share these pages as long as the collector leaves them alone
        zygote = Zygote(control, limits)
        control.send(json.dumps({"ready": True, "probe": zygote.probe()}).encode())
    except BaseException:  # noqa: BLE001 - the host shows it
        control.send(json.dumps({"broken": traceback.format_exc()[-8_000:]}).encode())
        return
    zygote.serve()


class Zygote:
    """Forks, kills and buries."""

    def __init__(self, control: socket.socket, limits: wall.Limits) -> None:
        self._control = control
        self._limits = limits
        self._children: dict[int, int] = {}  # process id: the host's number for it

    def serve(self) -> None:
        """Answer the host until it closes its end, then end all children."""
        woken, wake = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the worker to handle
        while True:
            ready, _, _ = select.select([self._control.fileno(), woken], [], [])
            if woken in ready:
                os.read(woken, 512)
            self._bury()
            if self._control.fileno() in ready and not self._obey():
                break
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)

    def probe(self) -> dict[str, Any]:
        """Fork a child that builds its wall and then tries it; say what it got."""
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            found: dict[str, Any] = {}
            try:
                wall.build(theirs.fileno(), self._limits)
                found = _reach()
            except BaseException as error:  # noqa: BLE001 - the host shows it
                found = {"wall": f"{type(error).__name__}: {error}"}
            os.write(0, json.dumps(found).encode())
            os._exit(0)
        theirs.close()
        with ours:
            said = ours.recv(8_192)
        os.waitpid(pid, 0)
        answer: dict[str, Any] = json.loads(said or b'{"wall": "the first child died while it built its wall"}')
        return answer

    def _obey(self) -> bool:
        word, descriptors = _receive(self._control)
        if not word:
            return False
        verb, number = word.decode().split()
        if verb == "fork" and descriptors:
            self._fork(int(number), descriptors[0])
        elif verb == "kill":
            for pid, known in self._children.items():
                if known == int(number):
                    os.kill(pid, signal.SIGKILL)
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _fork(self, number: int, pipe: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._tell({"exit": number, "status": 0, "cpu": 0.0, "error": f"no process could be started: {error}"})
            return
        if pid == 0:
            _become_child(pipe, self._limits)
        self._children[pid] = number

    def _bury(self) -> None:
        while self._children:
            pid, status, used = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            number = self._children.pop(pid, None)
            if number is not None:
                self._tell({"exit": number, "status": status, "cpu": used.ru_utime + used.ru_stime})

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self._control.send(json.dumps(message).encode())
        except BrokenPipeError:
            return  # the next receive ends the loop


def _become_child(pipe: int, limits: wall.Limits) -> None:
    try:
        wall.build(pipe, limits)
    except BaseException as error:  # noqa: BLE001 - without its wall no child goes on
        body = json.dumps({"k": "w", "text": f"{type(error).__name__}: {error}"}).encode()
        os.write(pipe, len(body).to_bytes(4, "big") + body)
        os._exit(1)
    turn.main()


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    descriptors = array.array("i")
    word, ancillary, _, _ = control.recvmsg(64, socket.CMSG_SPACE(4 * descriptors.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return word, list(descriptors)


def _reach() -> dict[str, Any]:
    """What the wall lets through that it must not: an empty answer is a good wall."""

    def fork() -> None:
        if os.fork() == 0:
            os._exit(0)

    attempts: dict[str, Any] = {
        "open": lambda: os.open("/", os.O_RDONLY),
        "list": lambda: list(Path("/").iterdir()),
        "socket": lambda: socket.socket(socket.AF_UNIX),
        "fork": fork,
        "exec": lambda: os.execv("/no/such/program", ["x"]),  # noqa: S606 - it must be refused, not looked for
        "kill": lambda: os.kill(os.getpid(), 0),
    }
    through = {}
    for name, attempt in attempts.items():
        try:
            attempt()
        except PermissionError:
            continue
        except OSError:
            pass  # it failed for a reason of its own: nothing had refused it
        through[name] = "was not refused"
    return through


def _load() -> None:
    """Import the standard library: children cannot open files, so what is not loaded here does not exist for them."""
    sys.path[:] = [p for p in sys.path if Path(p).name not in {"site-packages", "dist-packages"}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in sorted(sys.stdlib_module_names - _SKIPPED):
            if not name.startswith(("__p", "__h", "_test", "_xx", "xx")):
                _load_one(name)
    _load_zones()
    if threading.active_count() != 1:
        raise RuntimeError("a module of the standard library started a thread")


def _load_one(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except Exception:  # noqa: BLE001 - a module for another system, or one that this interpreter was built without
        return
    for found in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{name}."):
        last = found.name.rpartition(".")[2]
        if last not in _SKIPPED_PARTS and "windows" not in last and "win32" not in last:
            _load_one(found.name)


def _load_zones() -> None:
    """Keep the time zones in memory, some hundred kilobytes."""
    zones: dict[str, bytes] = {}
    same: dict[bytes, bytes] = {}
    for folder in zoneinfo.TZPATH:
        if Path(folder).is_dir():
            for name in zoneinfo.available_timezones():
                if (file := Path(folder, name)).is_file():
                    data = file.read_bytes()
                    zones[name] = same.setdefault(data, data)
            break
    common: Any = importlib.import_module("zoneinfo._common")
    original = common.load_tzdata

    def load_tzdata(key: str) -> Any:
        return io.BytesIO(zones[key]) if key in zones else original(key)

    common.load_tzdata = load_tzdata
    modules: Any = zoneinfo
    modules.available_timezones = lambda: set(zones)
    zoneinfo.reset_tzpath(to=())
