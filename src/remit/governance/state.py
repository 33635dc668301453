"""The versioned snapshot that every decision is made on.

A snapshot is immutable. Admission compares its version with the database's under a lock, so a decision made on an
old one is never committed; the gate then takes a newer snapshot and decides again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Protocol

from jsonschema import Draft202012Validator

from remit.domain.actions import MODEL_REQUEST, ActionType, Effect, Risk, visible_schema
from remit.domain.agents import AgentVersion
from remit.domain.project import Project
from remit.governance.policy import PolicyEngine

MODEL_REQUEST_TYPE = ActionType(
    title="Ask a language model",
    effect=Effect.READ,
    risk=Risk.LOW,
    resource="Model::{model}",
    require=("model",),
    timeout=timedelta(minutes=10),  # a model that reasons takes its time
)
"""The built-in action type of requests to models."""


@dataclass(frozen=True)
class Governance:
    """Everything that decides what may be done, as of one version."""

    version: int
    bundle_digest: str
    project: Project
    policy: PolicyEngine
    suspended: frozenset[str] = frozenset()
    """Agents that were suspended by a person."""

    def action_type(self, name: str) -> ActionType | None:
        """The action type, or None where no file classifies it."""
        return MODEL_REQUEST_TYPE if name == MODEL_REQUEST else self.project.actions.get(name)

    def agent(self, name: str) -> AgentVersion | None:
        """The agent as deployed now. A session's own version may be older; its remit is always the present one."""
        return self.project.agents.get(name)

    def validator(self, name: str) -> Draft202012Validator | None:
        """Checks arguments against the pinned definition as agents see it; None where the tool is not pinned."""
        if name not in self._validators:
            definition = self.project.tool(name)
            if definition is None:
                return None
            action_type = self.project.actions.get(name)
            self._validators[name] = Draft202012Validator(visible_schema(definition.input_schema, action_type))
        return self._validators[name]

    @cached_property
    def _validators(self) -> dict[str, Draft202012Validator]:
        return {}


class GovernanceSource(Protocol):
    """Where snapshots come from."""

    def current(self) -> Governance:
        """The newest snapshot that this process has."""
        ...

    async def refresh(self) -> Governance:
        """Load what is deployed now. Raises IntegrityError if its signature does not hold."""
        ...
