"""Signed checkpoints of the log: C2SP `tlog-checkpoint` in a C2SP `signed-note`, with Ed25519.

A checkpoint is three lines (origin, number of leaves, root in base64), an empty line, and signature lines of the form
`— NAME base64(key id || signature)`. The key id is the first four bytes of
`SHA-256(NAME || 0x0A || 0x01 || public key)`. Any tool that reads these two formats can verify what Remit signs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import unicodedata
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from remit.domain.merkle import HASH_BYTES
from remit.errors import IntegrityError, InvalidInput

DEFAULT_NAME = "remit-log"
MAX_NOTE = 64 * 1024
"""Largest note that is read, in characters."""
MAX_SIGNATURES = 100
_ED25519 = b"\x01"
_DASH = "— "
_PRIVATE = "PRIVATE+KEY+"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says. Believe it only when it comes from `VerifierKey.open`."""

    origin: str
    """Which log this is."""
    size: int
    """Number of leaves."""
    root: bytes

    def text(self) -> str:
        """The text that signatures cover."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line of a note."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key in its note form, `NAME+KEYID+BASE64`."""

    name: str
    public: bytes
    """The 32 bytes of the Ed25519 public key."""

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read the note form. Raises InvalidInput if it is not one, or if its key id is not its own."""
        parts = text.strip().split("+", 2)
        data = decode_base64(parts[2]) if len(parts) == 3 else None
        if data is None or not _is_name(parts[0]) or len(data) != 33 or data[:1] != _ED25519:
            raise InvalidInput(
                "this is not a verifier key for Ed25519",
                advice="A verifier key has the form NAME+KEYID+BASE64, such as remit-log+1a2b3c4d+AQ…; "
                "the sealer writes its own to .remit/sealer.pub.",
            )
        key = cls(parts[0], data[1:])
        if key.key_id.hex() != parts[1]:
            raise InvalidInput(f"the verifier key says its id is {parts[1]}, but it is {key.key_id.hex()}")
        return key

    @property
    def key_id(self) -> bytes:
        """The four bytes that name this key in signature lines."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        """The note form."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(_ED25519 + self.public)}"

    def has_signed(self, note: str) -> bool:
        """True if `open` accepts the note."""
        try:
            self.open(note)
        except IntegrityError:
            return False
        return True

    def open(self, note: str) -> Checkpoint:
        """The checkpoint in a note that this key signed. Raises IntegrityError otherwise.

        Signatures of other keys are ignored; one of this key that does not hold rejects the note.
        """
        text, signatures = split_note(note)
        mine = [s for s in signatures if (s.name, s.key_id) == (self.name, self.key_id)]
        if not mine:
            raise IntegrityError(f"the checkpoint has no signature of {self.name}+{self.key_id.hex()}")
        public = Ed25519PublicKey.from_public_bytes(self.public)
        for signature in mine:
            try:
                public.verify(signature.signature, text.encode())
            except InvalidSignature:
                message = f"the signature of {self.name}+{self.key_id.hex()} on the checkpoint does not hold"
                raise IntegrityError(message) from None
        return parse_checkpoint(note)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The private key that signs checkpoints, and the name it signs with."""

    name: str
    private: Ed25519PrivateKey

    @classmethod
    def generate(cls, name: str = DEFAULT_NAME) -> SigningKey:
        """A new key. Raises InvalidInput if the name is empty or holds a space or a plus."""
        if not _is_name(name):
            raise InvalidInput(f"{name!r} cannot name a key: no spaces, no plus, no control characters, not empty")
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Read `PRIVATE+KEY+NAME+KEYID+BASE64`. Raises InvalidInput without repeating the text, which is a secret."""
        wrong = InvalidInput(
            "this is not the private key of a sealer",
            advice="Restore the sealer's key file from your backup, or move it away to begin with a new key.",
        )
        parts = text.strip().removeprefix(_PRIVATE).split("+", 2)
        data = decode_base64(parts[2]) if len(parts) == 3 and text.startswith(_PRIVATE) else None
        if data is None or not _is_name(parts[0]) or len(data) != 33 or data[:1] != _ED25519:
            raise wrong
        key = cls(parts[0], Ed25519PrivateKey.from_private_bytes(data[1:]))
        if key.verifier.key_id.hex() != parts[1]:
            raise wrong
        return key

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, self.private.public_key().public_bytes_raw())

    def secret_text(self) -> str:
        """The note form of the private key, for a file that only its owner can read."""
        data = encode_base64(_ED25519 + self.private.private_bytes_raw())
        return f"{_PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{data}"

    def sign(self, checkpoint: Checkpoint) -> str:
        """The signed note of a checkpoint."""
        text = checkpoint.text()
        signature = encode_base64(self.verifier.key_id + self.private.sign(text.encode()))
        return f"{text}\n{_DASH}{self.name} {signature}\n"


def split_note(note: str) -> tuple[str, tuple[Signature, ...]]:
    """The signed text of a note, and its signature lines. Raises IntegrityError if it has not the form of a note."""
    text, gap, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if len(note) > MAX_NOTE or not gap or lines.pop() != "" or not lines or len(lines) > MAX_SIGNATURES:
        raise IntegrityError("the checkpoint is not a signed note: text, an empty line, signature lines")
    if any(ord(c) < 0x20 and c != "\n" for c in note) or any("\ud800" <= c <= "\udfff" for c in note):
        raise IntegrityError("the checkpoint holds characters that a signed note cannot have")
    return text + "\n", tuple(map(_signature, lines))


def parse_checkpoint(note: str) -> Checkpoint:
    """What a note says, without looking at who signed it. Raises IntegrityError if it is not a checkpoint."""
    lines = split_note(note)[0].split("\n")[:-1]
    root = decode_base64(lines[2]) if len(lines) >= 3 else None
    if root is None or len(root) != HASH_BYTES or not all(lines):
        raise IntegrityError("the signed note is not a checkpoint: origin, number of leaves, root")
    size = int(lines[1]) if lines[1].isascii() and lines[1].isdigit() and len(lines[1]) < 20 else -1
    if str(size) != lines[1]:
        raise IntegrityError("the checkpoint's number of leaves is not a plain decimal number")
    return Checkpoint(lines[0], size, root)


def encode_base64(data: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes | None:
    """Bytes of standard base64 in its one canonical form, or None. Unused bits that are set are not canonical."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if encode_base64(data) == text else None


def _signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    data = decode_base64(encoded)
    if not line.startswith(_DASH) or not _is_name(name) or data is None or len(data) < 5:
        raise IntegrityError("the checkpoint has a malformed signature line")
    return Signature(name, data[:4], data[4:])


def _is_name(name: str) -> bool:
    return bool(name) and not any(
        c == "+" or c.isspace() or ord(c) < 0x20 or unicodedata.category(c) in {"Zs", "Cs"} for c in name
    )
