"""Which database a project uses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from remit.config.settings import Settings
from remit.errors import ConfigurationError, DatabaseUnavailable
from remit.storage import resolve
from remit.storage.embedded import processes
from remit.storage.resolve import resolve_database

NOWHERE = "postgresql://someone:secret@127.0.0.1:1/nothing"


def user(url: str) -> object:
    with psycopg.connect(url) as db:
        row = db.execute("select current_user::text").fetchone()
    assert row is not None
    return row[0]


@pytest.fixture(autouse=True)
def no_url_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REMIT_DATABASE_URL", raising=False)


def test_the_embedded_database_is_the_default(tmp_path: Path) -> None:
    with resolve_database(Settings(), tmp_path, "embedded") as database:
        assert database.embedded
        assert user(database.url("sealer")) == "remit_sealer"
        assert user(database.url()) == "remit_app"
    assert not processes.using(tmp_path / ".remit" / "postgres" / "data")


def test_a_declared_url_serves_every_role(tmp_path: Path, database_url: str) -> None:
    with resolve_database(Settings(), tmp_path, database_url) as database:
        assert not database.embedded
        assert {database.url(role) for role in ("app", "owner", "sealer", "dbos")} == {database_url}
        assert user(database.url("app")) == "remit_owner"
    assert not (tmp_path / ".remit").exists()


def test_the_environment_wins_over_the_declaration(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMIT_DATABASE_URL", database_url)
    for declared in ("embedded", NOWHERE):
        with resolve_database(Settings(), tmp_path, declared) as database:
            assert database.url() == database_url


def test_a_role_may_have_its_own_url(tmp_path: Path, make_database: Callable[..., object]) -> None:
    fresh = make_database()
    overrides = {"app": fresh.url("app")}  # type: ignore[attr-defined]
    with resolve_database(Settings(), tmp_path, fresh.url(), overrides=overrides) as database:  # type: ignore[attr-defined]
        assert user(database.url("app")) == "remit_app"
        assert user(database.url("dbos")) == "remit_owner"


def test_an_override_that_does_not_connect_is_found_at_once(tmp_path: Path, database_url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"cannot connect to PostgreSQL at 127\.0\.0\.1:1/nothing"):
        resolve_database(Settings(), tmp_path, database_url, overrides={"sealer": NOWHERE})


def test_an_unreachable_server_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1/nothing") as caught:
        resolve_database(Settings(), tmp_path, NOWHERE)
    assert "secret" not in caught.value.message + caught.value.advice
    assert "server runs" in caught.value.advice


def test_an_old_server_is_refused(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "OLDEST", 99)
    with pytest.raises(DatabaseUnavailable, match=r"is PostgreSQL \d\d; Remit needs 99"):
        resolve_database(Settings(), tmp_path, database_url)


@pytest.mark.parametrize(
    "wrong", ["mysql://someone:secret@host/x", "host=x password=secret", "postgresql://someone:secret@host:port%/x"]
)
def test_what_is_no_url_is_refused_without_repeating_it(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=r"in remit.toml is not a PostgreSQL URL") as caught:
        resolve_database(Settings(), tmp_path, wrong)
    assert "secret" not in caught.value.message + caught.value.advice
    with pytest.raises(ConfigurationError, match="REMIT_DATABASE_URL is not"):
        resolve_database(Settings(database_url=wrong), tmp_path, "embedded")


def test_a_bad_port_is_refused(tmp_path: Path) -> None:
    with pytest.raises((ConfigurationError, DatabaseUnavailable)):
        resolve_database(Settings(), tmp_path, "postgresql://someone@host:notaport/x")
