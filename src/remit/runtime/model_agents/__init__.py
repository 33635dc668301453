"""Agents that a language model runs: every request and every tool call goes over the road.

`Governance` puts any pydantic-ai agent under Remit; `run_model_turn` runs an agent that is a prompt in a project.
"""

from remit.runtime.model_agents.errors import ModelFailed, ModelLimitReached, Ungoverned
from remit.runtime.model_agents.governance import Governance
from remit.runtime.model_agents.local import clearance
from remit.runtime.model_agents.local_pins import PinnedGovernance, pin_tools
from remit.runtime.model_agents.pricing import cost_micros, reserve
from remit.runtime.model_agents.registry import ModelRegistry, resolve_model
from remit.runtime.model_agents.tools import hide_arguments
from remit.runtime.model_agents.turn import ModelTurn, run_model_turn

__all__ = [
    "Governance",
    "ModelFailed",
    "ModelLimitReached",
    "ModelRegistry",
    "ModelTurn",
    "PinnedGovernance",
    "Ungoverned",
    "clearance",
    "cost_micros",
    "hide_arguments",
    "pin_tools",
    "reserve",
    "resolve_model",
    "run_model_turn",
]
