"""Places outside the database that hold copies of signed checkpoints.

Who keeps such a copy can see later that records were removed from the end or that the log was written anew, even by
somebody who holds the sealer's key. A place is a folder (`file:FOLDER`) or a git repository (`git:FOLDER`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from remit.domain.checkpoints import parse_checkpoint, split_note
from remit.errors import ConfigurationError, IntegrityError

NEWEST = "latest.checkpoint"
_GIT_SECONDS = 20


class Place(Protocol):
    """Somewhere that checkpoints are left. Methods raise OSError, IntegrityError or ConfigurationError."""

    @property
    def name(self) -> str:
        """As it is written in remit.toml."""
        ...

    def newest(self) -> str | None:
        """The newest note that it holds."""
        ...

    def put(self, note: str) -> None:
        """Leave a note there; nothing happens if it holds this or a later checkpoint of the same log already."""
        ...


class FolderPlace:
    """`file:FOLDER`: one file a checkpoint, by day, never written again; and `latest.checkpoint`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"file:{folder}"

    def newest(self) -> str | None:
        """The note in `latest.checkpoint`."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / NEWEST).read_text(encoding="utf-8")
        return None

    def put(self, note: str) -> None:
        """Write `DAY/SIZE-KEYID.checkpoint`, then replace `latest.checkpoint`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with _only_one(self.folder / ".lock"):
            if _holds(self.newest(), note):
                return
            day = self.folder / datetime.now(UTC).strftime("%Y-%m-%d")
            day.mkdir(exist_ok=True)
            target = day / f"{parse_checkpoint(note).size:020d}-{_key_id(note)}.checkpoint"
            _write(target, note, replace=False)
            _write(self.folder / NEWEST, note, replace=True)


class GitPlace:
    """`git:FOLDER`: `latest.checkpoint` in a git repository, one commit a checkpoint.

    The folder is made a repository if it is in none. Nothing is pushed; a `post-commit` hook can do that.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"git:{folder}"

    def newest(self) -> str | None:
        """The note in the newest commit, whatever stands in the working tree."""
        if not self.folder.is_dir() or self._git("rev-parse", "--verify", "-q", "HEAD").returncode:
            return None
        shown = self._git("show", f"HEAD:./{NEWEST}")
        return shown.stdout if shown.returncode == 0 else None

    def put(self, note: str) -> None:
        """Commit the note. Raises ConfigurationError with git's own words if it refuses."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._git("rev-parse", "--git-dir").returncode:
            self._must("init", "--quiet")
        inside = self._must("rev-parse", "--absolute-git-dir").strip()
        with _only_one(Path(inside) / "remit-checkpoints.lock"):
            if _holds(self.newest(), note):
                return
            _write(self.folder / NEWEST, note, replace=True)
            self._must("add", "--force", "--", NEWEST)
            message = f"Checkpoint of {parse_checkpoint(note).size} records"
            self._must("commit", "--quiet", "--no-verify", "-m", message, "--", NEWEST)

    def _must(self, *arguments: str) -> str:
        done = self._git(*arguments)
        if done.returncode:
            raise ConfigurationError(
                f"git {arguments[0]} failed in {self.folder}: {(done.stderr or done.stdout).strip()[:500]}",
                advice="Mend the repository, or name another place under `[audit] checkpoints` in remit.toml.",
            )
        return done.stdout

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # A hook of another repository that called us must not redirect git there; nothing may ask for a password.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        environment["GIT_TERMINAL_PROMPT"] = "0"
        settings = ("user.name=remit sealer", "user.email=sealer@localhost", "commit.gpgSign=false")
        command = ["git", "-C", str(self.folder), *(word for s in settings for word in ("-c", s)), *arguments]
        try:
            return subprocess.run(  # noqa: S603 - fixed program, arguments of our own
                command,
                env=environment,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=_GIT_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise ConfigurationError(
                "git is not installed", advice="Install git, or use a `file:` place for checkpoints."
            ) from None
        except subprocess.TimeoutExpired:
            raise ConfigurationError(f"git did not answer in {self.folder} within {_GIT_SECONDS} s") from None


def parse_place(text: str, base: Path) -> Place:
    """Read `file:FOLDER` or `git:FOLDER`, relative to `base`. Raises ConfigurationError."""
    kind, _, folder = text.partition(":")
    if not folder or kind not in {"file", "git"}:
        raise ConfigurationError(
            f"{text!r} is no place for checkpoints", advice="Write `file:FOLDER` or `git:FOLDER` in remit.toml."
        )
    path = base / Path(folder).expanduser()
    return FolderPlace(path) if kind == "file" else GitPlace(path)


def _holds(newest: str | None, note: str) -> bool:
    """True if `newest` is of the same key and not older than `note`."""
    if newest is None:
        return False
    with contextlib.suppress(IntegrityError):
        return _key_id(newest) == _key_id(note) and parse_checkpoint(newest).size >= parse_checkpoint(note).size
    return False


def _key_id(note: str) -> str:
    return split_note(note)[1][0].key_id.hex()


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    with lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _write(path: Path, text: str, *, replace: bool) -> None:
    """Write a file so that readers see all of it or nothing, also after a power cut."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        Path(temporary).chmod(0o644)
        if replace:
            os.replace(temporary, path)  # noqa: PTH105
        else:
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
            if path.read_text(encoding="utf-8") != text:
                raise IntegrityError(f"{path} holds another checkpoint of the same size")
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
