"""A deployer's signature on a bundle: Ed25519 over the bundle's digest.

Public keys that may sign stand in `remit.toml`, never in the database; the private key stays with the deployer and
never comes to the server. So whoever can write to the database still cannot bring in code or policy.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from remit.errors import ConfigurationError, IntegrityError

_CONTEXT = b"remit bundle v1\n"
"""Stands before what is signed, so that a signature for something else never counts here."""
_PREFIX = "ed25519:"
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature and the id of the key that made it."""

    key_id: str
    signature: bytes


def generate_key(path: Path) -> str:
    """Write a new private key to `path`, readable by its owner only, and return the public key as text.

    Raises ConfigurationError if something stands there already: a key is never overwritten.
    """
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(
            f"{path} is there already", advice="Keep the key, or move it away before making another."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"the key cannot be written to {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    return public_text(key)


def ensure_key(path: Path) -> str:
    """The public half of the private key at `path`, which is made if there is none. Raises as `load_key` does.

    Several processes may do this at once: the file appears with its whole content, and all of them find the same key.
    """
    if not path.exists():
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".key", dir=path.parent) as folder:
                generate_key(Path(folder) / "new")
                with contextlib.suppress(FileExistsError):
                    os.link(Path(folder) / "new", path)
        except OSError as error:
            raise ConfigurationError(f"the key cannot be written to {path}: {error.strerror}") from None
    return public_text(load_key(path))


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key. Raises ConfigurationError if it is missing, not an Ed25519 key, or open to other users."""
    try:
        mode = path.stat().st_mode
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"the deploy key {path} cannot be read: {error.strerror}",
            advice="Point to the private key whose public half stands in remit.toml under [deploy] keys.",
        ) from None
    if mode & 0o077:
        raise ConfigurationError(
            f"other users of this machine can reach the deploy key {path}", advice=f"Run `chmod 600 {path}`."
        )
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{path} is not an unencrypted Ed25519 private key in PEM form")
    return key


def public_text(key: Ed25519PrivateKey) -> str:
    """The public half as it stands in remit.toml: `ed25519:BASE64`."""
    return _PREFIX + base64.b64encode(_raw(key.public_key())).decode()


def key_id(public: str) -> str:
    """The short name of a public key: the first 16 hexadecimal digits of its SHA-256. Raises ConfigurationError."""
    return _id(_parse(public))


def sign_bundle(digest: str, key: Ed25519PrivateKey) -> Signature:
    """Sign a bundle by its digest. Raises IntegrityError if that is no digest."""
    return Signature(_id(key.public_key()), key.sign(_message(digest)))


def verify_bundle(digest: str, signature: Signature, allowed_keys: Iterable[str]) -> str:
    """Check that one of the allowed keys signed this digest; returns that key.

    Raises IntegrityError if none did, and ConfigurationError if an allowed key is malformed.
    """
    allowed = {_id(parsed): (text, parsed) for text in allowed_keys for parsed in (_parse(text),)}
    if signature.key_id not in allowed:
        raise IntegrityError(
            f"the bundle {digest[:12]} is signed with the key {signature.key_id!r}, which may not deploy here",
            advice="Deploy with a key whose public half stands in remit.toml under [deploy] keys, or add it there.",
        )
    text, public = allowed[signature.key_id]
    try:
        public.verify(signature.signature, _message(digest))
    except InvalidSignature:
        raise IntegrityError(f"the signature on the bundle {digest[:12]} does not hold") from None
    return text


def _message(digest: str) -> bytes:
    if not _DIGEST.fullmatch(digest):
        raise IntegrityError("what was given is not the digest of a bundle")
    return _CONTEXT + digest.encode()


def _parse(text: str) -> Ed25519PublicKey:
    try:
        kind, _, encoded = text.partition(":")
        raw = base64.b64decode(encoded, validate=True) if f"{kind}:" == _PREFIX else b""
        return Ed25519PublicKey.from_public_bytes(raw)
    except (ValueError, binascii.Error):
        raise ConfigurationError(
            f"{text[:60]!r} is not a public key",
            advice="Write `ed25519:` and 32 bytes in base64, as `remit init` does.",
        ) from None


def _id(public: Ed25519PublicKey) -> str:
    return hashlib.sha256(_raw(public)).hexdigest()[:16]


def _raw(public: Ed25519PublicKey) -> bytes:
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
