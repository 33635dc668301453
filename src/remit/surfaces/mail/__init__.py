"""E-mail: what waits for people and what they are told, sent by SMTP, and the pages behind the links in it.

Off unless remit.toml has `[mail]`; then there is neither channel nor route.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from remit.bootstrap import Services
    from remit.surfaces.mail.sending import MailChannel


def channel(services: Services) -> MailChannel | None:
    """The channel by which people are told, if this surface is on. Raises ConfigurationError if it cannot be."""
    if services.declared.mail is None:
        return None
    from remit.surfaces.mail.sending import MailChannel  # noqa: PLC0415 - only where it is on

    return MailChannel(services, services.declared.mail)


def routes(services: Services) -> list[BaseRoute]:
    """The pages behind links, if this surface is on. Raises ConfigurationError if it cannot be."""
    if services.declared.mail is None:
        return []
    from remit.governance.links import ensure_link_key  # noqa: PLC0415 - only where it is on
    from remit.surfaces.mail import pages  # noqa: PLC0415

    return pages.routes(services, ensure_link_key(services.state))
