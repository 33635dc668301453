"""Remit: a self-hosted control plane and durable runtime for managed AI agents."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remit.bootstrap import governed, open_host
    from remit.runtime.model_agents import Governance, clearance, pin_tools

__version__ = "0.1.0"
__all__ = ["Governance", "__version__", "clearance", "governed", "open_host", "pin_tools"]

_LAZY = {
    "Governance": "remit.runtime.model_agents",
    "clearance": "remit.runtime.model_agents",
    "governed": "remit.bootstrap",
    "open_host": "remit.bootstrap",
    "pin_tools": "remit.runtime.model_agents",
}


def __getattr__(name: str) -> Any:
    """Import what stands in the public interface when it is first asked for: pydantic-ai alone takes a second."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
