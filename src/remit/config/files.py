"""The project's files: what each is called, and the model of what stands in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from remit.domain.actions import ActionType
from remit.domain.agents import AgentSpec
from remit.domain.connections import Connection, ToolPins
from remit.domain.declared import Declared, Name, ToolName
from remit.domain.directory import Directory
from remit.domain.parameters import ParametersFile
from remit.domain.project import RemitToml
from remit.domain.triggers import Trigger
from remit.domain.workflows import Workflow

ConnectionName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""Name of a connection: as a name, without dots, because a dot ends it in `connection.tool`."""


class ConnectionsFile(Declared):
    """`connections.yaml`: the systems that agents reach, each an MCP server."""

    connections: dict[ConnectionName, Connection] = {}
    """Name to connection."""


class ActionsFile(Declared):
    """`actions.yaml`: every tool that may be used, classified."""

    actions: dict[ToolName, ActionType] = {}
    """`connection.tool` to action type."""


class WorkflowsFile(Declared):
    """`workflows.yaml`: the pieces of the company's work."""

    workflows: dict[Name, Workflow] = {}
    """Name to workflow."""


class TriggersFile(Declared):
    """`triggers.yaml`: what starts sessions by itself."""

    triggers: dict[Name, Trigger] = {}
    """Name to trigger."""


SETTINGS = "remit.toml"
DIRECTORY = "directory.yaml"
CONNECTIONS = "connections.yaml"
ACTIONS = "actions.yaml"
WORKFLOWS = "workflows.yaml"
PINS = "tools.lock.json"
AGENT = "agent.yaml"
PARAMETERS = "parameters.yaml"
TRIGGERS = "triggers.yaml"

MODELS: dict[str, type[BaseModel]] = {
    SETTINGS: RemitToml,
    DIRECTORY: Directory,
    CONNECTIONS: ConnectionsFile,
    ACTIONS: ActionsFile,
    WORKFLOWS: WorkflowsFile,
    TRIGGERS: TriggersFile,
    AGENT: AgentSpec,
    PARAMETERS: ParametersFile,
    PINS: ToolPins,
}
"""File to the model of its contents; `agent.yaml` and `parameters.yaml` stand in each agent's folder."""
