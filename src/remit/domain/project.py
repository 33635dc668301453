"""A whole project as its files declare it: one value, checked together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from remit.domain import builtins
from remit.domain.actions import ActionType
from remit.domain.agents import AgentVersion, ModelSpec
from remit.domain.budgets import DayBudget
from remit.domain.connections import Connection, ToolDefinition, ToolPins
from remit.domain.declared import Declared, Name, Secret
from remit.domain.directory import Directory
from remit.domain.triggers import Trigger
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


class ServerSection(Declared):
    """`[server]`: what listens for webhooks, Slack and the links in mails."""

    url: str = Field(default="http://127.0.0.1:8270", pattern=r"^https?://[^/]+(/.*)?$")
    """How other systems and people's browsers reach this server; links are made with it."""


class SlackSection(Declared):
    """`[slack]`: approvals, questions and messages in Slack; without it that surface is off."""

    team: str = Field(pattern=r"^T[A-Z0-9]+$")
    """Id of the one team whose members may act; guests and other teams are refused."""
    bot_token: Secret
    """Reference to the bot's token, `xoxb-…`."""
    signing_secret: Secret | None = None
    """Reference to the secret with which Slack signs its requests; for HTTP mode."""
    app_token: Secret | None = None
    """Reference to an app-level token, `xapp-…`; for socket mode."""
    mode: Literal["http", "socket"] = "http"
    """`http`: Slack calls `/slack/events`; `socket`: Remit keeps a connection open, and nothing has to be reachable."""
    channel: str | None = None
    """Channel for what concerns nobody in particular and for questions to `channel:`; None: there is none."""
    agent: Name | None = None
    """The agent that answers where somebody writes to the app without naming one."""
    api_url: str = "https://slack.com/api/"
    """Where Slack's API is."""


class MailSection(Declared):
    """`[mail]`: approvals, questions and messages by e-mail; without it that surface is off."""

    host: str
    """The SMTP server."""
    port: int = Field(default=587, ge=1, le=65_535)
    """Its port."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted: `starttls` (port 587), `tls` (port 465), or not at all."""
    allow_unencrypted: bool = False
    """Lets `none` reach a server on another machine: mails, links and the password can be read on the way."""
    user: str | None = None
    """Whom to log in as; None: nobody."""
    password: Secret | None = None
    """Reference to the password."""
    sender: str = Field(pattern=r"^[^@\s<>]+@[^@\s<>]+$")
    """Address that mails come from."""
    link_hours: int = Field(default=72, ge=1, le=720)
    """How long a link in a mail works, at most as long as its item is open."""


class OidcSection(Declared):
    """`[login.oidc]`: people log in as the company's identity provider knows them; without it, by one-time links."""

    issuer: str = Field(pattern=r"^https?://[^\s?#]+$")
    """The provider, as its tokens name it; its description is at `ISSUER/.well-known/openid-configuration`."""
    client_id: str = Field(min_length=1)
    """What the provider calls this installation."""
    client_secret: Secret
    """Reference to the secret that goes with it."""
    claim: Literal["email", "sub"] = "email"
    """What names the person: a verified `email`, as in the directory, or `sub`, as `subject` in the directory."""
    title: str = Field(default="your company", min_length=1, max_length=60)
    """What people call the provider; stands on the button: “Log in with …”."""


class LoginSection(Declared):
    """`[login]`: how people come into the cockpit."""

    oidc: OidcSection | None = None
    """The company's identity provider."""


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
    server: ServerSection = ServerSection()
    """Where other systems and browsers reach it."""
    login: LoginSection = LoginSection()
    """How people come in."""
    slack: SlackSection | None = None
    """People's messages, approvals and questions in Slack."""
    mail: MailSection | None = None
    """People's messages, approvals and questions by e-mail."""
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
    triggers: dict[str, Trigger] = field(default_factory=dict)
    """Name to trigger, of `triggers.yaml`."""
    pins: ToolPins = field(default_factory=ToolPins)
    files: dict[str, bytes] = field(default_factory=dict)
    """Every file of the bundle by its path in the project; what a deployer signs."""

    def tool(self, name: str) -> ToolDefinition | None:
        """The pinned definition of `connection.tool`, or None where it is not pinned. Built-in tools need no pin."""
        connection, _, tool = name.partition(".")
        if connection == builtins.CONNECTION:
            return builtins.TOOLS.get(tool)
        return self.pins.connections.get(connection, {}).get(tool)
