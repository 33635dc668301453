"""`remit init`: a small project that works, in an empty folder."""

from __future__ import annotations

import getpass
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from remit.config.schemas import write_schemas
from remit.errors import ConfigurationError

DEPLOY_KEY = ".remit/deploy.key"
"""Where the private deploy key of this machine is, seen from the project."""

_RENAMED = {"gitignore": ".gitignore"}
_TOKEN = re.compile(r"@(?:PROJECT|PERSON|PERSON_NAME|DEPLOY_KEY)@")
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9._-]+")


def init_project(
    folder: Path, *, make_key: Callable[[Path], str], person: str | None = None, person_name: str | None = None
) -> list[Path]:
    """Make a working project in `folder`; returns the files that stand in it now, seen from it, without `.remit/`.

    `make_key` writes a private deploy key to a path and returns the public one. `person` is the id of the one person in
    the directory, by default made from the name of whoever is logged in. Raises ConfigurationError if the folder holds
    anything but `.git`, or cannot be written.
    """
    try:
        _must_be_empty(folder)
        (folder / ".remit").mkdir(mode=0o700, parents=True)
        who = person or _login()
        files = template_files(
            project=folder.resolve().name, person=who, person_name=person_name, deploy_key=make_key(folder / DEPLOY_KEY)
        )
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        write_schemas(folder / ".remit" / "schemas")
    except OSError as error:
        raise ConfigurationError(
            f"the project cannot be written to {folder}: {error.strerror or error}",
            advice="Give a folder that you may write to, and look whether the disk is full.",
        ) from None
    return [Path(path) for path in files]


def template_files(*, project: str, person: str, deploy_key: str, person_name: str | None = None) -> dict[str, str]:
    """The new project's files by path, filled in. `project` and `person` may be any text; names are made from them."""
    identifier = _person_id(person)
    values = {
        "@PROJECT@": name_from(project, "my-project"),
        "@PERSON@": identifier,
        "@PERSON_NAME@": json.dumps(person_name or person or identifier, ensure_ascii=False),
        "@DEPLOY_KEY@": deploy_key,
    }
    shipped = dict(_walk(resources.files("remit.config") / "template", ""))
    return {path: _filled(text, values) for path, text in sorted(shipped.items())}


def name_from(text: str, otherwise: str) -> str:
    """A name that files may use, made from any text: `Dana Kim` gives `dana.kim`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = _NOT_IN_A_NAME.sub(".", plain).strip("._-")[:63].rstrip("._-")
    return name or otherwise


def _person_id(text: str) -> str:
    """An id that YAML reads as text even without quotes."""
    name = name_from(text, "me")
    return name if name[0].isalpha() and name not in {"null", "true", "false"} else f"user-{name}"[:63]


def _must_be_empty(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file", advice="Give the name of a new or empty folder.")
    held = sorted(p.name for p in folder.iterdir() if p.name != ".git") if folder.exists() else []
    if held:
        more = f" and {len(held) - 3} more" if len(held) > 3 else ""
        raise ConfigurationError(
            f"{folder} is not empty: it holds {', '.join(held[:3])}{more}",
            advice="Give the name of a new or empty folder; nothing was written.",
        )


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user, as in some containers
        return ""


def _walk(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _walk(entry, f"{path}{entry.name}/")
        else:
            yield f"{path}{_RENAMED.get(entry.name, entry.name)}", entry.read_text(encoding="utf-8")


def _filled(text: str, values: dict[str, str]) -> str:
    return _TOKEN.sub(lambda token: values[token[0]], text)
