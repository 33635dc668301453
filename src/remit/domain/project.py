"""A whole project as its files declare it: one value, checked together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from remit.domain.actions import ActionType
from remit.domain.agents import AgentVersion, ModelSpec
from remit.domain.budgets import DayBudget
from remit.domain.connections import Connection, ToolDefinition, ToolPins
from remit.domain.declared import Declared, Name
from remit.domain.directory import Directory
from remit.domain.workflows import Workflow


class ProjectSection(Declared):
    """`[project]`."""

    name: Name
    """What the project is called in messages and in its record."""
    development: bool = False
    """Allows `--as PERSON` on an embedded database; the record says that it was simulated."""


class DatabaseSection(Declared):
    """`[database]`."""

    url: str = "embedded"
    """`embedded`, or the URL of any PostgreSQL from 16; the environment's REMIT_DATABASE_URL wins."""


class DeploySection(Declared):
    """`[deploy]`."""

    keys: tuple[str, ...] = ()
    """Public keys that may sign a bundle, `ed25519:BASE64`."""


class ProgramsSection(Declared):
    """`[programs]`."""

    isolation: Literal["auto", "bubblewrap", "landlock", "none"] = "auto"
    """The wall around programs and stdio servers; `auto` takes bubblewrap, else Landlock; `none` waives it."""
    memory_mb: int = Field(default=512, ge=64, le=65_536)
    """Megabytes of memory for one program, beyond what all programs share."""
    cpu_seconds: int = Field(default=60, ge=1, le=86_400)
    """Processor time that one run of a turn may use."""


class AuditSection(Declared):
    """`[audit]`."""

    checkpoints: tuple[str, ...] = ()
    """Places outside the database that every signed checkpoint goes to: `file:FOLDER` or `git:FOLDER`."""


class RemitToml(Declared):
    """`remit.toml`."""

    project: ProjectSection
    """What the project is called, and whether it is developed here."""
    database: DatabaseSection = DatabaseSection()
    """Where everything is kept."""
    deploy: DeploySection = DeploySection()
    """Who may put a bundle in force."""
    programs: ProgramsSection = ProgramsSection()
    """How programs are walled in."""
    audit: AuditSection = AuditSection()
    """Where the record's checkpoints go."""
    models: dict[str, ModelSpec] = {}
    """`[models."provider:name"]`."""
    budget: DayBudget = DayBudget()
    """Limits over everything in the project."""


@dataclass(frozen=True)
class Project:
    """Everything that the files of a project say, loaded and consistent."""

    settings: RemitToml
    directory: Directory
    connections: dict[str, Connection]
    actions: dict[str, ActionType]
    workflows: dict[str, Workflow]
    agents: dict[str, AgentVersion]
    policies: dict[str, str]
    """Path to Cedar text, for `policies/*.cedar`."""
    pins: ToolPins = field(default_factory=ToolPins)
    files: dict[str, bytes] = field(default_factory=dict)
    """Every file of the bundle by its path in the project; what a deployer signs."""

    def tool(self, name: str) -> ToolDefinition | None:
        """The pinned definition of `connection.tool`, or None where it is not pinned."""
        connection, _, tool = name.partition(".")
        return self.pins.connections.get(connection, {}).get(tool)
