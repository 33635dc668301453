"""Mail addresses as they can be put into a message: nothing in them that could add to it."""

from __future__ import annotations

from email.headerregistry import Address

import idna

from remit.errors import InvalidInput

_LONGEST = 254  # bytes; RFC 5321, 4.5.3.1.3, without the angle brackets
_SPECIAL = frozenset('<>(),;:\\"[]@')
"""Characters that mean something in a header or on the wire; nobody's address needs them."""


def parse_address(text: str) -> Address:
    """A mail address; its domain in ASCII, as IDNA 2008 writes it. Raises InvalidInput if it is none."""
    wrong = InvalidInput(f"{text[:80]!r} is no mail address", advice="Correct it in directory.yaml or remit.toml.")
    local, _, domain = text.rpartition("@")
    if not local or any(c.isspace() or not c.isprintable() or c in _SPECIAL for c in local):
        raise wrong
    try:
        found = Address(username=local, domain=idna.encode(domain, uts46=True).decode())
    except ValueError:  # idna's errors are UnicodeErrors, which are ValueErrors
        raise wrong from None
    if len(found.addr_spec.encode()) > _LONGEST:
        raise wrong
    return found
