"""The firm, deployed, on a database of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.governed.firm import EXAMPLE, Firm

from remit.bootstrap import open_services
from remit.config.loader import load_project
from remit.config.settings import Settings
from remit.governance.deployments import deploy
from remit.governance.signing import generate_key


@pytest.fixture
def firm(
    tmp_path: Path, make_database: Callable[..., Any], migrated: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Firm]:
    folder = tmp_path / "company"
    shutil.copytree(EXAMPLE / "company", folder, ignore=shutil.ignore_patterns(".remit"))
    key = generate_key(folder / ".remit" / "deploy.key")
    with (folder / "remit.toml").open("a") as file:
        file.write(f'\n[deploy]\nkeys = ["{key}"]\n')
    url = make_database(migrated).url()
    monkeypatch.setenv("REMIT_DATABASE_URL", url)
    monkeypatch.setenv("REMIT_HEARTBEAT", "100ms")
    with open_services(folder, Settings()) as services:
        with services.sessions.transaction() as db:
            deploy(db, load_project(folder), folder / ".remit" / "deploy.key", "person:cleo")
        yield Firm(folder, services)
