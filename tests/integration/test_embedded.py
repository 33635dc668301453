"""The embedded server's life: shared, stopped by the last, recovered after any kill, clear when it cannot start."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from remit.errors import DatabaseUnavailable
from remit.storage.embedded import EmbeddedServer, cluster, launch, locks, processes, server, start
from remit.storage.embedded.layout import SOCKET_NAME, Layout

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: needs root")

#: A client in a process of its own: says what it got, then waits for a line and leaves.
CLIENT = """
import json, sys
from pathlib import Path
from remit.errors import RemitError
from remit.storage.embedded import start
try:
    server = start(Path(sys.argv[1]))
except RemitError as error:
    print(json.dumps({"error": error.code, "message": error.message, "advice": error.advice}), flush=True)
    raise SystemExit(1)
print(json.dumps({"url": server.url("owner")}), flush=True)
sys.stdin.readline()
server.close()
"""


class Client:
    """Runs CLIENT."""

    def __init__(self, folder: Path, **how: object) -> None:
        command = [sys.executable, "-c", CLIENT, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **how)  # type: ignore[call-overload]

    def answer(self) -> dict[str, str]:
        return json.loads(self.process.stdout.readline())

    def leave(self) -> int:
        self.process.communicate("\n", timeout=60)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    started: list[Client] = []

    def make(folder: Path, **how: object) -> Client:
        started.append(Client(folder, **how))
        return started[-1]

    yield make
    for one in started:
        one.kill()


@pytest.fixture(scope="module")
def pristine() -> Iterator[Path]:
    """A cluster that is down, to be copied: making one takes longest. In memory if there is plenty."""
    memory = Path("/dev/shm")
    plenty = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 << 30
    with tempfile.TemporaryDirectory(prefix="remit-test-", dir=memory if plenty else "/tmp") as place:
        folder = Path(place) / ".remit"
        start(folder).close()
        yield folder


@pytest.fixture
def folder(pristine: Path) -> Iterator[Path]:
    """A folder with a cluster, short enough for a socket; whatever still runs on it after the test is ended."""
    with tempfile.TemporaryDirectory(prefix="remit-test-", dir=pristine.parent.parent) as place:
        copy = Path(place) / ".remit"
        shutil.copytree(pristine, copy, ignore=shutil.ignore_patterns("run", "socket"))
        yield copy
        end(copy)


def data(folder: Path) -> Path:
    return folder.resolve() / "postgres" / "data"


def end(folder: Path) -> None:
    if data(folder).exists():
        processes.stop(data(folder))


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def query(url: str, statement: str) -> object:
    with psycopg.connect(url) as db:
        row = db.execute(statement).fetchone()
    assert row is not None
    return row[0]


def running(folder: Path) -> bool:
    return bool(processes.using(data(folder)))


class TestFresh:
    def test_starts_with_roles_and_database_and_stops(self, tmp_path: Path) -> None:
        folder = tmp_path / "project" / ".remit"
        with start(folder) as first:
            for role in cluster.ROLES:
                with psycopg.connect(first.url(role)) as db:
                    assert db.execute("select current_user, current_database()").fetchone() == (
                        f"remit_{role}",
                        "remit",
                    )
            superusers = "select array_agg(rolname::text) from pg_roles where rolsuper and rolcanlogin"
            assert query(first.url("owner"), superusers) == ["remit_owner"]
            for setting, expected in {
                "fsync": "on",
                "synchronous_commit": "on",
                "listen_addresses": "",
                "jit": "off",
                "max_connections": "200",
                "shared_buffers": "128MB",
                "data_checksums": "on",
            }.items():
                assert query(first.url("owner"), f"show {setting}") == expected
        assert not running(folder)

    def test_asks_for_a_password_and_keeps_it_private(self, folder: Path) -> None:
        with start(folder) as first:
            password = first.url("app").split(":")[2].split("@")[0]
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(first.url("app").replace(password, "guess"))
            file = folder / "postgres" / "passwords.json"
            assert file.stat().st_mode & 0o077 == 0
            assert len(set(json.loads(file.read_text()).values())) == 4
            assert (folder / "postgres").stat().st_mode & 0o077 == 0

    def test_an_attempt_that_was_killed_leaves_nothing_in_the_way(self, tmp_path: Path) -> None:
        half_made = tmp_path / ".remit" / "postgres" / "data.new"
        half_made.mkdir(parents=True)
        (half_made / "PG_VERSION").write_text("18\n")
        with start(tmp_path / ".remit") as first:
            assert query(first.url(), "select 1") == 1
        assert not half_made.exists()

    def test_missing_roles_and_database_are_made_good(self, folder: Path) -> None:
        with start(folder) as first, psycopg.connect(first.url("owner", "postgres"), autocommit=True) as db:
            db.execute("drop database remit")
            db.execute("drop role remit_sealer")
            with start(folder) as second:
                assert query(second.url("sealer"), "select current_user::text") == "remit_sealer"


class TestShared:
    def test_two_processes_share_it_and_the_last_stops_it(self, folder: Path, client: Callable[..., Client]) -> None:
        one, two = client(folder), client(folder)
        urls = {one.answer()["url"], two.answer()["url"]}
        assert len(urls) == 1
        began = query(urls.pop(), "select pg_postmaster_start_time()")
        assert one.leave() == 0
        with start(folder) as here:
            assert query(here.url(), "select pg_postmaster_start_time()") == began
        assert running(folder)
        assert two.leave() == 0
        assert not running(folder)

    def test_one_process_may_join_twice(self, folder: Path) -> None:
        first, second = start(folder), start(folder)
        first.close()
        first.close()
        assert query(second.url(), "select 1") == 1
        second.close()
        assert not running(folder)

    def test_six_at_once_yield_one_server(self, tmp_path: Path, client: Callable[..., Client]) -> None:
        folder = tmp_path / ".remit"
        clients = [client(folder) for _ in range(6)]
        urls = [one.answer()["url"] for one in clients]
        assert len({query(url, "select pg_postmaster_start_time()") for url in urls}) == 1
        for one in clients:
            assert running(folder)
            assert one.leave() == 0
        assert not running(folder)

    def test_a_forked_child_is_no_client(self, folder: Path) -> None:
        """It shares its parent's open files, and must neither stop the server nor keep it when the parent dies."""
        fork = "import os, time; child = os.fork(); child and (print(child, flush=True), time.sleep(600)); "
        forking = CLIENT.replace("sys.stdin.readline()", f"{fork}sys.stdin.read()")
        parent = subprocess.Popen(
            [sys.executable, "-c", forking, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert "url" in json.loads(parent.stdout.readline())
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        eventually(lambda: not running(folder))
        os.kill(child, 0)
        with start(folder) as first:
            parent.stdin.close()
            assert parent.stdout.read() == "", "the child has ended, and closed what it believes to be its share"
            assert query(first.url(), "select 1") == 1
        parent.stdout.close()

    def test_a_process_that_ends_without_closing_leaves(self, folder: Path) -> None:
        script = (
            f"from pathlib import Path; from remit.storage.embedded import start; kept = start(Path({str(folder)!r}))"
        )
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
        assert not running(folder)


class TestKilled:
    def test_a_killed_client_does_not_keep_it_running(self, folder: Path, client: Callable[..., Client]) -> None:
        one, two = client(folder), client(folder)
        one.answer()
        two.answer()
        one.kill()
        assert running(folder)
        assert two.leave() == 0
        assert not running(folder)

    def test_it_stops_when_the_only_client_is_killed(self, folder: Path, client: Callable[..., Client]) -> None:
        one = client(folder)
        one.answer()
        one.kill()
        eventually(lambda: not running(folder))
        with start(folder) as first:
            assert query(first.url(), "select 1") == 1
        assert not running(folder)

    def test_a_killed_supervisor_leaves_a_server_that_the_last_client_stops(
        self, folder: Path, client: Callable[..., Client]
    ) -> None:
        one = client(folder)
        url = one.answer()["url"]
        os.kill(supervisor(folder), signal.SIGKILL)
        one.kill()
        assert query(url, "select 1") == 1
        with start(folder) as first:
            assert first.url("owner") == url
        assert not running(folder)

    def test_a_killed_server_comes_back_for_its_clients(self, folder: Path) -> None:
        with start(folder) as first:
            with psycopg.connect(first.url("owner")) as db:
                db.execute("create table kept as select 7 as n")
            killed = processes.postmaster(data(folder))
            assert killed is not None
            os.kill(killed, signal.SIGKILL)
            eventually(lambda: processes.postmaster(data(folder)) not in {None, killed})
            eventually(lambda: answers(first.url()))
            assert query(first.url("owner"), "select n from kept") == 7
        assert not running(folder)

    def test_start_recovers_a_server_killed_with_its_supervisor(self, folder: Path) -> None:
        first = start(folder)
        db = psycopg.connect(first.url("owner"))
        db.execute("create table kept as select 7 as n")
        db.commit()
        # A backend that is busy computing does not notice that the server is gone, and keeps a new one from starting.
        db.execute("prepare busy as select count(*) from generate_series(1, 1000000000000)")
        db.pgconn.send_query(b"execute busy")
        db.pgconn.flush()
        killed = processes.postmaster(data(folder))
        assert killed is not None
        os.kill(supervisor(folder), signal.SIGKILL)
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: processes.postmaster(data(folder)) is None)
        assert running(folder), "the busy backend should have outlived its server"
        assert (data(folder) / "postmaster.pid").exists()
        with start(folder) as second:
            assert query(second.url("owner"), "select n from kept") == 7
        db.close()
        first.close()
        assert not running(folder)

    def test_a_server_out_of_sight_is_left_alone(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As when it runs in another container and hangs: a second one on the same data would destroy them."""
        with start(folder) as first:
            main = processes.postmaster(data(folder))
            assert main is not None
            with monkeypatch.context() as patch:
                patch.setattr(processes, "_works_in", lambda *_: False)
                patch.setattr(server, "_ask", lambda *_: server._Answer.NONE)
                patch.setattr(server, "_REMAINS_PATIENCE", 0.1)
                with pytest.raises(DatabaseUnavailable, match="that does not answer still use"):
                    start(folder)
            assert processes.postmaster(data(folder)) == main
            assert query(first.url(), "select 1") == 1
        assert not running(folder)

    def test_a_stale_process_id_that_now_belongs_to_another_is_no_obstacle(self, folder: Path) -> None:
        (data(folder) / "postmaster.pid").write_text(f"{os.getpid()}\n{data(folder)}\n1\n5432\n\n\n0 0\nready\n")
        with start(folder) as first:
            assert query(first.url(), "select 1") == 1

    def test_a_copy_of_a_running_project_gets_its_own_server(self, tmp_path: Path, folder: Path) -> None:
        copy = tmp_path / "copy" / ".remit"
        with start(folder) as original:
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(SOCKET_NAME + "*"))
            with start(copy) as second:
                directories = {query(s.url("owner"), "show data_directory") for s in (original, second)}
                assert directories == {str(data(folder)), str(data(copy))}
            assert running(folder)


def supervisor(folder: Path) -> int:
    """The parent of the server's first process."""
    main = processes.postmaster(data(folder))
    status = Path(f"/proc/{main}/status").read_text()
    return int(status.split("PPid:")[1].split()[0])


def answers(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        return query(url, "select 1") == 1
    return False


class TestPlaces:
    def test_a_path_too_long_for_a_socket(self, tmp_path: Path, pristine: Path, client: Callable[..., Client]) -> None:
        folder = tmp_path / ("long" * 20) / ("path, with 'odd' \"signs\" " * 3) / ".remit"
        shutil.copytree(pristine, folder, ignore=shutil.ignore_patterns("run", "socket"))
        with start(folder) as first:
            run = Layout(folder.resolve()).socket_folder()
            assert not run.is_relative_to(tmp_path)
            assert run.stat().st_mode & 0o777 == 0o700
            assert query(first.url(), "select 1") == 1
        assert not run.exists()
        one = client(folder)
        run = Path(psycopg.conninfo.conninfo_to_dict(one.answer()["url"])["host"])
        one.kill()
        eventually(lambda: not running(folder) and not run.exists())
        one = client(folder)
        run = Path(psycopg.conninfo.conninfo_to_dict(one.answer()["url"])["host"])
        os.kill(supervisor(folder), signal.SIGKILL)
        os.kill(processes.postmaster(data(folder)) or 0, signal.SIGKILL)
        one.kill()
        with start(folder) as second:
            assert Layout(folder.resolve()).socket_folder() == run, "what a killed server left should be used again"
            # A copy must not end up in the original's server by the recorded socket.
            copy = folder.with_name("copy")
            shutil.copytree(folder, copy)
            with start(copy) as third:
                directories = [query(one.url("owner"), "show data_directory") for one in (second, third)]
                assert directories == [str(data(folder)), str(data(copy))]

    def test_a_socket_that_is_taken(self, folder: Path) -> None:
        run = folder / "postgres" / "run"
        run.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            other.bind(str(run / SOCKET_NAME))
            other.listen()
            other.settimeout(0)
            with pytest.raises(DatabaseUnavailable, match="another program listens"):
                start_impatiently(folder)
        with start(folder) as first:  # now nobody listens, and the file is in nobody's way
            assert query(first.url(), "select 1") == 1

    def test_something_else_where_the_socket_belongs(self, folder: Path) -> None:
        run = folder / "postgres" / "run"
        run.write_text("")
        with pytest.raises(DatabaseUnavailable, match="a file stands where the folder") as caught:
            start(folder)
        assert str(run) in caught.value.advice
        run.unlink()
        (run / SOCKET_NAME).mkdir(parents=True)
        with pytest.raises(DatabaseUnavailable, match="no socket stands where"):
            start(folder)

    def test_another_major_version(self, folder: Path) -> None:
        (data(folder) / "PG_VERSION").write_text("15\n")
        with pytest.raises(DatabaseUnavailable, match=r"written by PostgreSQL 15.* brings PostgreSQL \d\d") as caught:
            start(folder)
        assert "pg_dump" in caught.value.advice

    def test_missing_passwords(self, folder: Path) -> None:
        (folder / "postgres" / "passwords.json").unlink()
        with pytest.raises(DatabaseUnavailable, match=r"passwords .* missing or unreadable") as caught:
            start(folder)
        assert "backup" in caught.value.advice

    def test_passwords_of_another_database(self, folder: Path) -> None:
        file = folder / "postgres" / "passwords.json"
        file.write_text(json.dumps(dict.fromkeys(cluster.ROLES, "guess")))
        with pytest.raises(DatabaseUnavailable, match="does not accept the passwords"):
            start(folder)
        eventually(lambda: not running(folder))

    def test_a_setting_that_postgresql_refuses_is_quoted_from_its_log(self, folder: Path) -> None:
        with (data(folder) / "postgresql.conf").open("a") as conf:
            conf.write("shared_buffers = 'plenty'\n")
        with pytest.raises(DatabaseUnavailable, match=r'(?s)failed to start:.*"shared_buffers": "plenty"'):
            start(folder)
        assert not running(folder)

    def test_a_failing_initdb_is_quoted_and_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(cluster._SETTINGS, "shared_buffers", "plenty")
        with pytest.raises(DatabaseUnavailable, match=r"(?s)failed to be created:.*plenty"):
            start(tmp_path)
        assert not list((tmp_path / "postgres").glob("*.new"))
        monkeypatch.undo()
        with start(tmp_path) as first:
            assert query(first.url(), "select 1") == 1

    def test_a_server_that_never_answers(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server, "START_PATIENCE", 0.2)
        monkeypatch.setattr(server, "_ask", lambda *_: server._Answer.NONE)
        with pytest.raises(DatabaseUnavailable, match=r"(?s)has not answered for .* its log ends:.*PostgreSQL"):
            start(folder)
        eventually(lambda: not running(folder))

    def test_a_start_that_another_process_blocks(self, folder: Path) -> None:
        with (
            locks.exclusive(folder / "postgres" / "start.lock"),
            pytest.raises(DatabaseUnavailable, match=r"starting or stopping .* for 0.1 s"),
            locks.exclusive(folder / "postgres" / "start.lock", 0.1),
        ):
            pytest.fail("two processes hold the start lock")

    def test_missing_binaries(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(DatabaseUnavailable, match="are not installed") as caught:
            start(folder)
        assert "REMIT_DATABASE_URL" in caught.value.advice

    def test_processes_are_found_without_proc(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        if shutil.which("ps") is None:
            pytest.skip("NOT TESTED: there is no `ps` here")
        with start(folder):
            main = processes.postmaster(data(folder))
            monkeypatch.setattr(processes, "_PROC", folder / "no-proc")
            assert processes.using(data(folder)) == [main]
        assert not running(folder)


def start_impatiently(folder: Path) -> EmbeddedServer:
    """Start without waiting five seconds for something that is no PostgreSQL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "_ask", lambda *_: server._Answer.NONE)
        return start(folder)


class TestDisk:
    def test_a_full_disk_when_it_is_made(self, small_disk: Path) -> None:
        with pytest.raises(DatabaseUnavailable, match="is full") as caught:
            start(small_disk / ".remit")
        assert "Free some space" in caught.value.advice
        assert shutil.disk_usage(small_disk).free > 10 << 20, "what was written in vain should be gone"

    def test_a_full_disk_when_it_is_started(self, small_disk: Path, pristine: Path) -> None:
        folder = small_disk / ".remit"
        subprocess.run(["mount", "-o", "remount,size=120m", str(small_disk)], check=True)
        shutil.copytree(pristine, folder, ignore=shutil.ignore_patterns("run", "socket"))
        filler = small_disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        with pytest.raises(DatabaseUnavailable, match="is full"):
            start(folder)
        filler.unlink()
        with start(folder) as first:
            assert query(first.url(), "select 1") == 1

    def test_a_read_only_disk(self, small_disk: Path) -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        with pytest.raises(DatabaseUnavailable, match=r"cannot write to .*Read-only file system") as caught:
            start(small_disk / ".remit")
        assert "REMIT_DATABASE_URL" in caught.value.advice

    @pytest.fixture
    def small_disk(self, tmp_path: Path) -> Iterator[Path]:
        if os.geteuid() != 0:
            pytest.skip("NOT TESTED: mounting a small disk needs root")
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=24m", "remit-test", str(disk)],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode != 0:
            pytest.skip(f"NOT TESTED: a small disk cannot be mounted here: {mounted.stderr.strip()}")
        yield disk
        end(disk / ".remit")
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


class TestUsers:
    @as_root
    @pytest.mark.parametrize("way", ["namespace", "account"])
    def test_root_starts_it_as_somebody_else(self, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cluster, "ROOT_AS", way)
        tmp_path.chmod(0o700)  # as /root is: the server's user could not even pass through
        folder = tmp_path / ".remit"
        with start(folder) as first:
            assert query(first.url(), "select 1") == 1
            owner = data(folder).stat().st_uid
            assert (owner == 0) == (way == "namespace")
        assert not running(folder)
        other = {"namespace": "account", "account": "namespace"}[way]
        monkeypatch.setattr(cluster, "ROOT_AS", other)  # the machine has changed its mind about namespaces
        with start(folder) as second:
            assert query(second.url(), "select 1") == 1
        assert not running(folder)

    @as_root
    def test_root_and_the_owner_share_the_owners_server(
        self, ordinary: tuple[Path, pwd.struct_passwd], client: Callable[..., Client]
    ) -> None:
        project, user = ordinary
        if not all(folder.stat().st_mode & 0o001 for folder in cluster.binaries().parents):
            pytest.skip(f"NOT TESTED: an ordinary user cannot reach {cluster.binaries()}")
        with start(project / ".remit") as roots:
            assert (project / ".remit" / "postgres" / "data").stat().st_uid == user.pw_uid
            one = client(project / ".remit", preexec_fn=becoming(user))
            assert one.answer().get("url") == roots.url("owner")
        assert running(project / ".remit")
        assert one.leave() == 0
        assert not running(project / ".remit")

    @as_root
    def test_an_ordinary_user_in_a_folder_that_is_not_theirs(
        self, ordinary: tuple[Path, pwd.struct_passwd], client: Callable[..., Client]
    ) -> None:
        project, user = ordinary
        os.chown(project, 0, 0)
        one = client(project / "sub" / ".remit", preexec_fn=becoming(user))
        answer = one.answer()
        assert answer["error"] == "database_unavailable"
        assert os.strerror(errno.EACCES) in answer["message"]
        assert "owns the folder" in answer["advice"]

    @as_root
    @pytest.mark.parametrize("mode", [0o755, 0o700])
    def test_root_in_a_folder_of_somebody_unknown_here(self, tmp_path: Path, mode: int) -> None:
        unknown = max(entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid < 60_000) + 1234
        (tmp_path / ".remit").mkdir()
        (tmp_path / ".remit").chmod(mode)  # as on a container's mount
        os.chown(tmp_path / ".remit", unknown, unknown)
        with start(tmp_path / ".remit") as first:
            assert query(first.url(), "select 1") == 1
        assert not running(tmp_path / ".remit")

    @pytest.fixture
    def ordinary(self) -> Iterator[tuple[Path, pwd.struct_passwd]]:
        """A project of an ordinary user, at a place that this user can reach."""
        user = pwd.getpwnam("nobody")
        project = Path(tempfile.mkdtemp(prefix="remit-test-", dir="/tmp"))
        (project / ".remit").mkdir()
        os.chown(project, user.pw_uid, user.pw_gid)
        os.chown(project / ".remit", user.pw_uid, user.pw_gid)
        yield project, user
        end(project / ".remit")
        shutil.rmtree(project)


def becoming(user: pwd.struct_passwd) -> Callable[[], None]:
    """Make a child an ordinary user that may still read everywhere, for this Python may lie in root's home."""
    return lambda: launch._become_account(user)
