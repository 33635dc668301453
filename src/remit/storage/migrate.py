"""Brings a database to this version's schema, one process at a time."""

from __future__ import annotations

from pathlib import Path

import psycopg

from remit.errors import DatabaseUnavailable

_LOCK = 7236349118  # one migration at a time over all processes


def migrate(url: str, *, revision: str = "head") -> None:
    """Upgrade the database at `url` (as its owner). Raises DatabaseUnavailable if it cannot be reached or is newer."""
    try:
        with psycopg.connect(url) as db:
            db.execute("select pg_advisory_lock(%s)", (_LOCK,))
            db.commit()
            _upgrade(db, revision)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"the database does not answer: {error}") from error


def _upgrade(db: psycopg.Connection, revision: str) -> None:
    # Imported here, because every command asks whether there is something to do and hardly ever there is.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.pool import StaticPool  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    engine = create_engine("postgresql+psycopg://", creator=lambda: db, poolclass=StaticPool)
    with engine.connect() as connection:
        current = MigrationContext.configure(
            connection, opts={"version_table": "schema_version", "version_table_schema": "public"}
        ).get_current_revision()
        connection.commit()
        script = ScriptDirectory.from_config(config)
        if current is not None and current not in {r.revision for r in script.walk_revisions()}:
            raise DatabaseUnavailable(
                f"the database has schema revision {current}, which this version of Remit does not know",
                advice="Use the version of Remit that migrated this database, or a newer one.",
            )
        if current == script.get_current_head() and revision == "head":
            return
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


def prepared_for(url: str, component: str) -> str | None:
    """The version that last prepared a component of this database; None if it never was."""
    try:
        with psycopg.connect(url) as db:
            row = db.execute("select version from remit.prepared where component = %s", (component,)).fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    except psycopg.errors.InsufficientPrivilege:
        return None
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"the database does not answer: {error}") from error
    return row[0] if row is not None else None


def mark_prepared(url: str, component: str, version: str) -> None:
    """Write down, as the owner, which version prepared a component."""
    with psycopg.connect(url) as db:
        db.execute(
            "insert into remit.prepared values (%s, %s) on conflict (component) do update set version = %s",
            (component, version, version),
        )
