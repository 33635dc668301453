"""The way to the mail server: one connection a mail, encrypted and checked, and what its answers mean."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from email.message import EmailMessage

import aiosmtplib

from remit.config.mail_checks import is_loopback
from remit.domain.project import MailSection
from remit.errors import ConfigurationError
from remit.runtime.deliveries import RetryLater, Undeliverable
from remit.surfaces.mail.envelopes import on_the_wire

_TIMEOUT = 20.0  # seconds for one answer of the server
_SETTINGS = (
    aiosmtplib.SMTPAuthenticationError,
    aiosmtplib.SMTPConnectResponseError,
    aiosmtplib.SMTPHeloError,
    aiosmtplib.SMTPSenderRefused,
)
"""What a server says before it knows for whom a mail is."""


class Post:
    """Sends mails by one server. The password is asked for at every mail, and kept nowhere."""

    def __init__(self, settings: MailSection, secret: Callable[[str], str]) -> None:
        """Raises ConfigurationError if mails would go unencrypted to another machine and nobody has accepted that."""
        if settings.security == "none" and not is_loopback(settings.host) and not settings.allow_unencrypted:
            raise ConfigurationError(
                f"mails to {settings.host[:80]} would go unencrypted, with the links in them",
                advice='Use `security = "starttls"` or `"tls"`, or accept it with `allow_unencrypted = true`.',
            )
        self._settings = settings
        self._secret = secret

    async def send(self, message: EmailMessage, sender: str, to: str) -> None:
        """Hand a mail over to the server.

        Raises RetryLater if the server is away, has no time, or cannot be trusted just now; Undeliverable if it
        refuses this mail for good.
        """
        settings = self._settings
        try:
            password = self._secret(settings.password) if settings.password is not None else None
            utf8 = not (sender + to).isascii()
            await aiosmtplib.send(
                on_the_wire(message, utf8=utf8),
                mail_options=["SMTPUTF8"] if utf8 else [],
                sender=sender,
                recipients=[to],
                hostname=settings.host,
                port=settings.port,
                username=settings.user,
                password=password,
                use_tls=settings.security == "tls",
                start_tls=settings.security == "starttls",
                tls_context=_context() if settings.security != "none" else None,
                timeout=_TIMEOUT,
            )
        except ConfigurationError as error:
            raise RetryLater(error.message) from None
        except aiosmtplib.SMTPRecipientsRefused as refused:
            _refused(refused.recipients[0])
        except _SETTINGS as refused:
            # Whatever its code: the mail is as good as before, and somebody has to correct the settings.
            raise RetryLater(f"the mail server does not let us in: {refused.code} {_words(refused)}") from None
        except aiosmtplib.SMTPResponseException as refused:
            _refused(refused)
        except aiosmtplib.SMTPNotSupported as missing:
            if not (sender + to).isascii():
                raise Undeliverable(f"the mail server takes no address with such characters: {to[:80]}") from None
            raise RetryLater(f"the mail server lacks what is needed: {missing.message}") from None
        except (aiosmtplib.SMTPException, OSError, ssl.SSLError) as away:
            raise RetryLater(
                f"the mail server {settings.host}:{settings.port} cannot be used: {str(away) or type(away).__name__}"
            ) from None


def _context() -> ssl.SSLContext:
    """Certificates and host names are verified, against what this machine (or SSL_CERT_FILE) trusts."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _refused(answer: aiosmtplib.SMTPResponseException) -> None:
    """4xx is for now, 5xx for good (RFC 5321, 4.2.1)."""
    said = f"the mail server answered {answer.code} {_words(answer)}"
    if answer.code >= 500:
        raise Undeliverable(said) from None
    raise RetryLater(said) from None


def _words(answer: aiosmtplib.SMTPResponseException) -> str:
    return " ".join(answer.message.split())[:200]
