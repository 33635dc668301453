"""Hostile programs: each reaches for something outside and gets nothing, behind every wall that this machine has."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remit.errors import IsolationUnavailable
from remit.runtime.isolation import landlock
from remit.runtime.programs import (
    ProgramFailed,
    ProgramHost,
    ProgramHostLost,
    ProgramSource,
    Reply,
    TurnSeed,
    launch,
)
from remit.runtime.programs.child import syscalls
from remit.runtime.road import TurnSuspendedError

SECRET = "zx-planted-secret-7731"
TURN = TurnSeed("turn-1", datetime(2026, 3, 4, tzinfo=UTC), "seed")
WALLS = [
    pytest.param("landlock", marks=pytest.mark.skipif(landlock.abi() < 1, reason="this kernel has no Landlock")),
    pytest.param(
        "bubblewrap", marks=pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
    ),
]


async def nothing(request):
    return Reply("ok", {"ordinal": request.ordinal})


def source(text, **files):
    return ProgramSource("desk", "digest", {"program.py": text.encode()} | files)


@contextmanager
def hosting(wall="auto", *, memory_mb=128, cpu_seconds=5, **options):
    with asyncio.Runner() as runner:
        host = ProgramHost(wall, memory_mb, cpu_seconds, **options)
        runner.run(host.start())
        try:
            yield lambda text, given=None, handler=nothing: runner.run(host.run(source(text), TURN, given, [], handler))
        finally:
            runner.run(host.close())


@pytest.fixture(params=WALLS)
def planted(request, tmp_path, monkeypatch):
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
        with hosting(request.param) as run:
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
def test_the_zygote_inherits_nothing_of_the_workers_environment(wall, monkeypatch):
    monkeypatch.setenv("REMIT_TOKEN", SECRET)
    before = set(children_of(os.getpid()))
    with hosting(wall) as run:
        assert run("async def run(session): return 1").output == 1
        family = set(children_of(os.getpid())) - before
        assert family
        for pid in family:
            assert SECRET.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
            assert b"HOME" not in Path(f"/proc/{pid}/environ").read_bytes()


def children_of(pid):
    """All descendants."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            if parent == pid:
                found += [int(entry.name), *children_of(int(entry.name))]
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user to become")
def test_root_becomes_nobody():
    with hosting("auto") as run:
        assert run("import os\nasync def run(session): return [os.getuid(), os.getegid()]").output == [65534, 65534]


HOSTILE = """
import os, json
def send(body, size=None):
    data = (len(body) if size is None else size).to_bytes(4, "big") + body
    while data:
        data = data[os.write(0, data):]
def say(**frame):
    send(json.dumps(frame).encode())
async def run(session):
    %s
    while True:
        os.read(0, 1)
"""


@pytest.mark.parametrize(
    "attack",
    [
        "os.write(0, bytes(range(256)) * 100)",
        "send(b'', 1_000_000_000)",
        "send(b'', 2**32 - 1)",
        "send(b'not json')",
        "send(b'[' * 100_000)",
        "send(b'{\"k\": NaN}')",
        "say(k='zzz')",
        "say(k='r', o=5, op='call', d=[], p={})",
        "say(k='r', o=1, op='erase', d=[], p={})",
        "say(k='r', o=1, op='call', d=[], p={'action': 5, 'args': {}, 'reason': ''})",
        "say(k='r', o=1, op='call', d=[], p={'action': 'a.b', 'args': {}, 'reason': '', 'more': 1})",
        "say(k='r', o=1, op='emit', d=[], p={'name': 'x', 'value': 1, 'reasons': [5]})",
        "say(k='r', o=1, op='model', d=[], p={'model': 'm', 'prompt': '', 'schema': None, 'max_output_tokens': -1})",
        "say(k='q', d=[1])",
        "say(k='q', d=[[1]])",
        "say(k='q', d=['1'])",
        "say(k='x', o=9)",
        "say(k='d', v=1, d=[3], out='')",
        "say(k='f')",
        "[say(k='r', o=n, op='call', d=[], p={'action': 'a', 'args': {}, 'reason': ''}) for n in range(1, 10_100)]",
    ],
)
def test_garbage_on_the_pipe_ends_in_a_clear_failure(hostile_host, attack):
    with pytest.raises(ProgramFailed) as caught:
        hostile_host(HOSTILE % attack)
    assert caught.value.message.startswith("the program")
    assert hostile_host("async def run(session): return 'unharmed'").output == "unharmed"


@pytest.fixture(scope="module")
def hostile_host():
    with hosting("auto", stall_seconds=3) as run:
        yield run


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import os\nasync def run(session): os._exit(3)", r"ended its own process \(status 3\)"),
        ("import os\nasync def run(session): os.close(0); os._exit(0)", "ended its own process"),
        ("import os\nasync def run(session):\n    os.close(0)\n    while True: pass", "closed its own pipe"),
        ("import os\nasync def run(session): os.abort()", "crashed"),
        (BARE.replace("async def run", "ctypes.string_at(0)\nasync def run"), "crashed"),
        ("async def run(session):\n    x = [bytearray(50_000_000) for _ in range(100)]", "memory"),
        ("async def run(session):\n    x = []\n    while True: x.append([x] * 10_000)", "memory"),
        (
            "import sys\nsys.setrecursionlimit(10**9)\nasync def run(session):\n    f = lambda: f()\n    f()",
            "the program",
        ),
    ],
)
def test_a_child_that_dies_says_why(hostile_host, text, words):
    with pytest.raises(ProgramFailed, match=words):
        hostile_host(text)


LOOPS = {
    "plain": "async def run(session):\n    while True: pass",
    "catching": "import signal\nasync def run(session):\n    signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
    "    while True: pass",
    "yielding": "import asyncio\nasync def run(session):\n    while True: await asyncio.sleep(0)",
}


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS)
def test_an_endless_loop_ends_and_leaves_other_turns_alone(text):
    with asyncio.Runner() as runner:
        host = ProgramHost("auto", memory_mb=128, cpu_seconds=1)

        async def both():
            looping = asyncio.create_task(host.run(source(text), TURN, None, [], nothing))
            others = [
                await host.run(source("async def run(session): return await session.call('a.b')"), TURN, n, [], nothing)
                for n in range(3)
            ]
            with pytest.raises(ProgramFailed, match="more than 1 seconds of processor time"):
                await looping
            return others

        assert len(runner.run(both())) == 3
        runner.run(host.close())


def test_a_child_that_stalls_is_ended():
    blocked = "import os\nasync def run(session):\n    os.read(0, 1)"
    with hosting("auto", stall_seconds=0.3) as run, pytest.raises(ProgramFailed, match="neither asked for anything"):
        run(blocked)


def test_a_child_that_waits_for_a_result_is_not_stalled():
    async def slow(request):
        await asyncio.sleep(0.6)
        return Reply("ok", "late")

    with hosting("auto", stall_seconds=0.3) as run:
        assert run("async def run(session): return await session.call('a.b')", handler=slow).output == "late"


def test_suspension_leaves_no_process_behind():
    async def suspend(request):
        raise TurnSuspendedError

    with asyncio.Runner() as runner:
        host = ProgramHost("auto", memory_mb=128, cpu_seconds=5)
        without = set(children_of(os.getpid()))
        runner.run(host.start())
        before = set(children_of(os.getpid()))
        asking = "async def run(session): await session.ask('?', choices=[1])"
        for _ in range(5):
            with pytest.raises(TurnSuspendedError):
                runner.run(host.run(source(asking), TURN, None, [], suspend))
        assert set(children_of(os.getpid())) == before
        runner.run(host.close())
        assert set(children_of(os.getpid())) == without


def test_a_cancelled_run_kills_its_child():
    with asyncio.Runner() as runner:
        host = ProgramHost("auto", memory_mb=128, cpu_seconds=20)

        async def cancel():
            await host.start()
            before = set(children_of(os.getpid()))
            running = asyncio.create_task(host.run(source(LOOPS["plain"]), TURN, None, [], nothing))
            await asyncio.sleep(0.1)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            return set(children_of(os.getpid())) == before

        assert runner.run(cancel())
        runner.run(host.close())


def test_a_zygote_that_is_killed_loses_the_run_and_is_replaced():
    with asyncio.Runner() as runner:
        host = ProgramHost("landlock" if landlock.abi() else "auto", memory_mb=128, cpu_seconds=20)

        async def lose():
            await host.start()
            asked = asyncio.Event()

            async def hang(request):
                asked.set()
                await asyncio.sleep(0.3)
                return Reply("ok")

            calling = "async def run(session): return await session.call('a.b')"
            running = asyncio.create_task(host.run(source(calling), TURN, None, [], hang))
            await asked.wait()
            children = host._forks._started.process.pid
            os.kill(children, 9)
            with pytest.raises(ProgramHostLost):
                await running
            return await host.run(source(calling), TURN, None, [], nothing)

        assert runner.run(lose()).output == {"ordinal": 1}
        runner.run(host.close())


def test_children_die_with_a_killed_worker(tmp_path):
    worker = """
import asyncio, sys
from datetime import UTC, datetime
from remit.runtime.programs import ProgramHost, ProgramSource, TurnSeed
async def main():
    host = ProgramHost("auto", 128, 60)
    await host.start()
    print("ready", flush=True)
    loop = ProgramSource("desk", "d", {"program.py": b"async def run(session):\\n    while True: pass"})
    await host.run(loop, TurnSeed("t", datetime.now(UTC), "s"), None, [], None)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", worker], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        until(lambda: len(children_of(process.pid)) >= 2)
        family = children_of(process.pid)
        process.kill()
        process.wait()
    until(lambda: not any(alive(pid) for pid in family))


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to pass within five seconds")


def test_many_turns_at_once():
    with asyncio.Runner() as runner:
        host = ProgramHost("auto", memory_mb=128, cpu_seconds=20)
        text = "async def run(session):\n    return [session.input, (await session.call('a.b', n=session.input))]"

        async def many():
            await host.start()

            async def answer(request):
                await asyncio.sleep(0.01)
                return Reply("ok", request.payload["args"]["n"])

            return await asyncio.gather(*(host.run(source(text), TURN, n, [], answer) for n in range(60)))

        assert [o.output for o in runner.run(many())] == [[n, n] for n in range(60)]
        runner.run(host.close())


def test_replay_is_the_same_behind_every_wall():
    text = """
import random, time, uuid
async def run(session):
    first = await session.call("a.b", x=random.random(), at=time.time())
    return [first, str(uuid.uuid4()), list({"a", "b", "c"}), session.random.random()]
"""
    outputs, asked = [], []
    for wall in ("none", *(p.values[0] for p in WALLS if not p.marks[0].args[0])):
        with hosting(wall) as run:
            outputs.append(run(text, handler=keep(asked)).output)
    assert len({json.dumps(o, default=str) for o in outputs}) == 1
    assert len({r.digest for r in asked}) == 1


def keep(asked):
    async def handler(request):
        asked.append(request)
        return Reply("ok", 1)

    return handler


def test_without_any_wall_no_program_runs(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    for wanted in ("auto", "landlock", "bubblewrap"):
        with pytest.raises(IsolationUnavailable):
            asyncio.run(ProgramHost(wanted, 128, 5).start())


def test_a_broken_bubblewrap_gives_way_to_landlock_or_is_named(monkeypatch, tmp_path, caplog):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: no permission to create a namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(broken))
    with pytest.raises(IsolationUnavailable, match="no permission to create a namespace"):
        asyncio.run(ProgramHost("bubblewrap", 128, 5).start())
    if landlock.abi():
        with hosting("auto") as run:
            assert run("async def run(session): return 1").output == 1
        assert "programs run behind landlock" in caplog.text


@pytest.mark.skipif(not syscalls.supported(), reason="no filter for this architecture")
def test_a_wall_that_lets_something_through_is_refused(monkeypatch, tmp_path):
    """The zygote tries its wall before it serves: here its first child is not walled in."""
    original = launch.json.dumps
    monkeypatch.setattr(launch.json, "dumps", lambda limits: original(limits | {"walled": False}))
    with pytest.raises(IsolationUnavailable, match="open: was not refused"):
        asyncio.run(ProgramHost("landlock", 128, 5).start())


def test_isolation_none_is_said_loudly(caplog):
    with hosting("none") as run:
        assert run("import os\nasync def run(session): return os.path.exists('/')").output is True
    assert "WITHOUT ISOLATION" in caplog.text
