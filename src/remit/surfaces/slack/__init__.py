"""Slack: people are asked and told there, decide by buttons and forms, and talk to agents in threads.

Off unless remit.toml has `[slack]`; then there is neither channel nor route.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from remit.bootstrap import Services
    from remit.surfaces.slack.app import Slack


def surface(services: Services) -> Slack | None:
    """The surface, if it is on. Raises SecretUnavailable if a secret of it is missing."""
    if services.declared.slack is None:
        return None
    from remit.surfaces.slack.app import Slack  # noqa: PLC0415 - only where it is on

    return Slack(services, services.declared.slack)
