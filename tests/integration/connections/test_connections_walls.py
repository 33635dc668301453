"""What a stdio server reaches: its own folder, its code, and nothing else."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from remit.domain.connections import StdioConnection
from remit.errors import ConfigurationError, IsolationUnavailable
from remit.runtime.connections import plan
from remit.runtime.isolation import choice, launch

WALLS = [
    pytest.param("landlock", marks=pytest.mark.skipif(not choice.landlock_usable(), reason="no Landlock here")),
    pytest.param("bubblewrap", marks=pytest.mark.skipif(choice.bubblewrap() is None, reason="no bubblewrap here")),
]


def environment_of(pid):
    return Path(f"/proc/{pid}/environ").read_text()


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def unix(tmp_path):
    path = str(tmp_path / "engine.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        yield path


@pytest.mark.parametrize("wall", WALLS)
def test_the_environment_holds_what_is_declared_and_nothing_else(connect, monkeypatch, wall):
    monkeypatch.setenv("PLANTED_SECRET", "do not look")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")

    async def main():
        async with connect(isolation=wall, GREETING="hello") as call:
            env = (await call("env")).result
            # A C locale makes Python set LC_CTYPE by itself; bubblewrap sets PWD.
            assert set(env) - {"LC_CTYPE", "PWD"} == {"GREETING", "HOME", "PATH"}
            assert (env["GREETING"], env["PATH"]) == ("hello", plan.SEARCH_PATH)

    asyncio.run(main())


@pytest.mark.parametrize("wall", WALLS)
def test_nothing_of_the_machine_is_in_reach(connect, project, wall, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    (home / "id_ed25519").write_text("key")
    state = project / ".remit"
    (state / "connections" / "other").mkdir(parents=True)
    (state / "connections" / "other" / "books.sqlite").write_text("books")
    (state / "deploy.key").write_text("key")
    (project / "directory.yaml").write_text("people")

    async def main():
        async with connect(isolation=wall) as call:
            own = state / "connections" / "raw"
            assert (await call("write", path="notes")).result["outcome"] == "reached"
            assert (own / "notes").read_text() == "x"
            assert (await call("read", path=str(project / "servers" / "library.py"))).result["outcome"] == "reached"
            for path in (
                home / "id_ed25519",
                state / "connections" / "other" / "books.sqlite",
                state / "deploy.key",
                state / "logs" / "connections" / "raw.log",
                project / "directory.yaml",
                Path("/etc/shadow"),
                Path("/etc/passwd"),
                Path(f"/proc/{os.getpid()}/environ"),
                Path("/proc/1/environ") if wall == "landlock" else Path("/etc/hostname"),
                Path.home() / ".bashrc",
            ):
                outcome = (await call("read", path=str(path))).result["outcome"]
                assert outcome in ("PermissionError", "FileNotFoundError"), path
            for path in (project / "servers" / "raw.py", project / "new", tmp_path / "new", Path("/usr/new")):
                outcome = (await call("write", path=str(path))).result["outcome"]
                # Under bubblewrap /tmp, where this project stands, is a private one: what is written there is nowhere.
                assert outcome in ("PermissionError", "FileNotFoundError", "OSError") or wall == "bubblewrap", path
                assert not path.exists() or path.stat().st_size > 1

    asyncio.run(main())


@pytest.mark.parametrize("wall", WALLS)
def test_the_launcher_leaves_nothing_of_ours_behind(connect, wall, monkeypatch):
    monkeypatch.setenv("PLANTED_SECRET", "do not look")

    async def main():
        async with connect(isolation=wall) as call:
            inherited = (await call("descriptors")).result["open"]
            return inherited, environment_of(call.link().wire.pid)

    with Path("/dev/zero").open("rb") as ours:
        os.set_inheritable(ours.fileno(), True)
        inherited, environment = asyncio.run(main())
    assert set(inherited) <= {"0", "1", "2", "3"}  # the last one reads the folder
    assert "PLANTED_SECRET" not in environment


@pytest.mark.parametrize("wall", WALLS)
def test_no_network_without_hosts(connect, listener, unix, wall):
    async def main():
        async with connect(isolation=wall) as call:
            return (await call("sockets", port=listener, unix=unix)).result

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", listener))
        heard.setblocking(False)
        reached = asyncio.run(main())
        with pytest.raises(BlockingIOError):
            heard.recv(10)  # under bubblewrap a datagram can be sent, in a network of its own
    assert "reached" not in (reached["tcp"], reached["unix"])
    assert reached["udp"] != "reached" or wall == "bubblewrap"


@pytest.mark.parametrize("wall", WALLS)
def test_with_hosts_there_is_a_network_but_no_socket_of_the_file_system(connect, listener, unix, wall):
    async def main():
        async with connect(isolation=wall, options={"hosts": ("127.0.0.1",)}) as call:
            reached = (await call("sockets", port=listener, unix=unix)).result
            assert (reached["tcp"], reached["udp"]) == ("reached", "reached")
            assert reached["unix"] != "reached"

    asyncio.run(main())


def test_without_a_wall_nothing_starts_unless_it_is_waived(connect, monkeypatch):
    monkeypatch.setattr(choice, "bubblewrap", lambda: None)
    monkeypatch.setattr(choice, "landlock_usable", lambda: False)

    async def main():
        for wanted in ("auto", "landlock", "bubblewrap"):
            async with connect(isolation=wanted) as call:
                answer = await call("echo")
                assert (answer.reason, answer.sent) == ("not_connected", False)
                assert "remit.toml" in answer.error
        async with connect(isolation="none") as call:
            assert (await call("echo", n=1)).result == {"n": 1}

    asyncio.run(main())


@pytest.mark.parametrize("wall", ["none", *WALLS])
def test_servers_die_with_the_worker(project, wall):
    """Killed with -9, the worker cleans nothing up."""
    code = textwrap.dedent(
        """
        import asyncio, sys
        from datetime import timedelta
        from pathlib import Path
        from remit.domain.connections import StdioConnection
        from remit.runtime.connections import Connections
        async def main():
            spec = StdioConnection(transport="stdio", command=("python", "servers/raw.py"), env={"MODE": "frozen"})
            connections = Connections(Path(sys.argv[1]), {"raw": spec}, str, isolation=sys.argv[2])
            soon = {"meta": None, "timeout": timedelta(seconds=5), "deadline": None}
            await connections.call("raw", "echo", {"freeze": 1}, **soon)  # from now on it does not see its input end
            print(next(iter(connections._links.values())).wire.pid, flush=True)
            await asyncio.sleep(600)
        asyncio.run(main())
        """
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(project), wall], stdout=subprocess.PIPE, text=True)
    with worker:
        pid = int(worker.stdout.readline())
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    until = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and "\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < until, "the server outlived its worker"
        time.sleep(0.02)


@pytest.mark.parametrize("wall", WALLS)
def test_even_root_has_no_powers_behind_the_wall(connect, wall):
    async def main():
        async with connect(isolation=wall) as call:
            powers = (await call("capabilities")).result
            assert powers.pop("NoNewPrivs") == "1"
            assert {int(v, 16) for k, v in powers.items() if k != "CapBnd"} == {0}

    asyncio.run(main())


def test_the_launcher_hands_on_only_the_named_environment():
    spec = launch.Spec(command=("/usr/bin/env",), keep_env=("DECLARED", "ABSENT"), walled=False)
    surroundings = {"DECLARED": "yes", "PLANTED_SECRET": "no", "LC_ALL": "C"}
    done = subprocess.run(launch.command_line(spec), capture_output=True, check=True, timeout=30, env=surroundings)
    assert done.stdout == b"DECLARED=yes\n"


def test_the_launcher_runs_nothing_where_the_wall_cannot_be_built(tmp_path):
    spec = launch.Spec(command=("/usr/bin/touch", str(tmp_path / "ran")), keep_env=(), bound_to=1)
    done = subprocess.run(launch.command_line(spec), capture_output=True, check=False, timeout=30)
    assert done.returncode == 126
    spec = launch.Spec(command=("/absent/program",), keep_env=())
    done = subprocess.run(launch.command_line(spec), capture_output=True, check=False, timeout=30)
    assert done.returncode == 126
    assert b"could not be started" in done.stderr
    assert not (tmp_path / "ran").exists()


def stdio(*command, **options):
    return StdioConnection(transport="stdio", command=command, **options)


def test_plans(project):
    made = plan.make(project, "pay", stdio("python", "servers/raw.py", "--x", "servers"), {"A": "s3cret"}, wall="none")
    command = launch.Spec(**json.loads(made.argv[-1])).command
    assert command == [sys.executable, str(project / "servers/raw.py"), "--x", "servers"]
    assert made.folder == project / ".remit/connections/pay"
    assert made.env == {"A": "s3cret", "PATH": plan.SEARCH_PATH, "HOME": str(made.folder)}
    assert "s3cret" not in repr(made)
    assert "s3cret" not in " ".join(made.argv)
    other = plan.make(project, "pay", stdio("python", "x", folder="data/pay"), {}, wall="none", person="ann")
    assert other.folder == project / ".remit/data/pay/people/ann"
    apart = plan.make(project, "pay", stdio("python", "x"), {}, wall="none", state=project.parent / "state")
    assert apart.folder == project.parent / "state/connections/pay"
    assert apart.log.is_relative_to(project.parent / "state")


@pytest.mark.parametrize("folder", ["..", "../..", ".", "/etc", "connections/../.."])
def test_a_folder_outside_is_refused(project, folder):
    with pytest.raises(ConfigurationError, match="not inside"):
        plan.make(project, "pay", stdio("python", "x", folder=folder), {}, wall="none")


@pytest.mark.parametrize("program", ["no-such-program", "servers/none", "/no/such"])
def test_a_program_that_is_not_there(project, program):
    with pytest.raises(ConfigurationError, match="not there"):
        plan.make(project, "pay", stdio(program), {}, wall="none")


def test_state_and_the_project_itself_are_never_brought_along(project):
    (project / ".remit" / "x.py").write_text("")
    (project / "top.py").write_text("")
    (project / "state").mkdir()
    given = (".remit/x.py", ".", "./state", "top.py", "servers/raw.py")
    arguments, code = plan._arguments(project, (project / ".remit", project / "state"), given)
    assert arguments == [".remit/x.py", ".", "./state", str(project / "top.py"), str(project / "servers/raw.py")]
    assert code == [project / "top.py", project / "servers"]


def test_choosing_a_wall():
    assert choice.choose("none") == "none"
    with pytest.raises(ConfigurationError):
        choice.choose("wishful")
    if choice.bubblewrap() is None:
        with pytest.raises(IsolationUnavailable):
            choice.choose("bubblewrap")
