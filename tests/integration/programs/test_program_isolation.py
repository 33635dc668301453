"""Hostile programs: each reaches for something outside and gets nothing, behind every wall."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from remit.errors import IsolationUnavailable
from remit.runtime.isolation import landlock
from remit.runtime.programs import (
    ProgramHost,
    Reply,
    launch,
)
from remit.runtime.programs.child import syscalls

SECRET = "zx-planted-secret-7731"
WALLS = [
    pytest.param("landlock", marks=pytest.mark.skipif(landlock.abi() < 1, reason="this kernel has no Landlock")),
    pytest.param(
        "bubblewrap", marks=pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
    ),
]


@pytest.fixture(params=WALLS)
def planted(yard, request, tmp_path, monkeypatch):
    """A host behind each wall, with a secret in this process's environment, in files and behind sockets."""
    monkeypatch.setenv("REMIT_DATABASE_URL", f"postgresql://remit:{SECRET}@localhost/remit")
    (tmp_path / "secret.txt").write_text(SECRET)
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as database:
        tcp.bind(("127.0.0.1", 0))
        path = str(tmp_path / ".s.PGSQL.5432")
        database.bind(path)
        for listener in (tcp, database):
            listener.listen()
            listener.setblocking(False)
        given = {
            "file": str(tmp_path / "secret.txt"),
            "folder": str(tmp_path),
            "home": str(Path.home()),
            "project": str(Path(__file__).parent),
            "interpreter": sys.executable,
            "pid": os.getpid(),
            "port": tcp.getsockname()[1],
            "database": path,
        }
        with yard.hosting(request.param) as run:
            yield run, given
        for listener in (tcp, database):
            with pytest.raises(BlockingIOError):  # nobody has connected
                listener.accept()


# Each entry is an expression or statement that must raise. `given` is the input.
REACHES = """
open(given["file"]).read()
os.listdir(given["folder"])
os.listdir(given["home"])
os.listdir(given["project"])
os.stat(given["file"])
open("/etc/passwd").read()
open("/etc/hostname").read()
open("/proc/self/environ").read()
open("/proc/1/environ").read()
open(f"/proc/{given['pid']}/environ").read()
open(f"/proc/{given['pid']}/mem", "rb").read(1)
open("/proc/self/mem", "rb").read(1)
open("/proc/self/maps").read()
open("/dev/mem", "rb")
os.readlink(f"/proc/{given['pid']}/cwd")
os.chdir("/")
os.getcwd()
os.getxattr(given["file"], "user.x")
open(given["folder"] + "/new", "w")
open("/tmp/new-file-of-a-program", "w")
os.mkdir(given["folder"] + "/made")
os.unlink(given["file"])
os.chmod(given["file"], 0o777)
os.truncate(given["file"], 0)
os.symlink("/", given["folder"] + "/link")
os.memfd_create("x")
os.pipe()
os.dup(0)
os.open(".", os.O_RDONLY)
tempfile.mkstemp()
socket.socket()
socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
socket.socket(socket.AF_INET6)
socket.socket(socket.AF_UNIX)
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
socket.socketpair()
socket.create_connection(("127.0.0.1", given["port"]))
socket.getaddrinfo("localhost", 80)
socket.gethostname()
os.uname()
urllib.request.urlopen(f"http://127.0.0.1:{given['port']}/")
subprocess.run(["/bin/sh", "-c", "env"])
os.system("true")
os.execv(given["interpreter"], ["python"])
os.posix_spawn("/bin/true", ["true"], {})
os.fork()
os.forkpty()
multiprocessing.Process(target=print).start()
threading.Thread(target=print).start()
os.kill(given["pid"], 0)
os.kill(1, 0)
os.setuid(0)
os.setgroups([])
os.setpriority(os.PRIO_PROCESS, 0, -5)
os.sched_setaffinity(0, {0})
resource.setrlimit(resource.RLIMIT_CPU, (10_000, 10_000))
resource.prlimit(given["pid"], resource.RLIMIT_CPU)
signal.pthread_kill(threading.get_ident(), 0)
os.chroot("/")
os.statvfs("/")
os.listdir("/proc")
fcntl.fcntl(0, fcntl.F_GETFL)
mmap.mmap(os.open(given["file"], os.O_RDONLY), 0)
sqlite3.connect(given["folder"] + "/x.db").execute("create table t (x)")
__import__("ctypes")
__import__("remit")
__import__("child")
"""

REACHING = """
import fcntl, mmap, multiprocessing, os, resource, signal, socket, sqlite3, subprocess, sys, tempfile, threading
import urllib.request
async def run(session):
    given, got = session.input["given"], {}
    for attempt in session.input["attempts"]:
        try:
            result = eval(attempt)
        except Exception as error:
            continue
        if attempt.startswith("os.system") and result != 0:
            continue  # it answers with a status instead of raising
        got[attempt] = repr(result)[:500]
    return {"got": got, "environment": dict(os.environ), "path": sys.path, "argv": sys.argv,
            "files": [str(m) for m in list(sys.modules) if m.startswith("remit")]}
"""


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_whatever_a_program_reaches_for_it_gets_nothing(planted):
    run, given = planted
    attempts = [line for line in REACHES.splitlines() if line]
    answer = run(REACHING, {"given": given, "attempts": attempts}).output
    assert answer["got"] == {}
    assert answer["environment"] == {}
    assert answer["path"] == []
    assert answer["files"] == []
    assert SECRET not in json.dumps(answer, default=str)
    assert Path(given["file"]).read_text() == SECRET
    assert not Path("/tmp/new-file-of-a-program").exists()


# A program cannot import ctypes, but can find it: the wall must hold against the bare system calls too.
BARE = """
import errno, time
ctypes = time.sleep.__globals__["ctypes"]
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    result = libc.syscall(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    return None if result >= 0 else errno.errorcode[ctypes.get_errno()]
async def run(session):
    pid, kept = session.input["pid"], session.input["kept"]
    space = ctypes.create_string_buffer(64)
    named = {
        "ptrace": call(101, 16, pid, 0, 0), "process_vm_readv": call(310, pid, space, 1, space, 1, 0),
        "process_vm_writev": call(311, pid, space, 1, space, 1, 0), "pidfd_open": call(434, pid, 0),
        "pidfd_getfd": call(438, 0, 0, 0), "mount": call(165, b"none", b"/", b"tmpfs", 0, 0),
        "unshare": call(272, 0x10000000), "setns": call(308, 0, 0), "clone": call(56, 17, 0, 0, 0, 0),
        "clone3": call(435, space, 64), "vfork": call(58), "execve": call(59, b"/bin/true", None, None),
        "execveat": call(322, -100, b"/bin/true", None, None, 0), "open": call(2, b"/etc/passwd", 0),
        "openat": call(257, -100, b"/etc/passwd", 0), "openat2": call(437, -100, b"/etc/passwd", space, 24),
        "socket": call(41, 2, 1, 0), "connect": call(42, 0, space, 16), "bind": call(49, 0, space, 16),
        "sendto": call(44, 0, space, 1, 0, 0, 0), "sendmsg": call(46, 0, space, 0), "recvmsg": call(47, 0, space, 0),
        "io_uring_setup": call(425, 8, space), "bpf": call(321, 0, space, 0), "keyctl": call(250, 0, 0),
        "perf_event_open": call(298, space, 0, 0, 0, 0), "userfaultfd": call(323, 0), "kill": call(62, pid, 0),
        "tgkill": call(234, pid, pid, 0), "prctl": call(157, 22, 0), "seccomp": call(317, 0, 0, 0),
        "setrlimit": call(160, 0, space), "prlimit64": call(302, 0, 0, None, space),
        "ioctl": call(16, 0, 0x5413, space),
        "name_to_handle_at": call(303, -100, b"/", space, space, 0), "open_by_handle_at": call(304, 0, space, 0),
        "shmget": call(29, 1, 1, 0o1000), "x32": call(0x40000000 + 39), "stat": call(4, b"/", space),
    }
    # The kernel answers uretprobe (335) and uprobe (336) itself, with a signal, before any filter sees them.
    others = [n for n in range(462) if n not in kept and n not in (335, 336)]
    return {"named": named, "through": [n for n in others if call(n, 0, 0, 0, 0, 0, 0) != "EPERM"]}
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86_64")
def test_bare_system_calls_are_refused(planted):
    run, given = planted
    kept = [pair[0] for pair in syscalls._KEPT.values()]
    answer = run(BARE, {"pid": given["pid"], "kept": kept}).output
    assert set(answer["named"].values()) == {"EPERM"}
    assert answer["through"] == []


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_made_for_both_architectures_and_no_other(machine):
    assert len(syscalls.filter_program(machine)) % 8 == 0
    with pytest.raises(OSError, match="riscv64"):
        syscalls.filter_program("riscv64")


@pytest.mark.parametrize("wall", WALLS)
def test_the_zygote_inherits_nothing_of_the_workers_environment(yard, wall, monkeypatch):
    monkeypatch.setenv("REMIT_TOKEN", SECRET)
    before = set(yard.children_of(os.getpid()))
    with yard.hosting(wall) as run:
        assert run("async def run(session): return 1").output == 1
        family = set(yard.children_of(os.getpid())) - before
        assert family
        for pid in family:
            assert SECRET.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
            assert b"HOME" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user to become")
def test_root_becomes_nobody(yard):
    for wall in [p.values[0] for p in WALLS if not p.marks[0].args[0]]:
        with yard.hosting(wall) as run:
            asking = "import os\nasync def run(session): return [os.getuid(), os.getegid()]"
            assert run(asking).output == [65534, 65534]


def test_replay_is_the_same_behind_every_wall(yard):
    text = """
import random, time, uuid
async def run(session):
    first = await session.call("a.b", x=random.random(), at=time.time())
    return [first, str(uuid.uuid4()), list({"a", "b", "c"}), session.random.random()]
"""
    outputs, asked = [], []
    for wall in ("none", *(p.values[0] for p in WALLS if not p.marks[0].args[0])):
        with yard.hosting(wall) as run:
            outputs.append(run(text, handler=keep(asked)).output)
    assert len({json.dumps(o, default=str) for o in outputs}) == 1
    assert len({r.digest for r in asked}) == 1


def keep(asked):
    async def handler(request):
        asked.append(request)
        return Reply("ok", 1)

    return handler


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root has capabilities to lose")
@pytest.mark.parametrize(
    ("dropped", "said"),
    [("-all", "started"), ("-setuid,-setgid", "PermissionError")],
    ids=["root in name only is walled in", "root that cannot become nobody is refused"],
)
def test_root_without_capabilities(dropped, said):
    starting = "import asyncio\nfrom remit.runtime.programs import ProgramHost\n"
    starting += "asyncio.run(ProgramHost('landlock', 128, 5).start())\nprint('started')"
    command = ["setpriv", f"--bounding-set={dropped}", "--inh-caps=-all", sys.executable, "-c", starting]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said in done.stdout + done.stderr


def test_without_any_wall_no_program_runs(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    for wanted in ("auto", "landlock", "bubblewrap"):
        with pytest.raises(IsolationUnavailable):
            asyncio.run(ProgramHost(wanted, 128, 5).start())


def test_a_broken_bubblewrap_gives_way_to_landlock_or_is_named(yard, monkeypatch, tmp_path, caplog):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: no permission to create a namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(broken))
    with pytest.raises(IsolationUnavailable, match="no permission to create a namespace"):
        asyncio.run(ProgramHost("bubblewrap", 128, 5).start())
    if landlock.abi():
        with yard.hosting("auto") as run:
            assert run("async def run(session): return 1").output == 1
        assert "programs run behind landlock" in caplog.text


@pytest.mark.skipif(not syscalls.supported(), reason="no filter for this architecture")
def test_a_wall_that_lets_something_through_is_refused(monkeypatch, tmp_path):
    """The zygote tries its wall before it serves: here its first child is not walled in."""
    original = launch.json.dumps
    monkeypatch.setattr(launch.json, "dumps", lambda limits: original(limits | {"walled": False}))
    with pytest.raises(IsolationUnavailable, match="open: was not refused"):
        asyncio.run(ProgramHost("landlock", 128, 5).start())


def test_isolation_none_is_said_loudly(yard, caplog):
    with yard.hosting("none") as run:
        assert run("import os\nasync def run(session): return os.path.exists('/')").output is True
    assert "WITHOUT ISOLATION" in caplog.text
