"""From a letter to a message as RFC 5322 writes it: addresses, threading, and nothing that a value could add."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from remit.surfaces.http import words
from remit.surfaces.mail.letters import Letter


def message_id(what: str, sender: Address) -> str:
    """The id of a mail, made of what it tells to whom: sent twice, it is still the same mail."""
    return f"<{hashlib.sha256(what.encode()).hexdigest()[:40]}@{sender.domain}>"


def message(
    letter: Letter, *, sender: Address, project: str, to: Address, name: str, at: datetime, key: str, thread: str
) -> EmailMessage:
    """A mail ready to be sent. `key` says what it tells to whom, and `thread` to which conversation it belongs.

    Raises InvalidInput if a header cannot be written.
    """
    found = EmailMessage(policy=SMTP)
    display = _header(project, 60)
    root = message_id(f"thread {thread}", sender)
    found["From"] = Address(f"Remit {display}".strip(), addr_spec=sender.addr_spec)
    found["To"] = Address(_header(name, 80), username=to.username, domain=to.domain)
    found["Subject"] = _header(letter.subject, 150)
    found["Date"] = format_datetime(at)
    found["Message-ID"] = message_id(key, sender)
    # The root is the id of no mail: programs that read mail draw together what refers to it.
    found["References"] = root
    found["In-Reply-To"] = root
    found["Auto-Submitted"] = "auto-generated"
    found["X-Auto-Response-Suppress"] = "All"
    found["List-Id"] = f"<remit.{hashlib.sha256(display.encode()).hexdigest()[:8]}.{sender.domain}>"
    found.set_content(letter.plain)
    found.add_alternative(letter.html, subtype="html")
    return found


def reply_to(found: EmailMessage, earlier: str) -> None:
    """Make a mail an answer to an earlier one, by the Message-ID of that."""
    root = found["References"]
    del found["In-Reply-To"], found["References"]
    found["In-Reply-To"] = earlier
    found["References"] = f"{root} {earlier}"


def on_the_wire(found: EmailMessage, *, utf8: bool) -> bytes:
    """A mail as it is sent, in seven bits; `utf8` only where an address cannot be written otherwise (RFC 6531)."""
    head, end, body = found.as_bytes(policy=SMTP.clone(cte_type="7bit", utf8=utf8)).partition(b"\r\n\r\n")
    # A header that just fits on a line of its own is put there, and its first line left empty; not every reader copes.
    return _EMPTY_LINE.sub(rb"\1: ", head) + end + body


_EMPTY_LINE = re.compile(rb"^([!-9;-~]+):\r\n[ \t]", re.MULTILINE)


def _header(value: str, limit: int) -> str:
    """A header's text. What looks like an encoded word (RFC 2047) is broken: readers would decode it."""
    return words.line(value, limit).replace("=?", "= ?")
