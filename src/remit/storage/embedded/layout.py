"""Where everything of one embedded server lies, and who may touch it."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import socket
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from remit.errors import DatabaseUnavailable

#: Bytes a unix socket's path may have where it may have fewest (macOS; Linux allows 107).
SOCKET_PATH_BYTES = 103
#: Names the socket; nothing listens on TCP.
PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below a project's `.remit/` folder; absolute, symbolic links resolved."""

    folder: Path

    @property
    def base(self) -> Path:
        """Everything of the server; readable for its owner alone."""
        return self.folder / "postgres"

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.base / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.base / "log"

    @property
    def passwords(self) -> Path:
        """JSON object from role to password."""
        return self.base / "passwords.json"

    @property
    def start_lock(self) -> Path:
        """See `locks.py`, also for the next two."""
        return self.base / "start.lock"

    @property
    def clients(self) -> Path:
        """Held by clients; the supervisor waits for it."""
        return self.base / "clients"

    @property
    def members(self) -> Path:
        """Held by clients; counted under the start lock."""
        return self.base / "members"

    @property
    def alive(self) -> Path:
        """Held by every process of a running server."""
        return self.base / "alive"

    @property
    def owner(self) -> int:
        """User id that owns the folder; 0 also for one that this machine does not know, as on a container's mount."""
        uid = self.folder.stat().st_uid
        try:
            return pwd.getpwuid(uid).pw_uid
        except KeyError:
            return 0

    def make(self) -> None:
        """Create the folders and lock files. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.base.is_dir():
            self.base.mkdir(mode=0o700, exist_ok=True)
            self.adopt(self.base)
        for path in (self.start_lock, self.clients, self.members, self.alive):
            if not path.exists():
                path.touch(mode=0o600)
                self.adopt(path)

    def adopt(self, path: Path) -> None:
        """Give what root has just made in somebody else's project to that somebody."""
        if os.geteuid() == 0 and self.owner != 0:
            state = self.folder.stat()
            os.chown(path, state.st_uid, state.st_gid, follow_symlinks=False)

    def socket_folder(self) -> Path:
        """Return the folder of the server's socket: `run` beside the data or, where that cannot be, a recorded one."""
        beside = self.base / "run"
        if _usable(beside):
            return beside
        recorded = self.base / "socket"
        return Path(recorded.read_text().strip()) if recorded.exists() else beside  # never half written

    def discard_socket_folder(self) -> None:
        """Leave nothing in other places while the server is down."""
        folder = self.socket_folder()
        if folder.parent != self.base:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def prepare_socket_folder(self) -> Path:
        """Make the socket's folder, private to its owner. Raises OSError, or DatabaseUnavailable if it is taken."""
        folder = self.socket_folder()
        if not _usable(folder) or not (folder.parent == self.base or _is_ours(folder, self.owner)):
            folder = Path(tempfile.mkdtemp(prefix="remit-", dir=_short_folder()))
            recorded = self.base / "socket"
            try:
                write_private(recorded, f"{folder}\n")
                self.adopt(recorded)
            except OSError:
                folder.rmdir()
                raise
        if os.path.lexists(folder) and not folder.is_dir():
            raise _taken(folder, "a file stands where the folder of the database's socket belongs")
        folder.mkdir(mode=0o700, exist_ok=True)
        self.adopt(folder)
        return folder


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all, and on the disk when this returns."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def _usable(folder: Path) -> bool:
    """Say whether a socket can lie there: short enough, and spelt alike by everything that reads and writes URLs.

    libpq splits the path at a comma; SQLAlchemy writes a blank as a plus sign, which libpq does not read as one.
    """
    plain = re.fullmatch(r"[A-Za-z0-9/._~-]+", str(folder)) is not None
    return plain and len(os.fsencode(folder / SOCKET_NAME)) <= SOCKET_PATH_BYTES


def _short_folder() -> Path:
    for candidate in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108 - mkdtemp is private
        if candidate and os.access(candidate, os.W_OK | os.X_OK) and _usable(Path(candidate) / "remit-12345678"):
            return Path(candidate)
    raise DatabaseUnavailable(
        "no folder for the database's socket: the project's path is too long for a unix socket, and neither "
        "XDG_RUNTIME_DIR nor TMPDIR nor /tmp can be written to",
        advice="Move the project to a shorter path, or set TMPDIR to a short folder that you may write to.",
    )


def _is_ours(folder: Path, owner: int) -> bool:
    """Say whether a recorded folder is still the one we made: temporary folders are cleaned, and others write there."""
    try:
        state = folder.lstat()
    except OSError:
        return False
    mine = state.st_uid in {owner, os.geteuid()} or os.geteuid() == 0
    private = stat.S_ISDIR(state.st_mode) and stat.S_IMODE(state.st_mode) == 0o700
    return mine and private and not _listening(folder / SOCKET_NAME)  # a copied project: the original's server listens


def _listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # somebody is there and slow, or forbids it
            return True
    return True


def _taken(path: Path, what: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"{what}: {path}", advice=f"Move {path} away and try again.")


def clear_socket(folder: Path) -> None:
    """Remove what a dead server left at its socket. Raises DatabaseUnavailable if something else is there."""
    path = folder / SOCKET_NAME
    if os.path.lexists(path):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise _taken(path, "something that is no socket stands where the database's socket belongs")
        if _listening(path):
            raise _taken(path, "another program listens on the database's socket")
        path.unlink()
    path.with_name(SOCKET_NAME + ".lock").unlink(missing_ok=True)
