"""Landlock and seccomp, each tried by a child process that reaches for what it must not have."""

import subprocess
import sys
import textwrap

import pytest

from remit.runtime.isolation import landlock, seccomp

pytestmark = pytest.mark.skipif(
    landlock.abi() < 4 or not seccomp.supported(), reason="this kernel has no Landlock of version 4 or no known filter"
)

PREAMBLE = """
import errno, os, socket, sys
from pathlib import Path
from remit.runtime.isolation import landlock, seccomp
def refused(action):
    try:
        action()
    except OSError as error:
        return error.errno in (errno.EACCES, errno.EPERM)
    return False
"""


def run(body: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    code = PREAMBLE + textwrap.dedent(body)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_only_the_named_folders_are_in_reach(tmp_path):
    for name in ("open", "own", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    done = run(
        """
        root = Path(sys.argv[1])
        landlock.restrict(read=[root / "open"], write=[root / "own", root / "absent"], deny_tcp=True)
        assert (root / "open/file").read_text() == "open"
        (root / "own/file").write_text("changed")
        (root / "own/new").mkdir()
        assert refused(lambda: (root / "open/file").write_text("x"))
        assert refused(lambda: (root / "open/file").unlink())
        assert refused(lambda: os.truncate(root / "open/file", 0))
        assert refused(lambda: (root / "secret/file").read_text())
        assert refused(lambda: os.listdir(root / "secret"))
        assert refused(lambda: os.rename(root / "own/file", root / "secret/taken"))
        assert refused(lambda: os.kill(os.getppid(), 0)) or landlock.abi() < 6
        assert refused(lambda: open(f"/proc/{os.getppid()}/environ", "rb").read())
        print("held")
        """,
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("held\n", "")
    assert (tmp_path / "open" / "file").read_text() == "open"
    assert (tmp_path / "own" / "file").read_text() == "changed"


def test_tcp_is_refused_by_landlock_alone():
    done = run(
        """
        landlock.restrict(read=[Path("/")], write=[], deny_tcp=True)
        with socket.socket() as s:
            assert refused(lambda: s.bind(("127.0.0.1", 0)))
            assert refused(lambda: s.connect(("127.0.0.1", 9)))
        print("held")
        """
    )
    assert (done.stdout, done.stderr) == ("held\n", "")


def test_no_sockets_at_all_but_an_event_loop_runs():
    done = run(
        """
        import asyncio
        seccomp.restrict("none")
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                assert refused(lambda: socket.socket(family, kind)), family
        print(asyncio.run(asyncio.sleep(0, "held")))
        """
    )
    assert (done.stdout, done.stderr) == ("held\n", "")


def test_internet_sockets_without_those_of_the_file_system():
    done = run(
        """
        seccomp.restrict("internet")
        socket.socket(socket.AF_INET).close()
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
        assert refused(lambda: socket.socket(socket.AF_UNIX))
        assert refused(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
        print("held")
        """
    )
    assert (done.stdout, done.stderr) == ("held\n", "")


@pytest.mark.parametrize("name", ["ptrace", "process_vm_readv", "io_uring_setup", "unshare", "mount", "bpf"])
def test_calls_that_reach_around_the_wall_are_refused(name):
    done = run(
        """
        import ctypes, platform
        seccomp.restrict("internet")
        libc = ctypes.CDLL(None, use_errno=True)
        number = seccomp._REFUSED[platform.machine()][sys.argv[1]]
        assert libc.syscall(ctypes.c_long(number), 0, 0, 0, 0, 0) == -1
        print(errno.errorcode[ctypes.get_errno()])
        """,
        name,
    )
    assert (done.stdout, done.stderr) == ("EPERM\n", "")
