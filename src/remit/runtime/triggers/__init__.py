"""Triggers: what starts sessions without a person typing. They stand apart from agents, which do not know of them."""

from remit.runtime.triggers.firing import Asked, Fired
from remit.runtime.triggers.triggers import Listed, Triggers

__all__ = ["Asked", "Fired", "Listed", "Triggers"]
