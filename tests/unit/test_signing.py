"""Only a key that stands in remit.toml brings in a bundle, and only the bundle that it signed."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from remit.errors import ConfigurationError, IntegrityError
from remit.governance.signing import generate_key, key_id, load_key, public_text, sign_bundle, verify_bundle

DIGEST = "ab" * 32


@pytest.fixture
def key(tmp_path):
    public = generate_key(tmp_path / "state" / "deploy.key")
    return load_key(tmp_path / "state" / "deploy.key"), public


def test_a_key_is_written_for_its_owner_only_and_never_over_another(tmp_path):
    path = tmp_path / "k"
    public = generate_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public_text(load_key(path)) == public
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="is there already"):
        generate_key(path)
    assert path.read_bytes() == before


def test_what_was_signed_is_accepted(key):
    private, public = key
    other = "ed25519:" + "A" * 43 + "="
    signature = sign_bundle(DIGEST, private)
    assert verify_bundle(DIGEST, signature, [other, public]) == public
    assert signature.key_id == key_id(public)


def test_nothing_else_is(key, tmp_path):
    private, public = key
    signature = sign_bundle(DIGEST, private)
    stranger = load_key((tmp_path / "s", generate_key(tmp_path / "s"))[0])
    with pytest.raises(IntegrityError, match="does not hold"):
        verify_bundle("cd" * 32, signature, [public])
    with pytest.raises(IntegrityError, match="may not deploy here"):
        verify_bundle(DIGEST, sign_bundle(DIGEST, stranger), [public])
    with pytest.raises(IntegrityError, match="may not deploy here"):
        verify_bundle(DIGEST, signature, [])
    forged = replace(sign_bundle(DIGEST, stranger), key_id=signature.key_id)
    with pytest.raises(IntegrityError, match="does not hold"):
        verify_bundle(DIGEST, forged, [public])
    for bit in range(0, 512, 37):
        flipped = bytearray(signature.signature)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError):
            verify_bundle(DIGEST, replace(signature, signature=bytes(flipped)), [public])
    with pytest.raises(IntegrityError):
        verify_bundle(DIGEST, replace(signature, signature=b""), [public])


def test_a_signature_over_the_bare_digest_is_none(key):
    private, public = key
    bare = replace(sign_bundle(DIGEST, private), signature=private.sign(DIGEST.encode()))
    with pytest.raises(IntegrityError):
        verify_bundle(DIGEST, bare, [public])


@pytest.mark.parametrize("digest", ["", "xyz", "AB" * 32, "ab" * 32 + "\n"])
def test_what_is_no_digest_is_not_signed(key, digest):
    with pytest.raises(IntegrityError):
        sign_bundle(digest, key[0])


@pytest.mark.parametrize(
    "text", ["", "ed25519:", "ed25519:!!", "rsa:" + "A" * 43 + "=", "A" * 43 + "=", "ed25519:QUJD"]
)
def test_a_malformed_allowed_key_is_an_error_and_not_skipped(key, text):
    with pytest.raises(ConfigurationError, match="is not a public key"):
        verify_bundle(DIGEST, sign_bundle(DIGEST, key[0]), [key[1], text])


def test_keys_that_are_not_used(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_key(tmp_path / "absent")
    (tmp_path / "open").write_bytes((tmp_path / "k", generate_key(tmp_path / "k"))[0].read_bytes())
    (tmp_path / "open").chmod(0o644)
    with pytest.raises(ConfigurationError, match="other users"):
        load_key(tmp_path / "open")
    wrong = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for content in (b"", b"x", wrong):
        (tmp_path / "w").write_bytes(content)
        (tmp_path / "w").chmod(0o600)
        with pytest.raises(ConfigurationError, match="is not an unencrypted Ed25519 private key"):
            load_key(tmp_path / "w")
