"""Secrets are found where references point, and never shown by accident."""

from __future__ import annotations

import copy
import json
import os
import pickle
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from remit.config.secrets import SecretResolver, SecretUnavailable, SecretValue, references
from remit.errors import ConfigurationError


def resolver(tmp_path, **environ: str) -> SecretResolver:
    return SecretResolver(tmp_path, environ)


def test_a_secret_does_not_show():
    secret = SecretValue("hunter2")
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>30}",
        f"{secret} {secret!r}",
        repr([secret]),
    ]
    assert not any("hunter2" in text for text in shown)
    assert secret.reveal() == "hunter2"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.copy(secret)
    with pytest.raises(TypeError):
        json.dumps({"s": secret})
    with pytest.raises(TypeError):
        hash(secret)
    assert secret == SecretValue("hunter2")
    assert secret != SecretValue("hunter3")
    assert secret != "hunter2"


def test_environment(tmp_path):
    assert resolver(tmp_path, TOKEN="t").resolve("env:TOKEN").reveal() == "t"
    for environ in ({}, {"TOKEN": ""}):
        with pytest.raises(SecretUnavailable, match="env:TOKEN is not set"):
            resolver(tmp_path, **environ).resolve("env:TOKEN")


def test_files_are_seen_from_the_project(tmp_path):
    (tmp_path / "token").write_text("abc\n")
    assert resolver(tmp_path).resolve("file:token").reveal() == "abc"
    assert resolver(tmp_path).resolve(f"file:{tmp_path / 'token'}").reveal() == "abc"
    (tmp_path / "key.pem").write_text("a\nb\n\n")
    assert resolver(tmp_path).resolve("file:key.pem").reveal() == "a\nb\n"


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "empty"), (b"\n", "empty"), (b"\xff", "not UTF-8"), (b"x" * 70_000, "more than")]
)
def test_files_that_hold_no_secret(tmp_path, content, said):
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(SecretUnavailable, match=said):
        resolver(tmp_path).resolve("file:token")


@pytest.mark.parametrize("path", ["absent", ".", "pipe", "a\0b"])
def test_files_that_are_none(tmp_path, path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SecretUnavailable):
        resolver(tmp_path).resolve(f"file:{path}")


def test_references_inside_a_value(tmp_path):
    (tmp_path / "k").write_text("k1")
    found = resolver(tmp_path, A="a1").fill("Bearer ${env:A}-${file:k}.")
    assert found.reveal() == "Bearer a1-k1."
    assert "a1" not in repr(found)
    assert resolver(tmp_path, A="a1").fill("env:A").reveal() == "a1"
    assert resolver(tmp_path).fill("plain $5 {x}").reveal() == "plain $5 {x}"


def test_the_secrets_in_a_value_by_themselves(tmp_path):
    whole, parts = resolver(tmp_path, A="a1", B="b1").fill_parts("Bearer ${env:A} ${env:B}")
    assert whole.reveal() == "Bearer a1 b1"
    assert [p.reveal() for p in parts] == ["a1", "b1"]
    whole, parts = resolver(tmp_path, A="a1").fill_parts("env:A")
    assert [whole.reveal()] == [p.reveal() for p in parts] == ["a1"]
    assert resolver(tmp_path).fill_parts("plain")[1] == ()


def test_what_comes_out_of_a_secret_is_not_read_again(tmp_path):
    assert resolver(tmp_path, A="${env:B}", B="b").fill("x ${env:A}").reveal() == "x ${env:B}"


@pytest.mark.parametrize(
    "value", ["Bearer ${TOKEN}", "${env:}", "${env:A B}", "${}", "env:A-B", "vault:x", "${vault:a/b}"]
)
def test_what_is_no_reference_is_refused(tmp_path, value):
    with pytest.raises(ConfigurationError):
        resolver(tmp_path).fill(value)


def test_a_secret_written_by_mistake_is_not_repeated_in_the_message(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        resolver(tmp_path).fill("Bearer ${sk-live-1234}")
    assert "sk-live" not in str(caught.value) + caught.value.advice


def test_which_references_a_value_has():
    assert references("env:A") == ["env:A"]
    assert references("Bearer ${env:A} ${file:b c}") == ["env:A", "file:b c"]
    assert references("nothing") == []


class _Vault(BaseHTTPRequestHandler):
    """Vault's key-value store, version 2, as far as reading goes."""

    secrets = {"/v1/secret/data/team/crm": {"token": "from-vault", "number": 5}}

    def do_GET(self):
        known = self.secrets.get(self.path.partition("?")[0])
        right = self.headers.get("X-Vault-Token") == "root"
        status = 200 if known and right else 404 if right else 403
        body = (
            {"data": {"data": known, "metadata": {"version": 1}}}
            if status == 200
            else {"errors": ["root token-in-error"]}
        )
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def vault():
    server = HTTPServer(("127.0.0.1", 0), _Vault)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_vault(tmp_path, vault):
    found = resolver(tmp_path, VAULT_ADDR=vault, VAULT_TOKEN="root").fill("Bearer ${vault:secret/team/crm#token}")
    assert found.reveal() == "Bearer from-vault"


@pytest.mark.parametrize(
    ("reference", "token"),
    [("vault:secret/team/crm#absent", "root"), ("vault:secret/no#token", "root"),
     ("vault:secret/team/crm#token", "wrong"),
     ("vault:secret/team/crm#number", "root")],
)  # fmt: skip
def test_what_vault_does_not_give(tmp_path, vault, reference, token):
    with pytest.raises(SecretUnavailable) as caught:
        resolver(tmp_path, VAULT_ADDR=vault, VAULT_TOKEN=token).resolve(reference)
    assert reference in str(caught.value)
    assert "token-in-error" not in str(caught.value)


def test_vault_without_settings_or_client(tmp_path, monkeypatch):
    with pytest.raises(SecretUnavailable, match="VAULT_ADDR and VAULT_TOKEN"):
        resolver(tmp_path).resolve("vault:secret/x#y")
    monkeypatch.setitem(sys.modules, "hvac", None)
    with pytest.raises(SecretUnavailable, match="hvac, which is not installed"):
        resolver(tmp_path).resolve("vault:secret/x#y")
