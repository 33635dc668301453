"""Remit: a self-hosted control plane and durable runtime for managed AI agents."""

__version__ = "0.1.0"
