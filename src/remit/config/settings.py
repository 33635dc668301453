"""Settings that come from the environment. docs/reference/settings.md is generated from this class."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from remit.domain.declared import Duration


class Settings(BaseSettings):
    """How this process runs. Every setting is an environment variable with the prefix `REMIT_`."""

    model_config = SettingsConfigDict(env_prefix="REMIT_", frozen=True, use_attribute_docstrings=True)

    project: Path = Path()
    """Folder of the project."""
    database_url: str | None = None
    """PostgreSQL 16 or later; unset: the URL in remit.toml, or the embedded database in the project's `.remit/`."""
    worker_concurrency: int = Field(default=50, ge=1, le=10_000)
    """Turns that one worker runs at once."""
    clearance: Duration = timedelta(seconds=5)
    """How long after its commit a clearance may be used."""
    lease: Duration = timedelta(seconds=4)
    """A worker that has not renewed its lease for this long is dead."""
    heartbeat: Duration = timedelta(seconds=1)
    """How often a worker renews its lease."""
    queue_poll: Duration = timedelta(milliseconds=150)
    """How often a worker looks for queued turns."""
    seal_every: Duration = timedelta(seconds=1)
    """How often new audit records are sealed into the Merkle log."""
    telemetry_contents: bool = False
    """Put prompts, arguments and results on OpenTelemetry spans; off, because they hold private data."""
    as_person: str | None = None
    """Default of `--as` in local development."""
