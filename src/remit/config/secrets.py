"""Secrets: resolved from references at the last moment, and wrapped so that no log or message can show them."""

from __future__ import annotations

import hmac
import importlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from remit.errors import ConfigurationError

MAX_BYTES = 64 * 1024
"""Largest secret, in bytes."""

_REFERENCE = re.compile(r"(?P<kind>env|file|vault):(?P<rest>.+)", re.DOTALL)
_EMBEDDED = re.compile(r"\$\{([^}]*)\}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VAULT = re.compile(r"(?P<mount>[^/#]+)/(?P<path>[^#]+)#(?P<key>[^#]+)")


class SecretUnavailable(ConfigurationError):
    """A secret that a file refers to is not there. The message names the reference, never a value."""

    code = "secret_unavailable"
    advice = "Provide the secret named in the message where its reference points to."


def fill_with(value: str, resolve: Callable[[str], str]) -> tuple[str, list[str]]:
    """A declared value with its references replaced by what `resolve` gives, and those secrets by themselves."""
    if _REFERENCE.fullmatch(value):
        secret = resolve(value)
        return secret, [secret]
    found: list[str] = []

    def put(match: re.Match[str]) -> str:
        found.append(resolve(match[1]))
        return found[-1]

    return _EMBEDDED.sub(put, value), found


class SecretValue:
    """A secret in memory. `reveal()` is the one way to its text; printing, formatting and pickling do not show it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself. Give it to the one that needs it, and keep it nowhere."""
        return self._text

    def __repr__(self) -> str:
        return "SecretValue(…)"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretValue):
            return NotImplemented
        mine, theirs = (s.reveal().encode("utf-8", "surrogatepass") for s in (self, other))
        return hmac.compare_digest(mine, theirs)

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")


def references(text: str) -> list[str]:
    """The references in a value: the whole of it (`env:NAME`), or inside it (`Bearer ${env:NAME}`).

    Raises ConfigurationError where `${…}` is not a reference.
    """
    if _REFERENCE.fullmatch(text):
        return [text]
    found = _EMBEDDED.findall(text)
    for reference in found:
        _check(reference)
    return found


class SecretResolver:
    """Resolves references for one project."""

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._environ = os.environ if environ is None else environ

    def resolve(self, reference: str) -> SecretValue:
        """The secret behind `env:NAME`, `file:PATH` or `vault:PATH#KEY`. Raises SecretUnavailable."""
        kind, rest = _check(reference)
        match kind:
            case "env":
                text = self._environ.get(rest)
                if not text:
                    raise SecretUnavailable(f"the environment variable of {reference} is not set, or empty")
            case "file":
                text = self._from_file(reference, rest)
            case _:
                text = _from_vault(reference, rest, self._environ)
        return SecretValue(text)

    def fill(self, value: str) -> SecretValue:
        """A declared value with every reference in it replaced. Raises SecretUnavailable or ConfigurationError.

        What comes out of a secret is never looked at for further references.
        """
        return self.fill_parts(value)[0]

    def fill_parts(self, value: str) -> tuple[SecretValue, tuple[SecretValue, ...]]:
        """The filled value, and the secrets in it by themselves: what a scrubber of logs and results looks for."""
        filled, found = fill_with(value, lambda reference: self.resolve(reference).reveal())
        return SecretValue(filled), tuple(map(SecretValue, found))

    def _from_file(self, reference: str, path: str) -> str:
        place = self._folder / path
        try:
            if not place.is_file():
                raise SecretUnavailable(f"there is no file for {reference}, seen from the project's folder")
            with place.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            text = content.decode()
        except (OSError, ValueError) as error:
            said = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else _system_words(error)
            raise SecretUnavailable(f"the file of {reference} cannot be read: {said}") from None
        if len(content) > MAX_BYTES:
            raise SecretUnavailable(f"the file of {reference} has more than {MAX_BYTES:,} bytes")
        text = text.removesuffix("\n").removesuffix("\r")
        if not text:
            raise SecretUnavailable(f"the file of {reference} is empty")
        return text


def _check(reference: str) -> tuple[str, str]:
    """Kind and rest of a reference. Raises ConfigurationError, without repeating what may be a secret by mistake."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ConfigurationError(
            "a value in braces is not a reference to a secret",
            advice="Write ${env:NAME}, ${file:PATH} or ${vault:PATH#KEY}.",
        )
    kind, rest = match["kind"], match["rest"]
    if kind == "env" and not _ENV_NAME.fullmatch(rest):
        raise ConfigurationError(
            "a reference env:… does not name an environment variable",
            advice="Write env:NAME with letters, digits and underscores.",
        )
    if kind == "vault" and not _VAULT.fullmatch(rest):
        raise ConfigurationError(
            f"{reference} does not say where in Vault: `vault:MOUNT/PATH#KEY`",
            advice="Write for example vault:secret/crm#token.",
        )
    return kind, rest


def _from_vault(reference: str, rest: str, environ: Mapping[str, str]) -> str:
    """Read from Vault's key-value store, version 2; address and token by Vault's usual environment variables."""
    match = _VAULT.fullmatch(rest)
    assert match is not None
    try:
        hvac = importlib.import_module("hvac")
    except ImportError:
        raise SecretUnavailable(
            f"{reference} needs the Python package hvac, which is not installed",
            advice="Install it where Remit runs, or use env: or file: references.",
        ) from None
    address, token = environ.get("VAULT_ADDR"), environ.get("VAULT_TOKEN")
    if not address or not token:
        raise SecretUnavailable(
            f"{reference} needs VAULT_ADDR and VAULT_TOKEN in the environment",
            advice="Set both where Remit runs.",
        )
    try:
        client = hvac.Client(
            url=address, token=token, namespace=environ.get("VAULT_NAMESPACE"), timeout=10, allow_redirects=False
        )
        answer: Any = client.secrets.kv.v2.read_secret_version(
            mount_point=match["mount"], path=match["path"], raise_on_deleted_version=True
        )
        text = answer["data"]["data"][match["key"]]
    except Exception as error:  # noqa: BLE001 - whatever the client raises, its words may carry the address or token
        raise SecretUnavailable(f"{reference} cannot be read from Vault: {type(error).__name__}") from None
    if not isinstance(text, str) or not text:
        raise SecretUnavailable(f"{reference} is not text in Vault, or empty")
    return text


def _system_words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
