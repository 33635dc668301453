"""Checkpoints as the two C2SP formats describe them, read by a second small reader and by ours."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from remit.domain.checkpoints import (
    Checkpoint,
    SigningKey,
    VerifierKey,
    decode_base64,
    parse_checkpoint,
    split_note,
)
from remit.errors import IntegrityError, InvalidInput

KEY = SigningKey("remit-log", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
NOTE = KEY.sign(Checkpoint("remit-log", 20852163, hashlib.sha256(b"x").digest()))
# A key pair that other implementations of signed notes use in their tests.
SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_a_reader_written_from_the_specification_accepts_it():
    raw = NOTE.encode("utf-8")
    at = raw.rindex(b"\n\n")
    text, line = raw[: at + 1], raw[at + 2 :].decode()
    assert line.endswith("\n")
    dash, name, encoded = line[:-1].split(" ")
    assert dash == "\u2014"
    blob = base64.b64decode(encoded)
    vkey_name, vkey_id, vkey_data = str(KEY.verifier).split("+", 2)
    assert name == vkey_name
    public = base64.b64decode(vkey_data)
    assert public[0] == 1
    key_id = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
    assert key_id == blob[:4] == bytes.fromhex(vkey_id)
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(blob[4:], text)
    origin, size, root = text.decode().rstrip("\n").split("\n")
    assert (origin, int(size), base64.b64decode(root)) == ("remit-log", 20852163, hashlib.sha256(b"x").digest())


def test_keys_of_other_tools_are_read():
    assert str(SigningKey.parse(SIGNER).verifier) == VERIFIER
    assert SigningKey.parse(SIGNER).secret_text() == SIGNER
    assert str(VerifierKey.parse(VERIFIER)) == VERIFIER


def test_a_note_may_hold_empty_lines_before_its_last_one():
    text, signatures = split_note("a\n\nb\n\n" + NOTE.rpartition("\n\n")[2])
    assert text == "a\n\nb\n"
    assert [s.name for s in signatures] == ["remit-log"]


def test_ours_opens_it_and_keys_survive_their_text_form():
    assert KEY.verifier.open(NOTE).size == 20852163
    assert VerifierKey.parse(str(KEY.verifier)) == KEY.verifier
    again = SigningKey.parse(KEY.secret_text())
    assert again.verifier == KEY.verifier
    assert again.sign(parse_checkpoint(NOTE)) == NOTE


def test_signatures_of_unknown_keys_are_ignored_and_a_bad_one_of_a_known_key_rejects():
    other = SigningKey.generate("witness.example")
    cosigned = NOTE + other.sign(parse_checkpoint(NOTE)).rpartition("\n\n")[2]
    assert KEY.verifier.open(cosigned) == other.verifier.open(cosigned)
    with pytest.raises(IntegrityError, match="no signature of"):
        other.verifier.open(NOTE)
    forged = SigningKey("remit-log", other.private).sign(parse_checkpoint(NOTE))
    with pytest.raises(IntegrityError, match="no signature of"):
        KEY.verifier.open(forged)
    blob = KEY.verifier.key_id + bytes(64)
    with pytest.raises(IntegrityError, match="does not hold"):
        KEY.verifier.open(NOTE + f"— remit-log {base64.b64encode(blob).decode()}\n")


@given(st.integers(0, len(NOTE.encode()) * 8 - 1))
def test_every_flipped_bit_is_refused(bit):
    raw = bytearray(NOTE.encode())
    raw[bit // 8] ^= 1 << (bit % 8)
    try:
        note = raw.decode()
    except UnicodeDecodeError:
        return
    with pytest.raises(IntegrityError):
        KEY.verifier.open(note)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a\n\n",
        "a\n1\n\n— x AAAA\n",
        NOTE[:-1],
        NOTE.replace("— ", "- "),
        NOTE.replace("remit-log ", "remit log "),
        NOTE.replace("\n20852163\n", "\n020852163\n"),
        NOTE.replace("20852163", "-1"),
        "\t" + NOTE,
        NOTE + "x" * 70_000,
    ],
)
def test_malformed_notes_are_refused(text):
    with pytest.raises(IntegrityError):
        KEY.verifier.open(text)


@pytest.mark.parametrize(
    "text", ["", "a+b", "a b+00000000+AQ==", "remit-log+00000000+" + str(KEY.verifier).split("+", 2)[2]]
)
def test_malformed_keys_are_refused(text):
    with pytest.raises(InvalidInput):
        VerifierKey.parse(text)
    with pytest.raises(InvalidInput):
        SigningKey.parse("PRIVATE+KEY+" + text)


def test_an_error_about_a_private_key_does_not_repeat_it():
    with pytest.raises(InvalidInput) as caught:
        SigningKey.parse(KEY.secret_text()[:-3])
    assert KEY.secret_text()[20:60] not in str(caught.value)


def test_base64_has_one_form():
    assert decode_base64("AQ==") == b"\x01"
    assert decode_base64("AR==") is None
    assert decode_base64("AQ") is None
    assert decode_base64("A\nQ==") is None
    assert decode_base64("ä") is None


def test_a_key_name_has_no_spaces():
    for name in ("", "a b", "a+b", "a\u2003b", "a\nb"):
        with pytest.raises(InvalidInput):
            SigningKey.generate(name)
