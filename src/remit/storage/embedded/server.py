"""One PostgreSQL server a project folder, started on demand and shared by every process that needs it.

Whoever comes first starts it, whoever leaves last stops it, and both hold the start lock meanwhile. A supervisor
(`launch.py`) stops it when the last one died without leaving, and starts it again when it was killed itself.
"""

from __future__ import annotations

import atexit
import contextlib
import enum
import os
import select
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg

from remit.errors import DatabaseUnavailable
from remit.storage.embedded import cluster, locks, processes, trouble
from remit.storage.embedded.cluster import DATABASE, Role, role_name
from remit.storage.embedded.layout import PORT, Layout, clear_socket

#: Longest wait for a server that gives no answer, and for one that says it is recovering, in seconds.
START_PATIENCE = 60.0
RECOVERY_PATIENCE = 600.0

#: How long processes of a dead server may take to end before we give up, in seconds.
_REMAINS_PATIENCE = 10.0
_LOG_BYTES = 10 << 20


class _Answer(enum.Enum):
    READY = "ready"
    UNPROVISIONED = "ready, but roles or the database are missing"
    BUSY = "it is there and takes no connections yet, or no more"
    OTHER = "another server"
    NONE = "no server"


class EmbeddedServer:
    """This process's share in a project's server. Close it, or leave its `with` block, to give it up.

    Safe to close from any thread and more than once; in a forked child it is closed from the start.
    """

    def __init__(self, layout: Layout, words: Mapping[str, str], presence: locks.Presence) -> None:
        self._layout = layout
        self._words = words
        self._presence = presence
        self._closing = threading.Lock()
        self._pid = os.getpid()
        atexit.register(self.close)

    @property
    def folder(self) -> Path:
        """The project's `.remit/` folder."""
        return self._layout.folder

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._layout.log

    def url(self, role: Role = "app", database: str = DATABASE) -> str:
        """Return a libpq URL for one of the roles; it holds the password."""
        return _url(self._layout, self._words, role, database)

    def close(self) -> None:
        """Leave; the last client to leave stops the server and waits until it has ended.

        Never raises: what cannot be stopped here is left to the supervisor, and to the next command.
        """
        if os.getpid() != self._pid:
            return
        with self._closing:
            atexit.unregister(self.close)
            if not self._presence.held:
                return
            try:
                with locks.exclusive(self._layout.start_lock):
                    if self._presence.last() and processes.stop(self._layout.data):
                        self._layout.discard_socket_folder()
                    self._presence.leave()
            except (OSError, DatabaseUnavailable):  # the folder may be gone, and the server with it
                self._presence.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start(folder: Path) -> EmbeddedServer:
    """Join the server of a project's `.remit/` folder, making and starting it if need be.

    Args:
        folder: The `.remit/` folder; made if missing.

    Raises:
        DatabaseUnavailable: The server cannot be made, started or reached; the advice says what to do.
    """
    with trouble.explained(folder):
        layout = Layout(Path(folder).resolve())
        layout.make()
        with locks.exclusive(layout.start_lock):
            presence = locks.Presence(layout.clients, layout.members)
            try:
                words = cluster.passwords(layout)
                _ensure_running(layout, words, alone=presence.first)
            except BaseException:
                presence.leave()  # a server half started has no client then, and its supervisor stops it
                raise
        return EmbeddedServer(layout, words, presence)


def _ensure_running(layout: Layout, words: dict[str, str], *, alone: bool) -> None:
    """See to it that the server answers. Only under the start lock."""
    programs = cluster.binaries()
    if not layout.data.exists():
        cluster.create(layout, programs, words["owner"])
    answer = _ask(layout, words)
    if answer not in {_Answer.READY, _Answer.UNPROVISIONED} and processes.postmaster(layout.data) is not None:
        answer = _await_running(layout, words, alone=alone)
    if answer not in {_Answer.READY, _Answer.UNPROVISIONED}:
        cluster.check_version(layout, programs)
        _clear_remains(layout)
        _launch(layout, words, programs)
        answer = _ask(layout, words)
    if answer is _Answer.UNPROVISIONED:
        try:
            cluster.provision(_url(layout, words, "owner", "postgres"), words)
        except psycopg.errors.DiskFull as error:
            raise trouble.disk_full(layout.folder) from error
        except psycopg.Error as error:
            raise trouble.from_output("be set up", str(error), layout.folder) from error


def _ask(layout: Layout, words: Mapping[str, str]) -> _Answer:
    """Ask the server who it is: it lives if it answers, whatever any file says."""
    query = (
        "select current_setting('data_directory'), (select count(*) from pg_roles where rolname = any(%s)),"
        " (select count(*) from pg_database where datname = %s)"
    )
    names = [role_name(role) for role in cluster.ROLES]
    try:
        with psycopg.connect(_url(layout, words, "owner", "postgres"), connect_timeout=5) as db:
            row = db.execute(query, (names, DATABASE)).fetchone()
    except psycopg.OperationalError as error:
        if "authentication failed" in str(error):
            return _Answer.OTHER
        return _Answer.BUSY if "FATAL:" in str(error) else _Answer.NONE
    assert row is not None
    directory, roles, databases = row
    with contextlib.suppress(OSError):  # a copied folder may lead to the original's server
        if Path(directory).samefile(layout.data):
            return _Answer.READY if (roles, databases) == (len(names), 1) else _Answer.UNPROVISIONED
    return _Answer.OTHER


def _await_running(layout: Layout, words: Mapping[str, str], *, alone: bool) -> _Answer:
    """Wait for a server that runs and does not answer yet: it is starting, recovering, or was just started again.

    If nobody else uses it and it stays silent, stop it. Raises DatabaseUnavailable if others do.
    """
    began = time.monotonic()
    while (answer := _ask(layout, words)) not in {_Answer.READY, _Answer.UNPROVISIONED}:
        if processes.postmaster(layout.data) is None:
            return _Answer.NONE
        waited = time.monotonic() - began
        if waited > (RECOVERY_PATIENCE if answer is _Answer.BUSY else START_PATIENCE / 4):
            if alone and processes.stop(layout.data):
                return _Answer.NONE
            raise _silent(layout, waited)
        time.sleep(0.02)
    return answer


def _clear_remains(layout: Layout) -> None:
    """Remove what a killed server left behind, once nothing of it runs any more."""
    if not (processes.end_orphans(layout.data) and locks.is_free(layout.alive, _REMAINS_PATIENCE)):
        raise DatabaseUnavailable(
            f"processes of a server that does not answer still use {layout.data}",
            advice=f"Find them with `fuser {layout.alive}`, also as root and in other containers, and end them.",
        )
    # PostgreSQL trusts the id in this file, which by now may be a zombie's or belong to anybody.
    (layout.data / "postmaster.pid").unlink(missing_ok=True)


def _launch(layout: Layout, words: Mapping[str, str], programs: Path) -> None:
    """Start the server under its supervisor and wait until it answers. Raises DatabaseUnavailable."""
    run = layout.prepare_socket_folder()
    clear_socket(run)
    quoted = '"' + str(run).replace('"', '""') + '"'
    argv = [str(programs / "postgres"), "-D", str(layout.data)]
    fixed = {"listen_addresses": "", "port": str(PORT), "unix_socket_directories": quoted}
    fixed["unix_socket_permissions"] = "0700"
    argv += [part for name, value in fixed.items() for part in ("-c", f"{name}={value}")]
    if layout.log.exists() and layout.log.stat().st_size > _LOG_BYTES:
        layout.log.rename(layout.log.with_name("log.1"))
    # Nothing is ever written to this pipe; it is closed by the death of the last process that holds it.
    reader, writer = os.pipe()
    try:
        with os.fdopen(os.open(layout.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as log:
            layout.adopt(layout.log)
            offset = log.tell()
            supervise = {
                "lock": str(layout.start_lock),
                "clients": str(layout.clients),
                "members": str(layout.members),
                "alive": str(layout.alive),
                "run": str(run),
                "ready": writer,
            }
            with cluster.launch(
                layout, argv, [layout.data, run], cwd=layout.data, supervise=supervise, stdout=log, pass_fds=(writer,)
            ) as launcher:
                launcher.wait()
        os.close(writer)
        writer = -1
        _await_start(layout, words, reader, offset)
    finally:
        os.close(reader)
        if writer != -1:
            os.close(writer)


def _await_start(layout: Layout, words: Mapping[str, str], reader: int, offset: int) -> None:
    began = time.monotonic()
    while (answer := _ask(layout, words)) not in {_Answer.READY, _Answer.UNPROVISIONED}:
        ended = bool(select.select([reader], [], [], 0.01)[0])
        if ended:
            layout.discard_socket_folder()
            raise trouble.from_output("start", _log_since(layout, offset), layout.folder)
        waited = time.monotonic() - began
        if answer is _Answer.OTHER:
            raise DatabaseUnavailable(
                f"the embedded database in {layout.folder} does not accept the passwords in {layout.passwords}",
                advice="Put the passwords file that belongs to this data back from a backup.",
            )
        if waited > (RECOVERY_PATIENCE if answer is _Answer.BUSY else START_PATIENCE):
            raise _silent(layout, waited, _log_since(layout, offset))


def _log_since(layout: Layout, offset: int) -> str:
    with layout.log.open("rb") as log:
        log.seek(offset)
        return log.read().decode(errors="replace")


def _silent(layout: Layout, seconds: float, log: str | None = None) -> DatabaseUnavailable:
    lines = (log if log is not None else _log_since(layout, 0)).splitlines()[-8:]
    quoted = "".join(f"\n  {line}" for line in lines)
    return DatabaseUnavailable(
        f"the embedded database in {layout.folder} runs but has not answered for {seconds:.0f} s; "
        f"its log ends:{quoted}",
        advice="Wait until the machine is less busy and try again; if it stays so, end the processes "
        f"{processes.using(layout.data)} and start again.",
    )


def _url(layout: Layout, words: Mapping[str, str], role: Role, database: str) -> str:
    host = quote(str(layout.socket_folder()), safe="")
    name = quote(database, safe="")
    # The port names the socket, and would else come from the environment.
    return f"postgresql://{role_name(role)}:{words[role]}@/{name}?host={host}&port={PORT}"
