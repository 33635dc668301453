"""Which database a project uses: one given by URL, or the embedded one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict

from remit.config.settings import Settings
from remit.errors import ConfigurationError, DatabaseUnavailable
from remit.storage.embedded import ROLES, EmbeddedServer, Role, start

#: Oldest PostgreSQL that Remit works with.
OLDEST = 16
#: What `[database] url` says in remit.toml for the embedded database.
EMBEDDED = "embedded"

_CONNECT_SECONDS = 10


class DatabaseHandle(Protocol):
    """A project's database, reachable while the handle is open. Closing it more than once is harmless."""

    @property
    def embedded(self) -> bool:
        """Whether the server is this project's own."""

    def url(self, role: Role = "app") -> str:
        """Return the libpq URL for one of the roles; it may hold a password."""

    def close(self) -> None:
        """Give the database up; the last to do so stops an embedded one."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class EmbeddedDatabase:
    """The database in the project's `.remit/` folder."""

    embedded = True

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server

    def url(self, role: Role = "app") -> str:
        """Return the libpq URL for one of the roles; it holds the role's password."""
        return self.server.url(role)

    def close(self) -> None:
        """Leave the server; the last one to leave stops it."""
        self.server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ExternalDatabase:
    """A PostgreSQL that somebody else runs."""

    embedded = False

    def __init__(self, url: str, overrides: Mapping[Role, str] = MappingProxyType({})) -> None:
        self._urls: dict[Role, str] = {role: overrides.get(role, url) for role in ROLES}

    def url(self, role: Role = "app") -> str:
        """Return the libpq URL for one of the roles."""
        return self._urls[role]

    def check(self) -> None:
        """Connect once by each URL. Raises DatabaseUnavailable, also if the server is too old."""
        for url in dict.fromkeys(self._urls.values()):
            _check(url)

    def close(self) -> None:
        """Nothing is held between connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def resolve_database(
    settings: Settings, project_folder: Path, declared: str, *, overrides: Mapping[Role, str] | None = None
) -> DatabaseHandle:
    """Find the project's database and make sure that it can be used.

    Args:
        settings: REMIT_DATABASE_URL wins over what the project declares.
        project_folder: The folder of remit.toml; the embedded database lies in its `.remit/`.
        declared: `[database] url` of remit.toml: `embedded` or a URL.
        overrides: URLs for single roles of an external database; the others use the common one.

    Raises:
        ConfigurationError: The URL is none.
        DatabaseUnavailable: The database cannot be started or reached, or is older than PostgreSQL 16.
    """
    given = settings.database_url or declared
    if given == EMBEDDED:
        return EmbeddedDatabase(start(project_folder / ".remit"))
    source = "REMIT_DATABASE_URL" if settings.database_url else "`[database] url` in remit.toml"
    database = ExternalDatabase(_checked_url(given, source), overrides or {})
    database.check()
    return database


def _checked_url(url: str, source: str) -> str:
    """Return the URL if it is one. The message must not repeat it: it may hold a password."""
    try:
        if url.startswith(("postgresql://", "postgres://")):
            conninfo_to_dict(url)
            return url
    except psycopg.ProgrammingError:
        pass
    raise ConfigurationError(
        f"{source} is not a PostgreSQL URL",
        advice="Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE (special characters percent-encoded), "
        f"or `{EMBEDDED}`.",
    )


def _check(url: str) -> None:
    parts = conninfo_to_dict(url)
    place = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
    try:
        timeout = int(parts.get("connect_timeout") or _CONNECT_SECONDS)
        with psycopg.connect(url, connect_timeout=timeout) as db:
            version = db.info.server_version
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(
            f"cannot connect to PostgreSQL at {place}: {error}",
            advice="Check that the server runs, that the URL is right and that this user may connect.",
        ) from error
    if version < OLDEST * 10_000:
        raise DatabaseUnavailable(
            f"the server at {place} is PostgreSQL {version // 10_000}; Remit needs {OLDEST} or later",
            advice=f"Upgrade the server, give the URL of one from PostgreSQL {OLDEST}, or use the embedded database.",
        )
