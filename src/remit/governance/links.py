"""One-time links: how somebody who reads mail is recognised, for one item and a limited time.

A link's token is a MAC, under the server's link key, over a random nonce and over whom it is for, to which item and
until when. The database holds the nonce and the token's SHA-256. So nobody can make a link from the database alone: not
by reading it, and not by writing a row of their own or changing the person or the expiry of one that is there.

The token of a row is always the same, so that a mail that has to be sent again carries the link that the first
attempt may have carried.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from remit.errors import ConfigurationError, Conflict
from remit.storage import links
from remit.storage.links import LinkRow
from remit.storage.sessions import Db

KEY_FILE = "link.key"
_KEY_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class LinkKey:
    """The key of links, apart from every other. Printing does not show it."""

    secret: bytes

    def __repr__(self) -> str:
        return "LinkKey(…)"

    def token(self, nonce: bytes, item_id: str, person: str, expires_at: datetime) -> str:
        """The token of a link: 256 bits in URL-safe base64."""
        parts = (nonce, item_id.encode(), person.encode(), str(int(expires_at.timestamp())).encode())
        return self._mac(b"remit link v1", *parts)

    def seal(self, token: str) -> str:
        """What a form on a link's page carries: shows that the page was fetched before the form was sent."""
        return self._mac(b"remit form v1", token.encode())

    def _mac(self, *parts: bytes) -> str:
        # Each part with its length, so that no two lists of parts are the same bytes.
        message = b"".join(len(part).to_bytes(8) + part for part in parts)
        return base64.urlsafe_b64encode(hmac.digest(self.secret, message, "sha256")).rstrip(b"=").decode()


def ensure_link_key(folder: Path) -> LinkKey:
    """Read the link key from `folder`, usually `.remit/`, or make it. Processes that do this at once get the same key.

    Raises ConfigurationError if others can read the file, or if it cannot be read or written or holds no key.
    """
    path = folder / KEY_FILE
    try:
        if not path.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".key", dir=folder) as scratch:
                new = Path(scratch) / "new"
                new.touch(mode=0o600)
                new.write_bytes(base64.b64encode(secrets.token_bytes(_KEY_BYTES)) + b"\n")
                with contextlib.suppress(FileExistsError):
                    os.link(new, path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigurationError(
                f"others can read the link key {path}",
                advice=f"Run `chmod 600 {path}`; if somebody may have copied it, move it away: links in old mails end.",
            )
        secret = base64.b64decode(path.read_bytes().strip(), validate=True)
    except OSError as error:
        raise ConfigurationError(
            f"the link key {path} cannot be used: {error.strerror}", advice="Check the folder's owner and rights."
        ) from error
    except ValueError:
        secret = b""
    if len(secret) != _KEY_BYTES:
        raise ConfigurationError(f"{path} holds no link key", advice="Move it away; links in old mails end with it.")
    return LinkKey(secret)


def make_link(db: Db, key: LinkKey, item_id: str, person: str, lifetime: timedelta) -> tuple[str, datetime]:
    """A person's link to an item: of the one that is there, or of a new one where that has expired.

    Returns its token and when it ends.
    """
    links.lock_item(db, item_id)
    row = links.of_person(db, item_id, person)
    if row is not None and (row.live or row.used):
        token = key.token(row.nonce, row.item_id, row.person, row.expires_at)
        if _digest(token) == row.digest:
            return token, row.expires_at
    nonce, expires_at = secrets.token_bytes(32), links.expiry(db, item_id, lifetime)
    token = key.token(nonce, item_id, person, expires_at)
    links.put(db, _digest(token), item_id, person, nonce, expires_at)
    return token, expires_at


def find_link(db: Db, key: LinkKey, token: str, *, lock: bool = False) -> LinkRow | None:
    """The link of a token; None where this server has not made it. Whether it has expired or was used, it says."""
    if not _TOKEN.fullmatch(token):
        return None
    row = links.by_digest(db, _digest(token), lock=lock)
    if row is None or not hmac.compare_digest(key.token(row.nonce, row.item_id, row.person, row.expires_at), token):
        return None
    return row


def use_link(key: LinkKey, token: str) -> Callable[[Db], None]:
    """Something to do in the transaction of a decision: use the link up.

    Raises Conflict if the link was used or has expired in the meantime, and the decision is not made.
    """

    def use(db: Db) -> None:
        row = find_link(db, key, token, lock=True)
        if row is None or row.used or not row.live:
            raise Conflict("this link was used already, or has expired")
        links.use(db, row)

    return use


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
