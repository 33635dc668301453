"""Turns what went wrong with the embedded server into an error that says what to do."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from remit.errors import DatabaseUnavailable

#: Less than this is free, in bytes, and PostgreSQL said nothing: then the disk is the reason (its log is on it too).
_FULL = 1 << 20

_FULL_ADVICE = (
    "Free some space (a new database needs about 60 MB) and try again, "
    "or set REMIT_DATABASE_URL to a PostgreSQL elsewhere."
)
_WRITE_ADVICE = (
    "Run as the user that owns the folder, make it writable, or set REMIT_DATABASE_URL to a PostgreSQL elsewhere."
)
_ANOTHER = "Or set REMIT_DATABASE_URL to any PostgreSQL from 16."


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Raise DatabaseUnavailable in place of an OSError about the folder."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error, folder) from error


def from_os_error(error: OSError, folder: Path) -> DatabaseUnavailable:
    """Say what an error of the file system means for the database."""
    place = error.filename or folder
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return disk_full(folder)
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return DatabaseUnavailable(
            f"the embedded database cannot write to {place}: {error.strerror}", advice=_WRITE_ADVICE
        )
    return DatabaseUnavailable(
        f"the embedded database cannot use {place}: {error.strerror or error}",
        advice=f"Mend what the message names and try again. {_ANOTHER}",
    )


def disk_full(folder: Path) -> DatabaseUnavailable:
    """Say that the disk is full."""
    return DatabaseUnavailable(f"the disk that holds {folder} is full", advice=_FULL_ADVICE)


def from_output(doing: str, output: str, folder: Path) -> DatabaseUnavailable:
    """Say what PostgreSQL's own words mean. `doing` names what failed, such as `start`; the last lines are quoted."""
    if "No space left on device" in output or (not output.strip() and _is_full(folder)):
        return disk_full(folder)
    if "cannot run " in output:
        advice = f"Install Remit where the user that owns the folder can reach it, or run as that user. {_ANOTHER}"
    elif "Permission denied" in output or "Read-only file system" in output or "has wrong ownership" in output:
        advice = _WRITE_ADVICE
    elif "Unix-domain socket" in output or "could not bind" in output:
        advice = f"End the program that uses the socket, or move the project. {_ANOTHER}"
    elif "shared memory" in output:
        advice = f"End left-over PostgreSQL processes of this folder, or allow more shared memory. {_ANOTHER}"
    else:
        advice = f"The reason stands in the lines above. {_ANOTHER}"
    lines = [line for line in output.splitlines() if line.strip()][-8:]
    quoted = "".join(f"\n  {line}" for line in lines) or " without a word"
    return DatabaseUnavailable(f"the embedded database in {folder} failed to {doing}:{quoted}", advice=advice)


def _is_full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < _FULL
