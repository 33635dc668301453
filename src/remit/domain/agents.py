"""Agents as declared: a prompt or a program, tools, model, reasoning, budgets, and who answers for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field, model_validator

from remit.domain.budgets import BudgetSpec
from remit.domain.declared import Amount, Declared, Duration, Name, PersonOrRole, ToolName
from remit.domain.knowledge import Language
from remit.domain.parameters import Parameter

Reasoning = Literal["none", "low", "medium", "high"]
AutonomyLevel = Literal["observe", "propose", "supervised", "autonomous"]


class MemorySpec(Declared):
    """What an agent may remember, and for how long."""

    keep: Duration = timedelta(days=180)
    """How long a memory is kept where nothing else is said."""
    longest: Duration = timedelta(days=730)
    """Nothing is kept for longer."""
    reviewers: tuple[PersonOrRole, ...] = ()
    """Who may review, correct and erase what it remembers, beside its owner."""

    @model_validator(mode="after")
    def _within(self) -> MemorySpec:
        if self.keep > self.longest:
            raise ValueError("`keep` is longer than `longest`")
        return self


class AgentSpec(Declared):
    """`agents/NAME/agent.yaml`. The folder holds `prompt.md` (a model agent) or `program.py` (a program) beside it.

    An external agent has neither.
    """

    title: str
    """What it is called in lists."""
    purpose: str
    """One or two sentences that anyone in the company understands."""
    owner: PersonOrRole
    """The accountable human of the agent itself."""
    escalation: PersonOrRole
    """Who is asked when the agent is stuck."""
    workspace: Name
    """The boundary of visibility that it works in."""
    workflow: Name | None = None
    """The workflow that its work belongs to, with that workflow's budget."""
    layer: Literal["managed", "assisted"] = "managed"
    """`managed` must pass the six gates; `assisted` acts only through the person it works with."""
    persistent: str = ""
    """Why this work has to go on without anybody watching: the first gate."""
    external: bool = False
    """True: its code lives in another process and is put under Remit there by `remit.governed`; no worker runs it."""
    tools: tuple[ToolName, ...] = ()
    """The allow-list; nothing else is reachable."""
    model: str | None = None
    """`provider:name` as in remit.toml; required for a model agent."""
    reasoning: Reasoning = "none"
    """How much a model thinks before it answers."""
    language: Language = "english"
    """What the texts in `knowledge/` are written in, so that a search finds other forms of a word."""
    max_output_tokens: int = Field(default=2_000, ge=1, le=200_000)
    """Sent to the provider with every request, and reserved before it."""
    max_model_requests: int = Field(default=50, ge=1, le=10_000)
    """Most model requests in one turn."""
    input: dict[str, Any] = {"type": "object"}
    """JSON Schema of what a session starts with."""
    budget: BudgetSpec = BudgetSpec()
    """What its sessions, and all of it in one day, may use."""
    autonomy: AutonomyLevel = "supervised"
    """Level at which every action type starts; policies read it as `context.autonomy`."""
    concurrency: int | None = Field(default=8, ge=1, le=10_000)
    """Most calls of this agent under way at once, over all workers; low by default, null is no limit."""
    repeat_limit: int = Field(default=5, ge=2, le=1_000)
    """The same call with the same arguments this often in one session stops it and asks the owner."""
    turn_action_limit: int = Field(default=500, ge=1, le=100_000)
    """Most actions in one turn; beyond it the session stops and asks the owner."""
    memory: MemorySpec = MemorySpec()
    """What it remembers between sessions: how long, and who reviews it."""
    never: tuple[str, ...] = ()
    """What the agent must never do, in plain words, for its card."""


class ModelPrice(Declared):
    """What a model costs, in USD for a million tokens."""

    input: Amount
    """For what is sent."""
    output: Amount
    """For what is answered."""


class ModelSpec(Declared):
    """A language model that agents may name."""

    price: ModelPrice | None = None
    """None: refused wherever a money budget covers it."""
    base_url: str | None = None
    """An OpenAI-compatible endpoint; None: the provider's own."""
    api_key: str | None = Field(default=None, pattern=r"^(env|file|vault):.+$")
    """Reference to the provider's key; None: the endpoint needs none."""
    script: str | None = None
    """For tests and demos: a Python file, relative to the project, with `respond(messages, tools)`; no network."""


@dataclass(frozen=True, slots=True)
class AgentVersion:
    """One immutable state of an agent: its folder's files by content, and the spec read from them."""

    agent: str
    digest: str
    """SHA-256 over the sorted (path, SHA-256 of content) pairs of the agent's folder."""
    spec: AgentSpec
    files: dict[str, bytes]
    """Path inside the agent's folder to content."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """What `parameters.yaml` among the files declares."""

    @property
    def is_program(self) -> bool:
        """True if the agent is plain Python; False if a language model runs it."""
        return "program.py" in self.files
