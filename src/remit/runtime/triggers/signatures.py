"""Whether a webhook comes from who it says. Everything here looks at raw bytes; nothing is parsed before it has passed.

Schemes: Standard Webhooks 1.0 (`webhook-id`, `webhook-timestamp`, `webhook-signature`), GitHub's
`X-Hub-Signature-256`, Stripe's `Stripe-Signature`, Slack's `X-Slack-Signature`, and an HMAC in headers of one's own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook

from remit.domain import canonical
from remit.domain.templates import at
from remit.domain.triggers import Verification

_SECONDS = re.compile(r"[0-9]{1,11}")
_ID_HEADERS = {"standard": "webhook-id", "github": "x-github-delivery"}
_ID_PATHS = {"stripe": "id", "slack": "event_id"}
_SIGNATURE_HEADERS = {
    "standard": "webhook-signature",
    "github": "x-hub-signature-256",
    "stripe": "stripe-signature",
    "slack": "x-slack-signature",
}
_LONGEST_ID = 200


def signature_header(how: Verification) -> str:
    """Name of the header with the signature, in lower case."""
    return _SIGNATURE_HEADERS.get(how.scheme, how.header.lower())


def verified(how: Verification, secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """True if the body was signed with this secret, and lately where the scheme signs the time.

    Header names are in lower case. Signatures are compared in constant time; several may be given, as senders do
    while a secret is being changed.
    """
    match how.scheme:
        case "standard":
            return _standard(how, secret, headers, body, now)
        case "github":
            given = headers.get("x-hub-signature-256", "")
            return _among(_hex(secret, body), [given.removeprefix("sha256=")] if given.startswith("sha256=") else [])
        case "stripe":
            parts = [p.strip().partition("=") for p in headers.get("stripe-signature", "").split(",")]
            sent = next((value for name, _, value in parts if name == "t"), "")
            signatures = [value for name, _, value in parts if name == "v1"]
            return _recent(how, sent, now) and _among(_hex(secret, sent.encode() + b"." + body), signatures)
        case "slack":
            sent, given = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
            expected = "v0=" + _hex(secret, b"v0:" + sent.encode() + b":" + body)
            return _recent(how, sent, now) and _among(expected, [given])
        case "hmac":
            return _own(how, secret, headers, body, now)


def message_id(how: Verification, headers: Mapping[str, str], message: dict[str, Any], body: bytes) -> str | None:
    """What makes a message the same one when it comes again; None if it should have an id and has none.

    A message of a scheme without ids is known by its contents.
    """
    header = (how.id_header or (None if how.id_path else _ID_HEADERS.get(how.scheme, ""))) or None
    path = how.id_path or (None if how.id_header else _ID_PATHS.get(how.scheme))
    if header is None and path is None:
        return "sha256:" + canonical.digest_bytes(body)
    found: Any = headers.get(header.lower()) if header is not None else at(message, path or "")
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        return None
    text = str(found)
    return text if len(text) <= _LONGEST_ID and text.isprintable() else "sha256:" + canonical.digest([text])


def _standard(how: Verification, secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    message, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message or not _recent(how, sent, now):
        return False
    try:
        moment = datetime.fromtimestamp(int(sent), UTC)
        expected = Webhook(secret).sign(message, moment, body.decode("utf-8"))
    except (ValueError, binascii.Error):
        return False  # the body is no text, or the secret no key: neither can have been signed
    return _among(expected, headers.get("webhook-signature", "").split(" "))


def _own(how: Verification, secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    signed = body
    if how.timestamp_header is not None:
        sent = headers.get(how.timestamp_header.lower(), "")
        if not _recent(how, sent, now):
            return False
        signed = sent.encode() + b"." + body
    given = headers.get(how.header.lower(), "")
    if not given.startswith(how.prefix):
        return False
    given = given[len(how.prefix) :]
    digest = hmac.new(secret.encode(), signed, getattr(hashlib, how.algorithm)).digest()
    if how.encoding == "hex":
        return _among(digest.hex(), [given.lower()])
    return _among(base64.b64encode(digest).decode(), [given])


def _hex(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def _among(expected: str, given: Iterable[str]) -> bool:
    """True if any is the expected one. All are compared, and each in constant time."""
    same = [hmac.compare_digest(expected.encode(), one.encode("utf-8", "replace")) for one in given]
    return any(same)


def _recent(how: Verification, sent: str, now: datetime) -> bool:
    """True for a time in Unix seconds within the tolerance, before or after now."""
    return bool(_SECONDS.fullmatch(sent)) and abs(now.timestamp() - int(sent)) <= how.tolerance.total_seconds()
